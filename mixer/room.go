package mixer

import (
	"cmp"
	"context"
	"fmt"
	"image"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"mixdown/codec"
	"mixdown/compositor"
)

// Room is one meeting. Its goroutine owns who is in it and what is drawn for
// whom; whoever wants something of it sends a function to run there. Media
// never passes through that goroutine: the clocks read what it publishes.
type Room struct {
	name   string
	server *Server
	log    *slog.Logger
	epoch  time.Time // where both media lines begin
	bases  struct{ video, audio uint32 }

	inbox  chan func()
	cancel context.CancelFunc
	done   chan struct{}

	// The goroutine's own.
	ctx       context.Context
	members   map[string]*member
	arrivals  uint64
	canvases  map[string]*canvas
	tiers     map[tierKey]*Tier
	opened    int            // tiers so far, for their phases
	rates     map[string]int // bit/s of tiers by name, where not the ladder's
	sound     *soundClock
	watchers  map[chan State]struct{}
	version   uint64
	dynamics  uint64 // fingerprint of what changes without an update
	snapshots int    // being taken

	lastLog atomic.Int64 // ns; media errors are logged once a second at most
}

const housekeeping = 250 * time.Millisecond

func newRoom(ctx context.Context, s *Server, name string) *Room {
	r := &Room{
		name: name, server: s, log: s.cfg.Log.With("room", name), epoch: time.Now(),
		inbox: make(chan func()), done: make(chan struct{}),
		members: map[string]*member{}, canvases: map[string]*canvas{},
		tiers: map[tierKey]*Tier{}, rates: map[string]int{}, watchers: map[chan State]struct{}{},
	}
	// RFC 3550, section 5.1: timestamps begin anywhere.
	r.bases.video, r.bases.audio = rand.Uint32(), rand.Uint32()
	r.ctx, r.cancel = context.WithCancel(ctx)
	r.canvases[gallery] = newCanvas(gallery)
	go r.run()
	return r
}

// do runs fn on the room's goroutine and waits for it. The goroutine itself,
// and what it calls, must not use it.
func (r *Room) do(fn func()) error {
	ran := make(chan struct{})
	select {
	case r.inbox <- func() { fn(); close(ran) }:
		<-ran
		return nil
	case <-r.done:
		return fmt.Errorf("room %q: %w", r.name, ErrRoomClosed)
	}
}

// stop ends the room and waits until all its goroutines are gone.
func (r *Room) stop() {
	r.cancel()
	<-r.done
}

func (r *Room) run() {
	defer close(r.done)
	tick := time.NewTicker(housekeeping)
	defer tick.Stop()
	for {
		select {
		case fn := <-r.inbox:
			fn()
		case now := <-tick.C:
			r.housekeep(now)
		case <-r.ctx.Done():
			r.shutdown()
			return
		}
	}
}

// shutdown: people first, so that nothing listens to what stops after.
func (r *Room) shutdown() {
	for _, m := range r.members {
		r.drop(m, ErrRoomClosed)
	}
	r.update()
	for _, t := range r.tiers {
		t.stop()
		r.server.metrics.ended(t, nil)
	}
	if r.sound != nil {
		r.sound.stop()
	}
	for w := range r.watchers {
		close(w)
	}
}

// videoTime and audioTime put a time on the room's RTP lines. Both have the
// same origin, so equal times are equal moments.
func (r *Room) videoTime(t time.Time) uint32 { return r.bases.video + rtpTicks(t.Sub(r.epoch), 90_000) }

func (r *Room) audioTime(t time.Time, rate uint32) uint32 {
	return r.bases.audio + rtpTicks(t.Sub(r.epoch), rate)
}

func rtpTicks(d time.Duration, rate uint32) uint32 {
	const part = time.Microsecond // keeps days of time within 64 bits
	return uint32(int64(d/part) * int64(rate) / int64(time.Second/part))
}

// logNow logs an error of the media path, at most once a second.
func (r *Room) logNow(what string, err error) {
	now := time.Now().UnixNano()
	if last := r.lastLog.Load(); now-last > int64(time.Second) && r.lastLog.CompareAndSwap(last, now) {
		r.log.Warn("media error", "in", what, "error", err)
	}
}

// admit refuses newcomers to a full room.
func (r *Room) admit(id Identity) error {
	if r.members[id.ID] == nil && len(r.members) >= r.server.cfg.MaxParticipants {
		return fmt.Errorf("room %q: %w: it has %d members", r.name, ErrFull, len(r.members))
	}
	return nil
}

// join finds or makes the member for an identity.
func (r *Room) join(id Identity) (*member, error) {
	m := r.members[id.ID]
	if m == nil {
		if err := r.admit(id); err != nil {
			return nil, err
		}
		r.arrivals++
		m = &member{order: r.arrivals, id: Identity{ID: id.ID}}
		m.level.Store(-127)
		m.behind.Store(int64(noSound))
		r.members[id.ID] = m
	}
	m.id.Name, m.id.Role = id.Name, id.Role // not ID, which others read
	return m, nil
}

