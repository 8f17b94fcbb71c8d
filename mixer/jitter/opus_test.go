package jitter_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtp"

	"mixdown/codec"
	"mixdown/codec/codectest"
	"mixdown/codec/opus"
	"mixdown/mixer/jitter"
)

const rate = 48000

// network takes 20 ms of a tone in every 20 ms and gives them to a Playout as
// Opus packets: what it says is their delay, below zero they are lost.
type network struct {
	t      *testing.T
	enc    codec.AudioEncoder
	step   uint32 // of timestamps
	p      *jitter.Playout
	late   func(ms int) int
	ms     int
	air    map[int][]*rtp.Packet
	seq    uint16
	ts     uint32
	played []int16
	heard  jitter.Heard
}

func newNetwork(t *testing.T) *network {
	format := codec.AudioFormat{Rate: rate, Channels: 1}
	enc, err := opus.NewEncoder(codec.AudioConfig{
		AudioFormat: format, Bitrate: 32000, Frame: 20 * time.Millisecond, Complexity: 5, FEC: true, Loss: 0.1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return networkOf(t, enc, rate, func() (codec.AudioDecoder, error) { return opus.NewDecoder(format) })
}

// networkOf carries the packets of another encoder, whose RTP clock runs at clock.
func networkOf(t *testing.T, enc codec.AudioEncoder, clock int, open func() (codec.AudioDecoder, error)) *network {
	format := codec.AudioFormat{Rate: rate, Channels: 1}
	n := &network{t: t, enc: enc, step: uint32(clock / 50), air: map[int][]*rtp.Packet{}, late: func(int) int { return 20 }}
	n.p = jitter.NewPlayout(jitter.PlayoutConfig{AudioFormat: format, ClockRate: clock}, open)
	t.Cleanup(func() { enc.Close(); n.p.Close() })
	return n
}

func (n *network) run(length int) {
	now := func() time.Time { return time.Unix(1e9, int64(n.ms)*1e6) }
	n.played = n.played[:0]
	for end := n.ms + length; n.ms < end; n.ms++ {
		if n.ms%20 == 0 {
			b, err := n.enc.Encode(codectest.Tone(rate, 400, -20, n.ms*rate/1000, rate/50))
			if err != nil {
				n.t.Fatal(err)
			}
			if late := n.late(n.ms); late >= 0 {
				n.air[n.ms+late] = append(n.air[n.ms+late], &rtp.Packet{
					Header:  rtp.Header{SequenceNumber: n.seq, Timestamp: n.ts},
					Payload: append([]byte(nil), b...),
				})
			}
			n.seq++
			n.ts += n.step
		}
		for _, p := range n.air[n.ms] {
			n.p.Push(p, -20, now())
		}
		delete(n.air, n.ms)
		if n.ms%20 == 13 {
			pcm := make([]int16, rate/50)
			n.heard = n.p.Pull(pcm, now())
			n.played = append(n.played, pcm...)
		}
	}
}

// weak returns how many ticks are more than 15 dB below the tone. (What Opus
// repairs or makes up of a tone is itself some 8 dB below.)
func (n *network) weak() (ticks int) {
	const tick = rate / 50
	for pcm := n.played; len(pcm) >= tick; pcm = pcm[tick:] {
		sum := 0.0
		for _, v := range pcm[:tick] {
			sum += float64(v) * float64(v)
		}
		// a sine's RMS is 3 dB below its peak
		if 10*math.Log10(sum/tick/(32767*32767)+1e-12) < -20-3-15 {
			ticks++
		}
	}
	return ticks
}

func TestOpusOverACleanLink(t *testing.T) {
	n := newNetwork(t)
	n.run(1000)
	n.run(5000)
	if l := codectest.ToneLevel(n.played, rate, 400); l < -20.5 || l > -19.5 {
		t.Errorf("a tone of -20 dB comes out at %.1f", l)
	}
	if n.heard.Delay > 40*time.Millisecond {
		t.Errorf("delay %v", n.heard.Delay)
	}
}

func TestOpusOverABadLink(t *testing.T) {
	for seed := range uint64(5) {
		r := rand.New(rand.NewPCG(seed, 6))
		n := newNetwork(t)
		n.late = func(int) int {
			if r.IntN(20) == 0 {
				return -1
			}
			return 20 + r.IntN(40)
		}
		n.run(5000)
		n.run(20000)
		if weak := n.weak(); weak > 12 {
			t.Errorf("seed %d: %d of 1000 ticks are weak", seed, weak)
		}
		s := n.p.Stats()
		if s.Bad > 0 || s.Lost < 30 || s.Delay > 130*time.Millisecond {
			t.Errorf("seed %d: %+v", seed, s)
		}
	}
}

// A sender in discontinuous transmission is heard as a room is: its noise goes
// on through the pauses, at its level and without holes.
func TestComfortNoise(t *testing.T) {
	format := codec.AudioFormat{Rate: rate, Channels: 1}
	enc, err := opus.NewEncoder(codec.AudioConfig{
		AudioFormat: format, Bitrate: 24000, Frame: 20 * time.Millisecond, Complexity: 5, DTX: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	p := jitter.NewPlayout(jitter.PlayoutConfig{AudioFormat: format}, func() (codec.AudioDecoder, error) {
		return opus.NewDecoder(format)
	})
	defer p.Close()
	r := rand.New(rand.NewPCG(3, 9))
	pcm, played := make([]int16, 960), make([]int16, 960)
	seq, sent, resting := uint16(0), 0, false
	var levels []float64
	level := func(pcm []int16) float64 {
		sum := 0.0
		for _, v := range pcm {
			sum += float64(v) * float64(v)
		}
		return 10 * math.Log10(sum/float64(len(pcm))/(1<<30)+1e-12)
	}
	voice, concealed := -120.0, time.Duration(0)
	for i := range 500 {
		now := time.Unix(1e9, int64(i)*20e6)
		for j := range pcm {
			pcm[j] = int16(r.NormFloat64() * 60) // -55 dBov
			if i < 100 {
				pcm[j] += int16(6000 * math.Sin(2*math.Pi*200*float64(i*960+j)/rate) * math.Abs(math.Sin(float64(i)/5)))
			}
		}
		b, err := enc.Encode(pcm)
		if err != nil {
			t.Fatal(err)
		}
		// As browsers do: the first empty packet says that it begins, others are not sent.
		if empty := len(b) <= 2; !empty || !resting {
			p.Push(&rtp.Packet{Header: rtp.Header{SequenceNumber: seq, Timestamp: uint32(960 * i)}, Payload: b}, -127, now)
			seq++
			sent++
			resting = empty
		}
		h := p.Pull(played, now.Add(7*time.Millisecond))
		switch {
		case i < 100:
			voice = max(voice, level(played))
		case i > 150:
			levels = append(levels, level(played))
			concealed += h.Concealed
		}
	}
	low, high := 0.0, -120.0
	for _, l := range levels {
		low, high = min(low, l), max(high, l)
	}
	t.Logf("%d of 500 packets sent; voice %.1f dBov, pauses %.1f to %.1f dBov; %v", sent, voice, low, high, p.Stats().Comfort)
	if sent > 350 {
		t.Fatalf("%d of 500 packets sent: nothing to test", sent)
	}
	if low < -70 || high > -45 {
		t.Errorf("noise of -55 dBov is heard between %.1f and %.1f dBov", low, high)
	}
	if concealed > 0 || p.Stats().Comfort < 3*time.Second {
		t.Errorf("%v concealed, %+v", concealed, p.Stats())
	}
	// A sender that has gone says nothing more.
	for i := range 100 {
		p.Pull(played, time.Unix(1e9, int64(500+i)*20e6))
	}
	if l := level(played); l > -119 {
		t.Errorf("%.1f dBov two seconds after the last packet", l)
	}
}

func BenchmarkPlayoutOpus(b *testing.B) {
	format := codec.AudioFormat{Rate: rate, Channels: 1}
	enc, err := opus.NewEncoder(codec.AudioConfig{AudioFormat: format, Bitrate: 32000, Frame: 20 * time.Millisecond, Complexity: 5, FEC: true, Loss: 0.1})
	if err != nil {
		b.Fatal(err)
	}
	defer enc.Close()
	var packets [][]byte
	for i := range 50 {
		coded, err := enc.Encode(codectest.Tone(rate, 300, -12, i*960, 960))
		if err != nil {
			b.Fatal(err)
		}
		packets = append(packets, append([]byte(nil), coded...))
	}
	for range 50 { // the last one is as all that follow
		coded, err := enc.Encode(make([]int16, 960))
		if err != nil {
			b.Fatal(err)
		}
		packets = append(packets, append([]byte(nil), coded...))
	}
	for _, c := range []struct {
		name string
		send func(i int) bool
		data func(i int) []byte
	}{
		{"muted", func(int) bool { return true }, func(i int) []byte { return packets[min(i, 99)] }},
		{"talking", func(int) bool { return true }, func(i int) []byte { return packets[i%50] }},
		{"pausing", func(i int) bool { return i%20 == 0 }, func(int) []byte { return packets[0][:1] }},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := jitter.NewPlayout(jitter.PlayoutConfig{AudioFormat: format}, func() (codec.AudioDecoder, error) { return opus.NewDecoder(format) })
			defer p.Close()
			pcm := make([]int16, 960)
			pkt := &rtp.Packet{}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				now := time.Unix(1e9, int64(i)*20e6)
				if c.send(i) {
					pkt.Payload = c.data(i)
					pkt.Timestamp = uint32(960 * i)
					p.Push(pkt, -20, now)
					pkt.SequenceNumber++
				}
				p.Pull(pcm, now.Add(7*time.Millisecond))
			}
		})
	}
}

// Senders in mono and stereo, with packets of any length, into rooms in mono
// and stereo.
func TestShapesOfSound(t *testing.T) {
	for _, from := range []int{1, 2} {
		for _, to := range []int{1, 2} {
			for _, length := range []int{10, 20, 40, 60, 80, 100, 120} {
				enc, err := opus.NewEncoder(codec.AudioConfig{
					AudioFormat: codec.AudioFormat{Rate: rate, Channels: from}, Bitrate: 48000, Frame: time.Duration(length) * time.Millisecond, Complexity: 1,
				})
				if err != nil {
					t.Fatal(err)
				}
				format := codec.AudioFormat{Rate: rate, Channels: to}
				p := jitter.NewPlayout(jitter.PlayoutConfig{AudioFormat: format}, func() (codec.AudioDecoder, error) { return opus.NewDecoder(format) })
				pkt := new(rtp.Packet)
				pcm := make([]int16, rate/50*to)
				var heard []int16
				for ms := 0; ms < 3000; ms += 10 {
					now := time.Unix(1e9, int64(ms)*1e6)
					if ms%length == 0 {
						mono := codectest.Tone(rate, 400, -20, ms*rate/1000, length*rate/1000)
						in := make([]int16, 0, len(mono)*from)
						for _, v := range mono {
							for range from {
								in = append(in, v)
							}
						}
						if pkt.Payload, err = enc.Encode(in); err != nil {
							t.Fatal(err)
						}
						p.Push(pkt, -20, now)
						pkt.SequenceNumber++
						pkt.Timestamp += uint32(length * rate / 1000)
					}
					if ms%20 == 10 {
						p.Pull(pcm, now)
						for i := 0; i < len(pcm) && ms >= 1000; i += to {
							heard = append(heard, pcm[i+to-1])
						}
					}
				}
				if l := codectest.ToneLevel(heard, rate, 400); l < -21 || l > -19 {
					t.Errorf("%d channels to %d, %d ms: a tone of -20 dB comes out at %.1f", from, to, length, l)
				}
				if s := p.Stats(); s.Concealed > 0 || s.Delay > 60*time.Millisecond {
					t.Errorf("%d channels to %d, %d ms: %+v", from, to, length, s)
				}
				p.Close()
				enc.Close()
			}
		}
	}
}
