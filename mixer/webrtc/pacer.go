package webrtc

import (
	"sync"
	"time"

	"mixdown/mixer"
)

// How pictures are spread. A keyframe for everybody at once is tens of
// thousands of packets: it must neither overflow a buffer nor stand before the
// sound.
const (
	burstEvery = 5 * time.Millisecond
	burstLeast = 12 // packets: an ordinary picture goes at once,
	burstShare = 4  // and of a larger one, or of several, this part at a time
	turn       = 32 // sinks with pictures between two looks at the sound

	checkEvery = 100 * time.Millisecond // whose reports are due
)

// pacer writes the media of all sinks, on one goroutine: sound before all else,
// then what was lost, then pictures in bursts. A client's packets of one burst,
// and many clients' sound, thus reach the sockets one after the other, which
// send them with one system call. Writing never waits for a client: UDP does
// not, and TCP has a buffer of its own that drops what does not fit.
type pacer struct {
	flush func() // hands the kernel what was written
	wake  chan struct{}
	done  chan struct{}
	ended sync.WaitGroup

	mu     sync.Mutex // a leaf below sink.mu
	sinks  map[*sink]struct{}
	urgent []*sink // have sound, repeats or something to ask
	fresh  []*sink // have pictures, and had none before

	// Touched by run only.
	line, next waiting // whose burst is due, and those whose next one has a time
	burst      []*mixer.Packet
}

// waiting is a queue of sinks, each with the time it may go on.
type waiting struct {
	sinks []*sink
	times []time.Time
	head  int
}

func (w *waiting) put(s *sink, at time.Time) {
	// Where several always wait it is never empty, and must not grow for that.
	if w.head > 0 && 2*w.head >= len(w.sinks) {
		n := copy(w.sinks, w.sinks[w.head:])
		copy(w.times, w.times[w.head:])
		clear(w.sinks[n:])
		w.sinks, w.times, w.head = w.sinks[:n], w.times[:n], 0
	}
	w.sinks, w.times = append(w.sinks, s), append(w.times, at)
}

// due takes the first one if its time has come, else it returns nil and when
// that will be; never is the zero time.
func (w *waiting) due(now time.Time) (*sink, time.Time) {
	if w.head == len(w.sinks) {
		return nil, time.Time{}
	}
	if at := w.times[w.head]; at.After(now) {
		return nil, at
	}
	s := w.sinks[w.head]
	w.sinks[w.head] = nil
	w.head++
	return s, time.Time{}
}

func newPacer(flush func()) *pacer {
	return &pacer{flush: flush, wake: make(chan struct{}, 1), done: make(chan struct{}), sinks: make(map[*sink]struct{})}
}

// start begins to write.
func (p *pacer) start() { p.ended.Go(p.run) }

// close ends the writing and waits for it.
func (p *pacer) close() {
	close(p.done)
	p.ended.Wait()
}

// add lets a sink's reports go out.
func (p *pacer) add(s *sink) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sinks[s] = struct{}{}
}

func (p *pacer) remove(s *sink) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.sinks, s)
}

// rouse puts a sink in line, before the pictures or with them.
func (p *pacer) rouse(s *sink, urgent bool) {
	p.mu.Lock()
	if urgent {
		p.urgent = append(p.urgent, s)
	} else {
		p.fresh = append(p.fresh, s)
	}
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run writes until the transport closes.
func (p *pacer) run() {
	timer := time.NewTimer(checkEvery)
	defer timer.Stop()
	check := time.Now().Add(checkEvery)
	var urgent, fresh []*sink
	for {
		p.mu.Lock()
		urgent, p.urgent = p.urgent, urgent[:0]
		fresh, p.fresh = p.fresh, fresh[:0]
		p.mu.Unlock()

		now := time.Now()
		for _, s := range urgent {
			s.speak(now)
			s.wrote(now)
		}
		for _, s := range fresh {
			p.line.put(s, now)
		}
		clear(urgent)
		clear(fresh)
		at, busy := p.turn(now)
		p.flush()
		if !now.Before(check) {
			p.report(now)
			check = now.Add(checkEvery)
		}
		if busy {
			select {
			case <-p.done:
				return
			default:
				continue
			}
		}
		if at.IsZero() || at.After(check) {
			at = check
		}
		timer.Reset(time.Until(at))
		select {
		case <-p.done:
			return
		case <-p.wake:
		case <-timer.C:
		}
	}
}

// turn writes the bursts that are due, of a few sinks. It reports whether there
// are more, or when the next one is due.
func (p *pacer) turn(now time.Time) (next time.Time, busy bool) {
	for range turn {
		s, _ := p.line.due(now)
		if s == nil {
			if s, next = p.next.due(now); s == nil {
				return next, false
			}
		}
		var more bool
		if p.burst, more = s.show(p.burst[:0], now); more {
			p.next.put(s, now.Add(burstEvery))
		}
		clear(p.burst)
		s.wrote(now)
	}
	return time.Time{}, true
}

// report lets those sinks send their reports that it is time for.
func (p *pacer) report(now time.Time) {
	p.mu.Lock()
	var due, flows []*sink
	for s := range p.sinks {
		if s.flow != nil {
			flows = append(flows, s)
		}
		if !now.Before(s.reportDue) {
			due = append(due, s)
		}
	}
	p.mu.Unlock()
	for _, s := range flows {
		s.tick(now)
	}
	for _, s := range due {
		if !s.beside(now) {
			continue
		}
		s.report(now)
		s.reportDue = now.Add(s.reportEvery(now))
		s.ask(now)
	}
}
