#!/usr/bin/env bash
# From a fresh Debian 12 to live answers about this machine: installs what is
# missing, builds vigie, starts it beside Debian's node exporter, pushes a few
# metrics and asks. Everything it starts ends with it, however it ends.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

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
  --binary FILE         use this vigie, build none
Port 0 means any free one.
TEXT
}

die() {
  printf 'quickstart.sh: %s\n' "$*" >&2
  exit 1
}

say() { printf '%s\n' "$*"; }

once=no data='' http='' grpc='' exporter=127.0.0.1:0 vigie=''
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
    --data | --http | --grpc | --node-exporter | --binary)
      [ -n "${2:-}" ] || die "$1 needs a value"
      ;;
    *) die "unknown argument: $1 (--help shows them)" ;;
  esac
  case "$1" in
    --data) data=$2 ;;
    --http) http=$2 ;;
    --grpc) grpc=$2 ;;
    --node-exporter) exporter=$2 ;;
    --binary) vigie=$2 ;;
  esac
  shift 2
done
for address in "$http" "$grpc" "$exporter"; do
  [[ -z $address || $address =~ ^[^:]+:[0-9]+$ ]] ||
    die "$address is no HOST:PORT"
done

# ---- What is started is stopped -------------------------------------------

scratch=$(mktemp -d "${TMPDIR:-/tmp}/vigie-quickstart.XXXXXX")
vigie_pid='' exporter_pid=''

# stop PID: TERM, and KILL only after the 30 s that vigie may take to drain.
# Gives the exit status.
stop() {
  local pid=$1 deadline=$((SECONDS + 35)) status=0
  kill -TERM "$pid" 2>/dev/null || true
  while kill -0 "$pid" 2>/dev/null; do
    if [ $SECONDS -ge $deadline ]; then
      kill -KILL "$pid" 2>/dev/null || true
      break
    fi
    sleep 0.1
  done
  wait "$pid" 2>/dev/null || status=$?
  return $status
}

