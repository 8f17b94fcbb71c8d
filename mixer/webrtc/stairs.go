package webrtc

import (
	"time"

	"mixdown/mixer"
)

// Times of stairs.
const (
	stairsTwice   = 10 * time.Second // two cuts within it are more than a keyframe too many
	stairsSettle  = 2 * time.Second  // a new tier begins with a keyframe
	stairsQuiet   = 20 * time.Second // without a cut before the better tier is tried
	stairsPatient = 5 * time.Minute  // the longest that this grows to
)

// stairs fits a client to a way that keeps its packets in order and says
// nothing of itself (TCP): all that shows is that pictures did not get into it in
// time and were cut. It goes a tier down when that comes again, and up after
// quiet, more seldom each time it was too early. The zero value is ready; it
// knows no clock.
type stairs struct {
	tier          int       // index of the ladder
	cut, down, up time.Time // the last ones
	quiet         time.Duration
}

// fell takes a cut while the client is on tier, of so many, and reports whether
// it goes down.
func (s *stairs) fell(tier, tiers int, now time.Time) bool {
	again := now.Sub(s.cut) < stairsTwice
	early := !s.up.IsZero() && now.Sub(s.up) < stairsTwice
	s.cut = now
	if now.Sub(s.down) < stairsSettle || !again && !early {
		return false
	}
	if early {
		s.quiet = min(2*s.quiet, stairsPatient)
	}
	s.tier = min(max(s.tier, tier)+1, tiers-1)
	s.down, s.up = now, time.Time{}
	return true
}

// holds notes that pictures get through, and reports whether the client goes
// up.
func (s *stairs) holds(now time.Time) bool {
	s.quiet = max(s.quiet, stairsQuiet)
	if s.tier == 0 || now.Sub(s.cut) < s.quiet || now.Sub(s.up) < s.quiet {
		return false
	}
	s.tier--
	s.up = now
	return true
}

// refit lets the room know what became of a picture. Only the pacer calls it.
func (s *sink) refit(cut bool, now time.Time) {
	if !cut && !s.stairs.holds(now) {
		return
	}
	sub := s.subscription()
	if sub == nil || len(s.peer.rungs.Tiers) == 0 {
		return
	}
	if cut {
		tiers := s.peer.rungs.Tiers
		at, bps := 0, sub.Bitrate()
		for at < len(tiers)-1 && tiers[at].Bitrate > bps {
			at++
		}
		if !s.stairs.fell(at, len(tiers), now) {
			return
		}
	}
	sub.Fit(mixer.Fit{Tier: s.stairs.tier})
}
