package link

import (
	"container/heap"
	"math/rand/v2"
	"time"
)

// Shaper is one direction of a link, without a clock of its own: who calls it
// says what time it is, and time must not go back.
//
//	Push ─▶ block? ─▶ queue (tail drop) ─▶ sending, one at a time ─▶ loss ─▶ on the way ─▶ Pop
//
// A packet that is lost has taken its time on the link, as on the air.
type Shaper struct {
	shape  Shape
	random *rand.Rand
	bad    bool // the lossy state (Gilbert 1960, Elliott 1963)

	queue   []waiting // queue[0] is being sent if sending
	held    int       // bytes in queue, without the one being sent
	sending bool
	done    time.Time // when it will have been sent
	way     flight
	last    time.Time // when the latest on the way is due
	pushed  uint64

	counters Counters
}

type waiting struct {
	data []byte
	came time.Time
}

// NewShaper returns a Shaper; the same seed loses the same packets.
func NewShaper(s Shape, seed uint64) *Shaper {
	return &Shaper{shape: s, random: rand.New(rand.NewPCG(seed, 0x6c696e6b))}
}

// Set changes what the link does from now on. What is on the way stays there;
// the packet being sent goes on at the new rate.
func (s *Shaper) Set(now time.Time, shape Shape) {
	s.advance(now)
	before := s.shape
	s.shape = shape
	if shape.Cut {
		s.counters.Cut += int64(len(s.queue) + len(s.way))
		s.queue, s.way, s.held, s.sending = nil, nil, 0, false
		return
	}
	if s.sending && shape.Rate != before.Rate {
		left := s.done.Sub(now) // at the old rate, which was a limit
		s.done = now
		if shape.Rate > 0 {
			s.done = now.Add(time.Duration(float64(left) * float64(before.Rate) / float64(shape.Rate)))
		}
		s.advance(now)
	}
	for s.held > shape.capacity() { // the queue has become shorter
		end := len(s.queue) - 1
		s.held -= len(s.queue[end].data)
		s.queue = s.queue[:end]
		s.counters.Dropped++
	}
}

// Shape returns what the link does now.
func (s *Shaper) Shape() Shape { return s.shape }

// Push takes a packet, which it keeps.
func (s *Shaper) Push(now time.Time, packet []byte) {
	s.advance(now)
	c := &s.counters
	c.InPackets++
	c.InBytes += int64(len(packet))
	c.Of[kindOf(packet)] += int64(len(packet))
	switch {
	case s.shape.Cut:
		c.Cut++
		return
	case s.shape.Block.drops(packet):
		c.Blocked++
		return
	case s.sending && s.held+len(packet) > s.shape.capacity():
		c.Dropped++
		return
	}
	s.queue = append(s.queue, waiting{packet, now})
	s.held += len(packet)
	if !s.sending {
		s.begin(now)
		s.advance(now)
	}
}

// Pop returns a packet that has arrived by now.
func (s *Shaper) Pop(now time.Time) (packet []byte, ok bool) {
	s.advance(now)
	if len(s.way) == 0 || s.way[0].due.After(now) {
		return nil, false
	}
	packet = heap.Pop(&s.way).(travelling).data
	s.counters.OutPackets++
	s.counters.OutBytes += int64(len(packet))
	return packet, true
}

// Next returns when Pop is worth calling again; false if nothing is under way.
func (s *Shaper) Next() (at time.Time, ok bool) {
	if len(s.way) > 0 {
		at, ok = s.way[0].due, true
	}
	if s.sending && (!ok || s.done.Before(at)) {
		at, ok = s.done, true
	}
	return at, ok
}

// Counters returns what has passed up to now.
func (s *Shaper) Counters(now time.Time) Counters {
	s.advance(now)
	c := s.counters
	c.Waiting = s.held
	return c
}

// begin starts to send the first of the queue.
func (s *Shaper) begin(now time.Time) {
	p := s.queue[0]
	s.sending, s.done = true, now
	s.held -= len(p.data)
	s.counters.waits[min(waitBins-1, max(0, now.Sub(p.came).Milliseconds()))]++
	if s.shape.Rate > 0 {
		s.done = now.Add(time.Duration(float64(len(p.data)) * 8 / float64(s.shape.Rate) * float64(time.Second)))
	}
}

// advance sends all that can have been sent by now.
func (s *Shaper) advance(now time.Time) {
	for s.sending && !s.done.After(now) {
		p := s.queue[0].data
		s.queue = s.queue[1:]
		s.sending = false
		s.counters.SentPackets++
		s.counters.SentBytes += int64(len(p))
		if s.loses() {
			s.counters.Lost++
		} else {
			s.depart(s.done, p)
		}
		if len(s.queue) > 0 {
			s.begin(s.done)
		}
	}
}

// depart puts a packet on the way.
func (s *Shaper) depart(at time.Time, packet []byte) {
	due := at.Add(s.shape.Delay)
	if s.shape.Jitter > 0 {
		due = due.Add(time.Duration(s.random.Float64() * float64(s.shape.Jitter)))
	}
	if due.Before(s.last) && !s.shape.Reorder {
		due = s.last
	}
	if due.After(s.last) {
		s.last = due
	}
	s.pushed++
	heap.Push(&s.way, travelling{packet, due, s.pushed})
}

// loses decides about one packet. With bursts it goes between a state that
// loses nothing and one that loses everything, which lasts Burst packets in
// the mean; how often it is entered follows from the loss wanted.
func (s *Shaper) loses() bool {
	loss, burst := s.shape.Loss, s.shape.Burst
	if loss <= 0 {
		s.bad = false
		return false
	}
	r := s.random.Float64()
	switch {
	case burst <= 1:
		return r < loss
	case loss >= 1:
		return true
	case s.bad:
		s.bad = r >= 1/burst
	default:
		s.bad = r < loss/(burst*(1-loss))
	}
	return s.bad
}

// travelling is a packet on the way.
type travelling struct {
	data []byte
	due  time.Time
	n    uint64
}

// flight is a heap of what is on the way, the next to arrive first.
type flight []travelling

func (f flight) Len() int { return len(f) }
func (f flight) Less(i, j int) bool {
	if f[i].due.Equal(f[j].due) {
		return f[i].n < f[j].n
	}
	return f[i].due.Before(f[j].due)
}
func (f flight) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f *flight) Push(x any)   { *f = append(*f, x.(travelling)) }
func (f *flight) Pop() any {
	old := *f
	last := old[len(old)-1]
	*f = old[:len(old)-1]
	return last
}
