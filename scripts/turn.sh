#!/bin/sh
# turn.sh LOCK PROGRAM ARG...: runs test binaries one at a time, while `go test`
# links the next ones beside them at a lower priority: they measure, and this
# machine may have two cores.
lock=$1
shift
# Only root may go up again; for others all run alike.
renice -n 0 -p $$ >/dev/null 2>&1 || true
exec flock "$lock" "$@"
