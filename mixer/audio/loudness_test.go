package audio

import (
	"math"
	"testing"
)

// biquad is one filter of a chain.
type biquad struct{ b0, b1, b2, a1, a2, x1, x2, y1, y2 float64 }

func (q *biquad) run(x float64) float64 {
	y := q.b0*x + q.b1*q.x1 + q.b2*q.x2 - q.a1*q.y1 - q.a2*q.y2
	q.x1, q.x2, q.y1, q.y2 = x, q.x1, y, q.y1
	return y
}

// loudness is the gated loudness of ITU-R BS.1770-4 of one channel at 48 kHz,
// in LUFS: K-weighting (annex 1, tables 1 and 2), blocks of 400 ms every 100 ms,
// an absolute gate at -70 and a relative one 10 LU below the mean.
func loudness(pcm []int16) float64 {
	shelf := biquad{b0: 1.53512485958697, b1: -2.69169618940638, b2: 1.19839281085285, a1: -1.69065929318241, a2: 0.73248077421585}
	high := biquad{b0: 1, b1: -2, b2: 1, a1: -1.99004745483398, a2: 0.99007225036621}
	energy := make([]float64, len(pcm)/4800)
	for i := range len(energy) * 4800 {
		y := high.run(shelf.run(float64(pcm[i]) / 32768))
		energy[i/4800] += y * y / 4800
	}
	var all []float64
	for i := range max(0, len(energy)-3) {
		all = append(all, (energy[i]+energy[i+1]+energy[i+2]+energy[i+3])/4)
	}
	lufs := func(e float64) float64 { return -0.691 + 10*math.Log10(e) }
	gated := func(gate float64) float64 {
		sum, n := 0.0, 0
		for _, e := range all {
			if e > 0 && lufs(e) > gate {
				sum += e
				n++
			}
		}
		return lufs(sum / float64(n))
	}
	return gated(gated(-70) - 10)
}

func TestLoudnessMeter(t *testing.T) {
	// BS.1770-4: a sine of 997 Hz at 0 dBFS in one front channel reads -3.01.
	pcm := make([]int16, seconds(5))
	(&sine{freq: 997, amp: 32767}).fill(pcm)
	if got := loudness(pcm); math.Abs(got+3.01) > 0.05 {
		t.Errorf("%.2f LUFS, want -3.01", got)
	}
}

// truePeak oversamples sixteen times with a long filter, dBTP.
func truePeak(pcm []int16) float64 {
	const taps, times = 48, 16
	var filter [times][2 * taps]float64
	for p := 1; p < times; p++ {
		for k := range filter[p] {
			x := float64(k-taps+1) - float64(p)/times
			filter[p][k] = kaiser(x/(taps+1)) * math.Sin(math.Pi*x) / (math.Pi * x)
		}
	}
	peak := 0.0
	for i, v := range pcm {
		peak = max(peak, math.Abs(float64(v)))
		if i < taps || i+taps >= len(pcm) || math.Abs(float64(v)) < 16000 {
			continue
		}
		for p := 1; p < times; p++ {
			sum := 0.0
			for k, h := range filter[p] {
				sum += h * float64(pcm[i-taps+1+k])
			}
			peak = max(peak, math.Abs(sum))
		}
	}
	return 20 * math.Log10(peak/32768)
}

// full brings sound to full scale: its highest sample to -0.1 dBFS.
func full(pcm []int16) []int16 {
	top := 1.0
	for _, v := range pcm {
		top = max(top, math.Abs(float64(v)))
	}
	out := make([]int16, len(pcm))
	for i, v := range pcm {
		out[i] = int16(float64(v) * 32390 / top)
	}
	return out
}

