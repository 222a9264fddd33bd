#!/usr/bin/env bash
# From a fresh Debian 12 to live answers: installs what is missing, builds vigie,
# starts it beside Debian's node exporter and a simulated shop, asks, and shows
# an alert and a canary on their way. Everything it starts ends with it, however
# it ends. The parts: deploy/quickstart/.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
parts=$root/deploy/quickstart

usage() {
  cat <<'TEXT'
Usage: deploy/quickstart.sh [options]
  --once                ask once, check every answer against this machine, stop;
                        exit 0 if all is well, else 1. Free ports and a temporary
                        directory, unless given below
  --data DIR            data directory             (.vigie/quickstart)
  --http HOST:PORT      address of the HTTP API    (127.0.0.1:9090)
  --grpc HOST:PORT      address of OTLP/gRPC       (127.0.0.1:4317)
  --node-exporter HOST:PORT
                        address of the node exporter (127.0.0.1, any free port)
  --sinks-smtp HOST:PORT, --sinks-http HOST:PORT
                        addresses of the local mail server and of the webhooks
                        that alerts go to         (127.0.0.1, any free port)
  --binary FILE, --shop FILE
                        use this vigie, this shop, build neither
Port 0 means any free one.
TEXT
}

die() {
  printf 'quickstart.sh: %s\n' "$*" >&2
  exit 1
}

say() { printf '%s\n' "$*"; }

once=no data='' http='' grpc='' exporter=127.0.0.1:0 vigie='' shop=''
sinks_smtp=127.0.0.1:0 sinks_http=127.0.0.1:0
while [ $# -gt 0 ]; do
  case "$1" in
    --once)
      once=yes
      shift
      continue
      ;;
    -h | --help)
      usage
      exit 0
      ;;
    --data | --http | --grpc | --node-exporter | --sinks-smtp | --sinks-http | --binary | --shop)
      [ -n "${2:-}" ] || die "$1 needs a value"
      ;;
    *) die "unknown argument: $1 (--help shows them)" ;;
  esac
  case "$1" in
    --data) data=$2 ;;
    --http) http=$2 ;;
    --grpc) grpc=$2 ;;
    --node-exporter) exporter=$2 ;;
    --sinks-smtp) sinks_smtp=$2 ;;
    --sinks-http) sinks_http=$2 ;;
    --binary) vigie=$2 ;;
    --shop) shop=$2 ;;
  esac
  shift 2
done
for address in "$http" "$grpc" "$exporter" "$sinks_smtp" "$sinks_http"; do
  [[ -z $address || $address =~ ^[^:]+:[0-9]+$ ]] ||
    die "$address is no HOST:PORT"
done

# ---- What is started is stopped -------------------------------------------

scratch=$(mktemp -d "${TMPDIR:-/tmp}/vigie-quickstart.XXXXXX")
vigie_pid='' exporter_pid='' sinks_pid='' shop_pid=''
# shellcheck source=deploy/quickstart/processes.sh
. "$parts/processes.sh"

