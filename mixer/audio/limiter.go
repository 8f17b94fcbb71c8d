package audio

// ceiling is what a limited sum reaches at most.
const ceiling = 32000

// releaseTime is how long a limiter takes to let go, to 1/e.
const releaseTime = 200 // ms

// limiter brings a sum back under full scale without ever clipping it. It
// works in blocks of a millisecond. Inside a tick the gain is already down when
// a peak comes, since the whole tick is known; a peak in a tick's first block
// is met by a gain that follows the wave up to its crest. The gain is
// continuous in every case.
type limiter struct {
	gain    float64 // at the end of the last tick
	block   int     // samples of a block, all channels
	release float64 // share of the way to 1 in a block
}

func newLimiter(cfg Config) limiter {
	return limiter{
		gain:    1,
		block:   cfg.Rate / 1000 * cfg.Channels,
		release: 1.0 / releaseTime,
	}
}

// blocks of a tick
const blocks = 20

// run limits src into dst. At the end of the tick the gain is at most leave.
func (l *limiter) run(dst []int16, src []int32, leave float64) {
	var limit [blocks]float64
	top := int32(0)
	for k := range limit {
		peak := int32(0)
		for _, v := range src[k*l.block : (k+1)*l.block] {
			peak = max(peak, v, -v)
		}
		limit[k] = 1
		if peak > ceiling {
			limit[k] = ceiling / float64(peak)
		}
		top = max(top, peak)
	}
	if top <= ceiling && l.gain == 1 && leave == 1 {
		for i, v := range src {
			dst[i] = int16(v)
		}
		return
	}
	g := l.gain
	for k := range limit {
		end := min(limit[k], g+(1-g)*l.release)
		if k+1 < blocks {
			end = min(end, limit[k+1])
		} else {
			end = min(end, leave)
		}
		if end > 0.9999 {
			end = 1
		}
		from, to := k*l.block, (k+1)*l.block
		if g > limit[k] {
			end = attack(dst[from:to], src[from:to], g, end)
		} else {
			ramp(dst[from:to], src[from:to], g, end)
		}
		g = end
	}
	l.gain = g
}

// ramp takes the gain from g to end, both low enough for every sample.
func ramp(dst []int16, src []int32, g, end float64) {
	step := (end - g) / float64(len(src))
	for i, v := range src {
		g += step
		dst[i] = int16(float64(v) * g)
	}
}

// attack does so where g is too high: the line to end is left downwards as
// soon as a sample needs it. It returns the gain at the end.
func attack(dst []int16, src []int32, g, end float64) float64 {
	step := (end - g) / float64(len(src))
	for i, v := range src {
		g += step
		if a := float64(max(v, -v)); a*g > ceiling {
			g = ceiling / a
		}
		g = max(g, end)
		dst[i] = int16(float64(v) * g)
	}
	return g
}
