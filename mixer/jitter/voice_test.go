package jitter

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtp"

	"mixdown/codec"
)

// A second of delay in one burst, in three shapes: the delay is back soon.
func TestDelayReturnsAfterABurst(t *testing.T) {
	slowest := map[string]int{} // ms from the burst's end
	for _, ptime := range []int{10, 20, 60, 120} {
		for name, shape := range map[string]path{
			"held":       func(now int) int { return max(30, 6030-now) }, // nothing for a second, then all at once
			"ramp":       fifo(func(now int) int { return 30 + max(0, 500-(now-5500)*(now-5500)/500) }),
			"step":       fifo(func(int) int { return 1030 }),
			"jitter":     fifo(func(now int) int { return 30 + (now*7919)%500 }),
			"reordering": func(now int) int { return 30 + (now*7919)%500 },
		} {
			for _, amp := range []uint16{0, 8000} {
				l := newLink(t, ptime)
				l.amp = func(int) uint16 { return amp }
				l.run(5000)
				before := l.p.Stats().Delay
				l.late = func(now int) int {
					if now < 6000 {
						return shape(now)
					}
					return 30
				}
				l.run(1000)
				if name == "step" || name == "jitter" { // FIFO: what follows cannot overtake
					last := 0
					l.late = func(now int) int { return max(30, last-now) }
					for _, a := range l.air {
						last = max(last, a.at)
					}
				}
				ended := 6000
				for _, a := range l.air { // what is still on its way
					ended = max(ended, a.at)
				}
				most, back := time.Duration(0), 0
				for l.now < ended+5000 {
					l.run(20)
					most = max(most, l.most())
					if l.p.Stats().Delay > before+20*time.Millisecond {
						back = max(l.now-ended, 0)
					}
				}
				slowest[name] = max(slowest[name], back)
				if most > time.Second {
					t.Errorf("%s, %d ms packets, amplitude %d: delay %v", name, ptime, amp, most)
				}
				if d := l.p.Stats().Delay; d > before+20*time.Millisecond {
					t.Errorf("%s, %d ms packets, amplitude %d: delay %v five seconds after, %v before; %+v", name, ptime, amp, d, before, l.p.Stats())
				}
			}
		}
	}
	t.Logf("back within 20 ms after at most, ms: %v", slowest)
}

// steps watches sound for clicks.
type steps struct {
	last     int16
	steepest int
	begun    bool
}

func (s *steps) hear(pcm []int16) {
	for _, v := range pcm {
		if s.begun {
			s.steepest = max(s.steepest, int(v)-int(s.last), int(s.last)-int(v))
		}
		s.last, s.begun = v, true
	}
}

// hum is a decoder whose sound is one period of a sine again and again.
type hum struct {
	wave []int16
	at   int
}

func newHum() *hum {
	h := &hum{wave: make([]int16, 48000/tapeFreq)}
	for i := range h.wave {
		h.wave[i] = int16(8000 * math.Sin(2*math.Pi*float64(i)/float64(len(h.wave))))
	}
	return h
}

func (h *hum) Samples([]byte) (int, error) { return 960, nil }
func (h *hum) Decode(_ []byte, pcm []int16) (int, error) {
	h.Conceal(pcm[:960])
	return 960, nil
}
func (h *hum) DecodeFEC(_ []byte, pcm []int16) error { return h.Conceal(pcm) }
func (h *hum) Conceal(pcm []int16) error {
	for len(pcm) > 0 {
		n := copy(pcm, h.wave[h.at:])
		pcm, h.at = pcm[n:], (h.at+n)%len(h.wave)
	}
	return nil
}
func (*hum) Close() error { return nil }

