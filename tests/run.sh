#!/usr/bin/env bash
# Everything that must hold, from a clean clone of the repository. A step that
# fails does not end the run: the log shows all there is to mend. The last line
# is `N passed, N failed`; the exit status is 0 only if none failed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
root=$PWD

usage() {
  cat <<'TEXT'
Usage: tests/run.sh [--ci] [--fast]
  --fast  the release build and its tests only, without sanitizers and fuzzers
  --ci    nothing may be skipped: the outside conformance suite must be there
TEXT
}

ci=no fast=no
for argument in "$@"; do
  case "$argument" in
    --ci) ci=yes ;;
    --fast) fast=yes ;;
    -h | --help)
      usage
      exit 0
      ;;
    *)
      usage >&2
      exit 2
      ;;
  esac
done

# A translation unit with gRPC takes up to 1 GB, more under a sanitizer.
jobs=$(awk -v cpus="$(nproc)" '/^MemAvailable/ { most = int($2 / 1.5e6) }
  END { print most < 1 ? 1 : most < cpus ? most : cpus }' /proc/meminfo)
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1
logs=$root/build/run
mkdir -p "$logs"

# ninja and ctest turn Ctrl-C into a status of their own; the run ends all the same.
trap 'exit 130' INT
trap 'exit 143' TERM HUP

passed=0 failed=0
summary=()

note() {  # note NAME SECONDS TEXT
  summary+=("$(printf '%-28s %5d s  %s' "$1" "$2" "$3")")
}

# step NAME COMMAND...: one thing that passes or fails; exit status 77 says that
# it was skipped, which counts as neither.
step() {
  local name=$1 begin=$SECONDS status=0
  shift
  printf '\n=== %s\n' "$name"
  "$@" || status=$?
  case $status in
    0)
      passed=$((passed + 1))
      note "$name" $((SECONDS - begin)) ok
      ;;
    77)
      printf 'SKIPPED: %s\n' "$name"
      note "$name" $((SECONDS - begin)) SKIPPED
      ;;
    *)
      printf 'FAILED: %s\n' "$name"
      failed=$((failed + 1))
      note "$name" $((SECONDS - begin)) FAILED
      ;;
  esac
  return $status
}

# printed TEST LOG: what it printed, from the line of ctest about it.
printed() {
  awk -v name=": $1 " '
    / Test +#[0-9]+: / { own = index($0, name) > 0 }
    own && !/^ +Start +[0-9]+: / && NF > 0 { print "    " $0 }' "$2"
}

# test_step NAME PRESET CTEST-ARGUMENT...: counts each test of ctest.
test_step() {
  local name=$1 preset=$2 begin=$SECONDS log bad all
  shift 2
  log=$logs/${name// /-}.log
  printf '\n=== %s\n' "$name"
  ctest --preset "$preset" --output-on-failure --no-tests=error "$@" 2>&1 | tee "$log"
  read -r bad all < <(sed -nE 's/.*tests passed, ([0-9]+) tests? failed out of ([0-9]+).*/\1 \2/p' "$log")
  if [ -z "${all:-}" ]; then
    failed=$((failed + 1))
    note "$name" $((SECONDS - begin)) 'FAILED: ctest did not run'
    return
  fi
  passed=$((passed + all - bad))
  failed=$((failed + bad))
  note "$name" $((SECONDS - begin)) "$((all - bad)) passed, $bad failed"
  # By name at the end too, and how they ended, as the log above may be cut.
  [ "$bad" -eq 0 ] || while read -r failure; do
    summary+=("  $failure")
    mapfile -t -O "${#summary[@]}" summary < <(printed "${failure% (*}" "$log" | tail -n 15 | cut -c1-200)
  done < <(sed -n '/The following tests FAILED/,/^Errors/s/^[[:space:]]*[0-9]* - //p' "$log")
}

configure() { cmake --preset "$1" >"$logs/configure-$1.log" 2>&1 || { cat "$logs/configure-$1.log"; false; }; }
# -k 0: one broken file does not hide the next.
build() { cmake --build --preset "$1" -j "$jobs" -- -k 0; }

# Each fuzzer for ten seconds, beginning with the inputs in the tree. What it
# finds on the way stays out of the tree; an input that fails is kept and named.
fuzz() {
  local binary=$1 name corpus scratch status=0
  name=$(basename "$binary" _fuzz)
  corpus=$root/tests/fuzz/corpus/$name
  scratch=$(mktemp -d)
  local from=("$scratch") words=()
  [ ! -d "$corpus" ] || from+=("$corpus")
  [[ $name != promql_* ]] || words=(-dict="$root/tests/fuzz/promql.dict")
  "$binary" -max_total_time=10 -timeout=10 -rss_limit_mb=2048 -verbosity=0 \
    -print_final_stats=1 -artifact_prefix="$logs/fuzz-$name-" \
    "${words[@]}" "${from[@]}" \
    >"$logs/fuzz-$name.log" 2>&1 || status=$?
  grep -E 'number_of_executed_units|peak_rss' "$logs/fuzz-$name.log"
  [ $status -eq 0 ] || tail -n 40 "$logs/fuzz-$name.log"
  rm -rf "$scratch"
  return $status
}

# judge NAME ARGUMENT...: what judges PromQL from outside, tests/promql/NAME.py.
judge() {
  local script=tests/promql/$1.py arguments=("${@:2}")
  [ "$ci" = no ] || arguments+=(--required)
  python3 "$script" "${arguments[@]}"
}

step packages deploy/install-packages.sh --tests

step 'configure release' configure release && step 'build release' build release
test_step 'unit tests' release -E '^e2e\.' -j "$jobs"
test_step 'end-to-end tests' release -R '^e2e\.'
step 'quickstart --once' deploy/quickstart.sh --once
vigie=(--vigie build/release/cli/vigie)
step 'conformance ratchet' judge conformance "${vigie[@]}"
step 'promql.differential' judge differential "${vigie[@]}"
# What passes once passes again: new seeds are for campaigns.
step 'promql.differential_fuzz' judge differential_fuzz "${vigie[@]}" --seed 7
# A machine that reaches no registry has no npm package: never a failure.
step 'promql.lezer' python3 tests/promql/lezer.py \
  --parses build/release/tests/promql/promql_parses --seed 5

if [ "$fast" = no ]; then
  # The end-to-end tests are about processes, and those of the rules about
  # files, not about memory: release only.
  for preset in asan tsan; do
    step "configure $preset" configure $preset && step "build $preset" build $preset
    test_step "tests under $preset" $preset -E '^(e2e|layout|shell|rules)\.' -j "$jobs"
  done
  fuzzers=0
  for binary in build/asan/tests/fuzz/*_fuzz; do
    [ -x "$binary" ] || continue
    fuzzers=$((fuzzers + 1))
    step "fuzz $(basename "$binary" _fuzz)" fuzz "$binary"
  done
  [ $fuzzers -gt 0 ] || step 'fuzzers' false
fi

printf '\n'
printf '%s\n' "${summary[@]}"
printf '%-28s %5d s\n' all $SECONDS
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
