package jitter

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtp"

	"mixdown/codec"
)

// tape is a codec of tests. A packet names its number, its length and what it
// sounds like; the decoder notes what it was given.
type tape struct {
	t        *testing.T
	ch       int
	decoded  map[uint32]int // packets by number
	repaired map[uint32]int
	at       int // of the sine
	amp      float64
	closed   bool
	bare     bool // no packet repairs the one before it
}

const tapeFreq = 300

// steepness is the largest step of the sine at amplitude 8000.
const steepness = 314

func (d *tape) fill(pcm []int16, amp float64) {
	for i := range len(pcm) / d.ch {
		v := int16(amp * math.Sin(2*math.Pi*tapeFreq*float64(d.at)/48000))
		for c := range d.ch {
			pcm[i*d.ch+c] = v
		}
		d.at++
	}
}

// tapePacket is a packet of samples at 48 kHz.
func tapePacket(number uint32, samples int, amp uint16) []byte {
	b := binary.BigEndian.AppendUint32(nil, number)
	b = binary.BigEndian.AppendUint16(b, uint16(samples))
	return binary.BigEndian.AppendUint16(b, amp)
}

func (d *tape) Samples(p []byte) (int, error) {
	if len(p) < 8 {
		return 0, errors.New("tape: short")
	}
	return int(binary.BigEndian.Uint16(p[4:])), nil
}

func (d *tape) Decode(p []byte, pcm []int16) (int, error) {
	n, err := d.Samples(p)
	if err != nil || n*d.ch > len(pcm) {
		return 0, errors.New("tape: unusable")
	}
	number := binary.BigEndian.Uint32(p)
	d.decoded[number]++
	if d.decoded[number] > 1 && d.t != nil {
		d.t.Errorf("packet %d is decoded twice", number)
	}
	d.amp = float64(binary.BigEndian.Uint16(p[6:]))
	d.fill(pcm[:n*d.ch], d.amp)
	return n, nil
}

func (d *tape) DecodeFEC(p []byte, pcm []int16) error {
	if _, err := d.Samples(p); err != nil {
		return err
	}
	d.repaired[binary.BigEndian.Uint32(p)]++
	d.fill(pcm, d.amp)
	return nil
}

func (d *tape) Repeats([]byte) bool { return !d.bare }

func (d *tape) Conceal(pcm []int16) error { d.fill(pcm, d.amp); return nil }
func (d *tape) Close() error              { d.closed = true; return nil }

func newTape(t *testing.T, ch int) *tape {
	return &tape{t: t, ch: ch, decoded: map[uint32]int{}, repaired: map[uint32]int{}}
}

// link is a sender, a network and a room's clock in virtual time.
type link struct {
	t    *testing.T
	p    *Playout
	tape *tape
	now  int // ms

	ptime  int // ms
	every  int // ms from pull to pull
	amp    func(now int) uint16
	late   func(now int) int // ms on the way; below zero is lost
	talks  func(now int) bool
	copies int  // of earlier packets in each
	rtt    int  // ms; 0: nothing is asked for again
	deaf   bool // the sender sends nothing again
	sent   map[uint16]airborne
	past   [][]byte
	number uint32
	seq    uint16
	ts     uint32

	air []airborne
	pcm []int16
	// of the last run
	delays    []time.Duration
	concealed time.Duration
	behind    time.Duration // the sum of what it was in each Pull
	silent    int
	heard     Heard
}

type airborne struct {
	at     int
	p      *rtp.Packet
	copies []Block
}

func newLink(t *testing.T, ptime int) *link {
	l := &link{t: t, tape: newTape(t, 1), ptime: ptime, every: 20, seq: 65500, ts: 1<<32 - 48000, pcm: make([]int16, 960)}
	l.p = NewPlayout(PlayoutConfig{}, func() (codec.AudioDecoder, error) { return l.tape, nil })
	l.amp = func(int) uint16 { return 8000 }
	l.late = func(int) int { return 30 }
	l.talks = func(int) bool { return true }
	l.sent = map[uint16]airborne{}
	t.Cleanup(func() { l.p.Close() })
	return l
}

