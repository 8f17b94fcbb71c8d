#!/usr/bin/env bash
# weak.sh: measures what a client behind a bad link gets, and rewrites
# docs/weak.md and its plots. Needs root. ROWS and RUNS choose; further arguments
# go to cmd/weak (go run ./cmd/weak run --help).
set -euo pipefail
cd "$(dirname "$0")/.."

flags=(--binary bin/mixdown --runs "${RUNS:-5}")
if [ -n "${ROWS:-}" ]; then flags+=(--rows "$ROWS"); fi
mkdir -p .cache
go build -o .cache/weak-runner ./cmd/weak
exec .cache/weak-runner run "${flags[@]}" "$@"
