#!/usr/bin/env bash
# bench.sh: measures this machine and rewrites docs/bench.md and its plots.
# BENCH_QUICK=1 takes a short look instead, into .cache/bench. Further arguments
# go to cmd/bench (go run ./cmd/bench -help).
set -euo pipefail
cd "$(dirname "$0")/.."

flags=(-binary bin/mixdown -docs docs)
if [ -n "${BENCH_QUICK:-}" ]; then
  mkdir -p .cache/bench
  flags=(-binary bin/mixdown -docs .cache/bench -runs 1 -benchtime 20ms -settle 1s -window 3s
    -bots "4,9" -profiles 9 -rooms 3x3 -long 5s -viewers 20)
fi
go build -o .cache/bench-runner ./cmd/bench
exec .cache/bench-runner "${flags[@]}" "$@"