// run passes time. The clock's ticks fall 7 ms behind the sender's.
func (l *link) run(length int) {
	l.delays, l.concealed, l.behind, l.silent = nil, 0, 0, 0
	for end := l.now + length; l.now < end; l.now++ {
		if l.now%l.ptime == 0 {
			if l.talks(l.now) {
				p := &rtp.Packet{
					Header:  rtp.Header{SequenceNumber: l.seq, Timestamp: l.ts},
					Payload: tapePacket(l.number, 48*l.ptime, l.amp(l.now)),
				}
				l.seq++
				l.number++
				a := airborne{p: p}
				for k := min(l.copies, len(l.past)); k > 0; k-- {
					a.copies = append(a.copies, Block{Back: uint32(48 * l.ptime * k), Data: l.past[len(l.past)-k]})
				}
				l.send(a, 0)
				if l.rtt > 0 {
					l.sent[p.SequenceNumber] = a
				}
				if l.copies > 0 {
					l.past = append(l.past, p.Payload)
				}
			}
			l.ts += uint32(48 * l.ptime)
		}
		keep := l.air[:0]
		for _, a := range l.air {
			if a.at > l.now {
				keep = append(keep, a)
				continue
			}
			l.p.PushCopies(a.p, a.copies, -20, ms(l.now))
		}
		l.air = keep
		if l.rtt > 0 {
			for _, n := range l.p.Nacks(nil, ms(l.rtt).Sub(ms(0)), ms(l.now)) {
				if a, ok := l.sent[n]; ok && !l.deaf && l.late(l.now) >= 0 { // the request may be lost, too
					l.send(a, l.rtt)
				}
			}
		}
		if l.now%l.every == 7 {
			l.heard = l.p.Pull(l.pcm, ms(l.now))
			l.concealed += l.heard.Concealed
			l.behind += l.p.pull.behind
			if l.heard.Silent {
				l.silent++
			} else {
				l.delays = append(l.delays, l.heard.Delay)
			}
		}
	}
}

// send puts a packet on its way. A resent one comes a round trip after it was asked
// for, instead of the way that others take.
func (l *link) send(a airborne, rtt int) {
	late := l.late(l.now)
	if late < 0 {
		return
	}
	if rtt > 0 {
		late = rtt
	}
	a.at = l.now + late
	l.air = append(l.air, a)
}

func (l *link) most() (d time.Duration) {
	for _, v := range l.delays {
		d = max(d, v)
	}
	return d
}

func TestCleanLinkHasLittleDelay(t *testing.T) {
	for _, ptime := range []int{10, 20, 40, 60, 120} {
		l := newLink(t, ptime)
		l.run(3000)
		l.run(10000)
		if l.concealed > 0 || l.silent > 0 {
			t.Errorf("%d ms packets: %v concealed, %d ticks silent", ptime, l.concealed, l.silent)
		}
		// a sample waits for its packet's start at most
		if got := l.most(); got > 45*time.Millisecond {
			t.Errorf("%d ms packets: delay %v", ptime, got)
		}
		if s := l.p.Stats(); s.Late+s.Lost+s.Dropped+s.Bad > 0 || s.Inserted > 0 {
			t.Errorf("%d ms packets: %+v", ptime, s)
		}
		if len(l.tape.decoded) < int(l.number)-80/ptime-1 {
			t.Errorf("%d ms packets: %d of %d decoded", ptime, len(l.tape.decoded), l.number)
		}
	}
}

// A steady tone comes out as it went in: no seam, no step.
func TestToneIsUnbroken(t *testing.T) {
	l := newLink(t, 20)
	l.run(200)
	last, steepest := l.pcm[959], 0
	for range 200 {
		l.run(20)
		for _, v := range l.pcm {
			steepest = max(steepest, int(v)-int(last), int(last)-int(v))
			last = v
		}
	}
	want := steepness + 2
	if steepest > want {
		t.Errorf("a step of %d, the tone's own is %d", steepest, want)
	}
}

