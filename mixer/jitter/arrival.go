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
	// A packet that comes so soon behind another, and less late, was held up by
	// the same thing: it teaches nothing new. An outage is one late arrival,
	// however much was sent meanwhile.
	together = 5 * time.Millisecond
	// recentWindow times recentBuckets is how long ago anything as late as the
	// target must have come, else the target falls: a burst is over then. A
	// bucket has recentLeast packets at least, or lasts recentLongest: in a pause few
	// come (DTX), and what is said next must not wait for what was before it.
	recentWindow  = 200 * time.Millisecond
	recentBuckets = 8
	recentLeast   = 2
	recentLongest = 400 * time.Millisecond
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

	recent      [recentBuckets]time.Duration // how late the latest of each window was
	recentSince time.Time                    // of the newest window
	recentCount int                          // packets in it

	last   time.Duration // transit of the last packet
	lastAt time.Time
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

// far reports whether a packet belongs to another line of timestamps.
func (a *arrival) far(transit time.Duration) bool {
	return !a.started || (transit-a.base()).Abs() > baseStep
}

// saw takes one packet's arrival − timestamp. weight is 1 for a packet in time. One
// that is far from the others begins a new line of timestamps.
func (a *arrival) saw(transit time.Duration, weight int, now time.Time) {
	if a.far(transit) {
		a.started, a.since = true, now
		for i := range a.fastest {
			a.fastest[i] = transit
		}
		a.last, a.lastAt = transit, now
		return
	}
	if now.Sub(a.since) > baseWindow {
		copy(a.fastest[1:], a.fastest[:])
		a.fastest[0], a.since = transit, now
	}
	a.fastest[0] = min(a.fastest[0], transit)
	late := transit - a.base()
	a.note(late, now)

	same := now.Sub(a.lastAt) < together && transit < a.last
	a.last, a.lastAt = transit, now
	if same {
		return
	}
	bin := min(int(late/lateBin), len(a.bins)-1)
	for range weight {
		a.count = min(a.count+1, lateMemory)
		share := 1 / float64(a.count)
		for i := range a.bins {
			a.bins[i] -= a.bins[i] * share
		}
		a.bins[bin] += share
	}
}

// note keeps the latest of the last few moments.
func (a *arrival) note(late time.Duration, now time.Time) {
	if d := now.Sub(a.recentSince); d > recentWindow && a.recentCount >= recentLeast || d > recentLongest {
		n := int(min(max(d/recentLongest, 1), recentBuckets))
		copy(a.recent[n:], a.recent[:])
		clear(a.recent[:n])
		a.recentSince, a.recentCount = now, 0
	}
	a.recent[0] = max(a.recent[0], late)
	a.recentCount++
}

// lateness is how late all but the latest few packets come, and no more than
// what came late of late.
func (a *arrival) lateness() time.Duration {
	most := time.Duration(0)
	for _, v := range a.recent {
		most = max(most, v)
	}
	most = (most/lateBin + 1) * lateBin
	sum := 0.0
	for i, v := range a.bins {
		if sum += v; sum >= lateShare {
			return min(time.Duration(i+1)*lateBin, most)
		}
	}
	if sum == 0 {
		return 0
	}
	return min(time.Duration(len(a.bins))*lateBin, most)
}