// Two hours of a sender whose clock is off by 300 ppm: 2.16 s in all are put in
// or left out, and nobody hears where.
func TestTwoHoursOfDrift(t *testing.T) {
	seconds := 2 * 3600
	if raced {
		seconds /= 10
	}
	for _, ppm := range []int{-300, 300} {
		p := NewPlayout(PlayoutConfig{}, func() (codec.AudioDecoder, error) { return newHum(), nil })
		pkt := &rtp.Packet{Payload: []byte{1, 2, 3}}
		pcm := make([]int16, 960)
		var clicks steps
		var least, most, made time.Duration
		weakest := math.Inf(1)
		sent := 0 // microseconds
		for i := range seconds * 50 {
			now := i * 20_000
			for ; sent <= now; sent += 20_000 + 20_000*ppm/1_000_000 {
				p.Push(pkt, -20, epoch.Add(time.Duration(sent)*time.Microsecond))
				pkt.SequenceNumber++
				pkt.Timestamp += 960
			}
			h := p.Pull(pcm, epoch.Add(time.Duration(now+7000)*time.Microsecond))
			if i < 50 {
				continue
			}
			clicks.hear(pcm)
			made += h.Concealed
			if i == 500 {
				least, most = h.Delay, h.Delay
			} else if i > 500 {
				least, most = min(least, h.Delay), max(most, h.Delay)
			}
			if i%7 == 0 {
				weakest = min(weakest, energy(pcm))
			}
		}
		s := p.Stats()
		moved := s.Inserted - s.Removed
		if want := time.Duration(ppm*seconds) * time.Microsecond; (moved - want).Abs() > 60*time.Millisecond {
			t.Errorf("%d ppm: %v were put in, want %v", ppm, moved, want)
		}
		if made > 0 || s.Lost+s.Dropped+s.Late > 0 {
			t.Errorf("%d ppm: %v made up, %+v", ppm, made, s)
		}
		if most-least > 45*time.Millisecond || most > 70*time.Millisecond {
			t.Errorf("%d ppm: delay between %v and %v", ppm, least, most)
		}
		if clicks.steepest > steepness*5/4 {
			t.Errorf("%d ppm: a step of %d, the tone's own is %d", ppm, clicks.steepest, steepness)
		}
		if full := 8000.0 * 8000 / 2; weakest < full/1.26 { // 1 dB
			t.Errorf("%d ppm: the tone falls by %.1f dB", ppm, 10*math.Log10(full/weakest))
		}
		t.Logf("%d ppm: %v put in, %v left out, delay %v to %v, steepest step %d of %d, level down by %.2f dB",
			ppm, s.Inserted, s.Removed, least, most, clicks.steepest, steepness, 10*math.Log10(8000.0*8000/2/weakest))
		p.Close()
	}
}

func energy(pcm []int16) float64 {
	sum := 0.0
	for _, v := range pcm {
		sum += float64(v) * float64(v)
	}
	return sum / float64(len(pcm))
}

// Of a stream's first packets, the first to come need not be the first sent.
func TestFirstPacketsReordered(t *testing.T) {
	l := newLink(t, 20)
	l.late = func(now int) int {
		if now < 60 {
			return 75 - now*3/2 // 0, 20, 40 come in the order 40, 20, 0
		}
		return 30
	}
	l.run(1000)
	if s := l.p.Stats(); s.Late+s.Lost > 0 || len(l.tape.decoded) < int(l.number)-3 || l.tape.decoded[0] != 1 {
		t.Errorf("%d of %d decoded, the first %d times; %+v", len(l.tape.decoded), l.number, l.tape.decoded[0], s)
	}
}

// The first packet behind a pause is lost, and the next one repairs it.
func TestRepairBehindAPause(t *testing.T) {
	l := newLink(t, 20)
	l.talks = func(now int) bool { return now < 1000 || now >= 2000 }
	l.late = func(now int) int {
		if now == 2000 {
			return -1
		}
		return 30
	}
	l.run(2500)
	if n := l.tape.repaired[51]; n != 1 {
		t.Errorf("repaired %d times from the packet behind it; %+v", n, l.p.Stats())
	}
}

// Copies of sound in later packets take the place of what is lost.
func TestCopies(t *testing.T) {
	tp := newTape(t, 1)
	p := NewPlayout(PlayoutConfig{}, func() (codec.AudioDecoder, error) { return tp, nil })
	pcm := make([]int16, 960)
	var made time.Duration
	for i := range 500 {
		now := ms(20 * i)
		// lost: a single one, and two in a row, both within two copies' reach
		if i%50 != 10 && i%50 != 30 && i%50 != 31 {
			var copies []Block
			for k := 2; k >= 1; k-- {
				if i >= k {
					copies = append(copies, Block{PT: 111, Back: uint32(960 * k), Data: tapePacket(uint32(i-k), 960, 8000)})
				}
			}
			pkt := &rtp.Packet{Header: rtp.Header{SequenceNumber: uint16(i), Timestamp: uint32(960 * i)}, Payload: tapePacket(uint32(i), 960, 8000)}
			p.PushCopies(pkt, copies, -20, now)
			if i%50 == 20 { // and once more, out of order
				p.PushCopies(pkt, copies, -20, now)
			}
		}
		h := p.Pull(pcm, now.Add(7*time.Millisecond))
		if i > 100 {
			made += h.Concealed
		}
	}
	s := p.Stats()
	if s.Copied != 30 || s.Lost > 0 || s.Duplicates != 10 || len(tp.decoded) < 495 {
		t.Errorf("%d of 500 decoded, %+v", len(tp.decoded), s)
	}
	if made > 100*time.Millisecond || s.Delay > 80*time.Millisecond {
		t.Errorf("%v made up, %+v", made, s)
	}
}

