package mixer

import (
	"sync"
	"time"

	"mixdown/codec"
)

const (
	// maxHold is how long a frame may wait for its sound: past it, a picture
	// ahead of its voice is better than one that is not there.
	maxHold = 350 * time.Millisecond
	// maxHeld bounds the frames that wait: maxHold at 30 fps, and some.
	maxHeld = 12
	// maxHeldPixels bounds them where they are large: as many of 1080p.
	maxHeldPixels = maxHeld * 1920 * 1080
	// noSound is the lag of a sender whose sound tells no capture times.
	noSound = time.Duration(-1)
)

// slot holds a sender's frames: the one on show, and those after it whose sound
// has not been played yet. Decoders put, tiers take; neither waits for the
// other.
type slot struct {
	mu     sync.Mutex
	frames []held // oldest first; the first is on show
	seq    uint64
	at     time.Time // of the newest
	closed bool
}

type held struct {
	*codec.Frame
	width, height int // as it was sent
	seq           uint64
	at            time.Time // when it was put
}

// put takes over the caller's reference. The picture was sent as one of width x
// height; f may be smaller.
func (s *slot) put(f *codec.Frame, width, height int, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		f.Release()
		return
	}
	pixels := f.Width * f.Height
	for _, h := range s.frames {
		pixels += h.Width * h.Height
	}
	for len(s.frames) == maxHeld || len(s.frames) > 0 && pixels > maxHeldPixels {
		pixels -= s.frames[0].Width * s.frames[0].Height
		s.drop()
	}
	s.seq++
	s.at = now
	s.frames = append(s.frames, held{f, width, height, s.seq, now})
}

// take returns the newest frame whose capture time is not after the sound that
// plays at now, captured lag ago, with its number and the time it was put. The
// caller releases it; nil means that there is none.
func (s *slot) take(now time.Time, lag time.Duration) (f *codec.Frame, seq uint64, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.frames) > 1 && s.frames[1].due(now, lag) {
		s.drop()
	}
	if len(s.frames) == 0 {
		return nil, s.seq, s.at
	}
	shown := s.frames[0]
	return shown.Retain(), shown.seq, shown.at
}

// due reports whether a frame's sound plays at now, or waiting for it is over.
func (h held) due(now time.Time, lag time.Duration) bool {
	return lag == noSound || h.Captured.IsZero() || !h.Captured.After(now.Add(-lag)) || now.Sub(h.at) >= maxHold
}

// drop releases the oldest frame.
func (s *slot) drop() {
	s.frames[0].Release()
	n := copy(s.frames, s.frames[1:])
	s.frames[n] = held{}
	s.frames = s.frames[:n]
}

// size returns the newest picture's size as it was sent, zeros if there is none, and
// when it was put.
func (s *slot) size() (w, h int, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.frames) == 0 {
		return 0, 0, s.at
	}
	newest := s.frames[len(s.frames)-1]
	return newest.width, newest.height, s.at
}

// close releases all frames; later ones are released at once.
func (s *slot) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for len(s.frames) > 0 {
		s.drop()
	}
}
