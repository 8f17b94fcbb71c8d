package audio

// fade is what happens to a strip's contribution in one tick.
type fade uint8

const (
	fadeNone fade = iota
	fadeIn        // from zero within 2 ms: no click, and no syllable lost
	fadeOut       // to zero in the strip's last tick
)

// Shares of a tick. A fade-out leaves the second half of the tick empty: when it
// ends, nothing of the strip is left in any limiter's look-ahead.
const (
	fadeInPart  = 10
	fadeOutPart = 2
)

// apply writes pcm as it goes into the sum: with a gain that runs from one
// value to the other, and faded.
func (f fade) apply(dst []int32, pcm []int16, from, to float64, cfg Config) {
	if from == 1 && to == 1 {
		for i, v := range pcm {
			dst[i] = int32(v)
		}
	} else {
		g, step := from, (to-from)/float64(len(pcm))
		for i, v := range pcm {
			g += step
			dst[i] = int32(float64(v) * g)
		}
	}
	ch := cfg.Channels
	frames := len(pcm) / ch
	switch f {
	case fadeIn:
		ramp := frames / fadeInPart
		for i := range ramp * ch {
			dst[i] = dst[i] * int32(i/ch) / int32(ramp)
		}
	case fadeOut:
		ramp := frames / fadeOutPart
		for i := range ramp * ch {
			dst[i] = int32(int64(dst[i]) * int64(ramp-1-i/ch) / int64(ramp))
		}
		clear(dst[ramp*ch:])
	}
}
