package congestion

import "time"

const (
	headWindow = 300 * time.Millisecond // before a train tells what queue it meets
	// In so much packets differ that met the same queue: jitter, and a size, bytes.
	headJitter, headSize = 10 * time.Millisecond, 60.
)

// carried says how fast the packets lo to hi (of one probe, if probe is set)
// were sent and how fast the link took them, bit/s; 0 if too little is known.
//
// A train sent at rate S over T that leaves a queue longer by g went through
// a link of S·T/(T+g): packet-train dispersion (Dovrolis et al., "What do packet
// dispersion techniques measure?", INFOCOM 2001), with delays at both ends that
// are each a minimum of several packets instead of two arrival times.
func (e *Estimator) carried(lo, hi int64, probe uint8) (sent, carried float64) {
	var (
		first, last time.Duration
		bytes, edge int64
		n, gone     int
		base        = e.base.value()
	)
	belongs := func(i int64) *packet {
		if p := e.flight.find(i); p != nil && p.fate != unknown && (probe == 0 || p.probe == probe) {
			return p
		}
		return nil
	}
	for i := lo; i <= hi; i++ {
		p := belongs(i)
		if p == nil {
			continue
		}
		if n++; n == 1 {
			first = p.at
			bytes -= int64(p.size) / 2
		}
		last, edge = p.at, int64(p.size)/2
		bytes += int64(p.size)
		if p.fate == lost {
			gone++
		}
	}
	bytes -= edge // half of the packets at both ends lies outside of the train
	span := last - first
	came := n - gone
	if came < perWindow || span < 40*time.Millisecond {
		return 0, 0
	}
	if p := e.loss.own(last); float64(gone) > float64(n)*(p+0.05+2*sigma(max(p, 0.02), n)) {
		return float64(bytes) * 8 / span.Seconds(), 0
	}
	// A receiver, or a radio, that stands still takes what comes meanwhile at once afterwards: a
	// head that came late then leads a train that seems to have been let through in no time. So
	// what the packets before it waited for counts, too.
	head, tail, seen := e.ahead(lo, first), never, 0
	for i := lo; i <= hi; i++ {
		p := belongs(i)
		if p == nil || p.fate == lost {
			continue
		}
		q := p.delay - base
		if seen < (came+2)/3 {
			head = min(head, q)
		}
		if seen >= came-(came+2)/3 {
			tail = min(tail, q)
		}
		seen++
	}
	sent = float64(bytes) * 8 / span.Seconds()
	// Head and tail are a third each: their minima lie two thirds of the train apart.
	longer := max(0, tail-head)*3/2 + span/40
	return sent, sent * span.Seconds() / (span + longer).Seconds()
}

// ahead is the least that packets sent shortly before packet lo, at a moment, waited for.
func (e *Estimator) ahead(lo int64, at time.Duration) time.Duration {
	least, base := never, e.base.value()
	for i := lo - 1; i >= e.flight.oldest(); i-- {
		p := e.flight.find(i)
		if p == nil || p.fate != arrived {
			continue
		}
		if at-p.at > headWindow {
			break
		}
		least = min(least, p.delay-base)
	}
	if least == never {
		return never
	}
	return least + headJitter + e.serial(headSize)
}
