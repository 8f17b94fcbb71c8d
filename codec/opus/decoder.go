// Package opus speaks to libopus (RFC 6716) and knows the RTP payload format of
// its packets (RFC 7587).
package opus

import (
	"errors"
	"fmt"

	libopus "gopkg.in/hraban/opus.v2"

	"mixdown/codec"
)

var errClosed = errors.New("opus: used after Close")

// Decoder is a codec.AudioDecoder. Mono and stereo packets both come out in the
// channels of its format.
type Decoder struct {
	dec    *libopus.Decoder
	format codec.AudioFormat
	// slice is 2.5 ms, the grid that libopus conceals on.
	slice int
	tail  []int16
}

// NewDecoder opens a decoder for 8, 12, 16, 24 or 48 kHz and one or two
// channels.
func NewDecoder(format codec.AudioFormat) (codec.AudioDecoder, error) {
	dec, err := libopus.NewDecoder(format.Rate, format.Channels)
	if err != nil {
		return nil, fmt.Errorf("opus decoder of %d Hz, %d channels: %w", format.Rate, format.Channels, err)
	}
	slice := format.Rate / 400
	return &Decoder{dec: dec, format: format, slice: slice, tail: make([]int16, slice*format.Channels)}, nil
}

// Decode fills pcm, which holds the whole packet or more, and returns its
// samples per channel.
func (d *Decoder) Decode(packet []byte, pcm []int16) (int, error) {
	if d.dec == nil {
		return 0, errClosed
	}
	if _, err := ticks(packet); err != nil {
		return 0, err
	}
	// libopus.v2 writes up to the capacity, not the length.
	n, err := d.dec.Decode(packet, pcm[:len(pcm):len(pcm)])
	if err != nil {
		return 0, fmt.Errorf("decode opus: %w", err)
	}
	return n, nil
}

// DecodeFEC fills all of pcm with the sound before packet. The repair in packet
// is the last frame of that; what lies before it is concealed.
func (d *Decoder) DecodeFEC(packet []byte, pcm []int16) error {
	if d.dec == nil {
		return errClosed
	}
	if _, err := ticks(packet); err != nil {
		return err
	}
	// libopus takes whole slices, and its stack holds one packet's length.
	c := d.format.Channels
	n := min(len(pcm)/c/d.slice*d.slice, maxPacket*d.format.Rate/48000) * c
	head, pcm := pcm[:len(pcm)-n], pcm[len(pcm)-n:]
	if err := d.Conceal(head); err != nil || n == 0 {
		return err
	}
	if err := d.dec.DecodeFEC(packet, pcm[:n:n]); err != nil {
		return fmt.Errorf("decode opus repair: %w", err)
	}
	return nil
}

// Conceal fills all of pcm.
func (d *Decoder) Conceal(pcm []int16) error {
	if d.dec == nil {
		return errClosed
	}
	c := d.format.Channels
	if len(pcm)%c != 0 {
		return fmt.Errorf("conceal opus: %d values do not share out to %d channels", len(pcm), c)
	}
	for len(pcm) > 0 {
		n := min(len(pcm)/c/d.slice*d.slice, maxPacket*d.format.Rate/48000) * c
		if n == 0 { // the rest is shorter than a slice
			if err := d.dec.DecodePLC(d.tail); err != nil {
				return fmt.Errorf("conceal opus: %w", err)
			}
			copy(pcm, d.tail)
			return nil
		}
		if err := d.dec.DecodePLC(pcm[:n:n]); err != nil {
			return fmt.Errorf("conceal opus: %w", err)
		}
		pcm = pcm[n:]
	}
	return nil
}

// Samples returns the samples per channel that packet holds at the decoder's
// rate.
func (d *Decoder) Samples(packet []byte) (int, error) {
	n, err := ticks(packet)
	return n * d.format.Rate / 48000, err
}

// Close ends the decoder.
func (d *Decoder) Close() error {
	d.dec = nil
	return nil
}
