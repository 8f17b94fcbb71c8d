package jitter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtp"

	"mixdown/codec"
)

// toy is a payload format of tests: a byte of flags, a picture counter of 16
// bits, then the coded bytes, whose first is 'K' in a keyframe.
type toy struct{ counts bool }

const toyBegins = 1

func (toy) NewPacketizer() codec.Packetizer     { return nil }
func (toy) NewDepacketizer() codec.Depacketizer { return toy{} }
func (toy) Begins(p []byte) bool                { return len(p) > 2 && p[0]&toyBegins != 0 }
func (toy) Keyframe(u []byte) bool              { return len(u) > 0 && u[0] == 'K' }
func (toy) Shift([]byte, codec.Counters)        {}
func (toy) Append(unit, p []byte) ([]byte, error) {
	if len(p) < 3 {
		return unit, errors.New("toy: short")
	}
	return append(unit, p[3:]...), nil
}
func (f toy) Counters(p []byte) codec.Counters {
	if !f.counts || len(p) < 3 {
		return 0
	}
	return codec.Counters(binary.BigEndian.Uint16(p[1:])) | 1<<16
}
func (toy) Follow(last, first codec.Counters) codec.Counters {
	if last&first&(1<<16) == 0 {
		return 0
	}
	return codec.Counters(uint16(last) + 1 - uint16(first))
}

var (
	toyCodec   = &codec.Codec{Name: "toy", Kind: codec.Video, ClockRate: 90000, Payload: toy{}}
	toyCounted = &codec.Codec{Name: "toy2", Kind: codec.Video, ClockRate: 90000, Payload: toy{counts: true}}
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func ms(n int) time.Time { return epoch.Add(time.Duration(n) * time.Millisecond) }

// stream makes packets of units.
type stream struct {
	ssrc    uint32
	seq     uint16
	ts      uint32
	picture uint16
	units   [][]byte // that were made
}

// unit makes one of n packets. The buffers are the test's to spoil.
func (s *stream) unit(n int, key bool) []*rtp.Packet {
	var out []*rtp.Packet
	var whole []byte
	for i := range n {
		kind := "D"
		if key {
			kind = "K"
		}
		body := fmt.Appendf(nil, "%s%d/%d.", kind, s.picture, i)
		whole = append(whole, body...)
		head := []byte{0, byte(s.picture >> 8), byte(s.picture)}
		if i == 0 {
			head[0] = toyBegins
		}
		out = append(out, &rtp.Packet{
			Header: rtp.Header{
				SSRC: s.ssrc, SequenceNumber: s.seq, Timestamp: s.ts, Marker: i == n-1,
			},
			Payload: append(head, body...),
		})
		s.seq++
	}
	s.units = append(s.units, whole)
	s.picture++
	s.ts += 3600
	return out
}

// probe makes a packet of nothing but padding.
func (s *stream) probe() *rtp.Packet {
	p := &rtp.Packet{Header: rtp.Header{SSRC: s.ssrc, SequenceNumber: s.seq, Timestamp: s.ts - 3600, Padding: true}}
	s.seq++
	return p
}

// run pushes packets and collects copies of the units' data.
func run(a *Assembler, c *codec.Codec, now time.Time, packets ...*rtp.Packet) [][]byte {
	var out [][]byte
	for _, p := range packets {
		q := *p
		q.Payload = bytes.Clone(p.Payload)
		for _, u := range a.Push(c, &q, now) {
			out = append(out, u.Data)
		}
		for i := range q.Payload {
			q.Payload[i] = 0xee // the caller's buffer is its own
		}
	}
	return out
}

func same(t *testing.T, got, want [][]byte) {
	t.Helper()
	if fmt.Sprintf("%s", got) != fmt.Sprintf("%s", want) {
		t.Fatalf("got units %s\nwant %s", got, want)
	}
}

func TestUnitIsCompleteOnItsMarker(t *testing.T) {
	a := NewAssembler(AssemblerConfig{})
	s := &stream{seq: 65530}
	a.SenderReport(ToNTP(ms(0)), 0, ms(10))
	for i := range 10 {
		packets := s.unit(3, i == 0)
		if got := run(a, toyCodec, ms(40*i), packets[:2]...); got != nil {
			t.Fatalf("a unit before its end: %s", got)
		}
		units := a.Push(toyCodec, packets[2], ms(40*i+1))
		if len(units) != 1 || !bytes.Equal(units[0].Data, s.units[i]) {
			t.Fatalf("unit %d: got %v", i, units)
		}
		u := units[0]
		if u.Keyframe != (i == 0) || u.Timestamp != uint32(3600*i) || !u.Arrived.Equal(ms(40*i+1)) || u.Codec != toyCodec {
			t.Errorf("unit %d: %+v", i, u)
		}
		if i > 0 && u.Captured.Sub(ms(40*i+10)).Abs() > time.Microsecond {
			t.Errorf("unit %d: captured at %v", i, u.Captured)
		}
		if cap(u.Data)-len(u.Data) < padding {
			t.Error("no room behind the data")
		}
	}
	if _, nacks, lost := a.Tick(ms(1000)); len(nacks) > 0 || lost {
		t.Errorf("asks for %v, keyframe %v, with nothing missing", nacks, lost)
	}
}

// Any order within a bounded distance, with duplicates, gives the same units.
func TestReorderAndDuplicates(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 2))
		a := NewAssembler(AssemblerConfig{})
		s := &stream{seq: uint16(r.Uint32())}
		var packets []*rtp.Packet
		for i := range 60 {
			packets = append(packets, s.unit(1+r.IntN(5), i == 0)...)
			if r.IntN(4) == 0 {
				packets = append(packets, s.probe())
			}
		}
		for i := 1; i < len(packets); i++ {
			j := min(len(packets)-1, i+r.IntN(6))
			packets[i], packets[j] = packets[j], packets[i]
			if r.IntN(10) == 0 {
				packets = append(packets, packets[r.IntN(i+1)])
			}
		}
		same(t, run(a, toyCodec, ms(0), packets...), s.units)
		st := a.Stats()
		if int(st.Packets-st.Duplicates) != int(s.seq-packets0(s, packets)) {
			t.Fatalf("seed %d: stats %+v", seed, st)
		}
	}
}

