#!/usr/bin/env bash
# lint.sh STATICCHECK-MODULE@VERSION: every check that reads the source without
# running it. All of them run, then it fails if one did.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=0

# check NAME COMMAND... runs the command and remembers a failure.
check() {
  local name=$1
  shift
  if "$@"; then
    printf 'lint: %-12s ok\n' "$name"
  else
    printf 'lint: %-12s FAILED\n' "$name" >&2
    failed=1
  fi
}

# sources PATTERN lists files of this tree, without what was fetched or built.
sources() {
  find . \( -name .git -o -name .cache -o -name node_modules -o -name dist \) -prune -o -type f -name "$1" -print
}

unformatted=$(sources '*.go' | xargs -r gofmt -l)
[ -z "$unformatted" ] || echo "lint: gofmt would change: $unformatted" >&2

check gofmt [ -z "$unformatted" ]
check vet go vet ./...
check staticcheck go run "$1" ./...
mapfile -t scripts < <(sources '*.sh')
check shellcheck shellcheck "${scripts[@]}" .ci/run
check page npm --prefix api/web run --silent lint
exit "$failed"