// Copies that come are waited for before the first is needed, and for as long as losses come
// now and then; when none has come for long sound is played sooner again.
func TestCopiesAreWaitedFor(t *testing.T) {
	tp := newTape(t, 1)
	p := NewPlayout(PlayoutConfig{}, func() (codec.AudioDecoder, error) { return tp, nil })
	pcm := make([]int16, 960)
	const length = 2880 // 60 ms
	var made, waits time.Duration
	for i := range 3 * 2000 {
		now := ms(20 * i)
		if n := i / 3; i%3 == 0 && n != 50 && n != 700 {
			var copies []Block
			if n > 0 {
				copies = []Block{{PT: 111, Back: length, Data: tapePacket(uint32(n-1), length, 8000)}}
			}
			p.PushCopies(&rtp.Packet{Header: rtp.Header{SequenceNumber: uint16(n), Timestamp: uint32(length * n)}, Payload: tapePacket(uint32(n), length, 8000)}, copies, -20, now)
		}
		h := p.Pull(pcm, now.Add(7*time.Millisecond))
		if i > 50 {
			made += h.Concealed
		}
		if i == 3*700 {
			waits = p.Stats().Target
		}
	}
	if s := p.Stats(); made > 0 || s.Copied != 2 || waits < 60*time.Millisecond || s.Target > waits-40*time.Millisecond {
		t.Errorf("%v made up, sound waited for %v, %+v", made, waits, s)
	}
}

// Probes between a packet and the one that repeats it are not what is repeated,
// whether they come or not; and nothing is played twice (tape tells).
func TestCopiesBehindProbes(t *testing.T) {
	tp := newTape(t, 1)
	p := NewPlayout(PlayoutConfig{}, func() (codec.AudioDecoder, error) { return tp, nil })
	pcm := make([]int16, 960)
	seq := uint16(65000)
	for i := range 500 {
		now := ms(20 * i)
		var copies []Block
		if i > 0 {
			copies = []Block{{PT: 111, Back: 960, Data: tapePacket(uint32(i-1), 960, 8000)}}
		}
		if i%50 != 10 && i%50 != 40 {
			p.PushCopies(&rtp.Packet{Header: rtp.Header{SequenceNumber: seq, Timestamp: uint32(960 * i)}, Payload: tapePacket(uint32(i), 960, 8000)}, copies, -20, now)
		}
		seq++
		for k := range i % 4 {
			if i%50 < 20 || i%50 >= 30 || k == 0 { // the others are lost
				p.Push(&rtp.Packet{Header: rtp.Header{SequenceNumber: seq, Timestamp: uint32(960 * i)}}, silence, now)
			}
			seq++
		}
		p.Pull(pcm, now.Add(7*time.Millisecond))
	}
	if s := p.Stats(); s.Copied != 20 || len(tp.decoded) < 495 || s.Concealed > 100*time.Millisecond {
		t.Errorf("%d of 500 decoded, %+v", len(tp.decoded), s)
	}
}

