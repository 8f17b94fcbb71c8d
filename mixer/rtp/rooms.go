package rtp

import (
	"context"

	"mixdown/mixer"
)

// ForServer makes the rooms of s reachable for a Transport.
func ForServer(s *mixer.Server) Rooms { return server{s} }

type server struct{ *mixer.Server }

func (s server) Publish(room string, who mixer.Identity, src mixer.Source) (Publication, error) {
	p, err := s.Server.Publish(context.Background(), room, who, src)
	if err != nil {
		return nil, err // not a nil *mixer.Publication in an interface
	}
	return p, nil
}

func (s server) Subscribe(room string, who mixer.Identity, sink mixer.Sink, want mixer.Want) (Subscription, error) {
	sub, err := s.Server.Subscribe(context.Background(), room, who, sink, want)
	if err != nil {
		return nil, err
	}
	return sub, nil
}
