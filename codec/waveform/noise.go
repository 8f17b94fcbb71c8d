package waveform

import (
	"math"
	"math/rand/v2"
)

// noise fills pauses (RFC 3389).
type noise struct {
	level  float64 // of its samples, as a peak; 0: there is none
	factor int
	up     *upsampler // nil: the rate is the format's own
	rand   *rand.Rand
	buf    []int16
	spare  []int16 // of buf, what was not given yet
}

func newNoise(factor int) *noise { return &noise{factor: factor} }

// describe takes a level below overload, dB. The highest bit is reserved.
func (n *noise) describe(db byte) {
	if n.rand == nil { // most senders never describe any
		n.rand = rand.New(rand.NewPCG(1, 2))
		if n.factor > 1 {
			n.up = newUpsampler(n.factor)
		}
	}
	// What lies evenly within a peak has a third of its square.
	n.level = math.Sqrt(3) * 32768 * math.Pow(10, -float64(db&0x7f)/20)
}

func (n *noise) fill(pcm []int16, channels int) {
	var block [80]int16
	for i := 0; i < len(pcm); i += channels {
		if len(n.spare) == 0 {
			for k := range block {
				block[k] = clip(float32((n.rand.Float64()*2 - 1) * n.level))
			}
			if n.buf = n.buf[:0]; n.up != nil {
				n.buf = n.up.run(n.buf, block[:])
			} else {
				n.buf = append(n.buf, block[:]...)
			}
			n.spare = n.buf
		}
		for c := range channels {
			pcm[i+c] = n.spare[0]
		}
		n.spare = n.spare[1:]
	}
}
