package mixer

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strconv"
	"time"
)

// state builds what members may know; the room's goroutine calls it.
func (r *Room) state() State {
	now := time.Now()
	st := State{Room: r.name, Version: r.version, Participants: []Member{}, Layouts: []CanvasState{},
		Levelling: r.soundSpec.Level, Denoising: r.soundSpec.Denoise,
		Recording: r.serves(Recorder), Streaming: r.serves(Streamer),
		Locked: r.places != nil, Layout: r.layout}
	ordered := make([]*member, 0, len(r.members))
	for _, m := range r.members {
		if !m.id.Role.hidden() {
			ordered = append(ordered, m)
		}
	}
	slices.SortFunc(ordered, func(a, b *member) int { return cmp.Compare(a.order, b.order) })
	for _, m := range ordered {
		st.Participants = append(st.Participants, r.describe(m, now))
	}
	if r.sound != nil {
		if m := r.sound.speaker.Load(); m != nil && r.members[m.id.ID] == m {
			st.Speaker = m.id.ID
		}
	}
	st.Savings, st.Calls, st.Inputs = r.savings, r.calls, r.inputs
	for _, c := range r.canvases {
		st.Layouts = append(st.Layouts, c.describe())
	}
	slices.SortFunc(st.Layouts, func(a, b CanvasState) int { return cmp.Compare(a.Canvas, b.Canvas) })
	return st
}

func (r *Room) describe(m *member, now time.Time) Member {
	d := Member{
		ID: m.id.ID, Name: m.id.Name, Role: m.id.Role,
		Publishes: m.pub != nil, Receives: m.sub != nil,
		Muted: m.audioMuted.Load(), Hidden: m.videoHidden.Load(), Hand: m.hand,
		Open: m.open.Load(), Level: float64(m.level.Load()),
	}
	if p := m.pub; p != nil {
		ask := m.ask
		d.Ask, d.Kind = &ask, p.plays.Kind
		d.Audio = p.src.Voice() != nil && !m.silenced()
		w, h, at := p.slot.size()
		d.Width, d.Height = w, h
		// What nobody looks at is not decoded and is known by its units alone.
		sends := now.Sub(at) < r.server.cfg.StalePicture || !p.wanted.Load() && p.count.units.Load() > 0
		d.Video = sends && !m.veiled()
		d.Screen = d.Video && !m.screen.IsZero()
	}
	if s := m.sub; s != nil {
		s.mu.Lock()
		t := s.current
		if t == nil {
			t = s.next
		}
		s.mu.Unlock()
		if t != nil {
			d.Tier, d.Codec, d.Canvas = t.key.name(), t.key.codec, t.key.canvas
		}
	}
	return d
}

// describe gives places in thousandths, the same for all tiers of one shape.
func (c *canvas) describe() CanvasState {
	const w, h = 1280, 720
	p := c.plan.Load()
	st := CanvasState{Canvas: c.key, Timestamp: p.since, Tiles: []Tile{}}
	for i, place := range p.places(w, h) {
		t := Tile{
			More: p.seats[i].more,
			X:    place.X * 1000 / w, Y: place.Y * 1000 / h, W: place.W * 1000 / w, H: place.H * 1000 / h,
		}
		if m := p.seats[i].who; m != nil {
			t.ID = m.id.ID
		}
		st.Tiles = append(st.Tiles, t)
	}
	return st
}

// publishState counts a new version and hands it to all watchers.
func (r *Room) publishState() {
	r.version++
	if len(r.watchers) == 0 {
		return
	}
	st := r.state()
	for w := range r.watchers {
		offerState(w, st)
	}
}

// offerState leaves the newest state in a channel of one place.
func offerState(w chan State, st State) {
	select {
	case <-w:
	default:
	}
	w <- st // the room's goroutine is the only writer, so there is room now
}

// fingerprint changes with whatever a watcher wants to know that comes from
// the clocks: who is heard, who speaks, whose picture comes, who is where.
func (r *Room) fingerprint(now time.Time) uint64 {
	if len(r.watchers) == 0 {
		return r.dynamics
	}
	st := r.state()
	var h maphash.Hash
	h.SetSeed(r.server.seed)
	h.WriteString(st.Speaker)
	for _, m := range st.Participants {
		h.WriteString(m.ID)
		h.WriteString(strconv.FormatBool(m.Open) + strconv.FormatBool(m.Video) + strconv.FormatBool(m.Audio))
		h.WriteString(m.Tier + m.Canvas)
		h.WriteString(strconv.Itoa(m.Width) + "x" + strconv.Itoa(m.Height))
	}
	return h.Sum64()
}
