package congestion

import "time"

// lossModel tells the loss that a link has of itself, as radio does, from the loss of
// an overfull queue. Two ideas of libwebrtc's loss-based estimator
// ("LossBasedBweV2": a link has an inherent loss and a bandwidth; loss is
// inherent + what exceeds the bandwidth) are kept, its search is not. Packets lost
// beside others that met no queue are the link's own loss, and followed as
// they come; if a lot comes at once without a queue, the rate is cut once to see
// whether less is lost. If not, all is as before, and the loss is inherent.
type lossModel struct {
	inherent float64
	recent   float64       // of the newest packets
	from     time.Duration // what was sent before does not count
	begun    time.Duration
	updated  time.Duration
	trial    struct {
		at     time.Duration // 0: none
		before float64       // rate
		loss   float64
	}
}

// excess is by how much gone of n packets are more than the link's own loss,
// after an allowance for chance: three standard deviations, doubled because losses
// come in bursts.
func (l *lossModel) excess(gone, n int) float64 {
	if n < 8 {
		return 0
	}
	p := max(l.inherent, 0.02)
	return float64(gone)/float64(n) - l.inherent - min(3*sigma(p, n)*1.5, 0.3)
}

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
	lossTrial  = 2500 * time.Millisecond
	lossStart  = 3 * time.Second // in which the first losses are taken for the link's own
	lossSudden = 0.15
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
	share := float64(v.lost) / float64(v.n)
	switch {
	case l.trial.at > 0 && now-l.trial.at < lossTrial:
		return
	case l.trial.at > 0:
		// The window lies behind the cut now.
		if share > 0.7*l.trial.loss {
			l.inherent = share
			e.raise(l.trial.before, now)
		}
		l.trial.at = 0
		return
	case now-l.begun > lossStart && l.excess(v.lost, v.n) > lossSudden:
		l.trial.at, l.trial.before, l.trial.loss = now, e.rate, share
		e.congested = now
		e.cut(keep * v.got)
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
