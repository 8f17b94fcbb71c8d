package mixer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"mixdown/codec"
)

// member is one person in a room.
type member struct {
	id     Identity // Name and Role are the room's goroutine's; ID never changes
	order  uint64   // of arrival
	pub    *Publication
	sub    *Subscription
	ask    Ask
	share  float64   // of the canvas that its tile has, the largest one; the room's goroutine only
	opened time.Time // when its sound was last open; too
	screen time.Time // since when its picture is a screen; zero: it is none; too
	hand   time.Time // since when its hand is raised; zero: it is not; too

	taps atomic.Pointer[[]Tap] // never nil; replaced by the room's goroutine

	// Written by the room's goroutine, read by the clocks.
	audioMuted, audioOff  atomic.Bool // by a host; by the person
	videoHidden, videoOff atomic.Bool
	// Written by the sound clock, read by the room and the tiers.
	open, speaking atomic.Bool
	looked         atomic.Int64 // when there last was a reason to look at it, ns since 1970
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

// attended reports whether people look at this one now: it speaks, or did.
func (m *member) attended(now time.Time) bool {
	return now.UnixNano()-m.looked.Load() < int64(attentionHold)
}

// silenced reports whether the person's sound is muted by anyone.
func (m *member) silenced() bool { return m.audioMuted.Load() || m.audioOff.Load() }

// veiled reports whether the person's picture is hidden by anyone.
func (m *member) veiled() bool { return m.videoHidden.Load() || m.videoOff.Load() }

// admit refuses newcomers to a room that is locked or full.
func (r *Room) admit(id Identity) error {
	if r.members[id.ID] != nil || id.Role.hidden() {
		return nil
	}
	if err := r.lockedOut(id); err != nil {
		return err
	}
	if n := r.people(); n >= r.server.cfg.MaxParticipants {
		return fmt.Errorf("room %q: %w: it has %d members", r.name, ErrFull, n)
	}
	return nil
}

// people counts the members that are no recorders or streamers.
func (r *Room) people() (n int) {
	for _, m := range r.members {
		if !m.id.Role.hidden() {
			n++
		}
	}
	return n
}

// serves reports whether somebody of that role receives.
func (r *Room) serves(role Role) bool {
	for _, m := range r.members {
		if m.id.Role == role && m.sub != nil {
			return true
		}
	}
	return false
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
		m.taps.Store(&[]Tap{})
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
	m.screen = time.Time{}
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

func (r *Room) subscribe(id Identity, sink Sink, spec TierSpec, fit Fit) (*Subscription, error) {
	s := &Subscription{room: r, sink: sink, spec: spec}
	s.fit.Store(&fit)
	s.refit()
	takes := sink.Codecs()
	s.video = r.server.common(codec.Video, takes)
	sound := r.server.common(codec.Audio, takes)
	if id.Role.hidden() { // no matter which codecs are the room's
		own := func(a, b *codec.Codec) int { return cmp.Compare(rank(takes, a), rank(takes, b)) }
		slices.SortStableFunc(s.video, own)
		slices.SortStableFunc(sound, own)
	}
	if len(sound) > 0 {
		s.audio = sound[0]
	}
	if len(s.video) == 0 && s.audio == nil {
		return nil, fmt.Errorf("receiver takes %v: %w", takes, ErrNoCodec)
	}
	if err := r.programmable(s, id); err != nil {
		return nil, err
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

// programmable refuses a programme beyond those that the room may have encoders
// for.
func (r *Room) programmable(s *Subscription, id Identity) error {
	if s.spec.Name != programme || len(s.video) == 0 {
		return nil
	}
	type shape struct {
		spec  TierSpec
		codec string
	}
	mine := shape{s.spec, s.video[0].Name}
	had := map[shape]bool{}
	for _, m := range r.members {
		if m.sub != nil && m.sub.spec.Name == programme && len(m.sub.video) > 0 && m.id.ID != id.ID {
			had[shape{m.sub.spec, m.sub.video[0].Name}] = true
		}
	}
	if had[mine] || len(had) < max(r.server.cfg.Programmes, 1) {
		return nil
	}
	for one := range had {
		return fmt.Errorf("room %q: %w, which now is %s %s, not %s %s: ask for the same, leave that open, or stop the others first",
			r.name, ErrProgramme, one.codec, one.spec, mine.codec, mine.spec)
	}
	return nil
}

// rank is where a receiver has a codec in its order.
func rank(takes []string, c *codec.Codec) int {
	return slices.IndexFunc(takes, func(name string) bool { return strings.EqualFold(name, c.Name) })
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
