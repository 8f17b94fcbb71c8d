package audio

import "math"

const (
	// tailPart of a tick is how long a tail fades: 8 ms.
	tailPart = 0.4
	// tailFrom is the part of the last tick that it is made from: 10 ms.
	tailFrom = 0.5
	// tailOrder is of the prediction.
	tailOrder = 32
)

// tail continues sound that was cut off as if it had gone on, and fades it out, so
// that there is no click. The continuation is a linear prediction whose
// coefficients are found by Burg's method (J. P. Burg, 1975), which keeps it stable.
type tail struct {
	sound, ahead, back []float64
	a, b               [tailOrder]float64 // sound[n] is about -a[0] sound[n-1] - a[1] sound[n-2] - …
}

// run writes over last, the last tick that was heard, what comes after it. It
// returns false, and zeros, where there was nothing to continue.
func (t *tail) run(last []int32, channels int) bool {
	frames := len(last) / channels
	from, length := int(tailFrom*float64(frames)), int(tailPart*float64(frames))
	heard := false
	for c := range channels {
		t.sound = t.sound[:0]
		energy := 0.0
		for i := frames - from; i < frames; i++ {
			v := float64(last[i*channels+c])
			t.sound = append(t.sound, v)
			energy += v * v
		}
		heard = heard || energy > 0
		t.learn()
		for i := range frames {
			v := 0.0
			if i < length && energy > 0 {
				for k, w := range t.a {
					v -= w * t.sound[len(t.sound)-1-k]
				}
				v = max(math.MinInt16, min(math.MaxInt16, v))
				t.sound = append(t.sound, v)
				v *= 0.5 + 0.5*math.Cos(math.Pi*float64(i+1)/float64(length+1))
			}
			last[i*channels+c] = int32(math.Round(v))
		}
	}
	return heard
}

// learn finds the coefficients of sound.
func (t *tail) learn() {
	f, b := append(t.ahead[:0], t.sound...), append(t.back[:0], t.sound...)
	t.ahead, t.back = f, b
	for m := range tailOrder {
		num, den := 0.0, 1e-9
		for n := m + 1; n < len(f); n++ {
			num += f[n] * b[n-1]
			den += f[n]*f[n] + b[n-1]*b[n-1]
		}
		k := -2 * num / den
		for n := len(f) - 1; n > m; n-- {
			f[n], b[n] = f[n]+k*b[n-1], b[n-1]+k*f[n]
		}
		copy(t.b[:m], t.a[:m])
		for i := range m {
			t.a[i] += k * t.b[m-1-i]
		}
		t.a[m] = k
	}
}
