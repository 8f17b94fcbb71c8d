package waveform

import "math"

// perPhase is how many samples of the lower rate a filter is long. With six
// phases 600 Hz lie between what passes and what is 65 dB down.
const perPhase = 32

// lowpass returns factor·perPhase taps of a sinc in a Kaiser window that cuts just
// below half the lower rate. Their sum is gain.
func lowpass(factor int, gain float64) []float32 {
	const beta = 6.2
	n := factor * perPhase
	taps, sum := make([]float64, n), 0.0
	for i := range taps {
		x := float64(i) - float64(n-1)/2
		w := 2 * x / float64(n)
		f := .97 / float64(factor) // of half the higher rate
		s := f
		if x != 0 {
			s = math.Sin(math.Pi*f*x) / (math.Pi * x)
		}
		taps[i] = s * bessel(beta*math.Sqrt(max(1-w*w, 0)))
		sum += taps[i]
	}
	out := make([]float32, n)
	for i, t := range taps {
		out[i] = float32(t * gain / sum)
	}
	return out
}

// bessel is the modified Bessel function of the first kind, order 0.
func bessel(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1.0; term > 1e-9*sum; k++ {
		term *= x / 2 / k * (x / 2 / k)
		sum += term
	}
	return sum
}

// upsampler makes factor samples of one.
type upsampler struct {
	factor int
	taps   []float32 // by phase: perPhase of each, the newest sample's last
	past   []float32 // the last perPhase samples, twice, so that they stand in a row
	at     int
}

func newUpsampler(factor int) *upsampler {
	u := &upsampler{factor: factor, past: make([]float32, 2*perPhase)}
	taps := lowpass(factor, float64(factor))
	for phase := range factor {
		for k := range perPhase {
			u.taps = append(u.taps, taps[(perPhase-1-k)*factor+phase])
		}
	}
	return u
}

// run appends what pcm becomes.
func (u *upsampler) run(dst, pcm []int16) []int16 {
	for _, v := range pcm {
		u.past[u.at], u.past[u.at+perPhase] = float32(v), float32(v)
		u.at = (u.at + 1) % perPhase
		past := u.past[u.at:][:perPhase]
		for phase := range u.factor {
			dst = append(dst, clip(dot(u.taps[phase*perPhase:][:perPhase], past)))
		}
	}
	return dst
}

// downsampler makes one sample of factor.
type downsampler struct {
	factor int
	taps   []float32
	past   []float32 // as many as there are taps but one, then what comes in
	pcm    []int16
}

func newDownsampler(factor int) *downsampler {
	taps := lowpass(factor, 1)
	return &downsampler{factor: factor, taps: taps, past: make([]float32, len(taps)-1)}
}

// run returns what pcm, a multiple of factor long, becomes. It is valid until the
// next call.
func (d *downsampler) run(pcm []int16) []int16 {
	keep := len(d.taps) - 1
	d.past, d.pcm = d.past[:keep], d.pcm[:0]
	for _, v := range pcm {
		d.past = append(d.past, float32(v))
	}
	for i := 0; i+d.factor <= len(pcm); i += d.factor {
		// The window is symmetric: no need to turn the taps round.
		d.pcm = append(d.pcm, clip(dot(d.taps, d.past[i+d.factor-1:][:len(d.taps)])))
	}
	copy(d.past, d.past[len(d.past)-keep:])
	return d.pcm
}

func dot(a, b []float32) float32 {
	var s0, s1, s2, s3 float32
	for i := 0; i+3 < len(a) && i+3 < len(b); i += 4 { // all filters are multiples of four long
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	return s0 + s1 + s2 + s3
}

func clip(v float32) int16 {
	return int16(math.RoundToEven(float64(min(max(v, math.MinInt16), math.MaxInt16))))
}
