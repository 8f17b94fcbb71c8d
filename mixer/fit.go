package mixer

import "slices"

// Fit is what a receiver's link carries, as its transport finds out. The zero
// value is a link that carries everything.
type Fit struct {
	Tier int     // best index of Rungs.Tiers that fits; -1: no pictures
	Tone int     // index of Rungs.Tones; 0 is the best
	Loss float64 // packet loss that sound is to be made for, 0 to 1
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
	select {
	case s.room.fits <- struct{}{}:
	default: // the room has yet to come for the last one
	}
}

// refit takes over what receivers' links have turned out to carry.
func (r *Room) refit() {
	tiers := false
	for _, m := range r.members {
		if m.sub != nil {
			tiers = m.sub.refit() || tiers
		}
	}
	if tiers {
		r.update()
	}
}

// refit takes over the newest Fit, and reports whether another tier follows.
func (s *Subscription) refit() (tiers bool) {
	f := s.fit.Load()
	if f == nil {
		return false
	}
	tier := min(max(f.Tier, noPictures), len(s.room.server.cfg.Ladder)-1)
	tiers = tier != s.fits
	s.fits = tier
	return tiers
}

// noPictures is the Tier of a link that carries sound only.
const noPictures = -1

// tier is what s is to get: what was asked for, or less if that is what fits.
func (s *Subscription) tier() (spec TierSpec, pictures bool) {
	if len(s.video) == 0 || s.fits == noPictures {
		return TierSpec{}, false
	}
	ladder := s.room.server.cfg.Ladder
	return ladder[max(s.fits, slices.Index(ladder, s.spec))], true
}
