package jitter_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtp"

	"mixdown/codec"
	"mixdown/codec/codectest"
	"mixdown/codec/waveform"
)

var telephones = map[string]waveform.Format{"PCMU": waveform.PCMU(), "PCMA": waveform.PCMA(), "G722": waveform.G722()}

func telephone(t *testing.T, f waveform.Format) *network {
	format := codec.AudioFormat{Rate: rate, Channels: 1}
	enc, err := f.NewEncoder(codec.AudioConfig{AudioFormat: format, Bitrate: 64000, Frame: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return networkOf(t, enc, 8000, func() (codec.AudioDecoder, error) { return f.NewDecoder(format) })
}

// G.722's clock is half its rate: at the wrong one the tone would be there too,
// but the delay would run away.
func TestTelephones(t *testing.T) {
	for name, f := range telephones {
		t.Run(name, func(t *testing.T) {
			n := telephone(t, f)
			n.run(1000)
			n.run(3000)
			if l := codectest.ToneLevel(n.played, rate, 400); l < -20.5 || l > -19.5 {
				t.Errorf("a tone of -20 dB comes out at %.1f", l)
			}
			s := n.p.Stats()
			if n.heard.Delay > 40*time.Millisecond || s.Concealed+s.Inserted+s.Removed > 100*time.Millisecond || s.Bad > 0 {
				t.Errorf("delay %v, %+v", n.heard.Delay, s)
			}
			r := rand.New(rand.NewPCG(1, 6))
			n.late = func(int) int {
				if r.IntN(20) == 0 {
					return -1
				}
				return 20 + r.IntN(40)
			}
			n.run(2000)
			n.run(6000)
			if weak := n.weak(); weak > 5 {
				t.Errorf("%d of 300 ticks are weak", weak)
			}
			if s := n.p.Stats(); s.Bad > 0 || s.Lost < 10 || s.Delay > 130*time.Millisecond {
				t.Errorf("%+v", s)
			}
		})
	}
}

// A telephone says once how its silence sounds, or again and again, and then
// talks on (RFC 3389).
func TestDescribedNoise(t *testing.T) {
	n := telephone(t, waveform.PCMU())
	now := func() time.Time { return time.Unix(1e9, int64(n.ms)*1e6) }
	level := func() (low, high float64) {
		low, high = 0, -120
		for pcm := n.played; len(pcm) >= 960; pcm = pcm[960:] {
			sum := 0.0
			for _, v := range pcm[:960] {
				sum += float64(v) * float64(v)
			}
			l := 10 * math.Log10(sum/960/(1<<30)+1e-12)
			low, high = min(low, l), max(high, l)
		}
		return low, high
	}
	n.run(1000)
	talks := n.late
	n.late = func(int) int { return -1 }
	for i := range 20 {
		seq := n.seq
		if i%5 == 0 { // every half second
			n.p.PushNoise(&rtp.Packet{
				Header: rtp.Header{SequenceNumber: n.seq, Timestamp: n.ts}, Payload: []byte{50, 130, 7},
			}, now())
			seq++
		}
		n.run(100)
		n.seq = seq // nothing else is sent
		if low, high := level(); i > 0 && (low < -53 || high > -47) {
			t.Errorf("noise of -50 dBov is heard between %.1f and %.1f", low, high)
		}
	}
	if s := n.p.Stats(); s.Bad > 0 || s.Comfort < 1500*time.Millisecond || s.Concealed > 100*time.Millisecond {
		t.Errorf("%+v", s)
	}
	n.late = talks
	n.run(200)
	n.run(1000)
	if l := codectest.ToneLevel(n.played, rate, 400); l < -20.5 || l > -19.5 {
		t.Errorf("afterwards a tone of -20 dB comes out at %.1f", l)
	}
	n.p.PushNoise(&rtp.Packet{Header: rtp.Header{SequenceNumber: n.seq, Timestamp: n.ts}}, now())
	n.run(100) // an empty one says nothing
}
