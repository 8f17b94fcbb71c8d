package mixer

import (
	"image"
	"slices"
	"sync/atomic"
	"time"

	"mixdown/codec"
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
func (c *canvas) arrange(people []*member, since uint32) (changed bool) {
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
	if slices.Equal(next.seats, c.plan.Load().seats) {
		return false
	}
	c.plan.Store(next)
	return true
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

// member is one person in a room.
type member struct {
	id    Identity // Name and Role are the room's goroutine's; ID never changes
	order uint64   // of arrival
	pub   *Publication
	sub   *Subscription
	ask   Ask

	// Written by the room's goroutine, read by the clocks.
	audioMuted, audioOff  atomic.Bool // by a host; by the person
	videoHidden, videoOff atomic.Bool
	// Written by the sound clock, read by the room and the tiers.
	open, speaking atomic.Bool
	level          atomic.Int32 // dBov
	behind         atomic.Int64 // ns since the sound now playing was captured; noSound while unknown
	// Written by the tiers.
	sync atomic.Int64 // ns that the sound is behind the picture on show
}

// lag is how long ago the sound now playing was captured, or noSound.
func (m *member) lag() time.Duration { return time.Duration(m.behind.Load()) }

// noteSync keeps how far the sound is behind the picture on show at now.
func (m *member) noteSync(f *codec.Frame, now time.Time) {
	if lag := m.lag(); f != nil && lag != noSound && !f.Captured.IsZero() {
		m.sync.Store(int64(lag - now.Sub(f.Captured)))
	}
}

// silenced reports whether the person's sound is muted by anyone.
func (m *member) silenced() bool { return m.audioMuted.Load() || m.audioOff.Load() }

// veiled reports whether the person's picture is hidden by anyone.
func (m *member) veiled() bool { return m.videoHidden.Load() || m.videoOff.Load() }

// snapshot draws the plan once, at a size of its own.
func (p *plan) snapshot(width, height int, now time.Time, r *Room) (image.Image, error) {
	picture := compositor.NewPicture(width, height, r.server.scaler, r.server.text)
	defer picture.Close()
	shots := p.shoot(nil, now, &r.server.cfg)
	defer releaseShots(shots)
	_, err := picture.Compose(compositor.Grid(len(shots), width, height), shots)
	if err != nil {
		return nil, err
	}
	return picture.Image()
}

func releaseShots(shots []compositor.Shot) {
	for i := range shots {
		if shots[i].Frame != nil {
			shots[i].Frame.Release()
			shots[i].Frame = nil
		}
	}
}
