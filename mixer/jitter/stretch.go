package jitter

import (
	"math"

	"mixdown/codec"
)

// stretch makes sound shorter or longer by whole pitch periods, so that its
// pitch stays: the two ends of the cut sound alike and are laid over each
// other.
type stretch struct {
	ch     int
	down   int // the search looks at one of so many samples
	least  int // shortest period, at the lower rate
	most   int
	window int // that is compared, at the lower rate
	seam   int // samples per channel that are laid over each other
	low    []float32
}

func newStretch(f codec.AudioFormat) stretch {
	down := max(1, f.Rate/12000)
	rate := f.Rate / down
	s := stretch{
		ch:     f.Channels,
		down:   down,
		least:  rate / 400,     // 2.5 ms
		most:   rate * 3 / 200, // 15 ms
		window: rate / 200,     // 5 ms
		seam:   f.Rate / 200,   // 5 ms
	}
	s.low = make([]float32, s.most+s.window)
	return s
}

// nearly is as well as the best, when more has to be cut.
const nearly = 0.9

// period returns the number of samples per channel after which the beginning of
// pcm comes again, and how well it does: 1 is exactly. With long it is the
// longest that does nearly as well as the best. It is 0 if pcm is too short.
func (s *stretch) period(pcm []int16, long bool) (samples int, match float64) {
	n := min(len(pcm)/s.ch/s.down, len(s.low))
	low := s.low[:n]
	for i := range low {
		sum := float32(0)
		for _, v := range pcm[i*s.down*s.ch : (i+1)*s.down*s.ch] {
			sum += float32(v)
		}
		low[i] = sum
	}
	if n < s.least+s.window {
		return 0, 0
	}
	head := low[:s.window]
	own := power(head)
	for lag := s.least; lag+s.window <= n; lag++ {
		other := low[lag : lag+s.window]
		dot := float32(0)
		for i, v := range head {
			dot += v * other[i]
		}
		m := float64(dot) / math.Sqrt(float64(own)*float64(power(other))+1)
		if m > match {
			samples, match = lag*s.down, m
		} else if long && m > nearly*match {
			samples = lag * s.down
		}
	}
	return samples, match
}

func power(x []float32) (sum float32) {
	for _, v := range x {
		sum += v * v
	}
	return sum
}

// remove takes n samples per channel out of the beginning of pcm.
func (s *stretch) remove(pcm []int16, n int) []int16 {
	p, seam := n*s.ch, s.seam*s.ch
	for i := range seam {
		pcm[i] = s.blend(pcm[i], pcm[p+i], i)
	}
	return pcm[:seam+copy(pcm[seam:], pcm[p+seam:])]
}

// insert plays the first n samples per channel of pcm twice. pcm has room for
// them.
func (s *stretch) insert(pcm []int16, n int) []int16 {
	p, seam := n*s.ch, s.seam*s.ch
	old := len(pcm)
	pcm = pcm[:old+p]
	copy(pcm[p:], pcm[:old])
	for i := range seam {
		pcm[p+i] = s.blend(pcm[2*p+i], pcm[p+i], i)
	}
	return pcm
}

// blend goes from a to b over the seam.
func (s *stretch) blend(a, b int16, i int) int16 {
	k := i / s.ch
	return int16((int(a)*(s.seam-k) + int(b)*k) / s.seam)
}

// fadeIn raises the first n samples per channel from zero.
func (s *stretch) fadeIn(pcm []int16, n int) {
	for i := range min(n*s.ch, len(pcm)) {
		pcm[i] = int16(int(pcm[i]) * (i / s.ch) / n)
	}
}

// fadeOut lowers pcm to zero over n samples per channel, of which at are over;
// below zero the fade has not begun.
func (s *stretch) fadeOut(pcm []int16, at, n int) {
	for i, v := range pcm {
		left := min(max(n-at-i/s.ch, 0), n)
		pcm[i] = int16(int(v) * left / n)
	}
}

// quiet reports whether pcm is below -50 dBov, where nobody hears a cut.
func quiet(pcm []int16) bool {
	var sum uint64
	for _, v := range pcm {
		sum += uint64(int32(v) * int32(v))
	}
	return sum < uint64(len(pcm))*(1<<30)/100000
}
