// Package codectest holds the suite that every row of a codec.Set passes, and
// the pictures and measures it is made of, which other tests share.
package codectest

import (
	"math"

	"mixdown/codec"
)

// PSNR returns the peak signal-to-noise ratio of two frames in dB, over the
// samples of all three planes. It is +Inf for equal frames and 0 for frames of
// different sizes.
func PSNR(a, b *codec.Frame) float64 {
	if a.Width != b.Width || a.Height != b.Height {
		return 0
	}
	w, h := a.Width, a.Height
	cw, ch := (w+1)/2, (h+1)/2
	sum := squares(a.Y, a.YStride, b.Y, b.YStride, w, h) +
		squares(a.U, a.UVStride, b.U, b.UVStride, cw, ch) +
		squares(a.V, a.UVStride, b.V, b.UVStride, cw, ch)
	if sum == 0 {
		return math.Inf(1)
	}
	n := float64(w*h + 2*cw*ch)
	return 10 * math.Log10(255*255*n/float64(sum))
}

// squares sums the squared differences of two planes.
func squares(a []byte, as int, b []byte, bs int, w, h int) (sum uint64) {
	for y := range h {
		ra, rb := a[y*as:][:w], b[y*bs:][:w]
		for x, v := range ra {
			d := int(v) - int(rb[x])
			sum += uint64(d * d)
		}
	}
	return sum
}

// SSIM returns the structural similarity of two frames' luma, 1 for equal ones:
// the mean over windows of 8x8 samples, every 4 (Wang et al., IEEE Transactions
// on Image Processing 13/4, 2004). It is 0 for frames of different sizes and
// for smaller ones.
func SSIM(a, b *codec.Frame) float64 {
	const window, every = 8, 4
	if a.Width != b.Width || a.Height != b.Height || min(a.Width, a.Height) < window {
		return 0
	}
	const n, c1, c2 = window * window, 0.01 * 255 * 0.01 * 255, 0.03 * 255 * 0.03 * 255
	var total float64
	windows := 0
	for y := 0; y+window <= a.Height; y += every {
		for x := 0; x+window <= a.Width; x += every {
			var sa, sb, saa, sbb, sab int
			for row := range window {
				ra, rb := a.Y[(y+row)*a.YStride+x:][:window], b.Y[(y+row)*b.YStride+x:][:window]
				for i, v := range ra {
					va, vb := int(v), int(rb[i])
					sa, sb = sa+va, sb+vb
					saa, sbb, sab = saa+va*va, sbb+vb*vb, sab+va*vb
				}
			}
			ma, mb := float64(sa)/n, float64(sb)/n
			va, vb, cov := float64(saa)/n-ma*ma, float64(sbb)/n-mb*mb, float64(sab)/n-ma*mb
			total += (2*ma*mb + c1) * (2*cov + c2) / ((ma*ma + mb*mb + c1) * (va + vb + c2))
			windows++
		}
	}
	return total / float64(windows)
}

// ToneLevel returns the level in mono pcm at one frequency in dBFS: a sine of
// full scale is 0. It is a Goertzel filter behind a Hann window, which tells
// tones apart that are four bins (4·rate/len(pcm) Hz) away by more than 40 dB.
// Digital silence is -Inf.
func ToneLevel(pcm []int16, rate int, hz float64) float64 {
	n := float64(len(pcm))
	c := 2 * math.Cos(2*math.Pi*hz/float64(rate))
	var s1, s2, gain float64
	for i, v := range pcm {
		win := 0.5 - 0.5*math.Cos(2*math.Pi*(float64(i)+0.5)/n)
		gain += win
		s1, s2 = float64(v)*win+c*s1-s2, s1
	}
	power := max(s1*s1+s2*s2-c*s1*s2, 0)
	return 20 * math.Log10(2*math.Sqrt(power)/gain/32768)
}

// Tone returns n samples of a sine, mono, at level dBFS. The phase runs on from
// sample index start, so that consecutive calls join.
func Tone(rate int, hz, level float64, start, n int) []int16 {
	pcm := make([]int16, n)
	a := 32767 * math.Pow(10, level/20)
	for i := range pcm {
		pcm[i] = int16(math.Round(a * math.Sin(2*math.Pi*hz*float64(start+i)/float64(rate))))
	}
	return pcm
}
