package mixer

import (
	"testing"

	"golang.org/x/sys/unix"
)

// On one core the sound clock is never in real time: what it waits for could not run.
func TestNothingInRealTimeOnOneCore(t *testing.T) {
	for cores, want := range map[int]int{1: 0, 2: 1, 64: 1} {
		n := 0
		for _, rank := range soundRanks(cores) {
			if rank.Policy == unix.SCHED_RR || rank.Policy == unix.SCHED_FIFO {
				n++
			}
		}
		if n != want || len(soundRanks(cores)) != 2+want {
			t.Errorf("%d cores: %d of %d ranks are in real time", cores, n, len(soundRanks(cores)))
		}
	}
}
