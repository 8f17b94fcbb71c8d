package mixer

import (
	"sync"
	"time"

	"mixdown/codec"
)

// slot holds a sender's newest frame. Decoders put, tiers take; neither waits
// for the other.
type slot struct {
	mu     sync.Mutex
	frame  *codec.Frame
	seq    uint64
	at     time.Time
	closed bool
}

// put takes over the caller's reference.
func (s *slot) put(f *codec.Frame, now time.Time) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		f.Release()
		return
	}
	old := s.frame
	s.frame, s.at = f, now
	s.seq++
	s.mu.Unlock()
	if old != nil {
		old.Release()
	}
}

// take returns the newest frame, which the caller releases, nil if there is
// none, with its number and the time it was put.
func (s *slot) take() (f *codec.Frame, seq uint64, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frame == nil {
		return nil, s.seq, s.at
	}
	return s.frame.Retain(), s.seq, s.at
}

// size returns the newest frame's size, or zeros.
func (s *slot) size() (w, h int, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frame == nil {
		return 0, 0, s.at
	}
	return s.frame.Width, s.frame.Height, s.at
}

// close releases the frame; later ones are released at once.
func (s *slot) close() {
	s.mu.Lock()
	f := s.frame
	s.frame, s.closed = nil, true
	s.mu.Unlock()
	if f != nil {
		f.Release()
	}
}
