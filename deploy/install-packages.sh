#!/usr/bin/env bash
# Installs the Debian 12 packages that vigie needs and this machine lacks.
# Where nothing lacks it does nothing and needs no root.
#
# A daemon that comes along in a package (Debian starts and enables them on
# installation) is neither started nor enabled: its port may be taken, or wanted
# by vigie.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: deploy/install-packages.sh [--quickstart] [--tests] [--list]
  (no flag)     what the build needs
  --quickstart  and what deploy/quickstart.sh starts
  --tests       and what tests/run.sh needs
  --list        print the packages, install nothing
Needs root or sudo if something is missing.
TEXT
}

die() {
  printf 'install-packages.sh: %s\n' "$*" >&2
  exit 1
}

# Each stands for a line of CMakeLists.txt. GoogleTest and Python are among
# them because the same configuration builds the tests.
build=(
  build-essential cmake ninja-build ccache pkg-config python3
  protobuf-compiler protobuf-compiler-grpc libprotobuf-dev libgrpc++-dev
  libabsl-dev librocksdb-dev prometheus-cpp-dev libyaml-cpp-dev libfmt-dev
  libspdlog-dev libboost1.81-dev libssl-dev libcurl4-openssl-dev zlib1g-dev
  nlohmann-json3-dev libcli11-dev libre2-dev libxxhash-dev libsnappy-dev libzstd-dev
  libgtest-dev libgmock-dev
)
quickstart=(prometheus-node-exporter openssl python3-aiosmtpd)
tests=(clang-16 libclang-rt-16-dev prometheus prometheus-alertmanager shellcheck)

# Of these we start our own, on ports of our own.
daemons=(prometheus prometheus-alertmanager prometheus-node-exporter)

policy=/usr/sbin/policy-rc.d
policy_mark='# vigie install-packages.sh, process'

is_installed() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Debian asks this file before it starts a daemon. Only daemons of the packages
# above are held back: a service that is restarted for an upgraded library is
# none of our business. Whoever has such a file already has decided.
place_policy() {
  local owner
  if [ -e "$policy" ]; then
    owner=$(sed -n "s/^$policy_mark \([0-9]*\)\$/\1/p" "$policy")
    if [ -z "$owner" ] || [ -d "/proc/$owner" ]; then
      return
    fi
    rm -f "$policy"  # left by one of us that was killed
  fi
  cat >"$policy" <<TEXT
#!/bin/sh
$policy_mark $$
case "\$1" in prometheus* | civetweb*) exit 101 ;; esac
exit 0
TEXT
  chmod 755 "$policy"
}

remove_policy() {
  if [ -f "$policy" ] && grep -qx "$policy_mark $$" "$policy"; then
    rm -f "$policy"
  fi
}

# Enabled means started at the next boot, policy or not.
disable_at_boot() {
  local name=$1
  if [ -e "/lib/systemd/system/$name.service" ] && command -v systemctl >/dev/null; then
    systemctl --quiet disable "$name.service" 2>/dev/null ||
      printf 'install-packages.sh: could not disable %s.service\n' "$name" >&2
  fi
  if [ ! -d /run/systemd/system ] && [ -e "/etc/init.d/$name" ] && command -v update-rc.d >/dev/null; then
    update-rc.d "$name" disable >/dev/null 2>&1 ||
      printf 'install-packages.sh: could not disable /etc/init.d/%s\n' "$name" >&2
  fi
}

wanted=("${build[@]}")
list_only=no
arguments=("$@")
while [ $# -gt 0 ]; do
  case "$1" in
    --quickstart) wanted+=("${quickstart[@]}") ;;
    --tests) wanted+=("${quickstart[@]}" "${tests[@]}") ;;
    --list) list_only=yes ;;
    -h | --help)
      usage
      exit 0
      ;;
    *)
      usage >&2
      die "unknown argument: $1"
      ;;
  esac
  shift
done

if [ "$list_only" = yes ]; then
  printf '%s\n' "${wanted[@]}" | sort -u
  exit 0
fi

for tool in dpkg-query apt-get; do
  command -v "$tool" >/dev/null ||
    die "this is no Debian ($tool not found); needed are the equivalents of: ${wanted[*]}"
done

missing=()
for package in "${wanted[@]}"; do
  is_installed "$package" || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  exit 0
fi

# shellcheck source=/dev/null
system="$(. /etc/os-release 2>/dev/null && printf '%s %s' "${ID:-unknown}" "${VERSION_ID:-}")" || true
[ "$system" = 'debian 12' ] ||
  printf 'install-packages.sh: written for debian 12, this is %s; trying\n' "$system" >&2

if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null ||
    die "missing packages, neither root nor sudo; as root: apt-get install ${missing[*]}"
  printf 'install-packages.sh: asking sudo to install: %s\n' "${missing[*]}" >&2
  exec sudo -- "$0" "${arguments[@]}"
fi

printf 'install-packages.sh: installing %s\n' "${missing[*]}" >&2
# However it ends. bash runs a trap only after apt-get has ended, so the policy
# outlives the installation.
leave_as_found() {
  local name
  for name in "${daemons[@]}"; do
    case " ${missing[*]} " in *" $name "*) disable_at_boot "$name" ;; esac
  done
  remove_policy
}
trap leave_as_found EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
place_policy

apt() {
  DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600 "$@" </dev/null >&2
}
# The index may be missing or older than what the mirror still has.
apt update || die 'apt-get update failed, see above'
apt install -y --no-install-recommends "${missing[@]}" ||
  die "apt-get could not install: ${missing[*]}; see above"
