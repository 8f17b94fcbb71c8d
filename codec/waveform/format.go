// Package waveform has the codecs of telephones and pipelines, which code
// samples one by one: G.711 in both laws, G.722 and linear PCM (RFC 3551,
// section 4.5). Outside they speak the room's rate and channels; inside each
// has its own, and whatever lies between is done here: resampling, hiding of
// losses, noise in pauses.
package waveform

import (
	"errors"
	"fmt"
	"time"

	"mixdown/codec"
)

var errClosed = errors.New("waveform: used after Close")

// coder turns samples into bytes and back. It keeps the state of one direction.
type coder interface {
	encode(dst []byte, pcm []int16) []byte
	decode(dst []int16, packet []byte) []int16
	// follow takes over the state of another coder of the same format.
	follow(coder)
}

// Format is one of the codecs. The zero value is none.
type Format struct {
	name     string
	rate     int // of its samples, Hz
	channels int
	unit     int // bytes that belong together
	samples  int // per channel, in a unit
	open     func() coder
}

// PCMU is G.711 with µ-law.
func PCMU() Format {
	return Format{"PCMU", 8000, 1, 1, 1, func() coder { return muLaw{} }}
}

// PCMA is G.711 with A-law.
func PCMA() Format {
	return Format{"PCMA", 8000, 1, 1, 1, func() coder { return aLaw{} }}
}

// G722 is G.722 at 64 kbit/s. Its samples are 16 kHz, although its RTP clock runs
// at 8 (RFC 3551, section 4.5.2).
func G722() Format {
	return Format{"G722", 16000, 1, 1, 2, func() coder { return newG722() }}
}

// L16 is linear PCM of 48 kHz in two channels, big-endian (RFC 3551, section
// 4.5.11).
func L16() Format {
	return Format{"L16", 48000, 2, 4, 1, func() coder { return linear{} }}
}

const (
	packetStep = 10 * time.Millisecond // lengths of packets are multiples of it
	maxPacket  = 120 * time.Millisecond
	maxTaken   = 200 * time.Millisecond // from others (RFC 3551, section 4.2)
)

// check returns how many samples of the format's there are to one of ours.
func (f Format) check(a codec.AudioFormat) (factor int, err error) {
	if a.Channels < 1 || a.Channels > 2 {
		return 0, fmt.Errorf("%s of %d channels: want one or two", f.name, a.Channels)
	}
	if a.Rate < f.rate || a.Rate%f.rate != 0 || a.Rate > 192_000 {
		return 0, fmt.Errorf("%s of %d Hz: want a multiple of %d", f.name, a.Rate, f.rate)
	}
	return a.Rate / f.rate, nil
}

// NewDecoder is of a codec.Codec's row.
func (f Format) NewDecoder(format codec.AudioFormat) (codec.AudioDecoder, error) {
	factor, err := f.check(format)
	if err != nil {
		return nil, fmt.Errorf("decoder: %w", err)
	}
	d := &Decoder{
		format: f, out: format, factor: factor, coder: f.open(),
		conceal: newConcealer(format), noise: newNoise(factor),
	}
	if factor > 1 {
		d.up = newUpsampler(factor)
	}
	return d, nil
}

// NewEncoder is of a codec.Codec's row. Its bit rate is fixed, whatever is asked
// for; packets are of 10 to 120 ms, in steps of 10.
func (f Format) NewEncoder(cfg codec.AudioConfig) (codec.AudioEncoder, error) {
	factor, err := f.check(cfg.AudioFormat)
	switch {
	case err != nil:
		return nil, fmt.Errorf("encoder: %w", err)
	case cfg.Frame <= 0 || cfg.Frame > maxPacket || cfg.Frame%packetStep != 0:
		return nil, fmt.Errorf("encoder: %s in packets of %v: want 10 to 120 ms, in steps of 10", f.name, cfg.Frame)
	case cfg.Bitrate <= 0:
		return nil, fmt.Errorf("encoder: %s at %d bit/s", f.name, cfg.Bitrate)
	case cfg.Complexity < 0 || cfg.Complexity > 10:
		return nil, fmt.Errorf("encoder: %s with complexity %d: want 0 to 10", f.name, cfg.Complexity)
	case !(cfg.Loss >= 0 && cfg.Loss <= 1):
		return nil, fmt.Errorf("encoder: %s with loss %v: want 0 to 1", f.name, cfg.Loss)
	}
	e := &Encoder{
		format: f, in: cfg.AudioFormat, coder: f.open(),
		values: int(cfg.Frame/time.Millisecond) * cfg.Rate / 1000 * cfg.Channels,
	}
	if factor > 1 {
		e.down = newDownsampler(factor)
	}
	return e, nil
}

// Payload is its RTP payload format.
func (f Format) Payload() codec.Payload { return payload{f.name, f.unit} }
