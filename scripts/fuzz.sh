#!/usr/bin/env bash
# fuzz.sh DURATION: runs every fuzz target of the tree for that long, one after
# the other. A crash leaves its input in the package's testdata/fuzz: commit it.
set -euo pipefail
cd "$(dirname "$0")/.."
duration=${1:-30s}
failed=()

while IFS=: read -r file target; do
  package=$(dirname "$file")
  echo "fuzz: $target in $package for $duration"
  go test -run '^$' -fuzz "^$target\$" -fuzztime "$duration" "$package" || failed+=("$package $target")
done < <(grep -roE '^func Fuzz[A-Za-z0-9_]*' --include='*_test.go' --exclude-dir={.cache,node_modules} . |
  sed 's/func //' | sort)

if [ "${#failed[@]}" != 0 ]; then
  printf 'fuzz: failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
