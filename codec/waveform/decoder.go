package waveform

import (
	"fmt"
	"time"

	"mixdown/codec"
)

// Decoder is a codec.AudioDecoder and a codec.Comforter.
type Decoder struct {
	format  Format
	out     codec.AudioFormat
	factor  int
	coder   coder // nil after Close
	up      *upsampler
	conceal *concealer
	noise   *noise
	own     []int16 // the format's rate and channels
	wide    []int16 // the format's channels
	mixed   []int16
}

// Decode implements codec.AudioDecoder.
func (d *Decoder) Decode(packet []byte, pcm []int16) (int, error) {
	if d.coder == nil {
		return 0, errClosed
	}
	n, err := d.Samples(packet)
	if err != nil {
		return 0, err
	}
	if n*d.out.Channels > len(pcm) {
		return 0, fmt.Errorf("decode %s: %d values have no room in %d", d.format.name, n*d.out.Channels, len(pcm))
	}
	d.own = d.coder.decode(d.own[:0], packet)
	sound := d.own
	if d.up != nil {
		d.wide = d.up.run(d.wide[:0], sound)
		sound = d.wide
	}
	if d.out.Channels != d.format.channels {
		d.mixed = channels(d.mixed[:0], sound, d.format.channels)
		sound = d.mixed
	}
	copy(pcm, sound)
	d.noise.level = 0
	d.conceal.heard(pcm[:n*d.out.Channels])
	return n, nil
}

// DecodeFEC conceals: there is no repair in these formats.
func (d *Decoder) DecodeFEC(packet []byte, pcm []int16) error {
	if _, err := d.Samples(packet); err != nil {
		return err
	}
	return d.Conceal(pcm)
}

// Conceal implements codec.AudioDecoder.
func (d *Decoder) Conceal(pcm []int16) error {
	switch {
	case d.coder == nil:
		return errClosed
	case len(pcm)%d.out.Channels != 0:
		return fmt.Errorf("conceal %s: %d values do not share out to %d channels", d.format.name, len(pcm), d.out.Channels)
	case d.noise.level > 0:
		d.noise.fill(pcm, d.out.Channels)
	default:
		d.conceal.fill(pcm)
	}
	return nil
}

// Comfort implements codec.Comforter: the first byte is the noise's level below
// overload in dB (RFC 3389, section 3). How it is coloured is left out.
func (d *Decoder) Comfort(sid []byte) error {
	if d.coder == nil {
		return errClosed
	}
	if len(sid) == 0 {
		return fmt.Errorf("comfort noise for %s: empty", d.format.name)
	}
	d.noise.describe(sid[0])
	return nil
}

// Samples implements codec.AudioDecoder.
func (d *Decoder) Samples(packet []byte) (int, error) {
	n := len(packet) / d.format.unit * d.format.samples * d.factor
	if n == 0 || len(packet)%d.format.unit != 0 {
		return 0, fmt.Errorf("%s packet of %d bytes: not whole samples", d.format.name, len(packet))
	}
	if most := int(maxTaken/time.Millisecond) * d.out.Rate / 1000; n > most {
		return 0, fmt.Errorf("%s packet of %d samples: more than %d", d.format.name, n, most)
	}
	return n, nil
}

// Close ends the decoder.
func (d *Decoder) Close() error {
	d.coder = nil
	return nil
}
