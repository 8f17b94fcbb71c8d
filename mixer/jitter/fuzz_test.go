package jitter

import (
	"testing"
	"time"

	"github.com/pion/rtp"

	"mixdown/codec"
)

// script reads a fuzzer's bytes as what happens to a stream.
type script []byte

func (s *script) byte() byte {
	if len(*s) == 0 {
		return 0
	}
	b := (*s)[0]
	*s = (*s)[1:]
	return b
}

// steps of sequence numbers and timestamps: near, behind, and far away
var leaps = [16]int{1, 1, 1, 1, 1, 1, 2, 3, 0, -1, -5, 40, 300, 3100, 20000, 40000}

func seeds(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("a plain line of text is a stream with a little of everything"))
	clean := make([]byte, 0, 600)
	for i := range 100 {
		clean = append(clean, 0, 0, byte(i%3), byte(i), 12, 20)
	}
	f.Add(clean)
	wild := make([]byte, 900)
	x := uint32(1)
	for i := range wild {
		x = x*1664525 + 1013904223
		wild[i] = byte(x >> 24)
	}
	f.Add(wild)
}

func FuzzAssembler(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg := AssemblerConfig{MaxPackets: 64, MaxUnit: 4000, MaxHole: 30}
		a := NewAssembler(cfg)
		s := script(data)
		now := epoch
		seq, ts, ssrc := 65000, 0, uint32(1)
		needKey := true
		check := func(units []codec.Unit) {
			for _, u := range units {
				if len(u.Data) == 0 || len(u.Data) > cfg.MaxUnit || cap(u.Data)-len(u.Data) < padding {
					t.Fatalf("unit of %d bytes, capacity %d", len(u.Data), cap(u.Data))
				}
				if needKey && !u.Keyframe {
					t.Fatal("the first unit is no keyframe")
				}
				needKey = false
			}
			held := 0
			for i := range a.ring {
				held += len(a.ring[i].payload)
			}
			if held != a.held || held > 2*cfg.MaxUnit || len(a.free) > spareBuffers || cap(a.unit.data) > 4*cfg.MaxUnit {
				t.Fatalf("holds %d bytes, counts %d; %d spare buffers; unit of %d", held, a.held, len(a.free), cap(a.unit.data))
			}
			if a.next > a.last+1 || a.last-a.next >= int64(len(a.ring)) {
				t.Fatalf("next %d, last %d", a.next, a.last)
			}
		}
		for len(s) > 0 {
			op := s.byte()
			now = now.Add(time.Duration(op>>3) * time.Millisecond)
			switch {
			case op&7 == 7:
				units, nacks, _ := a.Tick(now)
				check(units)
				if len(nacks) > cfg.MaxPackets {
					t.Fatalf("asks for %d packets", len(nacks))
				}
			case op&7 == 6:
				a.SenderReport(uint64(s.byte())<<56|uint64(s.byte())<<30, uint32(s.byte())<<24, now)
			case op == 5:
				ssrc++
			default:
				seq += leaps[s.byte()&15]
				b := s.byte()
				if b&3 == 0 {
					ts += leaps[b>>4] * 3600
				}
				p := &rtp.Packet{Header: rtp.Header{
					SSRC: ssrc, SequenceNumber: uint16(seq), Timestamp: uint32(ts), Marker: b&4 != 0,
				}}
				if n := s.byte(); n > 2 {
					p.Payload = make([]byte, int(n)*8)
					p.Payload[0] = s.byte()
					p.Payload[2] = s.byte()
					p.Payload[3] = "KD"[b>>3&1]
				} else {
					p.Payload = make([]byte, n)
				}
				c := toyCodec
				if op&7 == 4 {
					c = toyCounted
				}
				if op == 4 {
					c = nil
				}
				check(a.Push(c, p, now))
			}
		}
	})
}

func FuzzPlayout(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		tp := newTape(t, 2)
		tp.t = nil // copies may be of anything
		p := NewPlayout(PlayoutConfig{AudioFormat: codec.AudioFormat{Rate: 48000, Channels: 2}, MaxPackets: 32},
			func() (codec.AudioDecoder, error) { return tp, nil })
		defer p.Close()
		room := cap(p.pull.fifo)
		s := script(data)
		now := epoch
		seq, ts, ssrc, number := 65000, 0, uint32(1), uint32(0)
		pcm := make([]int16, 1920)
		for len(s) > 0 {
			op := s.byte()
			now = now.Add(time.Duration(op>>3) * time.Millisecond)
			switch {
			case op&7 >= 5:
				for i := range pcm {
					pcm[i] = 0x55
				}
				h := p.Pull(pcm, now)
				loud := false
				for _, v := range pcm {
					loud = loud || v != 0
				}
				if loud == h.Silent {
					t.Fatalf("silent %v, and it is not so", h.Silent)
				}
				if h.Concealed < 0 || h.Concealed > 20*time.Millisecond || h.Ahead < silence || h.Ahead > 0 {
					t.Fatalf("%+v", h)
				}
				if cap(p.pull.fifo) != room {
					t.Fatalf("the fifo has grown from %d to %d", room, cap(p.pull.fifo))
				}
			case op&7 == 4:
				p.SenderReport(uint64(s.byte())<<56|uint64(s.byte())<<30, uint32(s.byte())<<24, now)
			case op == 3:
				ssrc++
			default:
				b := s.byte()
				seq += leaps[b&15]
				ts += leaps[b>>4] * 960
				n := int(s.byte()) * 48 / 2
				pkt := &rtp.Packet{Header: rtp.Header{SSRC: ssrc, SequenceNumber: uint16(seq), Timestamp: uint32(ts)}}
				if op&7 < 3 {
					pkt.Payload = tapePacket(number, n, uint16(s.byte())<<7)
				} else {
					pkt.Payload = make([]byte, op>>3)
				}
				number++
				var copies []Block
				for k := range op >> 6 {
					copies = append(copies, Block{Back: uint32(b) * 60 * uint32(k), Data: tapePacket(number, n, 99)})
				}
				p.PushCopies(pkt, copies, -float64(b&127), now)
				if nacks := p.Nacks(nil, time.Duration(b)*time.Millisecond, now); len(nacks) > 32 {
					t.Fatalf("asks for %d packets", len(nacks))
				}
				if p.queue.last-p.queue.next >= int64(len(p.queue.ring)) {
					t.Fatalf("next %d, last %d", p.queue.next, p.queue.last)
				}
			}
		}
	})
}

func FuzzSplitRED(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{111, 1, 2, 3})
	f.Add([]byte{0x80 | 111, 960 >> 6, 960 << 2 & 0xff, 3, 111, 1, 2, 3, 4, 5})
	f.Add([]byte{0x80 | 111, 30, 0, 2, 0x80 | 111, 15, 0, 1, 111, 1, 2, 3, 4, 5})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		blocks, err := SplitRED(make([]Block, 1), data)
		if err != nil {
			if len(blocks) != 1 {
				t.Fatalf("%d blocks and %v", len(blocks), err)
			}
			return
		}
		blocks = blocks[1:]
		size := 4*len(blocks) - 3
		for i, b := range blocks {
			size += len(b.Data)
			if last := i == len(blocks)-1; b.PT > 127 || b.Back >= 1<<14 || last && b.Back != 0 || !last && len(b.Data) >= 1<<10 {
				t.Fatalf("block %d of %d: %+v", i, len(blocks), b)
			}
		}
		if len(blocks) == 0 || len(blocks) > maxBlocks || size != len(data) {
			t.Fatalf("%d blocks of %d bytes in all out of %d", len(blocks), size, len(data))
		}
	})
}
