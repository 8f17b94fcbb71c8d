package waveform

import (
	"fmt"

	"mixdown/codec"
)

// Encoder is a codec.AudioEncoder and a codec.Follower.
type Encoder struct {
	format Format
	in     codec.AudioFormat
	coder  coder // nil after Close
	down   *downsampler
	values int // in one frame, over all channels
	mixed  []int16
	buf    []byte
}

// Encode takes one frame.
func (e *Encoder) Encode(pcm []int16) ([]byte, error) {
	if e.coder == nil {
		return nil, errClosed
	}
	if len(pcm) != e.values {
		return nil, fmt.Errorf("encode %s: %d values, one frame has %d", e.format.name, len(pcm), e.values)
	}
	if e.in.Channels != e.format.channels {
		e.mixed = channels(e.mixed[:0], pcm, e.in.Channels)
		pcm = e.mixed
	}
	if e.down != nil {
		pcm = e.down.run(pcm)
	}
	e.buf = e.coder.encode(e.buf[:0], pcm)
	return e.buf, nil
}

// Follow implements codec.Follower.
func (e *Encoder) Follow(other codec.AudioEncoder) error {
	o, ok := other.(*Encoder)
	switch {
	case !ok || o.format.name != e.format.name || o.in != e.in:
		return fmt.Errorf("follow a %T: not a %s encoder of the same sound", other, e.format.name)
	case e.coder == nil || o.coder == nil:
		return errClosed
	}
	e.coder.follow(o.coder)
	if e.down != nil {
		copy(e.down.past, o.down.past)
	}
	return nil
}

// Close ends the encoder.
func (e *Encoder) Close() error {
	e.coder = nil
	return nil
}

// channels appends pcm of one or two channels to dst in the other number of them.
func channels(dst, pcm []int16, from int) []int16 {
	if from == 1 {
		for _, v := range pcm {
			dst = append(dst, v, v)
		}
		return dst
	}
	for i := 0; i+1 < len(pcm); i += 2 {
		dst = append(dst, int16((int(pcm[i])+int(pcm[i+1]))/2))
	}
	return dst
}
