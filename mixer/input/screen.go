package input

import (
	"context"
	"sync"
	"time"

	"mixdown/codec"
)

const (
	// lead is how long before its sound a picture is handed over: the room holds it
	// until then.
	lead = 120 * time.Millisecond
	// tooLate is when a picture is left out, if there is a later one.
	tooLate = 200 * time.Millisecond
	// again is how often a picture that stays is handed over anew, so that nobody
	// takes it for one of a sender that is gone.
	again = 500 * time.Millisecond
	// Bounds of the packets that wait.
	maxPackets, maxBytes = 900, 24 << 20
)

// shows is where pictures go, a mixer.Publication.
type shows interface {
	WriteFrame(f *codec.Frame, spent time.Duration)
	Wanted() bool
}

// screen decodes pictures and hands them over when it is time.
type screen struct {
	line *line
	to   shows
	dec  codec.MediaPictures

	mu     sync.Mutex
	queue  []item
	bytes  int
	from   time.Duration // pictures before it are not shown: a seek goes to a keyframe before
	flush  bool
	closed bool
	wake   chan struct{}
	spare  uint64 // pictures left out

	// Touched by run only.
	ready  []codec.MediaPicture
	last   *codec.Frame
	lastAt time.Time
	skip   bool          // until the next keyframe: nobody looks
	key    time.Duration // of the newest keyframe
	spent  time.Duration // of computing, since a picture was handed over
	errors uint64        // packets that could not be decoded
}

// item is a packet, or with none the end of what can be decoded together.
type item struct {
	packet codec.MediaPacket
	shift  time.Duration // to be added to its times
}

func newScreen(l *line, to shows, dec codec.MediaPictures) *screen {
	return &screen{line: l, to: to, dec: dec, key: unset, wake: make(chan struct{}, 1)}
}

// push takes a packet over. It does not wait; full tells when to.
func (s *screen) push(it item) {
	s.mu.Lock()
	if it.packet != nil {
		s.bytes += it.packet.Size()
	}
	s.queue = append(s.queue, it)
	s.mu.Unlock()
	s.nudge()
}

func (s *screen) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// waiting is the packets that wait and how long they last; full, that no more fit.
func (s *screen) waiting() (n int, span time.Duration, full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, last := unset, unset
	for _, it := range s.queue {
		if it.packet == nil || it.packet.Time() <= unset {
			continue
		}
		if first == unset {
			first = it.packet.Time() + it.shift
		}
		last = it.packet.Time() + it.shift
	}
	return len(s.queue), max(0, last-first), len(s.queue) >= maxPackets || s.bytes >= maxBytes
}

// thin drops what waits up to the newest keyframe.
func (s *screen) thin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	cut := len(s.queue)
	for i := len(s.queue) - 1; i > 0; i-- {
		if p := s.queue[i].packet; p != nil && p.Key() {
			cut = i
			break
		}
	}
	for _, it := range s.queue[:cut] {
		s.forget(it)
		s.spare++
	}
	s.queue = s.queue[:copy(s.queue, s.queue[cut:])]
}

// forget frees an item's packet. The caller holds mu.
func (s *screen) forget(it item) {
	if it.packet != nil {
		s.bytes -= it.packet.Size()
		it.packet.Free()
	}
}

// jump drops all that waits; what is decoded next is shown from a time on.
func (s *screen) jump(from time.Duration) {
	s.mu.Lock()
	for _, it := range s.queue {
		s.forget(it)
	}
	s.queue, s.from, s.flush = nil, from, true
	s.mu.Unlock()
	s.nudge()
}

// dropped is how many pictures were left out.
func (s *screen) dropped() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.spare
}

// idle reports whether all that was pushed is on show.
func (s *screen) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed || len(s.queue) == 0 && len(s.ready) == 0
}

// run shows pictures until ctx ends.
func (s *screen) run(ctx context.Context) {
	defer s.close()
	mediaThread()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(s.step(time.Now()))
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
		}
	}
}

func (s *screen) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, it := range s.queue {
		s.forget(it)
	}
	s.queue = nil
	s.empty()
	if s.last != nil {
		s.last.Release()
		s.last = nil
	}
	s.dec.Close()
}

