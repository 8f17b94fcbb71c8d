#!/usr/bin/env bash
# Runs every test there is and ends with one line, "N passed, N failed".
# All of them run even if some fail.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p .cache/test
tally=.cache/test/tally
report=.cache/test/report
rm -f "$tally"
go build -o "$report" ./scripts/testreport

# step KIND COMMAND... runs one test command; its failures are in the tally.
step() {
  local kind=$1
  shift
  printf '\n--- %.160s\n' "$*"
  "$report" -tally "$tally" "$kind" "$@" || true
}

export MIXDOWN_BIN=$PWD/bin/mixdown # what tests from outside start

# What starts no goroutines has no races, and computes ten times as long under
# their detector. mixer/jitter starts none but is called from several: one of its
# tests does that, and runs both ways.
mapfile -t alone < <(go list ./codec/... ./mixer/audio ./mixer/congestion ./mixer/jitter ./cmd/attention | grep -v codec/ffmpeg)
mapfile -t together < <(go list ./... | grep -vxFf <(printf '%s\n' "${alone[@]}"))

# Calls take as long as people do, several at once, and each has a server of its
# own: under the detector these would want more than two cores. What a call runs
# through has its races looked for in mixer/sip, mixer/rtp and mixer.
calls='^Test(Telephones|Slides|Kamailio)'

# Fuzz targets run over their seeds here as ordinary tests; `make fuzz` searches.
gotest=(nice -n 10 go test -json -count=1 -p 2 -timeout 10m -exec "$PWD/scripts/turn.sh $PWD/.cache/test/turn")
step go "${gotest[@]}" "${alone[@]}"
step go "${gotest[@]}" -race -skip "$calls" "${together[@]}"
step go "${gotest[@]}" -run "$calls" ./cmd/mixdown
step go "${gotest[@]}" -race -run FromAnywhere ./mixer/jitter
step node npm --prefix api/web test
step node npm --prefix api/web run e2e

awk '{ p += $1; f += $2; s += $3 }
  END {
    line = sprintf("%d passed, %d failed", p, f)
    if (s) line = line sprintf(", %d skipped", s)
    print "\n" line
    exit f > 0
  }' "$tally"
