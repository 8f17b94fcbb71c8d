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
	stage bool   // the first seat is large
	seats []seat
}

// places are those of the seats on a canvas of width x height pixels.
func (p *plan) places(width, height int) []compositor.Rect {
	if p.stage {
		return compositor.Stage(len(p.seats), width, height)
	}
	return compositor.Grid(len(p.seats), width, height)
}

// seat is one place: a person, nobody, or "+more".
type seat struct {
	who    *member
	name   string
	hand   bool // is raised
	screen bool // is what it shows
	pub    *Publication
	more   int
}

// gallery shows everybody; solo(x) shows x alone, to the other one of two.
const gallery = "gallery"

// Layouts are the arrangements that people's pictures and programmes can have:
// names of canvases.
func Layouts() []string { return []string{gallery, stage, screens} }

const (
	stage   = "speaker" // who speaks, large, and the others beside
	screens = "screen"  // the newest screen, large, and the others; while there is none, the gallery
)

func solo(id string) string { return "solo:" + id }

func newCanvas(key string) *canvas {
	c := &canvas{key: key, seats: new(compositor.Seats)}
	c.plan.Store(&plan{})
	return c
}

// arrange publishes a new plan for people, in order of arrival, if it differs.
func (c *canvas) arrange(people []*member, since uint32) {
	c.arrangeAs(people, false, compositor.Places, since)
}

// arrangeStage does the same with first in the large place.
func (c *canvas) arrangeStage(people []*member, first *member, since uint32) {
	others := slices.DeleteFunc(slices.Clone(people), func(m *member) bool { return m == first })
	c.arrangeAs(append([]*member{first}, others...), true, compositor.StagePlaces, since)
}

func (c *canvas) arrangeAs(people []*member, stage bool, places func(int) (shown, more int), since uint32) {
	shown, more := places(len(people))
	byID := make(map[string]*member, shown)
	ids := make([]string, shown)
	for i, m := range people[:shown] {
		ids[i] = m.id.ID
		byID[m.id.ID] = m
	}
	next := &plan{since: since, stage: stage}
	seated := slices.Clone(c.seats.Update(ids))
	if stage { // who leaves the large place takes that of who comes to it
		i := slices.Index(seated, ids[0])
		seated[0], seated[i] = seated[i], seated[0]
		c.seats.Swap(0, i)
	}
	for _, id := range seated {
		s := seat{who: byID[id]}
		if s.who != nil {
			s.name, s.pub, s.hand, s.screen = s.who.id.Name, s.who.pub, !s.who.hand.IsZero(), !s.who.screen.IsZero()
		}
		next.seats = append(next.seats, s)
	}
	if more > 0 {
		next.seats = append(next.seats, seat{more: more})
	}
	if now := c.plan.Load(); next.stage != now.stage || !slices.Equal(next.seats, now.seats) {
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
			shot.ID, shot.Name, shot.Hand, shot.Whole = m.id.ID, s.name, s.hand, s.screen
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
