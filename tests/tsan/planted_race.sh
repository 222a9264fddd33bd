#!/usr/bin/env bash
# Usage: tests/tsan/planted_race.sh BINARY. Passes if ThreadSanitizer, with the
# options all tests run with, reports the race planted in it.
set -uo pipefail
report=$("$(dirname "$0")/launch.sh" "$1" 2>&1)
status=$?
printf '%s\n' "$report" | head -n 40
[ "$status" -eq 66 ] || { echo "FAILED: ended with $status, not with the sanitizer's 66"; exit 1; }
grep -q 'WARNING: ThreadSanitizer: data race' <<<"$report" &&
  grep -q 'OnReadDone.*planted_race\.cc' <<<"$report" ||
  { echo 'FAILED: no report names the planted line'; exit 1; }
