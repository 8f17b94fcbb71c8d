package audio

// fade is what happens to a strip's contribution in one tick.
type fade uint8

const (
	fadeNone fade = iota
	fadeIn        // from zero within fadeInTime: no click, and no syllable lost
	fadeOut       // to zero over the whole tick, the strip's last
)

// fadeInPart is the share of a tick that a fade-in takes: 2 ms.
const fadeInPart = 10

// apply returns pcm as it goes into the sum: pcm itself, or faded in buf.
func (f fade) apply(buf, pcm []int16, cfg Config) []int16 {
	ch := cfg.Channels
	frames := len(pcm) / ch
	switch f {
	case fadeIn:
		copy(buf, pcm)
		ramp := frames / fadeInPart
		for i := range ramp * ch {
			buf[i] = int16(int(pcm[i]) * (i / ch) / ramp)
		}
		return buf
	case fadeOut:
		for i, v := range pcm {
			buf[i] = int16(int(v) * (frames - 1 - i/ch) / frames)
		}
		return buf
	}
	return pcm
}