cleanup() {
  trap '' INT TERM HUP
  [ -z "$exporter_pid" ] || stop "$exporter_pid" || true
  [ -z "$vigie_pid" ] || stop "$vigie_pid" || true
  rm -rf "$scratch"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# wait_until SECONDS PID COMMAND...: polls; false at the deadline or once the
# process has ended.
wait_until() {
  local deadline=$((SECONDS + $1)) pid=$2
  shift 2
  until "$@"; do
    if [ $SECONDS -ge $deadline ] || ! kill -0 "$pid" 2>/dev/null; then
      return 1
    fi
    sleep 0.2
  done
}

# refuse_taken ADDRESS FLAG: a port of somebody else is named with its owner.
refuse_taken() {
  local host=${1%:*} port=${1##*:} owner=''
  [ "$port" != 0 ] || return 0
  (exec 3<>"/dev/tcp/$host/$port") 2>/dev/null || return 0
  if command -v ss >/dev/null; then
    owner=$(ss -Hltnp "sport = :$port" | sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/\1 (process \2)/p' | head -n 1)
  fi
  die "$1 is taken by ${owner:-another process (as root, ss -ltnp tells which)}: stop it, or give $2 with another port"
}

# ---- Packages and build ----------------------------------------------------

"$root/deploy/install-packages.sh" --quickstart

if [ -z "$vigie" ]; then
  # A translation unit that includes gRPC takes most of a gigabyte.
  jobs=$(awk -v cpus="$(nproc)" '/^MemTotal/ { most = int($2 / 1.5e6) }
    END { print most < 1 ? 1 : most < cpus ? most : cpus }' /proc/meminfo)
  say "building vigie with $jobs jobs (the first time takes minutes) ..."
  (cd "$root" && cmake --preset release >"$scratch/configure.log") ||
    { cat "$scratch/configure.log" >&2; die 'cmake --preset release failed, see above'; }
  cmake --build "$root/build/release" --target vigie -j "$jobs" >"$scratch/build.log" ||
    { tail -n 40 "$scratch/build.log" >&2; die 'the build failed, see above'; }
  vigie=$root/build/release/cli/vigie
fi
[ -x "$vigie" ] || die "$vigie: no such program"

# ---- Start -----------------------------------------------------------------

if [ "$once" = yes ]; then
  : "${data:=$scratch/data}" "${http:=127.0.0.1:0}" "${grpc:=127.0.0.1:0}"
fi
: "${data:=$root/.vigie/quickstart}" "${http:=127.0.0.1:9090}" "${grpc:=127.0.0.1:4317}"
refuse_taken "$http" --http
refuse_taken "$grpc" --grpc
refuse_taken "$exporter" --node-exporter
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

sed "s/127\.0\.0\.1:9100/$exporter/" "$root/deploy/quickstart/prometheus.yml" >"$data/prometheus.yml"
cp "$root/deploy/quickstart/vigie.yml" "$data/vigie.yml"
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

# ---- Ask -------------------------------------------------------------------

# value EXPR [ARGUMENT...]: the one value of the answer; false for none or more
# than one.
value() {
  "$vigie" query --http "$http" "$@" 2>>"$data/query.log" |
    awk '{ last = $NF } END { if (NR != 1) exit 1; print last }'
}
has_value() { value "$@" >/dev/null; }

host=$(uname -n)
# 0.1 + 0.2 is no short number: it comes back whole or not at all.
push_metrics() {
  "$vigie" push --grpc "$grpc" --job shop --instance "$host" <<'TEXT'
# HELP shop_orders_total Orders placed.
# TYPE shop_orders_total counter
shop_orders_total{channel="web"} 42
shop_orders_total{channel="app"} 17
# HELP shop_basket_euros Value of the last basket.
# TYPE shop_basket_euros gauge
shop_basket_euros 0.30000000000000004
# HELP shop_checkout_seconds Time a checkout took.
# TYPE shop_checkout_seconds histogram
shop_checkout_seconds_bucket{le="0.1"} 3
shop_checkout_seconds_bucket{le="0.5"} 9
shop_checkout_seconds_bucket{le="+Inf"} 10
shop_checkout_seconds_sum 2.5
shop_checkout_seconds_count 10
TEXT
}

ask_cpu='100 * (1 - avg(rate(node_cpu_seconds_total{job="node",mode="idle"}[20s])))'
ask_memory_total='node_memory_MemTotal_bytes{job="node"}'
ask_memory_free='node_memory_MemAvailable_bytes{job="node"}'
ask_disk_size='node_filesystem_size_bytes{job="node",mountpoint="/"}'
ask_disk_free='node_filesystem_avail_bytes{job="node",mountpoint="/"}'
ask_requests='sum(rate(vigie_http_requests_total{job="vigie"}[20s]))'
ask_samples='sum(rate(vigie_store_samples_appended_total{job="vigie"}[20s]))'

# ---- Once: each fact against the machine itself ----------------------------

failed=0
check() {  # check NAME TEXT CONDITION: an awk condition
  if awk "BEGIN { exit !($3) }" 2>/dev/null; then
    say "ok     $1: $2"
  else
    say "FAILED $1: $2"
    failed=1
  fi
}
meminfo() { awk -v key="$1:" '$1 == key { printf "%.0f", $2 * 1024 }' /proc/meminfo; }
gib() { awk -v n="$1" 'BEGIN { printf n == "" ? "no answer" : "%.2f GiB", n / 2 ^ 30 }'; }

# facts: one line each. An empty answer makes its awk condition false.
check_facts() {
  local v w

  for job in node vigie; do
    v=$(value "up{job=\"$job\"}") || v=''
    check "scraped, job $job" "up is ${v:-missing}" "\"$v\" == \"1\""
  done

  v=$(value 'count(count by (cpu) (node_cpu_seconds_total{job="node"}))') || v=''
  w=$(grep -c '^cpu[0-9]' /proc/stat)
  check 'CPUs' "${v:-no answer}, /proc/stat has $w" "\"$v\" == \"$w\""

  v=$(value "$ask_cpu") || v=''
  check 'CPU busy' "${v:-no answer} %, at most 100" "\"$v\" != \"\" && \"$v\" != \"NaN\" && ${v:-0} >= -0.5 && ${v:-0} <= 100"

  v=$(value 'node_load1{job="node"}') || v=''
  w=$(cut -d ' ' -f 1 /proc/loadavg)
  check 'load' "${v:-no answer}, /proc/loadavg has $w" \
    "\"$v\" != \"\" && ${v:-0} >= $w / 2 - 2 && ${v:-0} <= $w * 2 + 2"

  v=$(value "$ask_memory_total") || v=''
  w=$(meminfo MemTotal)
  check 'memory' "$(gib "$v"), /proc/meminfo has $(gib "$w")" "\"$v\" != \"\" && ${v:-0} == $w"

  v=$(value "$ask_memory_free") || v=''
  check 'memory available' "$(gib "$v"), /proc/meminfo has $(gib "$(meminfo MemAvailable)")" \
    "\"$v\" != \"\" && ${v:-0} > 0 && ($(meminfo MemAvailable) - ${v:-0}) ^ 2 < ($w / 4) ^ 2"

  v=$(value "$ask_disk_size") || v=''
  w=$(df -B1 --output=size / | tail -n 1 | tr -d ' ')
  check 'disk, size of /' "$(gib "$v"), df has $(gib "$w")" "\"$v\" != \"\" && ${v:-0} == $w"

  v=$(value "$ask_disk_free") || v=''
  check 'disk, free on /' "$(gib "$v"), df has $(gib "$(df -B1 --output=avail / | tail -n 1)")" \
    "\"$v\" != \"\" && ${v:-0} >= 0 && ($(df -B1 --output=avail / | tail -n 1) - ${v:-0}) ^ 2 < ($w / 10 + 1e9) ^ 2"

  v=$(value "$ask_requests") || v=''
  check "vigie's own requests" "${v:-no answer} a second" "\"$v\" != \"\" && ${v:-0} > 0"

  v=$(value "$ask_samples") || v=''
  check 'samples taken in' "${v:-no answer} a second" "\"$v\" != \"\" && ${v:-0} > 0"

  v=$(value "shop_orders_total{job=\"shop\",instance=\"$host\",channel=\"web\"}") || v=''
  check 'pushed counter' "${v:-no answer}, pushed was 42" "\"$v\" == \"42\""
  v=$(value 'shop_basket_euros{job="shop"}') || v=''
  check 'pushed gauge' "${v:-no answer}, pushed was 0.30000000000000004" "\"$v\" == \"0.30000000000000004\""
  v=$(value 'histogram_quantile(0.5, shop_checkout_seconds_bucket{job="shop"})') || v=''
  check 'pushed histogram' "median ${v:-missing}, from its buckets 0.2333" "\"$v\" != \"\" && (${v:-0} - 0.7 / 3) ^ 2 < 1e-18"

  v=$(value --time 4 '1+1') || v=''
  check "Grafana's health check" "1+1 in 1970 is ${v:-no answer}" "\"$v\" == \"2\""
  v=$(sed -n 's/^ *url: //p' "$data/grafana/datasources/vigie.yml")
  check 'Grafana data source' "$v in grafana/datasources/vigie.yml" "\"$v\" == \"http://$http\""
}

# ---- Otherwise: until Ctrl-C -----------------------------------------------

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
  load, 1 min       $(human '%.2f' 'node_load1{job="node"}')
  memory available  $(human GiB "$ask_memory_free") of $(human GiB "$ask_memory_total")
  disk / free       $(human GiB "$ask_disk_free") of $(human GiB "$ask_disk_size")
vigie itself
  HTTP requests     $(human '%.1f /s' "$ask_requests")
  samples taken in  $(human '%.0f /s' "$ask_samples")
  resident memory   $(human MiB 'process_resident_memory_bytes{job="vigie"}')
pushed through the CLI
  orders            $(human '%d' 'sum(shop_orders_total{job="shop"})')

Grafana  data source: type Prometheus, URL http://$http
         or start it with these files: $data/grafana
ask      $vigie query --http $http 'up'
push     echo 'my_metric 1' | $vigie push --grpc $grpc

Ctrl-C stops vigie and the node exporter; the data stays."
  [ ! -t 1 ] || printf '\033[H\033[2J'
  say "$text"
}

# ---- Run -------------------------------------------------------------------

push_metrics || die 'the push was not acknowledged, see above'

say 'waiting for the first scrapes ...'
# Rates need two scrapes and two rounds of vigie's own.
for ask in "$ask_cpu" "$ask_requests" "$ask_samples" "$ask_disk_free"; do
  wait_until 30 "$vigie_pid" has_value "$ask" || true
done

if [ "$once" = no ]; then
  trap 'say ""; say "stopping ..."; exit 0' INT
  while kill -0 "$vigie_pid" 2>/dev/null && kill -0 "$exporter_pid" 2>/dev/null; do
    show
    sleep 2
  done
  tail -n 5 "$data/vigie.log" "$data/node-exporter.log" >&2
  die 'vigie or the node exporter ended on its own, see above'
fi

check_facts

if stop "$vigie_pid"; then status=0; else status=$?; fi
vigie_pid=''
check 'stopped' "vigie drained and ended with $status" "$status == 0"
[ "$failed" -eq 0 ] || tail -n 20 "$data/vigie.log" "$data/query.log" >&2 || true
exit "$failed"
