package webrtc

import (
	"context"

	"mixdown/codec"
	"mixdown/mixer"
)

// Rooms is where peers go once their connection stands.
type Rooms interface {
	Publish(ctx context.Context, room string, who mixer.Identity, src mixer.Source) (Publication, error)
	Subscribe(ctx context.Context, room string, who mixer.Identity, sink mixer.Sink, want mixer.Want) (Subscription, error)
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
	Resume()
	Bitrate() int
	Best() int
	SetTier(name string) error
	Fit(mixer.Fit)
	Close()
}

// ForServer makes the rooms of s reachable for a Transport.
func ForServer(s *mixer.Server) Rooms { return server{s} }

type server struct{ *mixer.Server }

func (s server) Publish(ctx context.Context, room string, who mixer.Identity, src mixer.Source) (Publication, error) {
	p, err := s.Server.Publish(ctx, room, who, src)
	if err != nil {
		return nil, err // not a nil *mixer.Publication in an interface
	}
	return p, nil
}

func (s server) Subscribe(ctx context.Context, room string, who mixer.Identity, sink mixer.Sink, want mixer.Want) (Subscription, error) {
	sub, err := s.Server.Subscribe(ctx, room, who, sink, want)
	if err != nil {
		return nil, err
	}
	return sub, nil
}
