package mixer

import (
	"context"
	"image"

	"mixdown/codec"
)

// Server holds the rooms.
type Server struct{}

// NewServer returns a server without rooms.
func NewServer(cfg Config, codecs codec.Set) (*Server, error) { return nil, nil }

// Config is what an operator decides about rooms.
type Config struct{}

// Close ends all rooms and waits for their goroutines. It may be called twice.
func (s *Server) Close() error { return nil }

// RoomConfig is what makes a room.
type RoomConfig struct {
	Name string `json:"name"`
}

// CreateRoom makes a room, or returns the one of that name (created false).
func (s *Server) CreateRoom(cfg RoomConfig) (created bool, err error) { return false, nil }

// DeleteRoom closes a room and everybody's sessions in it.
func (s *Server) DeleteRoom(room string) error { return nil }

// Rooms lists the names of the rooms.
func (s *Server) Rooms() []string { return nil }

// State tells who is in a room and what is where.
func (s *Server) State(room string) (State, error) { return State{}, nil }

// Watch sends the room's State now and after each change, the newest only,
// until ctx ends or the room closes (the channel is closed).
func (s *Server) Watch(ctx context.Context, room string) (<-chan State, error) { return nil, nil }

// Mute mutes or unmutes a participant's sound and picture; nil leaves as is.
func (s *Server) Mute(room, id string, audio, video *bool) error { return nil }

// SetMedia notes what a participant itself says it is sending: a camera that
// was switched off becomes a name tile at once; nil leaves as is.
func (s *Server) SetMedia(room, id string, audio, video *bool) error { return nil }

// Remove ends a participant's sessions with reason ErrRemoved.
func (s *Server) Remove(room, id string) error { return nil }

// SetTier moves a participant to a tier of the ladder by name.
func (s *Server) SetTier(room, id, tier string) error { return nil }

// Tiers lists the names of the ladder, best first.
func (s *Server) Tiers() []string { return nil }

// Snapshot returns a copy of the room's gallery as it is now.
func (s *Server) Snapshot(ctx context.Context, room string) (image.Image, error) { return nil, nil }

// Publish makes src the Source of who in a room; a former one is closed with
// ErrReplaced. The room must exist.
func (s *Server) Publish(ctx context.Context, room string, who Identity, src Source) (*Publication, error) {
	return nil, nil
}

// Subscribe makes sink the Sink of who in a room, likewise.
func (s *Server) Subscribe(ctx context.Context, room string, who Identity, sink Sink, want Want) (*Subscription, error) {
	return nil, nil
}

// Publication is a Source's place in a room.
type Publication struct{}

// WriteUnit hands over one whole access unit in decoding order. It never
// blocks; when the decoder is behind, units are dropped up to the next
// keyframe, which is asked for. u.Data passes to the room.
func (p *Publication) WriteUnit(u codec.Unit) {}

// Lost tells that units are missing before the next one.
func (p *Publication) Lost() {}

// Close takes the source out of the room. It may be called twice, and after
// the room closed it.
func (p *Publication) Close() {}

// Subscription is a Sink's place in a room.
type Subscription struct{}

// RequestKeyframe asks for a keyframe in the receiver's tier; requests of all
// its receivers are folded.
func (s *Subscription) RequestKeyframe() {}

// SetTier moves the receiver to a tier of the ladder, at that tier's next keyframe.
func (s *Subscription) SetTier(name string) error { return nil }

// Close takes the sink out of the room. It may be called twice.
func (s *Subscription) Close() {}
