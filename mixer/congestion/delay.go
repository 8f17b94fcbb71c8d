package congestion

import "time"

// The base delay is the least of the last baseSpans spans of baseSpan each, as
// in LEDBAT (RFC 6817, section 3.4.2): what is older is forgotten, so that
// clocks that drift apart (100 ppm are 6 ms a minute) and new routes
// do not look like a queue for ever.
const (
	baseSpan  = 10 * time.Second
	baseSpans = 6
)

const never = time.Duration(1<<63 - 1)

// baseline is the one-way delay of an empty link.
type baseline struct {
	least [baseSpans]time.Duration
	begun time.Duration // of the newest span
	head  int
	some  bool
}

// add takes one packet's delay and returns what of it is queue.
func (b *baseline) add(delay, now time.Duration) {
	if !b.some {
		b.reset(delay, now)
		return
	}
	for now-b.begun >= baseSpan {
		b.begun += baseSpan
		b.head = (b.head + 1) % baseSpans
		b.least[b.head] = never
		if now-b.begun >= baseSpan*baseSpans {
			b.begun = now
		}
	}
	b.least[b.head] = min(b.least[b.head], delay)
}

// reset begins anew: what counted as queue up to here is the way itself.
func (b *baseline) reset(delay, now time.Duration) {
	for i := range b.least {
		b.least[i] = never
	}
	b.head, b.begun, b.some = 0, now, true
	b.least[0] = delay
}

func (b *baseline) value() time.Duration {
	least := never
	for _, d := range b.least {
		least = min(least, d)
	}
	if least == never {
		return 0
	}
	return least
}
