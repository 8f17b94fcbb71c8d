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

mkdir -p .cache/run
if [ "${1:-}" = load ]; then
  curl -fsS -o .cache/run/ready "$http/readyz" 2>/dev/null || die "no server answers at $http; start one with make run"
  # Names of their own: a second bot of one identity would take over the first one's place.
  exec bin/mixdown load --url "$http" --room "$room" --bots "$BOTS" --prefix "more$$" --first "${FIRST:-50}" \
    --duration 0 --data-dir "$DATA"
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

# ours COMMAND... is out of reach of the terminal's Ctrl-C, since a second
# signal would cut its orderly end short; and ends with this script however that ends.
ours() { exec setsid setpriv --pdeathsig TERM "$@"; }

# shellcheck disable=SC2086 # flags are several words
ours bin/mixdown serve --http-addr ":$HTTP_PORT" --https-addr ":$HTTPS_PORT" --tls self --rtc-port "$RTC_PORT" \
  --data-dir "$DATA" --demo-room "$room" ${SERVE_FLAGS:-} >.cache/run/server.log 2>&1 </dev/null &
server=$!

ready() { curl -fs -o .cache/run/ready "$http/readyz" 2>/dev/null; }
for _ in $(seq 150); do
  if ready || ! kill -0 "$server" 2>/dev/null; then break; fi
  sleep 0.2
done
ready || {
  tail -n 20 .cache/run/server.log >&2
  die "the server did not come up; all that it said is in .cache/run/server.log"
}

if [ "$BOTS" -gt 0 ]; then
  ours bin/mixdown load --url "$http" --room "$room" --bots "$BOTS" --duration 0 --data-dir "$DATA" \
    >.cache/run/bots.log 2>&1 </dev/null &
  bots=$!
fi

# link PATTERN picks a link to the room from what the server has printed.
link() { grep -oE -m 1 "^room $room +$1[^ ]*" .cache/run/server.log | sed 's/.* //'; }
cat <<END

  The room is open:
    $(link 'http://')   on this machine
    $(link 'https://')   from a phone; it warns once, as the certificate is this server's own

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
