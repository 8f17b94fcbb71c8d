#!/usr/bin/env bash
# sanitize.sh: tests of the packages with C in them, once with the address and
# leak sanitizers and once with the undefined-behaviour sanitizer; anything found
# fails.
#
# Instrumented is what this tree compiles: our own C, and with the address
# sanitizer Go's unsafe accesses too. FFmpeg, libvpx, libaom, x264, Opus,
# SpeexDSP and libyuv come as Debian built them: of these only calls into the
# C library are seen (malloc, free, memcpy and so on, with bounds and uses after
# a free), and what they are handed.
#
# Variables: SANITIZE_RUN, a pattern of tests (default: all, fuzz seeds
# included); CC, gcc or clang.
set -euo pipefail
cd "$(dirname "$0")/.."
export CC=${CC:-gcc}
run=${SANITIZE_RUN:-.}
mapfile -t packages < <(go list -f '{{if .CgoFiles}}{{.ImportPath}}{{end}}' ./... && go list ./codec/catalog ./codec/codectest ./compositor)
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# step NAME FLAGS... runs the tests and looks for a report that no test failed of.
step() {
  local name=$1 status=0
  shift
  echo "sanitize: $name: ${packages[*]}"
  go test -count=1 -run "$run" -timeout 1h "$@" "${packages[@]}" 2>&1 | tee "$log" || status=1
  if grep -nE 'runtime error:|ERROR: AddressSanitizer|SUMMARY: ' "$log"; then status=1; fi
  if [ "$status" != 0 ]; then
    echo "sanitize: $name: failed" >&2
    exit 1
  fi
}

# What C allocated and neither C nor Go refers to at exit has leaked (Go from 1.25 on).
export ASAN_OPTIONS=detect_leaks=1:halt_on_error=1:abort_on_error=0
step address -asan

export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
undefined='-fsanitize=undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer'
export CGO_CFLAGS="-g -O1 $undefined" CGO_LDFLAGS="-fsanitize=undefined"
export CGO_CFLAGS_ALLOW='-f.*' CGO_LDFLAGS_ALLOW='-f.*'
step undefined
echo "sanitize: clean"