// empty releases what is decoded. The caller holds mu.
func (s *screen) empty() {
	for _, p := range s.ready {
		p.Release()
	}
	s.ready = s.ready[:0]
}

// step shows what is due and returns after what time to look again.
func (s *screen) step(now time.Time) time.Duration {
	s.mu.Lock()
	if s.flush {
		s.flush = false
		s.empty()
		s.dec.Flush()
	}
	s.mu.Unlock()
	s.decode()
	at, running := s.line.now(now)
	if s.line.sounds {
		at += lead
	}
	next := again
	for len(s.ready) > 0 && at != unset {
		first := s.ready[0]
		late := at - first.At
		if late < 0 {
			if running {
				next = min(next, -late)
			}
			break
		}
		if late > tooLate && len(s.ready) == 1 && !s.line.sounds {
			s.line.slip(late)
			late = 0
		}
		s.shift()
		if late > tooLate && (len(s.ready) > 0 || s.more()) && now.Sub(s.lastAt) < tooLate {
			first.Release()
			s.mu.Lock()
			s.spare++
			s.mu.Unlock()
		} else {
			s.show(first, now)
		}
		s.decode()
	}
	if s.last != nil && now.Sub(s.lastAt) >= again {
		s.lastAt = now
		s.to.WriteFrame(s.last.Retain(), 0)
	}
	return max(time.Millisecond, min(next, again))
}

// shift takes the first of ready off.
func (s *screen) shift() {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := copy(s.ready, s.ready[1:])
	s.ready[n] = codec.MediaPicture{}
	s.ready = s.ready[:n]
}

func (s *screen) more() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue) > 0
}

func (s *screen) show(p codec.MediaPicture, now time.Time) {
	if s.line.sounds {
		p.Captured = s.line.captured(p.At)
	}
	p.Arrived = now
	if s.last != nil {
		s.last.Release()
	}
	s.last, s.lastAt = p.Frame.Retain(), now
	s.to.WriteFrame(p.Frame, s.spent)
	s.spent = 0
}

// decode decodes until there is a picture or nothing to decode. What cannot be
// decoded is a hole.
func (s *screen) decode() {
	for {
		s.mu.Lock()
		if len(s.ready) > 0 || len(s.queue) == 0 || s.flush {
			s.mu.Unlock()
			return
		}
		it := s.queue[0]
		s.queue = s.queue[:copy(s.queue, s.queue[1:])]
		if it.packet != nil {
			s.bytes -= it.packet.Size()
		}
		from := s.from
		s.mu.Unlock()
		if it.packet == nil {
			s.finish(it.shift, from)
			continue
		}
		if it.packet.Key() {
			s.skip = s.spares(it.packet.Time() + it.shift)
		} else if s.skip {
			it.packet.Free()
			continue
		}
		start := threadTime()
		got, err := s.dec.Decode(it.packet, nil)
		s.spent += threadTime() - start
		it.packet.Free()
		s.take(got, it.shift, from)
		if err != nil {
			s.errors++
		}
		if s.skip {
			s.finish(it.shift, from) // it is not to wait for those after it
		}
	}
}

// rareKeys is how far keyframes may be apart for the others to be left out while
// nobody looks: so long somebody who does may see an old picture.
const rareKeys = 3 * time.Second

// spares reports whether a keyframe at a time is enough up to the next one.
func (s *screen) spares(at time.Duration) bool {
	last := s.key
	s.key = at
	return !s.to.Wanted() && last != unset && at > last && at-last <= rareKeys
}

// finish takes what the decoder still holds.
func (s *screen) finish(shift, from time.Duration) {
	got, err := s.dec.Decode(nil, nil)
	s.take(got, shift, from)
	s.dec.Flush()
	if err != nil {
		s.errors++
	}
}

func (s *screen) take(got []codec.MediaPicture, shift, from time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range got {
		p.At += shift
		if p.At < from || s.flush {
			p.Release()
			continue
		}
		s.ready = append(s.ready, p)
	}
}
