// Package congestion keeps one client's link full but not overfull: what it
// carries (Estimator), what goes out when (Pacer, Repairs), and what is worth
// sending at all (Ladder). Everything is driven by calls that carry the time; there
// is no clock and no goroutine in here, and no lock: a Link has one owner.
//
//	feedback ──▶ Estimator ──rate──▶ Ladder ──Choice──▶ the room (tier, sound)
//	                │  ▲                                    │
//	              pace probe, sent                       pictures, sound
//	                ▼  │                                    ▼
//	              Pacer ◀──────── Repairs ◀── NACK ─────── Pacer ──▶ wire
//
// It stands on what others found: delay gradients, and thresholds that adapt
// (draft-ietf-rmcat-gcc-02); delivery rate as the measure of a bottleneck (BBR,
// Cardwell et al., ACM Queue 14/5, 2016); queueing delay against a base with
// history (LEDBAT, RFC 6817; SCReAM, RFC 8298; NADA, RFC 8698); packet trains
// (Dovrolis et al., INFOCOM 2001); and loss that is not congestion (libwebrtc's
// second loss-based estimator).
package congestion

import (
	"time"

	"github.com/pion/rtcp"
)

// Link is all that is kept of one client's way.
type Link[P any] struct {
	*Estimator
	*Pacer[P]
	*Ladder
	Repairs

	looked  time.Time
	sinking bool // then
	muted   time.Time
	chosen  bool      // pictures were, once
	sought  time.Time // a probe for roominess
}

const (
	stepEvery = 50 * time.Millisecond // how often the ladder is looked at
	// A room that had its own reasons may not bring another encoder: then the
	// present one's keyframes count again.
	muteLongest = 5 * time.Second

	// A link that is known to carry so many times the best there is has its
	// pictures in bursts: at this rate, or a quarter of what waits in 5 ms.
	roomy     = 3
	roomyPace = 23_000_000
	roomyPart = 8 * 200 / 4
	seekEvery = 30 * time.Second // for that it is looked how much more than enough there is
)

// NewLink returns the link of a client that has just come; size is what a
// packet takes on the wire, bytes.
func NewLink[P any](r Rungs, l Limits, size func(P) int) *Link[P] {
	return &Link[P]{Estimator: NewEstimator(l), Pacer: NewPacer(size), Ladder: NewLadder(r)}
}

// Step brings all parts up to now; it is called before packets are taken from
// the pacer, after feedback, and at least every 50 ms while there is any to send. What it
// returns is for the room.
func (l *Link[P]) Step(now time.Time) Choice {
	e := l.Estimate(now)
	l.SetRate(l.pace(e), e.Rate, now)
	if now.Sub(l.looked) < stepEvery && (l.sinking || !e.Sinking) {
		return l.Choice()
	}
	l.looked, l.sinking = now, e.Sinking
	before := l.Choice()
	c := l.Ladder.Step(e, l.Waiting(), now)
	l.SetLayer(c.Layer)
	l.SetPatience(l.Ladder.patience())
	// Before anything was chosen it may have had pictures of the best tier. Who had none for a
	// while gets a keyframe, maybe of the encoder that it had before.
	first := c.Tier >= 0 && !l.chosen
	l.chosen = l.chosen || first
	if before.Tier >= 0 && (c.Tier < 0 || c.Tier > before.Tier) || first && c.Tier > l.best {
		// What the old tier still sends, up to the new one's keyframe, does not fit.
		l.Mute()
		l.muted = now
	} else if c.Tier >= 0 && (before.Tier < 0 || c.Tier < before.Tier || now.Sub(l.muted) > muteLongest) {
		l.Unmute()
	}
	if useful := l.useful(e, now); useful > 0 {
		if cluster, ok := l.Estimator.Probe(useful, now); ok {
			l.Pacer.Probe(cluster, now)
			if l.Useful(e) == 0 {
				l.sought = now
			}
		}
	}
	return c
}

// needs is what the client's choice takes, bit/s.
func (l *Link[P]) needs(e Estimate) float64 {
	c := l.Choice()
	return float64(l.wire(c.Tier, int(c.Layer), c.Tone, e.Loss))
}

// pace is what may go out now, bit/s.
func (l *Link[P]) pace(e Estimate) int {
	if l.Choice().Tier != l.best || e.Congested || e.Pace < e.Rate || float64(e.Rate) < roomy*l.needs(e) {
		return e.Pace
	}
	return max(roomyPace, l.bytes*roomyPart)
}

// useful is what a probe is for, bit/s: the next rung, or to know that there is
// room beyond the best one.
func (l *Link[P]) useful(e Estimate, now time.Time) int {
	if u := l.Useful(e); u > 0 {
		return u
	}
	want := 1.1 * roomy * l.needs(e)
	if l.Choice().Tier != l.best || want > float64(l.limits.Max) || float64(e.Rate) >= roomy*l.needs(e) || !l.sought.IsZero() && now.Sub(l.sought) < seekEvery {
		return 0
	}
	return int(want)
}

// Feedback takes transport-wide feedback; what it says is lost is to be had by
// Missed.
func (l *Link[P]) Feedback(fb *rtcp.TransportLayerCC, now time.Time) error {
	reports, err := l.decoder.decode(fb)
	if err != nil {
		return err
	}
	l.Reports(reports, now)
	return nil
}

// Reports takes feedback in any other form.
func (l *Link[P]) Reports(reports []Report, now time.Time) {
	l.Estimator.Reports(reports, now)
	l.told(reports, now)
}

// RepairAge is how long after a packet went out it may be sent again.
func (l *Link[P]) RepairAge() time.Duration { return repairAge + l.RoundTrip() }

// Repair queues a packet that the client misses, if it may go out again: p went
// out first at first as seq. Who loses much gets it twice: what a repeated packet that
// is lost, too, costs is another round trip in which the picture stands.
func (l *Link[P]) Repair(seq uint16, p P, first, now time.Time) bool {
	if !l.Choice().Lossy && l.Outdated(first) {
		l.Refused++
		return false
	}
	if !l.Take(seq, l.size(p), first, l.Estimate(now), now) {
		return false
	}
	l.Pacer.Repair(p)
	if l.Choice().Lossy && l.afford(l.size(p)) {
		l.Pacer.Echo(p, now)
	}
	return true
}
