#!/usr/bin/env bash
# Part of quickstart.sh: the shop, and a story that the user can watch: a good
# release, payments that fail, somebody is told, it is over, a bad release.
# Sourced, not run.
: "${vigie:?}" "${shop:?}" "${http:?}" "${grpc:?}" "${data:?}"

sinks=$data/sinks
story=()              # what has happened, a line each
chapters=(good_release alert told resolved bad_release)
declare -A came=()    # how each chapter ended
chapter=good_release  # what is waited for; `end` when all is told
chapter_deadline=0    # in SECONDS

# start_shop ARGUMENT...: with release v2 beside v1.
start_shop() {
  [ -z "$shop_pid" ] || stop "$shop_pid" || true
  # setpriv: should this script be killed, it goes too.
  setpriv --pdeathsig TERM "$shop" --otlp "$grpc" --visits 100 --canary-share 0.5 \
    --burst-share 0.5 "$@" >>"$data/shop.log" 2>&1 &
  shop_pid=$!
}

# canary_check: do more of v2's requests fail than of v1's? Exit status as
# `vigie canary check`; what it says in $data/canary.txt.
canary_check() {
  local requests='http_server_request_duration_seconds_count{job="gateway",version='
  "$vigie" canary check --http "$http" --window 20s --kind ratio --direction increase \
    --baseline "$requests\"v1\"}" --canary "$requests\"v2\"}" \
    --events '{http_response_status_code=~"5.."}' >"$data/canary.txt" 2>&1
}
verdict() { head -n 1 "$data/canary.txt"; }

# mails TEXT, slacks TEXT: messages whose subject or title begins like that.
mails() { { grep -lrE "^Subject: $1" "$sinks/mailbox/new" 2>/dev/null || true; } | wc -l; }
slacks() { grep -cE "\"title\": \"$1" "$sinks/slack.jsonl" || true; }
arrived() { [ "$(mails "$1")" -ge 1 ] && [ "$(slacks "$1")" -ge 1 ]; }
firing='FIRING: [0-9]+ PaymentErrorBurst' resolved='RESOLVED PaymentErrorBurst'

tell() { story+=("$1"); }
next_chapter() {  # next_chapter NAME SECONDS
  chapter=$1
  chapter_deadline=$((SECONDS + $2))
}

begin_story() {
  start_shop
  tell 'shop     opens: release v1, and v2 beside it for half of the visits'
  next_chapter good_release 60
}

# story_tick: goes on if what is waited for has come. Never waits itself.
story_tick() {
  local status=0 line
  case $chapter in
    good_release)
      canary_check || status=$?
      if [ $status -eq 0 ]; then
        came[good_release]=$(verdict)
        tell "canary   v2 beside v1: $(verdict)"
        kill -USR1 "$shop_pid"
        tell 'shop     half of all payments fail from now on'
        next_chapter alert 60
      fi
      ;;
    alert)
      if has_value 'max(ALERTS{alertname="PaymentErrorBurst",alertstate="firing"})'; then
        came[alert]='PaymentErrorBurst fires'
        tell 'rules    PaymentErrorBurst fires'
        next_chapter told 60
      fi
      ;;
    told)
      if arrived "$firing"; then
        line=$(grep -hrE "^Subject: $firing" "$sinks/mailbox/new" | head -n 1)
        came[told]="$line, by STARTTLS, and Slack's JSON"
        tell "mailbox  $line"
        tell "webhook  the same for Slack, in $sinks/slack.jsonl"
        kill -USR2 "$shop_pid"
        tell 'shop     payments work again'
        next_chapter resolved 60
      fi
      ;;
    resolved)
      if arrived "$resolved"; then
        came[resolved]="e-mail and Slack's JSON say RESOLVED"
        tell 'mailbox  Subject: RESOLVED PaymentErrorBurst, and the webhook too'
        start_shop --seed 2 --v2-error-rate 0.2
        tell 'shop     a new v2, which fails one request in five'
        next_chapter bad_release 60
      fi
      ;;
    bad_release)
      canary_check || status=$?
      if [ $status -eq 1 ]; then
        came[bad_release]=$(verdict)
        tell "canary   v2 beside v1: $(verdict)"
        start_shop --seed 3
        tell 'shop     v2 is taken back'
        next_chapter end 0
      fi
      ;;
  esac
  if [ "$chapter" != end ] && [ $SECONDS -ge $chapter_deadline ]; then
    tell "$(chapter_text): it took too long"
    next_chapter end 0
  fi
}

# chapter_text: what is waited for.
chapter_text() {
  case $chapter in
    good_release) echo '... is v2 as good as v1? Enough requests have to come first' ;;
    alert) echo '... PaymentErrorBurst has to hold for two seconds' ;;
    told) echo '... on its way to the mailbox and to the webhook' ;;
    resolved) echo '... ten seconds without errors, and it is over' ;;
    bad_release) echo '... is this v2 as good as v1?' ;;
  esac
}

check_story() {
  local name text
  for name in "${chapters[@]}"; do
    text=${came[$name]:-}
    check "story, ${name//_/ }" "${text:-did not come}" "\"${text:+came}\" == \"came\""
  done
}
