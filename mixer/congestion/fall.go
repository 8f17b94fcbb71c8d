package congestion

import (
	"time"
)

// A fast link that falls far is left at once.
const (
	// Feedback that is late by so much has a queue before it, its packets' or its own: in a tenth
	// of a second a link that fell to a seventh has half a second of it.
	lateAllowed = 75 * time.Millisecond
	lateLeast   = 20 * time.Millisecond // as much where it always comes in time
	lateSurely  = 40 * time.Millisecond
	fastRate    = 200_000                // bit/s, from where on that is worth a hurry
	farFall     = 0.5                    // of a rate that are far less
	deepFall    = 0.1                    // and the least of it that is left by one measurement
	steepLeast  = 100 * time.Millisecond // by which the queue grew meanwhile, and the newest came in
	steepCount  = 4                      // packets
	sinkFor     = 2 * time.Second
	sinkQueue   = 100 * time.Millisecond

	// The queue of a fall that whoever plays the sound is to forget, if it does not come often;
	// and for how long it is waited for a pause of all who speak.
	forgetFrom  = 150 * time.Millisecond
	forgetLate  = 250 * time.Millisecond
	forgetAgain = 15 * time.Second
)

// falls sees the rate fall far before the window of the queue is full of it, which is
// after eight packets, one by one at the new rate: packets sent one after the other, each
// of which waited longer than the one before it. Jitter and a way that stood still make
// one late, and the ones after it less.
func (e *Estimator) falls(now time.Duration) bool {
	rate, queue := e.steep()
	if !e.fast() || rate == 0 || rate > farFall*e.rate || queue < e.high() {
		return false
	}
	e.overused(now)
	e.queue, e.taken = queue, rate
	e.cut(max(keep*rate, e.rate*deepFall))
	// Nothing is gone back to once the queue is gone: on a link that did fall that is another one. One
	// that did not is found out by probes in six seconds.
	e.former, e.lowered = 0, now
	e.fallen(now)
	return true
}

// fallen notes that the link carries far less than before. What found no room in its queue
// was not lost by the link itself.
func (e *Estimator) fallen(now time.Duration) {
	e.fell = now
	e.cleared, e.worst = now, e.queue
	e.loss.forget(now)
}

// hope reports whether the link fell lately: what it carried then may come back.
func (e *Estimator) hope(now time.Duration) bool { return e.fell > 0 && now-e.fell < probeHopes }

// fast reports whether the link is known to carry so much that its fall matters at once: a
// packet of somebody else's is no matter there, and feedback comes often, and seldom gets lost.
func (e *Estimator) fast() bool {
	return e.prober.tried && !e.coarse.on && e.rate > fastRate && max(e.loss.recent, e.loss.inherent) < lossyOff
}

// steep looks for packets that went out one after the other and each waited longer, up to the
// newest one: the rate at which the newest ones came, because the link may have fallen amid
// them, and what the newest one waited for; 0 if there are too few of them or they did not wait
// for much longer.
func (e *Estimator) steep() (rate float64, queue time.Duration) {
	var newest, oldest *packet
	bytes, n := 0, 0
	for i := e.flight.seen; i >= e.flight.oldest(); i-- {
		p := e.flight.find(i)
		if p == nil || p.fate != arrived {
			continue
		}
		if newest == nil {
			newest = p
		} else if p.delay >= oldest.delay || newest.at-p.at > maxWindow {
			break
		} else if span := newest.at + newest.delay - p.at - p.delay; rate == 0 {
			bytes += int(oldest.size)
			if n > 1 && span >= steepLeast {
				rate = float64(bytes) * 8 / span.Seconds()
			}
		}
		oldest = p
		n++
	}
	if n < steepCount || newest.delay-oldest.delay < steepLeast {
		return 0, 0
	}
	return rate, newest.delay - e.base.value()
}

// newestQueue is the least of what the newest three packets waited for.
func (e *Estimator) newestQueue() time.Duration {
	queue, base := never, e.base.value()
	for i, n := e.flight.seen, 0; i >= e.flight.oldest() && n < 3; i-- {
		if p := e.flight.find(i); p != nil && p.fate == arrived {
			queue = min(queue, p.delay-base)
			n++
		}
	}
	return queue
}

// Forget reports, once after a fall, whether who plays the sound is to forget how late that
// came: there was a queue to speak of, and it is gone; quiet tells that nothing is heard just
// now. It is asked with every packet of sound.
func (e *Estimator) Forget(quiet bool, at time.Time) bool {
	now := e.since(at)
	if e.fell == 0 || e.forgot >= e.fell || e.forgot > 0 && now-e.forgot < forgetAgain {
		return false
	}
	if q := e.standing(now); q > e.low() {
		e.cleared, e.worst = now, max(e.worst, q)
		return false
	}
	if e.worst < forgetFrom || !quiet && now-e.cleared < forgetLate {
		return false
	}
	e.forgot, e.worst = now, 0
	return true
}