func (r *Room) publish(id Identity, src Source) (*Publication, error) {
	m, err := r.join(id)
	if err != nil {
		return nil, err
	}
	if m.pub != nil {
		m.pub.end()
		m.pub.src.Close(ErrReplaced)
	}
	m.audioOff.Store(false)
	m.videoOff.Store(false)
	m.ask = Ask{}
	m.pub = newPublication(r, m, src)
	r.update()
	return m.pub, nil
}

func (r *Room) unpublish(p *Publication, reason error) {
	p.end()
	if reason != nil {
		p.src.Close(reason)
	}
	if p.who.pub == p {
		p.who.pub = nil
		r.leave(p.who)
	}
}

func (r *Room) subscribe(id Identity, sink Sink, spec TierSpec) (*Subscription, error) {
	s := &Subscription{room: r, sink: sink, spec: spec}
	takes := sink.Codecs()
	s.video, s.audio = r.server.common(codec.Video, takes), r.server.common(codec.Audio, takes)
	if s.video == nil && s.audio == nil {
		return nil, fmt.Errorf("receiver takes %v: %w", takes, ErrNoCodec)
	}
	m, err := r.join(id)
	if err != nil {
		return nil, err
	}
	if m.sub != nil {
		m.sub.end()
		m.sub.sink.Close(ErrReplaced)
	}
	s.who, m.sub = m, s
	r.update()
	return s, nil
}

func (r *Room) unsubscribe(s *Subscription, reason error) {
	s.end()
	if reason != nil {
		s.sink.Close(reason)
	}
	if s.who.sub == s {
		s.who.sub = nil
		r.leave(s.who)
	}
}

// leave forgets a member that neither sends nor receives.
func (r *Room) leave(m *member) {
	if m.pub == nil && m.sub == nil && r.members[m.id.ID] == m {
		delete(r.members, m.id.ID)
	}
	r.update()
}

// drop ends all that a member has.
func (r *Room) drop(m *member, reason error) {
	if p := m.pub; p != nil {
		m.pub = nil
		p.end()
		p.src.Close(reason)
	}
	if s := m.sub; s != nil {
		m.sub = nil
		s.end()
		s.sink.Close(reason)
	}
	delete(r.members, m.id.ID)
}

// update brings all that follows from who is here and who wants what in line:
// canvases, tiers, what is decoded and asked of senders, the sound's roster.
func (r *Room) update() {
	now := time.Now()
	people := r.publishers()
	used := map[string]bool{}
	if r.snapshots > 0 {
		used[gallery] = true
	}
	wants := map[*Subscription]tierKey{}
	for _, m := range r.members {
		if m.sub == nil || m.sub.video == nil {
			continue
		}
		key := tierKey{canvas: canvasFor(m, people), codec: m.sub.video.Name, spec: m.sub.spec}
		wants[m.sub], used[key.canvas] = key, true
	}
	r.arrange(people, used, r.videoTime(now))
	for s, key := range wants {
		s.follow(r.tier(key, s.video))
	}
	r.prune(now)
	r.watchSenders(people)
	r.updateSound()
	r.publishState()
}

// publishers returns those who send something, in order of arrival.
func (r *Room) publishers() []*member {
	var people []*member
	for _, m := range r.members {
		if m.pub != nil {
			people = append(people, m)
		}
	}
	slices.SortFunc(people, func(a, b *member) int { return cmp.Compare(a.order, b.order) })
	return people
}

// canvasFor says which canvas a member looks at: of two people each gets the
// other full, all else is the gallery.
func canvasFor(m *member, people []*member) string {
	if len(people) == 2 {
		switch m {
		case people[0]:
			return solo(people[1].id.ID)
		case people[1]:
			return solo(people[0].id.ID)
		}
	}
	return gallery
}

// arrange plans the canvases that somebody looks at and forgets the others.
func (r *Room) arrange(people []*member, used map[string]bool, since uint32) {
	r.canvases[gallery].arrange(people, since)
	for _, m := range people {
		key := solo(m.id.ID)
		if !used[key] {
			continue
		}
		if r.canvases[key] == nil {
			r.canvases[key] = newCanvas(key)
		}
		r.canvases[key].arrange([]*member{m}, since)
	}
	for key := range r.canvases {
		if key != gallery && !used[key] && !r.drawn(key) {
			delete(r.canvases, key)
		}
	}
}

// drawn reports whether a tier draws that canvas.
func (r *Room) drawn(canvas string) bool {
	for key := range r.tiers {
		if key.canvas == canvas {
			return true
		}
	}
	return false
}

// tier finds or opens the tier of that key.
func (r *Room) tier(key tierKey, c *codec.Codec) *Tier {
	t := r.tiers[key]
	if t == nil {
		// Phases a golden ratio apart keep any number of encoders from starting
		// in the same moment.
		r.opened++
		phase := time.Duration(float64(r.opened) * 0.618 * float64(time.Second/time.Duration(key.spec.FPS)))
		t = newTier(r.ctx, r, key, r.canvases[key.canvas], c, phase)
		if bps := r.rates[key.spec.Name]; bps > 0 {
			t.setBitrate(bps)
		}
		r.tiers[key] = t
		r.log.Info("tier opened", "tier", key.spec.Name, "codec", key.codec, "canvas", key.canvas)
	}
	return t
}