// What is missing is asked for if it can be there in time, twice at most, and
// teaches nothing when it comes.
func TestSoundIsAskedForAgain(t *testing.T) {
	for _, rtt := range []int{20, 60, 400} {
		l := newLink(t, 20)
		l.late = fifo(func(now int) int { return 30 + now/20*37%80 }) // something waits
		l.run(10000)
		target := l.p.Stats().Target
		asked, back := 0, 0
		for range 5000 {
			now, number := l.now, l.number
			late := l.late
			if now%200 == 0 {
				l.late = func(int) int { return -1 }
			}
			l.run(1)
			l.late = late
			for _, n := range l.p.Nacks(nil, time.Duration(rtt)*time.Millisecond, ms(l.now)) {
				asked++
				if d := int(l.seq - n); d < 100 {
					back++
					l.air = append(l.air, airborne{at: l.now + rtt, p: &rtp.Packet{
						Header:  rtp.Header{SequenceNumber: n, Timestamp: l.ts - uint32(960*d)},
						Payload: tapePacket(number-uint32(d), 960, 8000),
					}})
				}
			}
		}
		s := l.p.Stats()
		switch {
		case rtt < 60 && (s.Recovered < 10 || s.Lost > 15):
			t.Errorf("round trip %d ms: asked %d times: %+v", rtt, asked, s)
		case rtt > 100 && asked > 0:
			t.Errorf("round trip %d ms: asked %d times in vain", rtt, asked)
		case s.Late > s.Nacked/10+2:
			t.Errorf("round trip %d ms: %d of %d came too late", rtt, s.Late, s.Nacked)
		}
		if s.Target > target+20*time.Millisecond {
			t.Errorf("round trip %d ms: the target went from %v to %v", rtt, target, s.Target)
		}
	}
}

// hiss is a decoder of noise, which no part of is like another.
type hiss struct{ r *rand.Rand }

func (h hiss) Samples([]byte) (int, error) { return 960, nil }
func (h hiss) Decode(_ []byte, pcm []int16) (int, error) {
	for i := range pcm[:960] {
		pcm[i] = int16(h.r.NormFloat64() * 3000)
	}
	return 960, nil
}
func (h hiss) DecodeFEC(_ []byte, pcm []int16) error { clear(pcm); return nil }
func (h hiss) Conceal(pcm []int16) error             { clear(pcm); return nil }
func (h hiss) Close() error                          { return nil }

// Noise is shortened and lengthened too, and one does not hear it swell or sink.
func TestStretchedNoiseKeepsItsLevel(t *testing.T) {
	l := newLink(t, 20)
	l.p = NewPlayout(PlayoutConfig{}, func() (codec.AudioDecoder, error) { return hiss{rand.New(rand.NewPCG(4, 4))}, nil })
	l.run(3000)
	before := l.p.Stats()
	low, high := math.Inf(1), 0.0
	watch := func(ms int) {
		for range ms / 20 {
			l.run(20)
			if l.concealed > 0 || l.silent > 0 {
				continue
			}
			for pcm := l.pcm; len(pcm) > 0; pcm = pcm[240:] {
				e := energy(pcm[:240]) / (3000 * 3000)
				low, high = min(low, e), max(high, e)
			}
		}
	}
	l.late = func(now int) int { return 30 + now/20%2*90 }
	watch(6000)
	l.late = steady
	watch(100) // what is still on the way
	watch(6000)
	s := l.p.Stats()
	low, high = 10*math.Log10(low), 10*math.Log10(high)
	t.Logf("%v put in, %v left out, 5 ms between %.1f and %.1f dB, delay %v", s.Inserted-before.Inserted, s.Removed-before.Removed, low, high, s.Delay)
	if s.Removed-before.Removed < 50*time.Millisecond || s.Delay > before.Delay+20*time.Millisecond {
		t.Errorf("the delay did not return: %+v", s)
	}
	if low < -5 || high > 2 {
		t.Errorf("5 ms of noise are between %.1f and %.1f dB of its level", low, high)
	}
}

// What is said behind a pause waits as long as the network asks for now, not for
// as long as it did before the pause, even if hardly anything was sent in it.
func TestAPauseForgetsTheQueueBeforeIt(t *testing.T) {
	l := newLink(t, 60)
	talking := true
	l.talks = func(now int) bool { return talking || now%1200 == 0 } // DTX of 60 ms
	l.run(1000)
	l.late = fifo(func(now int) int { return 30 + max(0, 500-(now-1000)/5) }) // a queue that empties in 2.5 s
	l.run(2000)
	if d := l.p.Stats().Target; d < 300*time.Millisecond {
		t.Fatalf("the queue made a target of %v", d)
	}
	talking = false
	l.late = steady
	l.run(5000)
	talking = true
	l.run(1000)
	if d := l.p.Stats(); d.Delay > 100*time.Millisecond || l.concealed > 0 {
		t.Errorf("behind the pause: delay %v, %v made up; %+v", d.Delay, l.concealed, d)
	}
}
