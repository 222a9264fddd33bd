#!/usr/bin/env bash
# Usage: tests/tsan/launch.sh BINARY [ARGUMENT...]: how the preset tsan runs every
# test. Only a binary with gRPC in it gets the suppressions: in all others no
# report is ever hidden.
set -euo pipefail
options="ignore_noninstrumented_modules=1 halt_on_error=0 exitcode=66 ${TSAN_OPTIONS:-}"
# Read whole before it is searched: under pipefail a grep -q that leaves early
# would make ldd fail, now and then.
libraries=$(ldd "$1")
if [[ $libraries == *libgrpc* ]]; then
  options+=" suppressions=$(dirname "$0")/../support/tsan.supp"
fi
TSAN_OPTIONS=$options exec "$@"
