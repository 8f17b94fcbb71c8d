package jitter

import "time"

const (
	// lateBin is the resolution of the histogram of late arrivals.
	lateBin = 5 * time.Millisecond
	// lateShare is the share of packets that the delay is meant to catch.
	lateShare = 0.97
	// lateMemory is after how many packets one counts 1/e of a new one.
	lateMemory = 200
	// lateHeard is what a packet that came too late counts for.
	lateHeard = 4
	// baseWindow times baseBuckets is how long the fastest packet is remembered.
	baseWindow  = 2 * time.Second
	baseBuckets = 8
	// baseStep is how far from the others a packet has to be to begin a new line
	// of timestamps.
	baseStep = 3 * time.Second
)

// arrival learns from packets' arrival how much later than the fastest they
// come, and so how long sound has to wait. All times are against an epoch.
type arrival struct {
	fastest [baseBuckets]time.Duration // arrival − timestamp, the least of each window
	since   time.Time                  // of the newest window
	started bool

	bins  []float64 // share of packets by lateness
	count int
}

func newArrival(most time.Duration) arrival {
	return arrival{bins: make([]float64, most/lateBin+1)}
}

// forget starts over with the line of timestamps, and keeps what was learnt of
// the network.
func (a *arrival) forget() { a.started = false }

// base is the time that timestamp 0 would have arrived at, had its packet been
// as fast as the fastest.
func (a *arrival) base() time.Duration {
	least := a.fastest[0]
	for _, v := range a.fastest[1:] {
		least = min(least, v)
	}
	return least
}

// saw takes one packet's arrival − timestamp. It returns false if that begins a
// new line of timestamps. weight is 1 for a packet in time.
func (a *arrival) saw(transit time.Duration, weight int, now time.Time) bool {
	if a.started && (transit-a.base()).Abs() > baseStep {
		a.started = false
	}
	if !a.started {
		a.started, a.since = true, now
		for i := range a.fastest {
			a.fastest[i] = transit
		}
		return false
	}
	if now.Sub(a.since) > baseWindow {
		copy(a.fastest[1:], a.fastest[:])
		a.fastest[0], a.since = transit, now
	}
	a.fastest[0] = min(a.fastest[0], transit)

	late := min(int((transit-a.base())/lateBin), len(a.bins)-1)
	for range weight {
		a.count = min(a.count+1, lateMemory)
		share := 1 / float64(a.count)
		for i := range a.bins {
			a.bins[i] -= a.bins[i] * share
		}
		a.bins[late] += share
	}
	return true
}

// lateness is how late all but the latest few packets come.
func (a *arrival) lateness() time.Duration {
	sum := 0.0
	for i, v := range a.bins {
		if sum += v; sum >= lateShare {
			return time.Duration(i+1) * lateBin
		}
	}
	if sum == 0 {
		return 0
	}
	return time.Duration(len(a.bins)) * lateBin
}
