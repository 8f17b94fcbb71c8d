package jitter

import (
	"time"

	"mixdown/codec"
)

const (
	// concealFull is how long a loss is hidden at full level, concealEnd when
	// there is silence. Nobody is heard longer than what was heard of them.
	concealFull = 40 * time.Millisecond
	concealEnd  = 120 * time.Millisecond
	// comfortEnd is how long noise fills the pause of a sender that said it would
	// stop (DTX, RFC 6716, section 2.1.9): it says how its silence sounds every
	// 400 ms. The last comfortFade of it fades.
	comfortEnd  = time.Second
	comfortFade = 200 * time.Millisecond
	// shortGap of timestamps is filled in place; a longer one is a pause, behind
	// which the delay starts anew.
	shortGap = 60 * time.Millisecond
	// onset is the fade-in behind silence.
	onset = 2 * time.Millisecond
	// idleFor is how long after the last packet the line of time is drawn on.
	idleFor = 5 * time.Second
)

// pull is what the sound clock's goroutine has of a Playout.
type pull struct {
	decoder decoder
	closed  bool
	line    int

	fifo    []int16 // decoded, interleaved, up to the timestamp end
	end     int64
	running bool          // packets follow each other; else the next one waits for its time
	spare   time.Duration // that the last packet was decoded before it would have been too late, against the fastest
	length  int           // samples per channel of the last packet
	rest    bool          // it was the last before a pause
	made    int           // samples made up in a row
	comfort int           // samples of noise in a row
	owed    int           // samples made up and not yet pulled
	beside  int           // samples at the end of fifo that are on no line of time

	at       parcel        // the last one, without its data
	behind   time.Duration // of the sample last played, against the fastest packet
	cooldown int           // pulls until voice may be stretched again
	misses   int           // pulls that wanted to stretch and found no place
	work     []byte
	pcm      []int16 // scratch
	stretch  stretch
}

func newPull(cfg PlayoutConfig, open func() (codec.AudioDecoder, error)) pull {
	most := cfg.Rate * cfg.Channels / 5 // the longest packet, 200 ms (RFC 3551, section 4.2)
	return pull{
		decoder: decoder{open: open, channels: cfg.Channels},
		fifo:    make([]int16, 0, 4*most),
		pcm:     make([]int16, most),
		stretch: newStretch(cfg.AudioFormat),
		made:    1 << 30,
		at:      parcel{level: silence},
	}
}

// what is to be done next
type step uint8

const (
	stepWait step = iota // nothing is there, or not yet due
	stepLost             // conceal up to the parcel, which is there
	stepRest             // be silent up to it: nothing was sent
	stepPlay
)

// Pull fills pcm, interleaved, with the next stretch of sound. It never waits.
func (p *Playout) Pull(pcm []int16, now time.Time) Heard {
	v, ch := &p.pull, p.cfg.Channels
	n := len(pcm) / ch
	clear(pcm)
	if v.closed || n == 0 || len(pcm) > cap(v.fifo)/3 {
		return Heard{Silent: true, Ahead: silence}
	}
	p.follow()
	p.fill(n, n, true, now)
	head := v.end - int64(p.frames()-v.beside)
	p.adapt(n, now)

	h := p.heard(n, head, now)
	copy(pcm, v.fifo[:n*ch])
	v.fifo = v.fifo[:copy(v.fifo, v.fifo[n*ch:])]
	v.beside = min(v.beside, p.frames())
	h.Silent = true
	for _, s := range pcm {
		if s != 0 {
			h.Silent = false
			break
		}
	}
	return h
}

// follow starts over when the stream has.
func (p *Playout) follow() {
	v := &p.pull
	p.mu.Lock()
	line := p.line
	p.mu.Unlock()
	if v.line != line {
		v.line, v.running = line, false
		if v.decoder.close() != nil {
			p.count(func(s *PlayoutStats) { s.Bad++ })
		}
	}
}

// frames is how much sound is decoded, samples per channel.
func (p *Playout) frames() int { return len(p.pull.fifo) / p.cfg.Channels }