// Cuts in a voice are at pitch periods.
func TestStretchedToneHasNoSteps(t *testing.T) {
	l := newLink(t, 20)
	r := rand.New(rand.NewPCG(1, 1))
	l.run(1000)
	l.late = func(now int) int {
		if now < 4000 {
			return 30 + r.IntN(120)
		}
		return 30
	}
	l.run(4000)
	removed := l.p.Stats().Removed
	last, steepest := l.pcm[959], 0
	for range 1000 {
		l.run(20)
		for _, v := range l.pcm {
			steepest = max(steepest, int(v)-int(last), int(last)-int(v))
			last = v
		}
	}
	if s := l.p.Stats(); s.Removed-removed < 50*time.Millisecond {
		t.Fatalf("nothing to test: %+v", s)
	}
	want := steepness * 3 / 2
	if steepest > want {
		t.Errorf("a step of %d, the tone's own is two thirds of %d", steepest, want)
	}
}

func TestJitterIsAbsorbedAndForgotten(t *testing.T) {
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 4))
		l := newLink(t, 20)
		l.run(5000)
		calm := l.most()
		l.late = func(int) int { return 30 + r.IntN(100) } // which reorders, too
		l.run(10000)
		l.run(20000)
		if share := l.concealed.Seconds() / 20; share > 0.04 {
			t.Errorf("seed %d: %.1f %% concealed under jitter of 100 ms", seed, 100*share)
		}
		if got := l.most(); got > 220*time.Millisecond {
			t.Errorf("seed %d: delay %v under jitter of 100 ms", seed, got)
		}
		l.late = func(int) int { return 30 }
		l.run(20000)
		l.run(2000)
		if got := l.most(); got > calm+20*time.Millisecond {
			t.Errorf("seed %d: delay %v long after the jitter, %v before", seed, got, calm)
		}
	}
}

// Half a second of nothing, and then all at once: the words are heard, and the
// delay returns.
func TestDelayReturnsAfterAnOutage(t *testing.T) {
	for _, amp := range []uint16{0, 8000} {
		l := newLink(t, 20)
		l.amp = func(int) uint16 { return amp }
		l.tape.amp = 1
		l.run(5000)
		before := l.p.Stats()
		l.late = func(now int) int {
			if now < 5500 {
				return 5530 - now
			}
			return 30
		}
		l.run(700)
		l.run(15000)
		l.run(1000)
		s := l.p.Stats()
		if s.Delay > before.Delay+25*time.Millisecond {
			t.Errorf("amplitude %d: delay %v long after the outage, %v before", amp, s.Delay, before.Delay)
		}
		if s.Dropped > 0 || s.Lost > 0 || len(l.tape.decoded) < int(l.number)-5 {
			t.Errorf("amplitude %d: words were thrown away: %d of %d packets decoded, %+v", amp, len(l.tape.decoded), l.number, s)
		}
		if s.Removed < 300*time.Millisecond {
			t.Errorf("amplitude %d: nothing was made up for: %+v", amp, s)
		}
	}
}

// A sender whose clock is off neither runs us dry nor piles up.
func TestDrift(t *testing.T) {
	for _, ppm := range []int{-1000, 1000} {
		l := newLink(t, 20)
		l.late = func(now int) int { return 400 + now*ppm/1_000_000 }
		l.run(5000)
		before := l.heard.Delay
		for range 8 {
			l.run(20_000)
			if d := (l.heard.Delay - before).Abs(); d > 25*time.Millisecond {
				t.Fatalf("%d ppm: delay from %v to %v", ppm, before, l.heard.Delay)
			}
		}
		s := l.p.Stats()
		if s.Lost+s.Dropped+s.Late > 0 || s.Concealed > 400*time.Millisecond {
			t.Errorf("%d ppm: %+v", ppm, s)
		}
	}
}

