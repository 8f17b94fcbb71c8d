package congestion

import "time"

// ear is how a browser decides how long sound stays in its buffer (libwebrtc's
// NetEq, DelayManager and UnderrunOptimizer): the worst of each half second's delays
// against the least of the two seconds before goes into a histogram that forgets, and 19
// of 20 of those are waited for. So one packet that comes late every ten seconds is
// heard in all of them.
type ear struct {
	history []earful // of 2 s
	from    time.Duration
	worst   time.Duration // since then
	share   [100]float64  // of 20 ms each
	adds    float64
	target  time.Duration
}

type earful struct{ at, delay time.Duration }

const (
	earForgets = 0.983
	earWaits   = 0.95
	earBucket  = 20 * time.Millisecond
)

func newEar() *ear {
	e := &ear{target: 80 * time.Millisecond}
	p := 1.0
	for i := range e.share {
		p /= 2
		e.share[i] = p
	}
	return e
}

// hear takes a packet with its delay against any clock, and returns for how long
// sound is kept from now on.
func (e *ear) hear(now, delay time.Duration) time.Duration {
	e.history = append(e.history, earful{now, delay})
	for e.history[0].at < now-2*time.Second {
		e.history = e.history[1:]
	}
	least := never
	for _, h := range e.history {
		least = min(least, h.delay)
	}
	e.worst = max(e.worst, delay-least)
	if e.from == 0 {
		e.from = now
	}
	if now-e.from < 500*time.Millisecond {
		return e.target
	}
	keep := max(0, min(earForgets, 1-2/(e.adds+1)))
	for i := range e.share {
		e.share[i] *= keep
	}
	e.share[min(int(e.worst/earBucket), len(e.share)-1)] += 1 - keep
	e.adds++
	e.from, e.worst = now, 0
	i, left := 0, 1-e.share[0]
	for left > 1-earWaits && i < len(e.share)-1 {
		i++
		left -= e.share[i]
	}
	e.target = time.Duration(i+1) * earBucket
	return e.target
}
