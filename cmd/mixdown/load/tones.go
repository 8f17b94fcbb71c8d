package load

import "math"

// probe measures the tones of many bots in one stretch of sound of known
// length, sample by sample (Goertzel's algorithm under a Hann window).
type probe struct {
	length int
	at     int
	sum    float64 // of the window
	coeff  []float64
	s1, s2 []float64
}

// newProbe listens for the tones of bots first, first+1 and so on, over length samples.
func newProbe(first, bots, length int) *probe {
	p := &probe{length: length, coeff: make([]float64, bots), s1: make([]float64, bots), s2: make([]float64, bots)}
	for i := range p.coeff {
		p.coeff[i] = 2 * math.Cos(2*math.Pi*toneHz(first+i)/soundRate)
	}
	return p
}

// add takes samples until the stretch is full, which it reports.
func (p *probe) add(pcm []int16) (full bool) {
	for _, v := range pcm {
		if p.at == p.length {
			return true
		}
		w := 0.5 - 0.5*math.Cos(2*math.Pi*(float64(p.at)+0.5)/float64(p.length))
		x := w * float64(v) / 32768
		for i, c := range p.coeff {
			p.s1[i], p.s2[i] = x+c*p.s1[i]-p.s2[i], p.s1[i]
		}
		p.sum += w
		p.at++
	}
	return p.at == p.length
}

// reset begins another stretch.
func (p *probe) reset() {
	p.at, p.sum = 0, 0
	clear(p.s1)
	clear(p.s2)
}

// amplitude returns the peak of the i-th tone, 1 being full scale.
func (p *probe) amplitude(i int) float64 {
	if p.sum == 0 {
		return 0
	}
	power := p.s1[i]*p.s1[i] + p.s2[i]*p.s2[i] - p.coeff[i]*p.s1[i]*p.s2[i]
	return 2 * math.Sqrt(max(0, power)) / p.sum
}

// decibels returns a ratio of amplitudes in dB, -120 at least.
func decibels(ratio float64) float64 {
	return 20 * math.Log10(max(ratio, 1e-6))
}
