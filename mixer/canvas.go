package mixer

import (
	"slices"
	"sync/atomic"
	"time"

	"mixdown/compositor"
)

// canvas is one arrangement of a room's people. Several tiers may draw it, at
// sizes of their own. The room's goroutine plans it, the tiers' clocks read
// the plan.
type canvas struct {
	key   string
	seats *compositor.Seats // where everybody sits; the room's goroutine only
	plan  atomic.Pointer[plan]
}

// plan is who is where; it never changes once it is published.
type plan struct {
	since uint32 // RTP timestamp of the room's video line from which it holds
	seats []seat
}

// seat is one place: a person, nobody, or "+more".
type seat struct {
	who  *member
	name string
	pub  *Publication
	more int
}

// gallery shows everybody; solo(x) shows x alone, to the other one of two.
const gallery = "gallery"

func solo(id string) string { return "solo:" + id }

func newCanvas(key string) *canvas {
	c := &canvas{key: key, seats: new(compositor.Seats)}
	c.plan.Store(&plan{})
	return c
}

// arrange publishes a new plan for people, in order of arrival, if it differs.
func (c *canvas) arrange(people []*member, since uint32) {
	shown, more := compositor.Places(len(people))
	byID := make(map[string]*member, shown)
	ids := make([]string, shown)
	for i, m := range people[:shown] {
		ids[i] = m.id.ID
		byID[m.id.ID] = m
	}
	next := &plan{since: since}
	for _, id := range c.seats.Update(ids) {
		s := seat{who: byID[id]}
		if s.who != nil {
			s.name, s.pub = s.who.id.Name, s.who.pub
		}
		next.seats = append(next.seats, s)
	}
	if more > 0 {
		next.seats = append(next.seats, seat{more: more})
	}
	if !slices.Equal(next.seats, c.plan.Load().seats) {
		c.plan.Store(next)
	}
}

// shoot fills shots with what each seat of the plan is to show at now. The
// frames are the caller's to release.
func (p *plan) shoot(shots []compositor.Shot, now time.Time, cfg *Config) []compositor.Shot {
	shots = shots[:0]
	for _, s := range p.seats {
		shot := compositor.Shot{More: s.more}
		if m := s.who; m != nil {
			shot.ID, shot.Name = m.id.ID, s.name
			shot.Speaking, shot.Muted = m.speaking.Load(), m.silenced()
			if s.pub != nil && !m.veiled() {
				var at time.Time
				shot.Frame, shot.Seq, at = s.pub.slot.take(now, m.lag())
				m.noteSync(shot.Frame, now)
				switch age := now.Sub(at); {
				case shot.Frame == nil || age < cfg.StalePicture:
				case age < cfg.GonePicture:
					shot.Dim = true
				default:
					shot.Frame.Release()
					shot.Frame = nil
				}
			}
		}
		shots = append(shots, shot)
	}
	return shots
}

func releaseShots(shots []compositor.Shot) {
	for i := range shots {
		if shots[i].Frame != nil {
			shots[i].Frame.Release()
			shots[i].Frame = nil
		}
	}
}
