#!/usr/bin/env bash
# Runs every test there is and ends with one line, "N passed, N failed".
# All of them run even if some fail. What failed among those that keep time is looked
# at once more at the end, by itself.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p .cache/test
tally=.cache/test/tally
again=.cache/test/again
report=.cache/test/report
rm -f "$tally" "$again"
go build -o "$report" ./scripts/testreport

# step KIND COMMAND... runs one test command; its failures are in the tally.
step() {
  local kind=$1
  shift
  printf '\n--- %.160s\n' "$*"
  "$report" -tally "$tally" "${look[@]}" "$kind" "$@" || true
}
look=()

# second looks at what is left in $again, each by itself. More than a few is no
# chance any more: then they stay failures.
second() {
  local count kind command
  [ -s "$again" ] || return 0
  if [ "$(wc -l <"$again")" -gt 3 ]; then
    awk '{ print 0, $1, 0 }' "$again" >>"$tally"
    return
  fi
  while read -r count kind command; do
    printf '\n--- second look: %s\n' "$command"
    # shellcheck disable=SC2086 # its words are the command's
    if "$report" "$kind" $command </dev/null; then
      echo "$count 0 0 $count" >>"$tally"
    else
      echo "0 $count 0" >>"$tally"
    fi
  done <"$again"
}

export MIXDOWN_BIN=$PWD/bin/mixdown # what tests from outside start

# sublist REGEX LIST... prints the packages that match, sublist -v those that do not.
sublist() {
  local how=() regex
  [ "$1" != -v ] || { how=(-v); shift; }
  regex=$1
  shift
  printf '%s\n' "$@" | grep -E "${how[@]}" "$regex"
}

# What starts no goroutines has no races, and computes ten times as long under
# their detector. mixer/jitter starts none but is called from several: one of its
# tests does that, and runs both ways.
mapfile -t packages < <(go list ./...)
single='/(codec(/(aom|catalog|codectest|opus|speex|vpx|waveform|x264|yuv))?|mixer/(audio|congestion|jitter)|cmd/attention)$'
mapfile -t alone < <(sublist "$single" "${packages[@]}")
mapfile -t together < <(sublist -v "$single" "${packages[@]}")

# What talks to other programs or over sockets has their time to keep, and has a
# lane of its own. The rest computes beside it with what that leaves over.
outside='/(cmd/(mixdown|weak)(/.*)?|mixer/(cast|input|outside|rtp|sip|webrtc)(/.*)?)$'
mapfile -t measured < <(sublist "$outside" "${together[@]}")
mapfile -t rest < <(sublist -v "$outside" "${together[@]}")
# Rooms take longer than all the others together, and are begun first.
mapfile -t computed < <(sublist '/mixer$' "${rest[@]}"; sublist -v '/mixer$' "${rest[@]}")

# Calls take as long as people do, several at once, and each has a server of its
# own: under the detector these would want more than two cores. What a call runs
# through has its races looked for in mixer/sip, mixer/rtp and mixer.
calls='^Test(Telephones|Slides|Kamailio)'
# This one mostly waits, for as long as the calls take, and runs beside them. It looks at
# memory and goroutines, not at the clock: the race detector keeps something for every
# goroutine that ever was, 30 MB of them here.
leftovers='^TestJoinLeaveLeavesNothing$'

# These look at pictures and sound sample by sample, which takes ten times as long
# under the detector; what they run through others run through under it.
figures='^Test(FitMovesAReceiver|Handover|TalkersChangeTone|UnfilteredTile)$'

# These two tell how late and how smooth pictures and sound are in browsers: they
# have the machine to themselves.
smooth='(gallery|sync)'
mapfile -t browsers < <(cd api/web && printf '%s\n' e2e/*.test.js | grep -vE "/$smooth")
mapfile -t quiet < <(cd api/web && printf '%s\n' e2e/*.test.js | grep -E "/$smooth")
e2e=(env -C api/web node --test --test-concurrency=1)

# Fuzz targets run over their seeds here as ordinary tests; `make fuzz` searches.
gotest=(nice -n 10 go test -json -count=1 -p 2 -timeout 15m)
oneByOne=(-exec "$PWD/scripts/turn.sh $PWD/.cache/test/turn")

# compute takes what the other lane leaves over: the kernel runs it when it has nothing
# else, and takes it off a core at once when it has. Being nice is not enough for that:
# beside it browsers took a third longer for their tests. All that goes under the race
# detector is compiled first, once: of two `go test` that start side by side each would
# compile what both lack. Then there are two, so that no core is idle while one of them
# has but one thing to do.
compute() {
  chrt --idle --all-tasks --pid 0 "$BASHPID" >/dev/null || true
  # What does not compile is told by its tests.
  go list -race -export -test -deps "${computed[@]}" "${measured[@]}" >/dev/null 2>&1 || true
  rooms &
  sums &
  wait
}

rooms() {
  local look=(-again "$again") # rooms have clocks
  step go "${gotest[@]}" -race -skip "$figures" "${computed[@]}"
}

sums() {
  step go "${gotest[@]}" "${alone[@]}"
  step go "${gotest[@]}" -race -run FromAnywhere ./mixer/jitter
  step node npm --prefix api/web test
  local look=(-again "$again") # rooms have clocks, too
  step go "${gotest[@]}" -run "$figures" ./mixer
}

measure() {
  local look=(-again "$again")
  step node "${e2e[@]}" "${browsers[@]}"
  # Among what computes it came so late that what waited for it was taken for a leak.
  step go "${gotest[@]}" -run "$leftovers" ./cmd/mixdown &
  step go "${gotest[@]}" "${oneByOne[@]}" -run "$calls" ./cmd/mixdown
  step go "${gotest[@]}" "${oneByOne[@]}" -race -skip "$calls|$leftovers" "${measured[@]}"
}

compute &
trap 'kill 0' INT TERM # stopping the script stops all lanes
measure
wait
look=(-again "$again")
step node "${e2e[@]}" "${quiet[@]}"
look=()
second

awk '{ p += $1; f += $2; s += $3; a += $4 }
  END {
    line = sprintf("%d passed, %d failed", p, f)
    if (s) line = line sprintf(", %d skipped", s)
    if (a) line = line sprintf(" (%d of those that passed did at the second look)", a)
    print "\n" line
    exit f > 0
  }' "$tally"