// packets0 is the lowest sequence number of packets.
func packets0(s *stream, packets []*rtp.Packet) uint16 {
	first := s.seq
	for _, p := range packets {
		if int16(p.SequenceNumber-first) < 0 {
			first = p.SequenceNumber
		}
	}
	return first
}

// A stream's first packets may be the ones out of order.
func TestStartOutOfOrder(t *testing.T) {
	a := NewAssembler(AssemblerConfig{})
	s := &stream{seq: 1}
	p := append(s.unit(3, true), s.unit(1, false)...)
	same(t, run(a, toyCodec, ms(0), p[2], p[1], p[3], p[0]), s.units)
}

func TestHoleIsAskedForAndRepaired(t *testing.T) {
	a := NewAssembler(AssemblerConfig{})
	a.SetRTT(100 * time.Millisecond)
	s := &stream{seq: 65534}
	got := run(a, toyCodec, ms(0), s.unit(2, true)...)
	hole := s.unit(3, false)
	got = append(got, run(a, toyCodec, ms(40), hole[0], hole[2])...)
	got = append(got, run(a, toyCodec, ms(42), s.unit(1, false)...)...)
	same(t, got, s.units[:1])

	asked := 0
	for now := 40; now < 240; now += 10 {
		units, nacks, lost := a.Tick(ms(now))
		if len(units) > 0 || lost {
			t.Fatalf("%d ms: gave up", now)
		}
		for _, q := range nacks {
			if q != hole[1].SequenceNumber {
				t.Fatalf("asks for %d", q)
			}
			asked++
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times in two round trips", asked)
	}
	same(t, run(a, toyCodec, ms(240), hole[1]), s.units[1:])
	if st := a.Stats(); st.Recovered != 1 || st.Lost != 0 || st.Nacked != 2 {
		t.Errorf("stats %+v", st)
	}
}

func TestUnrepairedHoleWithholdsUntilKeyframe(t *testing.T) {
	a := NewAssembler(AssemblerConfig{MaxWait: 300 * time.Millisecond})
	a.SetRTT(50 * time.Millisecond)
	s := &stream{}
	run(a, toyCodec, ms(0), s.unit(2, true)...)
	hole := s.unit(3, false)
	run(a, toyCodec, ms(0), hole[0], hole[2])
	var asked []int
	for now := 0; now < 2000; now += 10 {
		if now%40 == 0 {
			if got := run(a, toyCodec, ms(now), s.unit(2, false)...); got != nil {
				t.Fatalf("%d ms: %s refers to what is lost", now, got)
			}
		}
		units, _, lost := a.Tick(ms(now))
		if len(units) > 0 {
			t.Fatalf("%d ms: %v refers to what is lost", now, units)
		}
		if lost {
			asked = append(asked, now)
		}
	}
	if fmt.Sprint(asked) != "[300 800 1300 1800]" {
		t.Errorf("asked for keyframes at %v ms", asked)
	}
	if got := run(a, toyCodec, ms(2000), hole[1]); got != nil || a.Stats().Late != 1 {
		t.Errorf("late packet: units %s, stats %+v", got, a.Stats())
	}
	n := len(s.units)
	got := run(a, toyCodec, ms(2000), s.unit(4, true)...)
	got = append(got, run(a, toyCodec, ms(2040), s.unit(1, false)...)...)
	same(t, got, s.units[n:])
	if _, _, lost := a.Tick(ms(9000)); lost {
		t.Error("still asks after the keyframe")
	}
}

func TestNoSecondKeyframeWhileOneIsComing(t *testing.T) {
	a := NewAssembler(AssemblerConfig{})
	s := &stream{}
	run(a, toyCodec, ms(0), s.unit(1, false)...)
	if _, _, lost := a.Tick(ms(10)); !lost {
		t.Fatal("a stream without a keyframe is not asked for one")
	}
	asked := 0
	for i, p := range s.unit(20, true) { // 100 ms a packet
		got := run(a, toyCodec, ms(100+100*i), p)
		if i < 19 && got != nil || i == 19 && len(got) != 1 {
			t.Fatalf("packet %d: %s", i, got)
		}
		if _, _, lost := a.Tick(ms(110 + 100*i)); lost {
			asked++
		}
	}
	if asked > 0 {
		t.Errorf("asked %d times although a keyframe was coming in", asked)
	}
}

func TestProbes(t *testing.T) {
	for _, c := range []*codec.Codec{toyCodec, toyCounted} {
		a := NewAssembler(AssemblerConfig{})
		s := &stream{}
		got := run(a, c, ms(0), s.unit(2, true)...)
		got = append(got, run(a, c, ms(1), s.probe(), s.probe(), s.probe())...)
		got = append(got, run(a, c, ms(2), s.unit(2, false)...)...)
		same(t, got, s.units)
		if st := a.Stats(); st.Padding != 3 || st.Bad+st.Dropped > 0 {
			t.Errorf("%s: %+v", c.Name, st)
		}
	}
}

// With a codec that counts pictures a lost probe costs nothing.
func TestLostProbesAreBridged(t *testing.T) {
	a := NewAssembler(AssemblerConfig{})
	s := &stream{picture: 65535}
	got := run(a, toyCounted, ms(0), s.unit(2, true)...)
	s.probe()
	s.probe()
	got = append(got, run(a, toyCounted, ms(2), s.unit(2, false)...)...)
	same(t, got, s.units)
	if _, nacks, lost := a.Tick(ms(50)); len(nacks) > 0 || lost {
		t.Errorf("asks for %v, keyframe %v", nacks, lost)
	}
	s.unit(1, false) // but a lost picture is not bridged
	if got := run(a, toyCounted, ms(60), s.unit(2, false)...); got != nil {
		t.Errorf("%s although a picture is missing", got)
	}
}

func TestMissingMarker(t *testing.T) {
	a := NewAssembler(AssemblerConfig{})
	s := &stream{}
	first := s.unit(3, true)
	first[2].Marker = false
	if got := run(a, toyCodec, ms(0), first...); got != nil {
		t.Fatal("complete without marker")
	}
	same(t, run(a, toyCodec, ms(0), s.unit(2, false)...), s.units)
}

func TestStreamChanges(t *testing.T) {
	a := NewAssembler(AssemblerConfig{})
	s := &stream{ssrc: 1, seq: 100}
	same(t, run(a, toyCodec, ms(0), s.unit(2, true)...), s.units)

	// another source starts with another everything
	o := &stream{ssrc: 2, seq: 40000, ts: 1 << 31}
	same(t, run(a, toyCodec, ms(10), append(o.unit(2, true), o.unit(2, false)...)...), o.units)

	// the same source, another codec: a keyframe is needed, then all is well
	if got := run(a, toyCounted, ms(20), o.unit(2, false)...); got != nil {
		t.Errorf("%s without a keyframe of the new codec", got)
	}
	n := len(o.units)
	same(t, run(a, toyCounted, ms(30), o.unit(2, true)...), o.units[n:])

	// a restart far away: one stray packet is ignored, a second is believed, and
	// the first asked for again
	o.seq += 20000
	o.ts += 1 << 30
	n = len(o.units)
	packets := o.unit(4, true)
	if got := run(a, toyCounted, ms(40), packets...); got != nil {
		t.Errorf("%s without its first packet", got)
	}
	_, nacks, _ := a.Tick(ms(50))
	if len(nacks) != 1 || nacks[0] != packets[0].SequenceNumber {
		t.Errorf("asks for %v", nacks)
	}
	same(t, run(a, toyCounted, ms(60), packets[0]), o.units[n:])
	if st := a.Stats(); st.Restarts != 2 || st.Bad != 1 {
		t.Errorf("%+v", st)
	}
}

func TestLimits(t *testing.T) {
	a := NewAssembler(AssemblerConfig{MaxUnit: 1000, MaxPackets: 64, MaxHole: 20})
	s := &stream{}
	got := run(a, toyCodec, ms(0), s.unit(2, true)...)
	got = append(got, run(a, toyCodec, ms(0), s.unit(500, false)...)...) // too large
	same(t, got, s.units[:1])
	if st := a.Stats(); st.Dropped != 1 {
		t.Errorf("%+v", st)
	}
	n := len(s.units)
	same(t, run(a, toyCodec, ms(0), s.unit(2, true)...), s.units[n:])

	// a hole larger than anybody repairs is given up at once
	s.unit(30, false)
	n = len(s.units)
	same(t, run(a, toyCodec, ms(0), s.unit(2, true)...), s.units[n:])
	if st := a.Stats(); st.Lost != 30 {
		t.Errorf("%+v", st)
	}

	// more than the ring holds pushes the hole out
	s.unit(1, false)
	n = len(s.units)
	var all [][]byte
	for range 40 {
		all = append(all, run(a, toyCodec, ms(0), s.unit(2, true)...)...)
	}
	same(t, all, s.units[n:])
	if a.held > 0 {
		t.Errorf("%d bytes are held", a.held)
	}
}

// Loss, reorder and repair over a seeded link: every unit that comes out is
// one that went in, in order, and nothing that refers to a lost one.
func TestAssemblerOverALink(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 3))
		a := NewAssembler(AssemblerConfig{})
		a.SetRTT(60 * time.Millisecond)
		s := &stream{seq: uint16(r.Uint32())}
		type flight struct {
			at int
			p  *rtp.Packet
		}
		var link []flight
		sent := map[uint16]*rtp.Packet{}
		send := func(now int, p *rtp.Packet) {
			sent[p.SequenceNumber] = p
			if r.IntN(100) >= 5 {
				link = append(link, flight{now + 30 + r.IntN(15), p})
			}
		}
		next, key, out := 0, true, 0
		check := func(units []codec.Unit) {
			for _, u := range units {
				i := int(u.Timestamp / 3600)
				if i < next || !bytes.Equal(u.Data, s.units[i]) {
					t.Fatalf("seed %d: unit %d is %q", seed, i, u.Data)
				}
				if i > next && !u.Keyframe {
					t.Fatalf("seed %d: unit %d after %d are missing and no keyframe", seed, i, i-next)
				}
				next = i + 1
				out++
			}
		}
		for now := 0; now < 10000; now += 5 {
			if now%40 == 0 && now < 9000 {
				for _, p := range s.unit(1+r.IntN(6), key) {
					send(now, p)
				}
				key = false
			}
			keep := link[:0]
			for _, f := range link {
				if f.at > now {
					keep = append(keep, f)
					continue
				}
				check(a.Push(toyCodec, f.p, ms(now)))
			}
			link = keep
			if now%10 == 0 {
				units, nacks, lost := a.Tick(ms(now))
				check(units)
				for _, q := range nacks {
					send(now+30, sent[q])
				}
				key = key || lost
			}
		}
		st := a.Stats()
		if out < 215 || st.Recovered < 20 {
			t.Errorf("seed %d: %d of 225 units, %+v", seed, out, st)
		}
	}
}

func TestSteadyStreamAllocatesOnlyTheUnit(t *testing.T) {
	a := NewAssembler(AssemblerConfig{})
	s := &stream{}
	run(a, toyCodec, ms(0), s.unit(3, true)...)
	packets := s.unit(3, false)
	if n := testing.AllocsPerRun(100, func() {
		for _, p := range packets {
			a.Push(toyCodec, p, ms(0))
			p.SequenceNumber += 3
			p.Timestamp += 3600
		}
	}); n > 1 {
		t.Errorf("%v allocations a unit", n)
	}
}

func BenchmarkAssembler(b *testing.B) {
	a := NewAssembler(AssemblerConfig{})
	s := &stream{}
	run(a, toyCodec, ms(0), s.unit(10, true)...)
	packets := s.unit(10, false)
	for _, p := range packets {
		p.Payload = append(p.Payload, make([]byte, 1100)...)
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, p := range packets {
			a.Push(toyCodec, p, epoch)
			p.SequenceNumber += 10
			p.Timestamp += 3600
		}
	}
}
