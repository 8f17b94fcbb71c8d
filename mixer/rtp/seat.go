package rtp

import (
	"sync/atomic"

	"mixdown/codec"
	"mixdown/mixer"
)

// Rooms is where legs go.
type Rooms interface {
	Publish(room string, who mixer.Identity, src mixer.Source) (Publication, error)
	Subscribe(room string, who mixer.Identity, sink mixer.Sink, want mixer.Want) (Subscription, error)
	SetMedia(room, id string, audio, video *bool) error
	SetScreen(room, id string, on bool) error
	// Rungs is all that a receiver can be given.
	Rungs() mixer.Rungs
}

// Publication is a Source's place in a room; see mixer.Publication.
type Publication interface {
	WriteUnit(codec.Unit)
	Lost()
	Close()
}

// Subscription is a Sink's place in a room; see mixer.Subscription.
type Subscription interface {
	RequestKeyframe()
	Fit(mixer.Fit)
	Bitrate() int
	Close()
}

// seat is a leg's place in one room: its Source and its Sink there. A leg that
// moves, or whose codecs change, takes another one.
type seat struct {
	leg     *Leg
	session mixer.Session
	codecs  []string
	voice   mixer.Voice
	pub     Publication
	sub     Subscription
	retired atomic.Bool // the leg has left it by itself
}

var (
	_ mixer.Source = (*seat)(nil)
	_ mixer.Sink   = (*seat)(nil)
)

// Voice implements mixer.Source.
func (s *seat) Voice() mixer.Voice { return s.voice }

// RequestKeyframe implements mixer.Source.
func (s *seat) RequestKeyframe() { s.leg.source.wantKey() }

// Ask implements mixer.Source.
func (s *seat) Ask(a mixer.Ask) { s.leg.source.asked.Store(&a) }

// Codecs implements mixer.Sink.
func (s *seat) Codecs() []string { return s.codecs }

// WriteVideo implements mixer.Sink.
func (s *seat) WriteVideo(picture []*mixer.Packet) { s.leg.sink.video(s, picture) }

// WriteAudio implements mixer.Sink.
func (s *seat) WriteAudio(p *mixer.Packet) { s.leg.sink.audio(s, p, false) }

// Close implements mixer.Source and mixer.Sink: the room ends the leg, unless the leg
// has left it.
func (s *seat) Close(reason error) {
	if !s.retired.Load() {
		s.leg.Hangup(reason)
	}
}

// leave takes the seat out of its room.
func (s *seat) leave() {
	s.retired.Store(true)
	if s.pub != nil {
		s.pub.Close()
	}
	if s.sub != nil {
		s.sub.Close()
	}
}
