package jitter

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"mixdown/codec"
	"mixdown/codec/opus"
)

// counted counts what a decoder is given.
type counted struct {
	codec.AudioDecoder
	packets int
}

func (c *counted) Decode(data []byte, pcm []int16) (int, error) {
	c.packets++
	return c.AudioDecoder.Decode(data, pcm)
}

// chatter is a voice-like sound: harmonics of a pitch that moves, in syllables,
// with breath between.
func chatter(r *rand.Rand, from, n int) []int16 {
	pcm := make([]int16, n)
	for i := range pcm {
		t := float64(from+i) / 48000
		loud := math.Pow(math.Abs(math.Sin(2*math.Pi*2.3*t)), 2)
		v := 0.0
		for h := 1.0; h <= 8; h++ {
			v += math.Sin(2*math.Pi*h*(140*t+3*math.Sin(2*math.Pi*.7*t))) / h
		}
		pcm[i] = int16(6000*loud*v + 200*r.NormFloat64())
	}
	return pcm
}

// Of somebody muted hardly anything is decoded, and what they say afterwards
// sounds as if it had been.
func TestStill(t *testing.T) {
	const talk, mute = 100, 400 // packets
	format := codec.AudioFormat{Rate: 48000, Channels: 1}
	for _, rate := range []int{16_000, 24_000, 32_000, 48_000, 64_000} {
		for _, fec := range []bool{false, true} {
			enc, err := opus.NewEncoder(codec.AudioConfig{AudioFormat: format, Bitrate: rate, Frame: 20 * time.Millisecond, Complexity: 5, FEC: fec, Loss: .05})
			if err != nil {
				t.Fatal(err)
			}
			all, err := opus.NewDecoder(format)
			if err != nil {
				t.Fatal(err)
			}
			var some *counted
			d := decoder{channels: 1, open: func() (codec.AudioDecoder, error) {
				dec, err := opus.NewDecoder(format)
				some = &counted{dec, 0}
				return some, err
			}}
			r := rand.New(rand.NewPCG(uint64(rate), 1))
			want, got := make([]int16, 5760), make([]int16, 5760)
			var signal, wrong float64
			quiet := 0 // decoded packets of the silence
			for i := range talk + mute + talk {
				pcm := make([]int16, 960)
				if i < talk || i >= talk+mute {
					pcm = chatter(r, i*960, 960)
				}
				packet, err := enc.Encode(pcm)
				if err != nil {
					t.Fatal(err)
				}
				if n, err := all.Decode(packet, want); n != 960 || err != nil {
					t.Fatal(n, err)
				}
				before := 0
				if some != nil {
					before = some.packets
				}
				n, err := d.decode(packet, got)
				if n != 960 || err != nil {
					t.Fatal(n, err)
				}
				if i >= talk && i < talk+mute {
					quiet += some.packets - before
				} else if some.packets == before {
					t.Fatalf("%d bit/s: packet %d speaks and was not decoded", rate, i)
				}
				for k := range n {
					e := float64(got[k]) - float64(want[k])
					if i < talk+mute && math.Abs(e) > 2 {
						t.Fatalf("%d bit/s: packet %d is off by %v", rate, i, e)
					}
					if i >= talk+mute {
						signal += float64(want[k]) * float64(want[k])
						wrong += e * e
					}
				}
			}
			snr := 10 * math.Log10(signal/(wrong+1))
			t.Logf("%d bit/s, FEC %v: %d of %d packets of silence decoded, then %.1f dB", rate, fec, quiet, mute, snr)
			if quiet > 60 {
				t.Errorf("%d bit/s, FEC %v: %d of %d packets of silence decoded", rate, fec, quiet, mute)
			}
			if snr < 40 {
				t.Errorf("%d bit/s, FEC %v: afterwards the sound is %.1f dB from what it would be", rate, fec, snr)
			}
			enc.Close()
			all.Close()
			d.close()
		}
	}
}

// The same packet again and again is no silence as long as it is heard, and a
// decoder that has made something up has to settle anew.
func TestStillIsWhatWasSilent(t *testing.T) {
	loud := &levels{peak: stillPeak + 1}
	d := decoder{channels: 1, open: func() (codec.AudioDecoder, error) { return loud, nil }}
	pcm := make([]int16, 960)
	decode := func(times int) {
		t.Helper()
		for range times {
			if n, err := d.decode([]byte{1, 2, 3}, pcm); n != 960 || err != nil {
				t.Fatal(n, err)
			}
		}
	}
	decode(100)
	if loud.decoded != 100 {
		t.Fatalf("%d of 100 packets decoded", loud.decoded)
	}
	loud.peak = stillPeak
	decode(100)
	if loud.decoded != 100+stillAfter {
		t.Fatalf("%d packets decoded before silence was known", loud.decoded-100)
	}
	if n, err := d.decode([]byte{1, 2, 4}, pcm); n != 960 || err != nil || loud.decoded != 101+stillAfter {
		t.Fatal("another packet was taken for the same")
	}
	if err := d.conceal(pcm); err != nil {
		t.Fatal(err)
	}
	decode(1)
	if loud.decoded != 102+stillAfter {
		t.Fatal("a decoder that has concealed was thought to be settled")
	}
}

// levels is a decoder whose packets are as loud as it is told.
type levels struct {
	peak    int16
	decoded int
}

func (*levels) Samples([]byte) (int, error) { return 960, nil }
func (l *levels) Decode(_ []byte, pcm []int16) (int, error) {
	l.decoded++
	for i := range pcm[:960] {
		pcm[i] = l.peak
	}
	return 960, nil
}
func (l *levels) DecodeFEC([]byte, []int16) error { return nil }
func (l *levels) Conceal([]int16) error           { return nil }
func (l *levels) Close() error                    { return nil }