cleanup() {
  trap '' INT TERM HUP
  # In the order of the data, so that the shop's last figures still arrive.
  local pid
  for pid in $shop_pid $exporter_pid $vigie_pid $sinks_pid; do
    stop "$pid" || true
  done
  rm -rf "$scratch"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# ---- Packages and build ----------------------------------------------------

"$root/deploy/install-packages.sh" --quickstart

targets=()
[ -n "$vigie" ] || targets+=(vigie)
[ -n "$shop" ] || targets+=(shop)
if [ ${#targets[@]} -gt 0 ]; then
  # A translation unit that includes gRPC takes most of a gigabyte.
  jobs=$(awk -v cpus="$(nproc)" '/^MemTotal/ { most = int($2 / 1.5e6) }
    END { print most < 1 ? 1 : most < cpus ? most : cpus }' /proc/meminfo)
  say "building vigie with $jobs jobs (the first time takes minutes) ..."
  (cd "$root" && cmake --preset release >"$scratch/configure.log") ||
    { cat "$scratch/configure.log" >&2; die 'cmake --preset release failed, see above'; }
  cmake --build "$root/build/release" --target "${targets[@]}" -j "$jobs" >"$scratch/build.log" ||
    { tail -n 40 "$scratch/build.log" >&2; die 'the build failed, see above'; }
fi
: "${vigie:=$root/build/release/cli/vigie}" "${shop:=$root/build/release/deploy/demo/shop}"
for program in "$vigie" "$shop"; do
  [ -x "$program" ] || die "$program: no such program"
done

# ---- Start -----------------------------------------------------------------

if [ "$once" = yes ]; then
  : "${data:=$scratch/data}" "${http:=127.0.0.1:0}" "${grpc:=127.0.0.1:0}"
fi
: "${data:=$root/.vigie/quickstart}" "${http:=127.0.0.1:9090}" "${grpc:=127.0.0.1:4317}"
refuse_taken "$http" --http
refuse_taken "$grpc" --grpc
refuse_taken "$exporter" --node-exporter
refuse_taken "$sinks_smtp" --sinks-smtp
refuse_taken "$sinks_http" --sinks-http
mkdir -p "$data"
data=$(cd "$data" && pwd)

# The exporter leaves overlay file systems out unless told otherwise, and in a
# container / is one. setpriv: should this script be killed, they go too.
setpriv --pdeathsig TERM prometheus-node-exporter \
  --web.listen-address="$exporter" \
  --collector.filesystem.fs-types-exclude='^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|mqueue|nsfs|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs|tracefs)$' \
  >"$data/node-exporter.log" 2>&1 &
exporter_pid=$!
listening='s/.*msg="Listening on" address=\(.*\)/\1/p'
exporter_listens() { [ -n "$(sed -n "$listening" "$data/node-exporter.log")" ]; }
wait_until 20 $exporter_pid exporter_listens ||
  { tail -n 3 "$data/node-exporter.log" >&2; die 'the node exporter did not start, see above'; }
exporter=$(sed -n "$listening" "$data/node-exporter.log" | head -n 1)

# Somebody to be told. Messages of an earlier run are none of this one.
rm -rf "$data/sinks/mailbox" "$data"/sinks/*.jsonl
: >"$data/sinks.out"
setpriv --pdeathsig TERM /usr/bin/python3 -W ignore "$parts/sinks.py" --directory "$data/sinks" \
  --smtp "$sinks_smtp" --http "$sinks_http" >"$data/sinks.out" 2>"$data/sinks.log" &
sinks_pid=$!
sinks_are_ready() { grep -qx ready "$data/sinks.out"; }
wait_until 20 $sinks_pid sinks_are_ready ||
  { tail -n 3 "$data/sinks.log" >&2; die 'the local mail server did not start, see above'; }

mkdir -p "$data/rules"
cp "$root"/deploy/rules/*.yml "$data/rules/"
cp "$parts/vigie.yml" "$parts/quickstart_rules.yml" "$parts/quickstart.tmpl" "$data/"
sed "s/127\.0\.0\.1:9100/$exporter/" "$parts/prometheus.yml" >"$data/prometheus.yml"
sed -e "s|127\.0\.0\.1:2525|$(sed -n 's/^smtp: //p' "$data/sinks.out")|" \
  -e "s|http://127\.0\.0\.1:2526/webhook|$(sed -n 's/^webhook: //p' "$data/sinks.out")|" \
  "$parts/alertmanager.yml" >"$data/alertmanager.yml"
[ "${http##*:}" = 0 ] || printf 'external_url: http://%s\n' "$http" >>"$data/vigie.yml"
"$vigie" check config "$data/vigie.yml" >/dev/null ||
  die 'vigie refuses its configuration, see above'

: >"$data/vigie.out"
setpriv --pdeathsig TERM "$vigie" serve --data "$data/store" --http "$http" --grpc "$grpc" \
  --config "$data/vigie.yml" >"$data/vigie.out" 2>"$data/vigie.log" &
vigie_pid=$!
vigie_is_ready() { grep -qx ready "$data/vigie.out"; }
wait_until 60 $vigie_pid vigie_is_ready ||
  { tail -n 5 "$data/vigie.log" >&2; die 'vigie did not start, see above'; }
http=$(sed -n 's|^http: http://||p' "$data/vigie.out")
grpc=$(sed -n 's|^grpc: ||p' "$data/vigie.out")

mkdir -p "$data/grafana/datasources" "$data/grafana/dashboards"
sed -e "s|http://127\.0\.0\.1:9090|http://$http|" -e 's|timeInterval: .*|timeInterval: 2s|' \
  "$root/dashboards/provisioning/datasources/vigie.yml" >"$data/grafana/datasources/vigie.yml"
sed "s|path: .*|path: $root/dashboards/grafana|" \
  "$root/dashboards/provisioning/dashboards/vigie.yml" >"$data/grafana/dashboards/vigie.yml"

# shellcheck source=deploy/quickstart/machine.sh
. "$parts/machine.sh"
# shellcheck source=deploy/quickstart/shop.sh
. "$parts/shop.sh"

# ---- What the user sees ----------------------------------------------------

human() {  # human FORMAT EXPR: the value, or "-" while there is none
  local v
  v=$(value "$2") || v=''
  if [ -z "$v" ]; then
    printf -- '-'
  else
    awk -v v="$v" -v format="$1" 'BEGIN {
      if (format == "GiB") printf "%.1f GiB", v / 2 ^ 30
      else if (format == "MiB") printf "%.0f MiB", v / 2 ^ 20
      else printf format, v }'
  fi
}

show() {
  local text
  text="vigie on http://$http, OTLP/gRPC on $grpc, data in $data

this machine ($host)
  CPU busy          $(human '%.1f %%' "$ask_cpu")
  memory available  $(human GiB "$ask_memory_free") of $(human GiB "$ask_memory_total")
  disk / free       $(human GiB "$ask_disk_free") of $(human GiB "$ask_disk_size")
vigie itself
  samples taken in  $(human '%.0f /s' "$ask_samples")
  resident memory   $(human MiB 'process_resident_memory_bytes{job="vigie"}')
  alerts firing     $(human '%d' 'count(ALERTS{alertstate="firing",severity!="info"}) or vector(0)')
the shop (simulated)
  visits, orders    $(human '%.1f /s' 'sum(rate(shop_visits_total[20s]))'), $(human '%.1f /s' 'sum(rate(shop_orders_total[20s]))')
  revenue           $(human '%.2f EUR /min' 'sum(rate(shop_revenue_cents_total[20s])) * 60 / 100')
  payment errors    $(human '%.1f %%' '100 * sum(rate(shop_payments_total{outcome="error"}[20s])) / sum(rate(shop_payments_total[20s]))')
what happens
$([ ${#story[@]} -eq 0 ] || printf '  %s\n' "${story[@]}")
  $(chapter_text)

Grafana  data source: type Prometheus, URL http://$http
         or start it with these files: $data/grafana
ask      $vigie query --http $http 'up'
push     echo 'my_metric 1' | $vigie push --grpc $grpc
alerts   mailbox $data/sinks/mailbox, webhook $data/sinks/slack.jsonl

Ctrl-C stops all of it; the data stays."
  [ ! -t 1 ] || printf '\033[H\033[2J'
  say "$text"
}

# ---- Run -------------------------------------------------------------------

push_metrics || die 'the push was not acknowledged, see above'
begin_story

say 'waiting for the first scrapes ...'
# Rates need two scrapes and two rounds of vigie's own.
for ask in "$ask_cpu" "$ask_requests" "$ask_samples" "$ask_disk_free"; do
  wait_until 30 "$vigie_pid" has_value "$ask" || true
done

if [ "$once" = no ]; then
  # A function: bash may be amidst parsing "$(...)" when the signal comes.
  leave() { say ''; say 'stopping ...'; exit 0; }
  trap leave INT
  while all_run "$vigie_pid" "$exporter_pid" "$sinks_pid" "$shop_pid"; do
    story_tick
    show
    sleep 2
  done
  tail -n 5 "$data"/*.log >&2
  die 'something ended on its own, see above'
fi

check_facts
while [ "$chapter" != end ] && all_run "$vigie_pid" "$shop_pid"; do
  story_tick
  sleep 0.5
done
check_story
check_rules

if stop "$shop_pid"; then status=0; else status=$?; fi
shop_pid=''
check 'shop stopped' "it sent all it had and ended with $status" "$status == 0"
if stop "$vigie_pid"; then status=0; else status=$?; fi
vigie_pid=''
check 'stopped' "vigie drained and ended with $status" "$status == 0"
[ "$failed" -eq 0 ] || tail -n 20 "$data/vigie.log" "$data/query.log" "$data/shop.log" "$data/sinks.log" >&2 || true
exit "$failed"
