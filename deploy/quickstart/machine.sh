#!/usr/bin/env bash
# Part of quickstart.sh: asks vigie, and compares its answers with this machine.
# Sourced, not run.
: "${vigie:?}" "${http:?}" "${grpc:?}" "${data:?}"

# value EXPR [ARGUMENT...]: the one value of the answer; false for none or more
# than one.
value() {
  "$vigie" query --http "$http" "$@" 2>>"$data/query.log" |
    awk '{ last = $NF } END { if (NR != 1) exit 1; print last }'
}
has_value() { value "$@" >/dev/null; }

host=$(uname -n)
# What a nightly script would push. 0.1 + 0.2 is no short number: it comes back
# whole or not at all.
push_metrics() {
  "$vigie" push --grpc "$grpc" --job backup --instance "$host" <<'TEXT'
# HELP backup_files_total Files looked at.
# TYPE backup_files_total counter
backup_files_total{state="copied"} 42
backup_files_total{state="unchanged"} 17
# HELP backup_load Load while it ran.
# TYPE backup_load gauge
backup_load 0.30000000000000004
# HELP backup_copy_seconds Time that copying a file took.
# TYPE backup_copy_seconds histogram
backup_copy_seconds_bucket{le="0.1"} 3
backup_copy_seconds_bucket{le="0.5"} 9
backup_copy_seconds_bucket{le="+Inf"} 10
backup_copy_seconds_sum 2.5
backup_copy_seconds_count 10
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
    # shellcheck disable=SC2034  # quickstart.sh exits with it
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

  v=$(value "backup_files_total{job=\"backup\",instance=\"$host\",state=\"copied\"}") || v=''
  check 'pushed counter' "${v:-no answer}, pushed was 42" "\"$v\" == \"42\""
  v=$(value 'backup_load{job="backup"}') || v=''
  check 'pushed gauge' "${v:-no answer}, pushed was 0.30000000000000004" "\"$v\" == \"0.30000000000000004\""
  v=$(value 'histogram_quantile(0.5, backup_copy_seconds_bucket{job="backup"})') || v=''
  check 'pushed histogram' "median ${v:-missing}, from its buckets 0.2333" "\"$v\" != \"\" && (${v:-0} - 0.7 / 3) ^ 2 < 1e-18"

  v=$(value --time 4 '1+1') || v=''
  check "Grafana's health check" "1+1 in 1970 is ${v:-no answer}" "\"$v\" == \"2\""
  v=$(sed -n 's/^ *url: //p' "$data/grafana/datasources/vigie.yml")
  check 'Grafana data source' "$v in grafana/datasources/vigie.yml" "\"$v\" == \"http://$http\""
}

# The shipped rules and the quickstart's own, in the real binary: every group
# has been evaluated, no rule has failed.
check_rules() {
  local v w
  w=$(cat "$data/quickstart_rules.yml" "$data"/rules/*.yml | grep -c '^  - name: ')
  v=$(value 'count(vigie_rule_group_iterations_total{job="vigie"} > 0)') || v=''
  check 'rule groups' "${v:-none} evaluated, the files have $w" "\"$v\" == \"$w\""
  v=$(value 'sum(vigie_rule_evaluation_failures_total{job="vigie"})') || v=''
  check 'rules' "${v:-no answer} evaluations failed" "\"$v\" == \"0\""
  v=$(value 'sum(ALERTS{alertname="Watchdog",alertstate="firing"})') || v=''
  check 'Watchdog' "${v:-none} fires, as it always should" "\"$v\" == \"1\""
}
