package opus

import (
	"math"
	"slices"
	"testing"
	"time"

	"mixdown/codec"
)

// A packet is said to repeat the one before it if a decoder that has heard nothing
// yet makes sound of it, and not else.
func TestRepeats(t *testing.T) {
	for _, c := range []struct {
		name     string
		frame    time.Duration
		channels int
		bitrate  int
		loss     float64
		want     bool
	}{
		{"voice, 20 ms", 20 * time.Millisecond, 1, 24_000, 0.2, true},
		{"voice, 40 ms", 40 * time.Millisecond, 1, 24_000, 0.2, true},
		{"voice, 60 ms", 60 * time.Millisecond, 1, 24_000, 0.2, true},
		{"stereo, 20 ms", 20 * time.Millisecond, 2, 40_000, 0.2, true},
		{"no loss expected", 20 * time.Millisecond, 1, 24_000, 0, false},
		{"too little rate", 60 * time.Millisecond, 1, 12_000, 0.02, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			format := codec.AudioFormat{Rate: 48000, Channels: c.channels}
			enc, err := NewEncoder(codec.AudioConfig{AudioFormat: format, Bitrate: c.bitrate, Frame: c.frame, Complexity: 5, FEC: true, Loss: c.loss})
			if err != nil {
				t.Fatal(err)
			}
			defer enc.Close()
			said, looked, odd := 0, 0, 0
			n := int(c.frame.Seconds()*48000) * c.channels
			phase := 0.0
			for i := range 100 {
				pcm := make([]int16, n)
				for k := range pcm {
					// A buzz whose pitch moves, so that it cannot be foretold.
					at := float64(i*n+k) / float64(48000*c.channels)
					if k%c.channels == 0 {
						phase += 2 * math.Pi * (140 + 60*math.Sin(17*at)) / 48000
					}
					for h := 1.0; h < 12; h++ {
						pcm[k] += int16(1500 / h * math.Sin(h*phase) * (0.6 + 0.4*math.Sin(31*at)))
					}
				}
				packet, err := enc.Encode(pcm)
				if err != nil {
					t.Fatal(err)
				}
				if i < 10 {
					continue
				}
				dec, err := NewDecoder(format)
				if err != nil {
					t.Fatal(err)
				}
				if err := dec.DecodeFEC(packet, pcm); err != nil {
					t.Fatal(err)
				}
				sounds := slices.ContainsFunc(pcm, func(v int16) bool { return v > 100 })
				says := dec.(codec.Repeater).Repeats(packet)
				if says {
					said++
				}
				if looked++; says != sounds {
					odd++ // a repair may be of next to nothing
				}
				_ = dec.Close()
			}
			if (said > looked/4) != c.want || odd > looked/20 {
				t.Errorf("of %d packets %d repeat what was before by their flag; with %d it is another way", looked, said, odd)
			}
		})
	}
	var d Decoder
	for _, p := range [][]byte{nil, {0}, {3}, {3, 0xff}, {3, 0xff, 255}, {2, 255}, {2}, {0x80, 0xff}} {
		_ = d.Repeats(p) // nothing to hold on to
	}
}