// prune takes listeners that moved on from their former tiers, and closes
// tiers nobody has listened to for a while.
func (r *Room) prune(now time.Time) {
	for key, t := range r.tiers {
		for _, s := range *t.listeners.Load() {
			if !s.holds(t) {
				t.remove(s, now)
			}
		}
		if t.empty() && now.Sub(t.emptied) > r.server.cfg.TierLinger {
			t.stop()
			r.server.metrics.ended(t, nil)
			delete(r.tiers, key)
			r.log.Info("tier closed", "tier", key.spec.Name, "codec", key.codec, "canvas", key.canvas)
		}
	}
}

// watchSenders switches decoding on for who is on a canvas in use, and asks
// all senders for what their largest tile needs.
func (r *Room) watchSenders(people []*member) {
	asks := make(map[*member]Ask, len(people))
	need := func(c string, width, height, fps int) {
		seats := r.canvases[c].plan.Load().seats
		for i, place := range compositor.Grid(len(seats), width, height) {
			if m := seats[i].who; m != nil {
				a := asks[m]
				a.Active = true
				if place.W*place.H > a.Width*a.Height {
					a.Width, a.Height = place.W, place.H
				}
				a.FPS = max(a.FPS, fps)
				asks[m] = a
			}
		}
	}
	for key, t := range r.tiers {
		if !t.empty() {
			need(key.canvas, key.spec.Width, key.spec.Height, key.spec.FPS)
		}
	}
	if r.snapshots > 0 {
		need(gallery, snapshotWidth, snapshotHeight, 5)
	}
	for _, m := range people {
		a := asks[m]
		a.Active = a.Active && !m.videoHidden.Load()
		a.Bitrate = askBitrate(a)
		m.pub.want(a.Active)
		if a != m.ask {
			m.ask = a
			m.pub.src.Ask(a)
		}
	}
}

// askBitrate is what a tile's pixels are worth: about 0.09 bit each, which
// gives 640x360 at 25 fps 520 kb/s.
func askBitrate(a Ask) int {
	if !a.Active {
		return 0
	}
	bps := a.Width * a.Height * a.FPS * 9 / 100
	return min(max(bps, 60_000), 1_700_000) / 10_000 * 10_000
}

// housekeep does what no message starts.
func (r *Room) housekeep(now time.Time) {
	r.prune(now)
	r.arrangeUsed()
	if f := r.fingerprint(now); f != r.dynamics {
		r.dynamics = f
		r.publishState()
	}
}

// arrangeUsed forgets canvases whose last tier was closed.
func (r *Room) arrangeUsed() {
	for key := range r.canvases {
		if key != gallery && !r.drawn(key) {
			delete(r.canvases, key)
		}
	}
}

// updateSound hands the sound clock who is there; it runs while anybody is.
func (r *Room) updateSound() {
	legs := make([]soundSeat, 0, len(r.members))
	for _, m := range r.members {
		leg := soundSeat{who: m, sub: m.sub}
		if m.pub != nil {
			leg.voice = m.pub.src.Voice()
		}
		legs = append(legs, leg)
	}
	switch {
	case len(legs) == 0 && r.sound != nil:
		r.sound.stop()
		r.sound = nil
	case len(legs) > 0 && r.sound == nil:
		r.sound = newSoundClock(r.ctx, r)
	}
	if r.sound != nil {
		r.sound.roster.Store(&legs)
	}
}

const snapshotWidth, snapshotHeight = 1280, 720

// snapshot draws the gallery as it is, or would be if somebody looked.
func (r *Room) snapshot(ctx context.Context) (image.Image, error) {
	started := time.Now()
	if err := r.do(func() { r.snapshots++; r.update() }); err != nil {
		return nil, err
	}
	defer r.do(func() { r.snapshots--; r.update() })
	var p *plan
	for waiting := true; waiting; {
		if err := r.do(func() {
			p = r.canvases[gallery].plan.Load()
			waiting = time.Since(started) < time.Second && !p.fresh(started)
		}); err != nil {
			return nil, err
		}
		if waiting {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	img, err := p.snapshot(snapshotWidth, snapshotHeight, time.Now(), r)
	if err != nil {
		return nil, fmt.Errorf("snapshot of room %q: %w", r.name, err)
	}
	return img, nil
}

// fresh reports whether everybody who sends pictures has one from after t.
func (p *plan) fresh(t time.Time) bool {
	for _, s := range p.seats {
		if s.pub == nil || s.pub.count.units.Load() == 0 || s.who.veiled() {
			continue
		}
		if _, _, at := s.pub.slot.size(); at.Before(t) {
			return false
		}
	}
	return true
}
