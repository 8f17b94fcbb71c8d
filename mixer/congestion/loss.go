package congestion

import (
	"math"
	"time"
)

// lossModel tells the loss that a link has of itself, as radio does, from the loss of
// an overfull queue. Two ideas of libwebrtc's loss-based estimator
// ("LossBasedBweV2": a link has an inherent loss and a bandwidth; loss is
// inherent + what exceeds the bandwidth) are kept, its search is not. Packets lost
// beside others that met no queue are the link's own loss, and followed as
// they come. But a policer drops without a queue too (RFC 2475, section 2.3.3.3); so
// when that loss becomes much more than was there when little was sent, the
// rate is cut once for some seconds to see whether less is lost. If not, all is as
// before, and the loss is the link's own.
type lossModel struct {
	inherent float64
	trusted  float64       // so much of it was there when little was sent
	recent   float64       // of the newest packets
	run      float64       // mean length of a loss, packets
	from     time.Duration // what was sent before does not count
	begun    time.Duration
	updated  time.Duration
	trial    struct {
		at     time.Duration // 0: none
		before float64       // rate
		loss   float64
		got    float64 // delivered, bit/s
		n      int     // packets since, and
		lost   int     // of them
		looks  int
	}
	ceiling float64       // what a policer was seen to let through
	until   time.Duration // is not exceeded so long
}

// excess is by how much gone of n packets are more than the link's own loss,
// after an allowance for chance.
func (l *lossModel) excess(gone, n int) float64 {
	if n < 8 {
		return 0
	}
	return float64(gone)/float64(n) - l.inherent - l.chance(l.inherent, n)
}

// chance is what n packets may lose more than a share of p by chance: two and a half
// standard deviations, widened because losses that come in runs of length r
// count for fewer.
func (l *lossModel) chance(p float64, n int) float64 {
	runs := math.Sqrt(2*min(max(l.run, 1), 6) - 1)
	return min(2.5*sigma(max(p, 0.02), n)*runs, 0.3)
}

func sigma(p float64, n int) float64 { return math.Sqrt(p * (1 - p) / float64(max(n, 1))) }

// own is the link's own loss as far as that is known: nothing may be known yet.
func (l *lossModel) own(now time.Duration) float64 {
	if l.begun == 0 || now-l.begun < lossStart {
		return max(l.inherent, 0.1)
	}
	return l.inherent
}

// forget begins anew after an outage.
func (l *lossModel) forget(now time.Duration) {
	l.from = now
	l.trial.at = 0
}

const (
	lossTrial   = 2500 * time.Millisecond
	lossStart   = 2 * time.Second // in which the first losses are taken for the link's own
	lossSudden  = 0.15
	lossCreep   = 0.08 // over what was put to the test
	lossPoliced = 30 * time.Second
	lossCut     = 0.55 // of what was delivered is left for a test
	lossLess    = 0.15 // of the loss before it may be lost then, where it was not the link's own,
	lossRuns    = 16.  // of so many runs at least, which may take
	lossLooks   = 5
)

// tryLoss follows the inherent loss while no queue stands.
func (e *Estimator) tryLoss(v view, now time.Duration) {
	l := &e.loss
	if l.begun == 0 {
		l.begun, l.updated = now, now
	}
	dt := now - l.updated
	l.updated = now
	if v.all >= 8 {
		l.recent += (float64(v.gone)/float64(v.all) - l.recent) * min(1, dt.Seconds())
	}
	if v.n < 20 {
		return
	}
	if v.runs > 0 {
		l.run += (float64(v.lost)/float64(v.runs) - l.run) * min(1, dt.Seconds()/3)
	}
	share := float64(v.lost) / float64(v.n)
	switch {
	case l.trial.at > 0 && now-l.trial.at < lossTrial:
		return
	case l.trial.at > 0:
		// The window lies behind the cut now, and behind the look before. That less is lost must be
		// more than chance: losses in runs are few, none of them in two seconds is no wonder, and
		// what led to a test was more of them than usual.
		t := &l.trial
		t.n, t.lost, t.looks = t.n+v.n, t.lost+v.lost, t.looks+1
		share = float64(t.lost) / float64(t.n)
		few := float64(t.n)*t.loss/max(l.run, 1) < lossRuns
		switch {
		case share <= lossLess*t.loss && few && t.looks < lossLooks:
			t.at = now - lossTrial + lossWindow
			return
		case share > lossLess*t.loss, few:
			share = max(share, t.loss/2) // and not forgotten for having paused
			l.trusted = share
			t.at = 0
			e.raise(t.before, now)
		default:
			// A short probe slips through a policer, so what it finds does not count
			// for a while.
			l.ceiling, l.until = t.got, now+lossPoliced
		}
		l.inherent = share
		l.trial.at = 0
		return
	case now-l.begun < lossStart:
		l.trusted = l.inherent // little is sent yet
	case v.sent < e.rate/4: // too little to be the reason
	case l.excess(v.lost, v.n) > lossSudden, l.inherent > l.trusted+lossCreep+l.chance(l.trusted, v.n)/2 && share > l.trusted+lossCreep:
		l.trial.at, l.trial.before, l.trial.loss, l.trial.got = now, e.rate, share, v.sent*(1-share)
		l.trial.n, l.trial.lost, l.trial.looks = 0, 0, 0
		e.congested = now
		e.cut(lossCut * l.trial.got)
		return
	}
	tau := 4.0
	switch {
	case now-l.begun < lossStart:
		tau = 0.5
	case share < l.inherent:
		tau = 2
	}
	l.inherent += (share - l.inherent) * min(1, dt.Seconds()/tau)
	l.inherent = min(l.inherent, 0.5)
}
