package mixer

import (
	"sync"
	"sync/atomic"
	"time"

	"mixdown/codec"
)

// Subscription is a Sink's place in a room. While it moves from one tier to
// another it listens to both, and changes over at the new one's keyframe.
type Subscription struct {
	room  *Room
	who   *member
	sink  Sink
	video []*codec.Codec // that it takes, in the server's order; empty: no pictures
	audio *codec.Codec   // nil: takes no sound
	spec  TierSpec       // asked for; the room's goroutine only
	fits  int            // best index of the ladder that its link carries; too
	tone  int            // index of SoundSpec.Tones that it carries; too
	loss  int            // index of SoundSpec.losses for it; too

	lossy    bool      // its link loses much; the room's goroutine only
	restless bool      // and it asks for keyframes again and again; too
	asked    time.Time // since when it missed the last one, being lossy; too

	best atomic.Int32 // index in the ladder of what was asked for

	fit    atomic.Pointer[Fit] // the newest; the room has yet to take it over
	pleads atomic.Bool         // it asks for a keyframe, being lossy; likewise

	mu            sync.Mutex
	current, next *Tier
	watching      bool // has had a picture
	closed        bool
	keyed         time.Time // when it last got a keyframe
}

// RequestKeyframe asks for a keyframe in the receiver's tier; requests of all
// its receivers are folded. Of who loses much it may take one of the tier's twin.
func (s *Subscription) RequestKeyframe() {
	if s.fit.Load().Lossy {
		s.pleads.Store(true)
		s.room.heed()
		return
	}
	s.requestKey(s.room.server.cfg.KeyframeHold)
}

// Resume asks for a keyframe as for a newcomer: the receiver was out of reach,
// and shall not wait for the next one that is due.
func (s *Subscription) Resume() { s.requestKey(s.room.server.cfg.JoinHold) }

func (s *Subscription) requestKey(hold time.Duration) {
	s.mu.Lock()
	t := s.current
	if t == nil || s.next != nil && s.next.key.twin { // those on the one it leaves are spared
		t = s.next
	}
	s.mu.Unlock()
	if t != nil {
		t.requestKey(hold)
	}
}

// Bitrate is what the tier that the receiver is on was made for, bit/s; 0 while
// it is on none.
func (s *Subscription) Bitrate() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.current != nil:
		return s.current.key.spec.Bitrate
	case s.next != nil:
		return s.next.key.spec.Bitrate
	}
	return 0
}

// SetTier moves the receiver to a tier of the ladder, at that tier's next keyframe,
// or as close to it as its link carries; with SoundOnly it gets no pictures.
func (s *Subscription) SetTier(name string) error {
	spec, err := s.room.server.cfg.tier(name)
	if err != nil {
		return err
	}
	return s.room.do(func() { s.ask(spec) })
}

// ask moves the receiver from the room's goroutine. Who had asked for no pictures and
// wants them again looks at nothing, and waits like a newcomer.
func (s *Subscription) ask(spec TierSpec) {
	if s.spec.Name == SoundOnly {
		s.mu.Lock()
		s.watching = false
		s.mu.Unlock()
	}
	s.spec = spec
	s.room.update()
}

// Close takes the sink out of the room. It may be called twice.
func (s *Subscription) Close() {
	s.room.do(func() { s.room.unsubscribe(s, nil) })
}

// writeVideo is called by each tier that s listens to.
func (s *Subscription) writeVideo(t *Tier, picture []*Packet, key bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == t && key {
		s.current, s.next, s.watching = t, nil, true
	}
	if s.current == t {
		if key {
			s.keyed = time.Now()
		}
		s.sink.WriteVideo(picture)
	}
}

// writeAudio is called by the sound clock.
func (s *Subscription) writeAudio(p *Packet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.sink.WriteAudio(p)
	}
}

// end makes sure that nothing is written to the sink any more.
func (s *Subscription) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current, s.next, s.closed = nil, nil, true
}

// follow moves s to t from the room's goroutine; hold is how long t's keyframe
// may be waited for.
func (s *Subscription) follow(t *Tier, hold time.Duration) {
	s.mu.Lock()
	old := s.next
	newcomer := !s.watching // who comes back from sound alone is none
	switch {
	case s.current == t:
		s.next = nil
	default:
		s.next = t
	}
	moves := s.next != nil && s.next != old
	s.mu.Unlock()
	if moves {
		t.add(s)
		if newcomer {
			hold = s.room.server.cfg.JoinHold
		}
		t.requestKey(hold)
	}
}

// rest takes s off all tiers: its receiver gets sound only.
func (s *Subscription) rest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current, s.next = nil, nil
}

// holds reports whether s still listens to t.
func (s *Subscription) holds(t *Tier) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current == t || s.next == t
}
