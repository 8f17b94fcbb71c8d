package jitter

import (
	"errors"

	"mixdown/codec"
)

var errNoDecoder = errors.New("no decoder")

// decoder opens its codec.AudioDecoder when it is first needed.
type decoder struct {
	open     func() (codec.AudioDecoder, error)
	channels int
	dec      codec.AudioDecoder
	failed   bool
	still    still
}

// get returns the decoder. One that cannot be opened is not tried again before
// the next stream.
func (d *decoder) get() (codec.AudioDecoder, error) {
	if d.dec == nil && !d.failed {
		dec, err := d.open()
		if err != nil || dec == nil {
			d.failed = true
		} else {
			d.dec = dec
		}
	}
	if d.dec == nil {
		return nil, errNoDecoder
	}
	return d.dec, nil
}

// decode returns the samples per channel that it put in pcm, at least one.
func (d *decoder) decode(data []byte, pcm []int16) (int, error) {
	dec, err := d.get()
	if err != nil {
		return 0, err
	}
	if n := d.still.is(data); n > 0 {
		clear(pcm[:n*d.channels])
		return n, nil
	}
	if n, err := dec.Samples(data); err != nil {
		return 0, err
	} else if n <= 0 || n*d.channels > len(pcm) {
		return 0, errors.New("length of packet not usable")
	}
	n, err := dec.Decode(data, pcm)
	if err == nil && (n <= 0 || n*d.channels > len(pcm)) {
		err = errors.New("nothing decoded")
	}
	if err != nil {
		d.still.forget()
		return 0, err
	}
	d.still.heard(data, pcm[:n*d.channels], n)
	return n, nil
}

func (d *decoder) repair(data []byte, pcm []int16) error {
	dec, err := d.get()
	if err != nil {
		return err
	}
	d.still.forget()
	return dec.DecodeFEC(data, pcm)
}

// repeats reports whether a packet repairs the one before it. Decoders that do not
// tell are believed to.
func (d *decoder) repeats(data []byte) bool {
	dec, err := d.get()
	if err != nil {
		return false
	}
	r, ok := dec.(codec.Repeater)
	return !ok || r.Repeats(data)
}

func (d *decoder) comfort(data []byte) error {
	dec, err := d.get()
	if err != nil {
		return err
	}
	c, ok := dec.(codec.Comforter)
	if !ok {
		return errors.New("the codec describes its pauses itself")
	}
	d.still.forget()
	return c.Comfort(data)
}

func (d *decoder) conceal(pcm []int16) error {
	dec, err := d.get()
	if err != nil {
		return err
	}
	d.still.forget()
	return dec.Conceal(pcm)
}

// close ends the decoder; the next use opens another.
func (d *decoder) close() error {
	dec := d.dec
	d.dec, d.failed = nil, false
	d.still.forget()
	if dec == nil {
		return nil
	}
	return dec.Close()
}