func TestLossIsRepaired(t *testing.T) {
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 5))
		l := newLink(t, 20)
		l.run(1000)
		lost := 0
		l.late = func(int) int {
			if r.IntN(10) == 0 {
				lost++
				return -1
			}
			return 30
		}
		l.run(20000)
		l.late = func(int) int { return 30 }
		l.run(200)
		s := l.p.Stats()
		if int(s.Lost) != lost {
			t.Errorf("seed %d: %d lost, counted %d", seed, lost, s.Lost)
		}
		if len(l.tape.repaired) < lost*8/10 {
			t.Errorf("seed %d: %d of %d repaired", seed, len(l.tape.repaired), lost)
		}
		if l.silent > 0 {
			t.Errorf("seed %d: %d ticks of silence", seed, l.silent)
		}
		if s.Delay > 70*time.Millisecond {
			t.Errorf("seed %d: loss made a delay of %v", seed, s.Delay)
		}
	}
}

// In a pause the sender's timestamps go on and its sequence numbers do not.
func TestPauses(t *testing.T) {
	l := newLink(t, 20)
	l.talks = func(now int) bool { return now/1000%2 == 0 || now%400 == 0 }
	l.run(2000)
	for range 10 {
		l.run(2000)
		if l.silent < 20 {
			t.Fatalf("%d ticks of silence in a pause of a second", l.silent)
		}
		if got := l.most(); got > 45*time.Millisecond {
			t.Fatalf("delay %v after a pause", got)
		}
	}
	if s := l.p.Stats(); s.Lost+s.Late+s.Dropped > 0 {
		t.Errorf("%+v", s)
	}
	if len(l.tape.decoded) != int(l.number) {
		t.Errorf("%d of %d packets decoded", len(l.tape.decoded), l.number)
	}
}

func TestSilenceSoonAfterTheLastPacket(t *testing.T) {
	l := newLink(t, 20)
	l.run(1000)
	l.talks = func(int) bool { return false }
	l.run(5000)
	if heard := len(l.delays); heard > 10 {
		t.Errorf("%d ticks of sound after the last packet", heard)
	}
	if l.concealed > concealEnd+20*time.Millisecond {
		t.Errorf("%v made up", l.concealed)
	}
	l.talks = func(int) bool { return true }
	l.run(100)
	l.run(1000)
	if l.silent > 0 || l.most() > 45*time.Millisecond {
		t.Errorf("back again: %d ticks silent, delay %v", l.silent, l.most())
	}
}

func TestStreamRestarts(t *testing.T) {
	l := newLink(t, 20)
	l.run(1000)
	for name, change := range map[string]func(){
		"timestamps ahead":  func() { l.ts += 1 << 30 },
		"timestamps back":   func() { l.ts -= 1 << 28 },
		"sequence numbers":  func() { l.seq += 20000 },
		"both":              func() { l.seq -= 9000; l.ts += 1 << 29 },
		"an hour's silence": func() { l.now += 3600_000; l.ts += 3600 * 48000 & (1<<32 - 1) },
	} {
		change()
		l.run(300)
		l.run(1000)
		if l.silent > 0 || l.concealed > 0 || l.most() > 60*time.Millisecond {
			t.Errorf("%s: %d ticks silent, %v concealed, delay %v", name, l.silent, l.concealed, l.most())
		}
	}
}

func TestAnotherSource(t *testing.T) {
	var tapes []*tape
	p := NewPlayout(PlayoutConfig{}, func() (codec.AudioDecoder, error) {
		tapes = append(tapes, newTape(t, 1))
		return tapes[len(tapes)-1], nil
	})
	pcm := make([]int16, 960)
	heard := 0
	for i := range 100 {
		ssrc := uint32(i / 50)
		p.Push(&rtp.Packet{
			Header:  rtp.Header{SSRC: ssrc, SequenceNumber: uint16(i) + uint16(ssrc)*7777, Timestamp: uint32(960*i) + ssrc*1e9},
			Payload: tapePacket(uint32(i), 960, 5000),
		}, silence, ms(20*i))
		if !p.Pull(pcm, ms(20*i+7)).Silent {
			heard++
		}
	}
	if len(tapes) != 2 || !tapes[0].closed {
		t.Fatalf("%d decoders", len(tapes))
	}
	if heard < 92 {
		t.Errorf("heard in %d of 100 ticks", heard)
	}
	p.Close()
	p.Close()
	if !tapes[1].closed {
		t.Error("the decoder is open after Close")
	}
	if h := p.Pull(pcm, ms(5000)); !h.Silent || h.Ahead != silence {
		t.Errorf("after Close: %+v", h)
	}
}