// fill decodes until there are want samples per channel. n is the length of a
// Pull. Unless it must, it makes nothing up.
func (p *Playout) fill(want, n int, must bool, now time.Time) {
	v := &p.pull
	for p.frames() < want {
		what, e, gap, spare := p.choose(must, now)
		if what == stepWait {
			if !must {
				return
			}
			v.beside += want - p.frames() // the line stands still
			p.conceal(want - p.frames())
			continue
		}
		switch what {
		case stepLost:
			p.repair(e, gap)
		case stepRest:
			p.conceal(gap)
		}
		// decoded ahead of time, it would not have been late for some pulls yet
		v.spare = spare + p.length(int64(p.frames()/n*n))
		p.decode(e)
	}
}

// choose takes the next parcel from the queue, if it is to be played now. Its
// data is in v.work. gap is the number of samples missing before it, spare how
// long it has been there, had it been as fast as the fastest.
func (p *Playout) choose(must bool, now time.Time) (what step, e parcel, gap int, spare time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := &p.pull
	elapsed := now.Sub(p.epoch) - p.arrival.base()
	for {
		w, hole := p.queue.first()
		if w == nil {
			return stepWait, e, 0, 0
		}
		spare = elapsed - p.length(w.ts)
		if spare > p.cfg.MaxDelay {
			missed, _ := p.queue.pass(w)
			p.stats.Lost += uint64(missed)
			p.stats.Dropped++
			w.state = lost
			p.queue.next++
			p.queue.open = false
			v.running = false
			continue
		}
		what = stepPlay
		if v.running {
			gap = int(min(max(w.ts-v.end, -1), int64(p.cfg.Rate)))
			switch {
			case gap > p.samples(concealEnd), hole == 0 && gap > p.samples(shortGap):
				v.running = false
			case hole > 0 && gap > 0:
				if !must || elapsed-p.length(v.end) < p.target-lateBin {
					return stepWait, e, 0, 0 // it may only be late
				}
				what = stepLost
			case gap > 0 && !must:
				return stepWait, e, 0, 0
			case gap > 0:
				what = stepRest
			}
		}
		if !v.running {
			if gap = 0; hole > 0 { // behind silence, too, the last one missing may be repaired
				gap = int(min(max(w.ts-v.end, 0), int64(v.length)))
				what = stepLost
			}
			early := spare + p.length(int64(gap))
			if !must || early >= 0 && early < p.target {
				return stepWait, e, 0, 0
			}
		}
		missed, asked := p.queue.pass(w)
		p.stats.Lost += uint64(missed)
		bare := missed
		if n := p.queue.at(w.seq + 1); w.asks > 0 && !(n.state == waiting && n.seq == w.seq+1 && v.decoder.repeats(n.data)) {
			bare++ // but for our asking
		}
		if what == stepLost && missed > 0 {
			p.stats.Repaired++
			if v.decoder.repeats(w.data) {
				bare--
			}
		}
		p.mend.counted(bare)
		for range asked {
			p.mend.answer(false, now)
		}
		if w.copy {
			p.stats.Copied++
		}
		v.running = true
		e = p.queue.take(w, v.work)
		v.work = e.data
		return what, e, gap, spare
	}
}

// samples is how many samples per channel there are in d.
func (p *Playout) samples(d time.Duration) int {
	r := time.Duration(p.cfg.Rate)
	return int(d/time.Second*r + d%time.Second*r/time.Second)
}

// decode appends what a parcel holds.
func (p *Playout) decode(e parcel) {
	v, ch := &p.pull, p.cfg.Channels
	if e.noise {
		p.pause(e)
		return
	}
	n, err := v.decoder.decode(e.data, v.pcm)
	v.running = true
	// A pause lasts until there is sound: what tells from time to time how it
	// sounds is no end of it.
	v.rest = len(e.data) <= 2 || v.rest && err == nil && quiet(v.pcm[:n*ch])
	v.end, v.at = e.ts, e
	v.at.data = nil
	if err != nil {
		p.count(func(s *PlayoutStats) { s.Bad++ })
		return // what comes next will conceal it
	}
	pcm := v.pcm[:n*ch]
	p.onset(pcm)
	v.fifo = append(v.fifo, pcm...)
	v.end += int64(n)
	v.length = n
}

