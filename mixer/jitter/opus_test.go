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
	n := &network{t: t, enc: enc, air: map[int][]*rtp.Packet{}, late: func(int) int { return 20 }}
	n.p = jitter.NewPlayout(jitter.PlayoutConfig{AudioFormat: format}, func() (codec.AudioDecoder, error) {
		return opus.NewDecoder(format)
	})
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
			n.ts += rate / 50
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
