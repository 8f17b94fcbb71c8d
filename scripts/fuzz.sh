#!/usr/bin/env bash
# fuzz.sh LIMIT [PATTERN]: runs every fuzz target of the tree whose name or
# package matches PATTERN, one after the other, each for LIMIT: a time (30s) or
# a number of executions (1000000x). It prints what each one came to. A crash
# leaves its input in the package's testdata/fuzz: commit it.
#
# Variables: FUZZ_PARALLEL, how many workers a target has (default: one per core).
set -euo pipefail
cd "$(dirname "$0")/.."
limit=${1:-30s}
pattern=${2:-.}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0

printf '%-22s %-18s %12s %9s %9s %8s\n' package target executions seconds new crashes
while IFS=: read -r file target; do
  package=$(dirname "$file")
  began=$(date +%s)
  crashes=0
  # A count may take long; go's own timeout does not hold while fuzzing.
  go test -run '^$' -fuzz "^$target\$" -fuzztime "$limit" ${FUZZ_PARALLEL:+-parallel "$FUZZ_PARALLEL"} "$package" \
    >"$log" 2>&1 || crashes=1
  # "fuzz: elapsed: 3s, execs: 12345 (4115/sec), new interesting: 3 (total: 20)"
  execs=$(sed -nE 's/.*execs: ([0-9]+).*/\1/p' "$log" | tail -n 1)
  new=$(sed -nE 's/.*new interesting: ([0-9]+).*/\1/p' "$log" | tail -n 1)
  printf '%-22s %-18s %12s %9s %9s %8s\n' "${package#./}" "$target" "${execs:-0}" "$(($(date +%s) - began))" "${new:-0}" "$crashes"
  if [ "$crashes" != 0 ]; then
    failed=$((failed + 1))
    sed 's/^/  /' "$log" | tail -n 40
  fi
done < <(grep -roE '^func Fuzz[A-Za-z0-9_]*' --include='*_test.go' --exclude-dir={.cache,node_modules} . |
  sed 's/func //' | sort | awk -v pattern="$pattern" '$0 ~ pattern')

if [ "$failed" != 0 ]; then
  echo "fuzz: $failed failed" >&2
  exit 1
fi
