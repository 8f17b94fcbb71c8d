package jitter

import "time"

const (
	// maxAsks is how often one packet of sound is asked for.
	maxAsks = 2
	// askMargin is what a packet asked for has to come before its time by: it may
	// itself be held up.
	askMargin = 10 * time.Millisecond
)

// Nacks appends to dst the sequence numbers to ask for now (a generic NACK, RFC
// 4585, section 6.2.1): those missing that can still be here in time, rtt being
// the round trip to the sender.
func (p *Playout) Nacks(dst []uint16, rtt time.Duration, now time.Time) []uint16 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mend.rtt = rtt
	q := &p.queue
	if !p.started || p.step == 0 {
		return dst
	}
	var next *parcel // the first behind a hole
	for n := q.last; n >= q.next; n-- {
		e := q.at(n)
		if e.state == waiting {
			next = e
		}
		if e.state != missing || next == nil || e.asks >= maxAsks || e.asks > 0 && now.Sub(e.arrived) < rtt+rtt/4 {
			continue
		}
		ts := next.ts - (next.seq-n)*p.step
		if !e.noticed {
			e.noticed = true
			p.mend.missed(now.Sub(p.epoch) - p.arrival.base() - p.length(ts))
		}
		if p.until(ts, now) < rtt+askMargin {
			continue
		}
		e.asks++
		e.arrived = now
		p.stats.Nacked++
		dst = append(dst, uint16(n))
	}
	return dst
}

// until is how long it is until a sample is played.
func (p *Playout) until(ts int64, now time.Time) time.Duration {
	if !p.headAt.IsZero() {
		return p.length(ts-p.head) - now.Sub(p.headAt)
	}
	return p.target - (now.Sub(p.epoch) - p.arrival.base() - p.length(ts))
}
