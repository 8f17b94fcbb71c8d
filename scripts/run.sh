#!/usr/bin/env bash
# run.sh: a server, a room "demo" and BOTS people in it, until Ctrl-C.
# run.sh load: BOTS more people into the demo room of a server that runs already.
#
# Variables: BOTS, HTTP_PORT, HTTPS_PORT, RTC_PORT, DATA (a folder, keeps keys
# and rooms), SERVE_FLAGS (more flags for `mixdown serve`).
set -euo pipefail
cd "$(dirname "$0")/.."
BOTS=${BOTS:-5}
HTTP_PORT=${HTTP_PORT:-8080}
HTTPS_PORT=${HTTPS_PORT:-8443}
RTC_PORT=${RTC_PORT:-7882}
DATA=${DATA:-data}
room=demo
http=http://127.0.0.1:$HTTP_PORT

die() { echo "run: $*" >&2; exit 1; }

mkdir -p "$DATA" .cache/run
# One pair of keys for the server and the bots, kept from run to run so that
# links stay good.
if [ -z "${MIXDOWN_API_KEY:-}" ] || [ -z "${MIXDOWN_API_SECRET:-}" ]; then
  if [ ! -s "$DATA/run.keys" ]; then
    (umask 077 && printf 'MIXDOWN_API_KEY=%s\nMIXDOWN_API_SECRET=%s\n' \
      "$(od -An -N6 -tx1 /dev/urandom | tr -d ' \n')" "$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" >"$DATA/run.keys")
  fi
  # shellcheck source=/dev/null
  . "$DATA/run.keys"
fi
export MIXDOWN_API_KEY MIXDOWN_API_SECRET

if [ "${1:-}" = load ]; then
  curl -fsS -o .cache/run/ready "$http/readyz" 2>/dev/null || die "no server answers at $http; start one with make run"
  exec bin/mixdown load --url "$http" --room "$room" --bots "$BOTS" --duration 0
fi

# taken PROTOCOL PORT reads the kernel's table (0A: a listener): no tool needed.
taken() {
  cat "/proc/net/$1" "/proc/net/${1}6" 2>/dev/null | awk -v protocol="$1" -v port=":$(printf %04X "$2")" '
    substr($2, length($2) - 4) == port && (protocol == "udp" || $4 == "0A") { found = 1 }
    END { exit !found }'
}
free() {
  ! taken "$1" "$2" || die "$1 port $2 is taken; choose another: make run $3=$(($2 + 1000))"
}
free tcp "$HTTP_PORT" HTTP_PORT
free tcp "$HTTPS_PORT" HTTPS_PORT
free udp "$RTC_PORT" RTC_PORT
free tcp "$RTC_PORT" RTC_PORT

server='' bots=''
stop() {
  trap '' INT TERM HUP # asked twice is asked once
  for pid in $bots $server; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in $bots $server; do wait "$pid" 2>/dev/null || true; done
}
trap stop EXIT
trap 'echo; exit 0' INT TERM HUP

# shellcheck disable=SC2086 # flags are several words
bin/mixdown serve --http-addr ":$HTTP_PORT" --https-addr ":$HTTPS_PORT" --tls self \
  --rtc-port "$RTC_PORT" --data-dir "$DATA" ${SERVE_FLAGS:-} >.cache/run/server.log 2>&1 </dev/null &
server=$!

for _ in $(seq 150); do
  curl -fs -o .cache/run/ready "$http/readyz" 2>/dev/null && break
  kill -0 "$server" 2>/dev/null || break
  sleep 0.2
done
curl -fs -o .cache/run/ready "$http/readyz" || {
  tail -n 20 .cache/run/server.log >&2
  die "the server did not come up; all that it said is in .cache/run/server.log"
}

# api METHOD PATH [BODY] calls REST as the operator; the token never stands in
# the process table.
api() {
  curl -sS -X "$1" -H @.cache/run/auth -H 'Content-Type: application/json' ${3:+--data "$3"} "$http/api/v1$2"
}
(umask 077 && printf 'Authorization: Bearer %s\n' \
  "$(bin/mixdown token --room '*' --identity make-run --name 'make run' --role host)" >.cache/run/auth)
api POST /rooms "{\"name\": \"$room\"}" >.cache/run/created # a conflict if it is there from before
key=$(api GET "/rooms/$room" | sed -nE 's/.*"join_key": ?"([^"]+)".*/\1/p')
[ -n "$key" ] || die "could not make the room: $(cat .cache/run/created)"

if [ "$BOTS" -gt 0 ]; then
  bin/mixdown load --url "$http" --room "$room" --bots "$BOTS" --duration 0 >.cache/run/bots.log 2>&1 </dev/null &
  bots=$!
fi

lan=$(hostname -I 2>/dev/null | tr ' ' '\n' | grep -m 1 -E '^[0-9.]+$' || true)
cat <<END

  The room is open:
    http://localhost:$HTTP_PORT/r/$room#$key      on this machine
    https://${lan:-localhost}:$HTTPS_PORT/r/$room#$key   from a phone; it warns once, the certificate is this server's own

  $BOTS people are coming in. Logs: .cache/run/server.log, .cache/run/bots.log. Ctrl-C stops all of it.

END

while true; do
  # One of the two has ended, or a signal came and the trap is next.
  wait -n $server $bots || true
  if ! kill -0 "$server" 2>/dev/null; then
    server=''
    tail -n 20 .cache/run/server.log >&2
    die "the server has stopped; all that it said is in .cache/run/server.log"
  fi
  if [ -n "$bots" ] && ! kill -0 "$bots" 2>/dev/null; then
    bots=''
    echo "run: the bots have left; the server goes on. Why: .cache/run/bots.log" >&2
  fi
done
