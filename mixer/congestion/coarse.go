package congestion

import "time"

// coarse is what is left without transport-wide feedback: receiver reports
// (RFC 3550, section 6.4.1), one a second or fewer, and REMB
// (draft-alvestrand-rmcat-remb-03), the client's own estimate.
type coarse struct {
	on    bool
	trip  baseline
	bytes int64 // ever sent
	last  int64 // of them when the last report came
	at    time.Duration
	queue time.Duration
}

// overdue: two reports are missing.
func (c *coarse) overdue(now time.Duration) time.Duration {
	if c.at == 0 || c.bytes == c.last {
		return -time.Second
	}
	return now - c.at - 6*time.Second
}

// ReceiverReport takes the share lost since the last report and a round trip,
// 0 if unknown. It counts only while there is no transport-wide feedback.
func (e *Estimator) ReceiverReport(loss float64, trip time.Duration, at time.Time) {
	now := e.since(at)
	if e.heard > 0 && now-e.heard < 5*time.Second {
		return
	}
	c := &e.coarse
	c.on = true
	if trip > 0 {
		c.trip.add(trip, now)
	}
	if c.at == 0 {
		c.at, c.last = now, c.bytes
		e.loss.begun, e.loss.recent, e.loss.inherent = now, loss, min(loss, 0.5)
		return
	}
	span := now - c.at
	if span < 200*time.Millisecond {
		return // of another stream, about the same time
	}
	sent := float64(c.bytes-c.last) * 8 / span.Seconds()
	c.at, c.last = now, c.bytes
	before := c.queue
	if trip > 0 {
		c.queue = trip - c.trip.value()
	}
	e.queue = c.queue
	e.loss.recent += (loss - e.loss.recent) / 2
	excess := loss - e.loss.inherent
	probing := e.prober.pending()
	switch {
	case c.queue > 2*e.high() && c.queue >= before || excess > 0.15:
		e.overused(now)
		e.cut(max(0.85*sent*(1-loss)/(1-e.loss.inherent), e.rate/2))
		e.loss.inherent += excess / 8
	default:
		e.drain = e.drain && c.queue > 2*e.low()
		e.loss.inherent += excess / 4
		// What went through without a queue is evidence; between that and the
		// estimate of before lies no measurement.
		if c.queue < 2*e.low() && sent > e.rate {
			e.raise(trust*sent, now)
		}
	}
	e.loss.inherent = min(max(e.loss.inherent, 0), 0.5)
	if probing && !e.prober.active(now) {
		e.prober.done(e.rate >= 0.85*float64(e.prober.target), false, e.hope(now), e.rate, now)
	}
}

// REMB takes the client's own estimate, bit/s. It counts only while there is no
// transport-wide feedback.
func (e *Estimator) REMB(bitrate int, at time.Time) {
	now := e.since(at)
	if e.heard > 0 && now-e.heard < 5*time.Second {
		return
	}
	remb := float64(bitrate)
	if remb < e.rate {
		e.overused(now)
		e.drain = false // its sender does not say how long the queue is
		e.cut(remb)
		return
	}
	// It is made from what arrives, so it is evidence as far as that goes
	// (libwebrtc allows itself half as much again).
	if c := &e.coarse; c.at > 0 && now > c.at {
		e.raise(min(remb, 1.5*float64(c.bytes-c.last)*8/max(now-c.at, time.Second).Seconds()), now)
	}
}
