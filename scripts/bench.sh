#!/usr/bin/env bash
# bench.sh: measures this machine and rewrites docs/bench.md and its plots.
# BENCH_QUICK=1 takes a short look instead, into .cache/bench. Further arguments
# go to cmd/bench (go run ./cmd/bench -help).
set -euo pipefail
cd "$(dirname "$0")/.."

flags=(-binary bin/mixdown -docs docs)
if [ -n "${BENCH_QUICK:-}" ]; then
  mkdir -p .cache/bench
  flags=(-binary bin/mixdown -docs .cache/bench -runs 1 -benchtime 50ms -bots "4,9" -settle 2s -window 5s)
fi
go build -o .cache/bench-runner ./cmd/bench
exec .cache/bench-runner "${flags[@]}" "$@"