func TestAheadAndPlaying(t *testing.T) {
	tp := newTape(t, 2)
	p := NewPlayout(PlayoutConfig{AudioFormat: codec.AudioFormat{Rate: 48000, Channels: 2}},
		func() (codec.AudioDecoder, error) { return tp, nil })
	pcm := make([]int16, 1920)
	if h := p.Pull(pcm, ms(0)); !h.Silent || h.Ahead != silence || !h.Playing.IsZero() {
		t.Errorf("before the first packet: %+v", h)
	}
	// captured at 1000 ms here, if the fastest packet took no time
	p.SenderReport(ToNTP(epoch.Add(time.Hour)), 0, ms(1000))
	for i := range 50 {
		level := silence
		if i == 30 {
			level = -12
		}
		p.Push(&rtp.Packet{
			Header:  rtp.Header{SequenceNumber: uint16(i), Timestamp: uint32(960 * i)},
			Payload: tapePacket(uint32(i), 960, 5000),
		}, level, ms(1000+20*i))
		h := p.Pull(pcm, ms(1001+20*i))
		if want := i == 30; (h.Ahead == -12) != want {
			t.Errorf("packet %d: %v waits", i, h.Ahead)
		}
		if i > 5 {
			if got := ms(1001 + 20*i).Sub(h.Playing); got != h.Delay || got < 20*time.Millisecond || got > 45*time.Millisecond {
				t.Errorf("packet %d: captured %v ago, delay %v", i, got, h.Delay)
			}
		}
	}
}

func TestGarbage(t *testing.T) {
	l := newLink(t, 20)
	l.run(1000)
	for i := range 50 {
		l.p.Push(&rtp.Packet{Header: rtp.Header{SequenceNumber: l.seq, Timestamp: l.ts}, Payload: []byte{1, 2}}, silence, ms(l.now))
		l.seq++
		l.run(20)
		if i == 0 {
			l.p.Push(&rtp.Packet{Payload: make([]byte, maxParcel+1)}, silence, ms(l.now))
		}
	}
	if s := l.p.Stats(); s.Bad < 40 {
		t.Errorf("%+v", s)
	}
	l.run(500)
	l.run(1000)
	if l.silent > 0 || l.concealed > 0 {
		t.Errorf("after the garbage: %d ticks silent, %v concealed", l.silent, l.concealed)
	}
	bad := NewPlayout(PlayoutConfig{}, func() (codec.AudioDecoder, error) { return nil, errors.New("none") })
	bad.Push(&rtp.Packet{Payload: tapePacket(1, 960, 1)}, silence, ms(0))
	pcm := make([]int16, 960)
	for i := range 10 {
		if h := bad.Pull(pcm, ms(20*i)); !h.Silent {
			t.Error("sound without a decoder")
		}
	}
}

func TestPullDoesNotAllocate(t *testing.T) {
	l := newLink(t, 20)
	l.run(6000)
	p := &rtp.Packet{Header: rtp.Header{SequenceNumber: l.seq, Timestamp: l.ts}, Payload: tapePacket(1<<20, 960, 100)}
	l.tape.t = nil
	if n := testing.AllocsPerRun(200, func() {
		l.p.Push(p, silence, ms(l.now+30))
		l.p.Pull(l.pcm, ms(l.now+37))
		l.now += 20
		p.SequenceNumber++
		p.Timestamp += 960
	}); n > 0 {
		t.Errorf("%v allocations a tick", n)
	}
}

// Packets without payload take numbers and no time.
func TestProbesAmongSound(t *testing.T) {
	l := newLink(t, 20)
	l.run(1000)
	for range 50 {
		for range 3 {
			l.p.Push(&rtp.Packet{Header: rtp.Header{SequenceNumber: l.seq, Timestamp: l.ts}}, silence, ms(l.now))
			l.seq++
		}
		l.run(100)
		if l.concealed > 0 || l.silent > 0 {
			t.Fatalf("%v concealed, %d ticks silent", l.concealed, l.silent)
		}
	}
	if s := l.p.Stats(); s.Lost+s.Late+s.Bad > 0 {
		t.Errorf("%+v", s)
	}
}

