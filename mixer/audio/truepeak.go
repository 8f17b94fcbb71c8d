package audio

import "math"

const (
	tpTaps = 12
	tpLate = tpTaps / 2 // frames of which the peak is known later
)

// interpolator finds the peaks between samples: the quarters between each two,
// as ITU-R BS.1770-4, annex 2, oversamples four times. Between its points a
// wave of up to 20 kHz at 48 kHz is at most 0.47 dB higher.
type interpolator struct {
	quarter, half [tpTaps]float64 // three quarters is a quarter backwards
	most          float64         // that a peak can be, of the highest sample
}

func newInterpolator() *interpolator {
	p := &interpolator{most: 1}
	p.quarter, p.half = sinc(0.25), sinc(0.5)
	for _, h := range [][tpTaps]float64{p.quarter, p.half} {
		sum := 0.0
		for _, v := range h {
			sum += math.Abs(v)
		}
		p.most = max(p.most, sum)
	}
	return p
}

// sinc is the interpolation at a fraction behind the middle left tap, under a
// Kaiser window, with unit gain for a constant.
func sinc(at float64) (h [tpTaps]float64) {
	sum := 0.0
	for i := range h {
		x := float64(i-tpLate+1) - at
		h[i] = kaiser(x/tpLate) * math.Sin(math.Pi*x) / (math.Pi * x)
		sum += h[i]
	}
	for i := range h {
		h[i] /= sum
	}
	return h
}

// kaiser is the window of beta 4 at x, -1 to 1.
func kaiser(x float64) float64 {
	bessel := func(v float64) float64 {
		sum, term := 1.0, 1.0
		for k := 1.0; k < 20; k++ {
			term *= v / 2 / k * v / 2 / k
			sum += term
		}
		return sum
	}
	const beta = 4
	return bessel(beta*math.Sqrt(max(0, 1-x*x))) / bessel(beta)
}

// peak returns the highest magnitude of the frames in pcm, and between each
// and its next, but for the margins of tpLate-1 frames before and tpLate
// behind. A peak that must be under enough need not be exact.
func (p *interpolator) peak(pcm []int32, channels int, enough float64) float64 {
	top := int32(0)
	for _, v := range pcm {
		top = max(top, v, -v)
	}
	if float64(top)*p.most <= enough {
		return float64(top)
	}
	peak := 0.0
	for i := 0; i+(tpTaps-1)*channels < len(pcm); i++ {
		var q1, q2, q3 float64
		at := i
		for t := range tpTaps {
			v := float64(pcm[at])
			q1 += v * p.quarter[t]
			q2 += v * p.half[t]
			q3 += v * p.quarter[tpTaps-1-t]
			at += channels
		}
		here := float64(pcm[i+(tpLate-1)*channels])
		peak = max(peak, here, -here, q1, -q1, q2, -q2, q3, -q3)
	}
	return peak
}