// Eight talkers at full level at once: no sample over the ceiling, no peak over
// -1 dBTP, and together hardly louder than one.
func TestEightTalkers(t *testing.T) {
	t.Parallel()
	voice := everybody(t)
	const length = 16
	mixed := func(level bool, talkers int) ([]int16, [][]int16) {
		b := NewBus(Config{Level: level})
		sounds := map[*Strip][]int16{}
		strips := make([]*Strip, 8)
		for i := range strips {
			strips[i] = b.Add()
			if i < talkers {
				sounds[strips[i]] = again(full(voice[i]), length)
			}
		}
		var mix []int16
		own := make([][]int16, 8)
		play(b, length*50, sounds, func(tick int) {
			if tick < 400 {
				return // levelling takes its time
			}
			mix = append(mix, b.Mix()...)
			for i, s := range strips {
				own[i] = append(own[i], b.Minus(s)...)
			}
		})
		return mix, own
	}
	for _, level := range []bool{false, true} {
		one, _ := mixed(level, 1)
		many, own := mixed(level, 8)
		for i, pcm := range append([][]int16{one, many}, own...) {
			for _, v := range pcm {
				if v > ceiling || v < -ceiling {
					t.Fatalf("level %v: output %d has a sample of %d, the ceiling is %d", level, i, v, ceiling)
				}
			}
			if i < 4 {
				if p := truePeak(pcm); p > -1 {
					t.Errorf("level %v: output %d peaks at %.2f dBTP, want -1 at most", level, i, p)
				}
			}
		}
		more := loudness(many) - loudness(one)
		t.Logf("level %v: one talker %.1f LUFS %.1f dBTP, eight %.1f LUFS %.1f dBTP: %+.1f LU",
			level, loudness(one), truePeak(one), loudness(many), truePeak(many), more)
		if level && math.Abs(more) > 3 {
			t.Errorf("eight talkers are %+.1f LU beside one, want 3 at most", more)
		}
	}
}

// Talkers of very different levels come to one, and slowly.
func TestLevelling(t *testing.T) {
	t.Parallel()
	voice := everybody(t)
	const length = 20
	var got []float64
	for i, gain := range []float64{-10, -5, 0, 8} {
		b := NewBus(Config{Level: true})
		s := b.Add()
		sound := over(fan(uint64(i), length, -75), again(scaled(voice[i], gain), length))
		var mix []int16
		last := 0.0
		play(b, length*50, map[*Strip][]int16{s: sound}, func(tick int) {
			if d := math.Abs(s.level.gain - last); d > 3.0/50+1e-9 {
				t.Fatalf("gain moves %.3f dB in a tick", d)
			}
			last = s.level.gain
			if tick >= 400 {
				mix = append(mix, b.Mix()...)
			}
		})
		got = append(got, loudness(mix))
		t.Logf("%s at %+.0f dB: gain %+.1f dB, %.1f LUFS", voices[i].name, gain, s.level.gain, loudness(mix))
		if math.Abs(s.level.gain+gain) > 2.5 {
			t.Errorf("gain is %+.1f dB, want about %+.0f", s.level.gain, -gain)
		}
	}
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range got {
		low, high = min(low, v), max(high, v)
	}
	if high-low > 3 {
		t.Errorf("talkers 18 dB apart come out %.1f LU apart", high-low)
	}
}

// scaled is sound so many dB up.
func scaled(pcm []int16, gain float64) []int16 {
	out := make([]int16, len(pcm))
	for i, v := range pcm {
		out[i] = int16(max(-32768, min(32767, float64(v)*math.Pow(10, gain/20))))
	}
	return out
}

// Noise is turned up by nobody: neither alone nor behind a quiet talker.
func TestLevellingLeavesNoise(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		sound []int16
		most  float64 // gain, dB
	}{
		{"fan", fan(1, 20, -45), 0.5},
		{"keyboard", keyboard(2, 20, -40), 0.5},
		{"quiet talker before a fan", over(fan(3, 20, -58), again(speech(t, "en-us", voices[0].text, -12), 20)), 6.5},
	} {
		b := NewBus(Config{Level: true})
		s := b.Add()
		play(b, 1000, map[*Strip][]int16{s: c.sound}, func(int) {})
		t.Logf("%s: %+.1f dB", c.name, s.level.gain)
		if s.level.gain > c.most {
			t.Errorf("%s is turned up by %.1f dB, want %.1f at most", c.name, s.level.gain, c.most)
		}
	}
}