func TestDuplicatedSound(t *testing.T) {
	l := newLink(t, 20)
	var last *rtp.Packet
	for range 200 {
		l.run(20)
		if len(l.air) > 0 {
			last = l.air[0].p
		}
		if last != nil {
			l.p.Push(last, silence, ms(l.now)) // now and again later, when it was played
			l.p.Push(last, silence, ms(l.now))
		}
	}
	if s := l.p.Stats(); s.Duplicates < 350 || s.Late+s.Lost+s.Restarts > 0 {
		t.Errorf("%+v", s)
	}
}

// G.711's timestamps count at 8 kHz whatever the PCM is.
func TestSlowTimestamps(t *testing.T) {
	tp := newTape(t, 1)
	p := NewPlayout(PlayoutConfig{ClockRate: 8000}, func() (codec.AudioDecoder, error) { return tp, nil })
	pcm := make([]int16, 960)
	silent := 0
	for i := range 500 {
		p.Push(&rtp.Packet{
			Header:  rtp.Header{SequenceNumber: uint16(i), Timestamp: uint32(160*i) - 3200},
			Payload: tapePacket(uint32(i), 960, 5000),
		}, silence, ms(20*i))
		if h := p.Pull(pcm, ms(20*i+5)); h.Silent || h.Concealed > 0 {
			silent++
		}
	}
	if s := p.Stats(); silent > 2 || s.Inserted+s.Removed > 0 || s.Delay > 45*time.Millisecond {
		t.Errorf("%d ticks silent or concealed, %+v", silent, s)
	}
}

// Pushed, pulled and asked at once: for the race detector.
func TestPlayoutIsPushedFromAnywhere(t *testing.T) {
	p := NewPlayout(PlayoutConfig{}, func() (codec.AudioDecoder, error) { return newTape(nil, 1), nil })
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 2000 {
			p.Push(&rtp.Packet{
				Header:  rtp.Header{SequenceNumber: uint16(i), Timestamp: uint32(960 * i), SSRC: uint32(i / 500)},
				Payload: tapePacket(uint32(i), 960, 5000),
			}, -20, ms(20*i))
			p.SenderReport(uint64(i)<<32, uint32(960*i), ms(20*i))
		}
	}()
	pcm := make([]int16, 960)
	for i := range 2000 {
		p.Pull(pcm, ms(20*i))
		p.Stats()
	}
	<-done
	p.Close()
}

func BenchmarkPlayout(b *testing.B) {
	p := NewPlayout(PlayoutConfig{}, func() (codec.AudioDecoder, error) { return newTape(nil, 1), nil })
	pkt := &rtp.Packet{Payload: tapePacket(1, 960, 0)}
	pcm := make([]int16, 960)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p.Push(pkt, -20, ms(20*i))
		p.Pull(pcm, ms(20*i+5))
		pkt.SequenceNumber++
		pkt.Timestamp += 960
	}
}

// A sound clock that ticks late now and then does not grow the delay for good.
func TestUnevenClock(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 7))
	tp := newTape(t, 1)
	p := NewPlayout(PlayoutConfig{}, func() (codec.AudioDecoder, error) { return tp, nil })
	pcm := make([]int16, 960)
	var made, most time.Duration
	for i := range 3000 {
		p.Push(&rtp.Packet{
			Header:  rtp.Header{SequenceNumber: uint16(i), Timestamp: uint32(960 * i)},
			Payload: tapePacket(uint32(i), 960, 5000),
		}, silence, ms(20*i))
		h := p.Pull(pcm, ms(20*i+2+r.IntN(16)))
		if i > 200 {
			made += h.Concealed
			most = max(most, h.Delay)
		}
	}
	if made > 0 || most > 60*time.Millisecond {
		t.Errorf("%v concealed, delay up to %v, %+v", made, most, p.Stats())
	}
}