// pause begins one that the sender has described. It has no length of its own.
func (p *Playout) pause(e parcel) {
	v := &p.pull
	if v.decoder.comfort(e.data) != nil {
		p.count(func(s *PlayoutStats) { s.Bad++ })
		return
	}
	v.end, v.at = e.ts, e
	v.at.data = nil
	v.rest, v.made, v.comfort = true, 0, 0
}

// onset ends what was made up: real sound comes next. Behind silence it fades in.
func (p *Playout) onset(pcm []int16) {
	v := &p.pull
	if v.made >= p.samples(concealEnd) {
		v.stretch.fadeIn(pcm, p.samples(onset))
	}
	v.made, v.comfort, v.beside = 0, 0, 0
}

// repair appends the gap samples before e, the last of them from what e knows of
// its predecessor, if it does.
func (p *Playout) repair(e parcel, gap int) {
	v, ch := &p.pull, p.cfg.Channels
	last := min(gap, v.length)
	if !v.decoder.repeats(e.data) {
		last = 0
	}
	if gap > last {
		p.conceal(gap - last)
	}
	if last == 0 {
		return
	}
	pcm := v.pcm[:last*ch]
	if v.decoder.repair(e.data, pcm) != nil {
		clear(pcm)
	}
	p.onset(pcm)
	v.fifo = append(v.fifo, pcm...)
	p.count(func(s *PlayoutStats) { s.Mended += p.length(int64(last)) })
}

// conceal appends n samples that hide a loss, fading the longer it lasts, or
// that fill a pause. In silence nothing is running: the next packet waits for
// its time.
func (p *Playout) conceal(n int) {
	v, ch := &p.pull, p.cfg.Channels
	end, full := p.samples(concealEnd), p.samples(concealFull)
	noise, fade := p.samples(comfortEnd), p.samples(comfortFade)
	for n > 0 {
		k := min(n, len(v.pcm)/ch)
		pcm := v.pcm[:k*ch]
		switch {
		case v.rest && v.made == 0 && v.comfort < noise:
			// The decoder goes on with the noise that it last heard.
			if v.decoder.conceal(pcm) != nil {
				clear(pcm)
			}
			v.stretch.fadeOut(pcm, v.comfort-(noise-fade), fade)
			v.running = false
			v.comfort += k
			p.count(func(s *PlayoutStats) { s.Comfort += p.length(int64(k)) })
		case v.made >= end || v.comfort > 0:
			clear(pcm)
			v.running = false
			v.made = min(max(v.made, end)+k, 1<<30)
		default:
			if v.decoder.conceal(pcm) != nil {
				clear(pcm)
			}
			v.stretch.fadeOut(pcm, v.made-full, end-full)
			v.made += k
			v.owed += k
			p.count(func(s *PlayoutStats) { s.Concealed += p.length(int64(k)) })
		}
		v.fifo = append(v.fifo, pcm...)
		n -= k
	}
}

func (p *Playout) count(f func(*PlayoutStats)) {
	p.mu.Lock()
	f(&p.stats)
	p.mu.Unlock()
}

// heard says what the next n samples of the fifo are, the first of which is at
// head on the line of timestamps.
func (p *Playout) heard(n int, head int64, now time.Time) Heard {
	v := &p.pull
	p.mu.Lock()
	defer p.mu.Unlock()
	h := Heard{Ahead: p.queue.loudest()}
	if p.frames() > n {
		h.Ahead = max(h.Ahead, v.at.level)
	}
	made := min(v.owed, n)
	v.owed -= made
	h.Concealed = p.length(int64(made))
	if v.at.arrived.IsZero() {
		return h
	}
	elapsed := now.Sub(p.epoch) - p.arrival.base()
	h.Delay = p.stats.Delay
	p.headAt = time.Time{}
	if v.running && v.beside == 0 {
		v.behind = elapsed - p.length(head)
		p.head, p.headAt = head, now
		h.Delay = now.Sub(v.at.arrived) + p.length(v.at.ts-head)
		p.stats.Delay = h.Delay
	} else if now.Sub(v.at.arrived) > idleFor {
		return h
	} else { // nothing is there: time goes on
		head = int64(p.samples(elapsed - v.behind))
	}
	h.Playing = p.clock.Time(uint32(head * int64(p.cfg.ClockRate) / int64(p.cfg.Rate)))
	return h
}
