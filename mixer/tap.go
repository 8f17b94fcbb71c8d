package mixer

import (
	"fmt"
	"slices"

	"mixdown/codec"
)

// Tap sees what one participant sends, as it came in: whole pictures and packets
// of sound, each kind in order. It must not block, and not change what is in
// u.Data, but may keep it.
type Tap interface {
	WriteUnit(u codec.Unit)
}

// Tap lets tap see what a participant sends from now on, over all sessions
// until it leaves the room, or until stop.
func (s *Server) Tap(room, id string, tap Tap) (stop func(), err error) {
	err = s.of(room, id, func(r *Room, m *member) error {
		if m.pub == nil {
			return fmt.Errorf("room %q: participant %q sends nothing: %w", room, id, ErrNoParticipant)
		}
		taps := append(slices.Clone(*m.taps.Load()), tap)
		m.taps.Store(&taps)
		m.pub.src.RequestKeyframe()
		stop = func() {
			r.do(func() {
				taps := slices.DeleteFunc(slices.Clone(*m.taps.Load()), func(t Tap) bool { return t == tap })
				m.taps.Store(&taps)
			})
		}
		return nil
	})
	return stop, err
}

// Tapped reports whether somebody wants WriteSound's packets.
func (p *Publication) Tapped() bool { return len(*p.who.taps.Load()) > 0 }

// WriteSound shows a packet of sound to who taps. The room hears it from the
// Source's Voice. u.Data passes to the taps.
func (p *Publication) WriteSound(u codec.Unit) { p.tap(u) }

func (p *Publication) tap(u codec.Unit) {
	for _, t := range *p.who.taps.Load() {
		t.WriteUnit(u)
	}
}
