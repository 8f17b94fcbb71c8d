package speex

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func level(pcm []int16) float64 {
	sum := 0.0
	for _, v := range pcm {
		sum += float64(v) * float64(v)
	}
	return 10 * math.Log10(sum/float64(len(pcm))/(1<<30)+1e-13)
}

// Noise that stays goes down by much, a voice over it by little, in every
// channel by itself.
func TestNoiseGoesVoiceStays(t *testing.T) {
	for channels := 1; channels <= 2; channels++ {
		t.Run(fmt.Sprintf("channels=%d", channels), func(t *testing.T) {
			d, err := NewDenoiser(48000, channels)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			r := rand.New(rand.NewPCG(1, 2))
			pcm := make([]int16, 960*channels)
			var noiseIn, noiseOut, voiceIn, voiceOut float64
			for tick := range 300 {
				talks := tick > 150 && tick/10%2 == 0 // syllables of 200 ms
				for i := range pcm {
					v := r.NormFloat64() * 200
					if talks {
						at := float64(tick*960+i/channels) / 48000
						for k := 1; k <= 10; k++ {
							v += 1500 / float64(k) * math.Sin(2*math.Pi*140*float64(k)*at)
						}
					}
					pcm[i] = int16(v)
				}
				in := level(pcm)
				d.Process(pcm)
				out := level(pcm)
				switch {
				case tick > 200 && talks && tick%10 > 2:
					voiceIn, voiceOut = voiceIn+in, voiceOut+out
				case tick > 100 && tick < 150:
					noiseIn, noiseOut = noiseIn+in, noiseOut+out
				}
			}
			noise, voice := (noiseOut-noiseIn)/49, (voiceOut-voiceIn)/35
			t.Logf("noise %+.1f dB, voice %+.1f dB", noise, voice)
			if noise > -10 || voice < -3 {
				t.Errorf("noise %+.1f dB, voice %+.1f dB: want -10 or less, and -3 or more", noise, voice)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	for _, c := range [][2]int{{0, 1}, {96000, 1}, {48000, 0}, {48000, 3}, {44101, 1}} {
		if d, err := NewDenoiser(c[0], c[1]); err == nil {
			d.Close()
			t.Errorf("%d Hz, %d channels is accepted", c[0], c[1])
		}
	}
	d, err := NewDenoiser(48000, 1)
	if err != nil {
		t.Fatal(err)
	}
	d.Process(nil)
	d.Process(make([]int16, 7))
	d.Close()
	d.Close()
	d.Process(make([]int16, 960))
}

func BenchmarkProcess(b *testing.B) {
	d, err := NewDenoiser(48000, 1)
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	r := rand.New(rand.NewPCG(1, 2))
	pcm := make([]int16, 960)
	b.ReportAllocs()
	for b.Loop() {
		for i := range pcm {
			pcm[i] = int16(r.IntN(2000) - 1000)
		}
		d.Process(pcm)
	}
}
