#!/usr/bin/env bash
# Part of quickstart.sh: processes and ports. Sourced, not run.

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

all_run() {  # all_run PID...
  local pid
  for pid in "$@"; do
    kill -0 "$pid" 2>/dev/null || return 1
  done
}
