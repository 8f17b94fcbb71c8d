package mixer

import (
	"slices"
	"time"
)

// Fit is what a receiver's link carries, as its transport finds out. The zero
// value is a link that carries everything.
type Fit struct {
	Tier int     // best index of Rungs.Tiers that fits; -1: no pictures
	Tone int     // index of Rungs.Tones; 0 is the best
	Loss float64 // packet loss that sound is to be made for, 0 to 1
	// Lossy is a link that loses so much that repairs may not do. Who asks for keyframes
	// over it may get them from its tier's twin.
	Lossy bool
}

// Rungs are all that a receiver can be given, best first.
type Rungs struct {
	Tiers []TierSpec
	Tones []Tone
}

// Rungs returns the ladder for transports that fit receivers to their links.
func (s *Server) Rungs() Rungs {
	return Rungs{Tiers: slices.Clone(s.cfg.Ladder), Tones: slices.Clone(s.cfg.Sound.Tones)}
}

// Fit tells what the receiver's link carries now. The tier that was asked for
// stays the upper bound. Fit never blocks and may be called several times a
// second: the room takes the newest when it gets to it.
func (s *Subscription) Fit(f Fit) {
	s.fit.Store(&f)
	s.room.heed()
}

// heed makes the room look at what its receivers have to say.
func (r *Room) heed() {
	select {
	case r.fits <- struct{}{}:
	default: // it has yet to come for the last one
	}
}

// refit takes over what receivers' links have turned out to carry, and what
// keyframes are missing on those that lose much.
func (r *Room) refit() {
	now := time.Now()
	tiers, tones := false, false
	var pleading []*Subscription
	for _, m := range r.members {
		if m.sub == nil {
			continue
		}
		tier, tone := m.sub.refit()
		tiers, tones = tiers || tier, tones || tone
		if m.sub.pleads.Swap(false) {
			pleading = append(pleading, m.sub)
			tiers = r.plead(m.sub, now) || tiers
		}
	}
	switch {
	case tiers:
		r.update()
	case tones:
		r.updateSound()
	}
	for _, s := range pleading {
		s.requestKey(r.server.cfg.KeyframeHold) // of where it is now
	}
}

// refit takes over the newest Fit, and reports whether another tier or another
// sound follows.
func (s *Subscription) refit() (tiers, tones bool) {
	f := s.fit.Load()
	if f == nil {
		return false, false
	}
	cfg := &s.room.server.cfg
	tier := min(max(f.Tier, noPictures), len(cfg.Ladder)-1)
	tone := min(max(f.Tone, 0), len(cfg.Sound.Tones)-1)
	loss := cfg.Sound.lossClass(f.Loss, s.loss)
	tiers, tones = tier != s.fits || f.Lossy != s.lossy, tone != s.tone || loss != s.loss
	s.fits, s.tone, s.loss = tier, tone, loss
	s.lossy, s.restless = f.Lossy, s.restless && f.Lossy
	return tiers, tones
}

// noPictures is the Tier of a link that carries sound only.
const noPictures = -1

// tier is what s is to get: what was asked for, or less if that is what fits.
func (s *Subscription) tier() (spec TierSpec, pictures bool) {
	ladder := s.room.server.cfg.Ladder
	asked := slices.Index(ladder, s.spec)
	if s.spec.Name == SoundOnly {
		asked = len(ladder) - 1 // more need not be known of the link
	}
	s.best.Store(int32(max(0, asked)))
	if len(s.video) == 0 || s.fits == noPictures || s.spec.Name == SoundOnly {
		return TierSpec{}, false
	}
	if s.spec.Name == programme {
		return s.spec, true
	}
	return ladder[max(s.fits, asked)], true
}

// Best is the tier that was asked for, an index of Rungs.Tiers: no better one
// will come.
func (s *Subscription) Best() int { return int(s.best.Load()) }
