package opus

import (
	"fmt"
	"math"
	"time"

	libopus "gopkg.in/hraban/opus.v2"

	"mixdown/codec"
)

// Encoder is a codec.AudioEncoder, codec.BitrateSetter, codec.LossSetter,
// codec.DTXSetter and codec.Follower.
type Encoder struct {
	enc    *libopus.Encoder
	format codec.AudioFormat
	values int // in one frame, over all channels
	buf    []byte
	dtx    bool
	effort int // complexity
}

// NewEncoder opens an encoder for speech. Its rate is 8, 12, 16, 24 or 48 kHz,
// its frame 2.5, 5, 10, 20, 40, 60, 80, 100 or 120 ms.
func NewEncoder(cfg codec.AudioConfig) (codec.AudioEncoder, error) {
	switch ms := cfg.Frame / time.Millisecond; {
	case cfg.Frame == 2500*time.Microsecond, cfg.Frame == 5*time.Millisecond, cfg.Frame == 10*time.Millisecond:
	case cfg.Frame%(20*time.Millisecond) == 0 && ms >= 20 && ms <= 120:
	default:
		return nil, fmt.Errorf("opus encoder: no frames of %v, only 2.5, 5, 10, 20, 40, 60, 80, 100 or 120 ms", cfg.Frame)
	}
	// The VoIP application is the one that codes its repair in the speech layer.
	enc, err := libopus.NewEncoder(cfg.Rate, cfg.Channels, libopus.AppVoIP)
	if err != nil {
		return nil, fmt.Errorf("opus encoder of %d Hz, %d channels: %w", cfg.Rate, cfg.Channels, err)
	}
	e := &Encoder{
		enc:    enc,
		format: cfg.AudioFormat,
		effort: cfg.Complexity,
		values: int(int64(cfg.Rate)*int64(cfg.Frame)/int64(time.Second)) * cfg.Channels,
		// A frame is at most 1275 bytes (RFC 6716, section 3.2.1); 120 ms are six
		// of 20 ms, beside two bytes of table of contents and six lengths.
		buf: make([]byte, 6*(1275+2)+2),
	}
	if most := cfg.Most; most > 0 {
		e.buf = e.buf[:min(most, len(e.buf)):min(most, len(e.buf))] // libopus keeps to what there is room for
	}
	if err := enc.SetComplexity(cfg.Complexity); err != nil {
		return nil, fmt.Errorf("opus encoder: complexity %d: %w", cfg.Complexity, err)
	}
	if err := enc.SetInBandFEC(cfg.FEC); err != nil {
		return nil, fmt.Errorf("opus encoder: in-band repair: %w", err)
	}
	if err := e.SetDTX(cfg.DTX); err != nil {
		return nil, err
	}
	if err := e.SetLoss(cfg.Loss); err != nil {
		return nil, err
	}
	if err := e.SetBitrate(cfg.Bitrate); err != nil {
		return nil, err
	}
	return e, nil
}

// Encode takes one frame. A result of one or two bytes need not be sent: the
// encoder heard silence and was told to save it (RFC 7587, section 3.1.3).
func (e *Encoder) Encode(pcm []int16) ([]byte, error) {
	if e.enc == nil {
		return nil, errClosed
	}
	if len(pcm) != e.values {
		return nil, fmt.Errorf("encode opus: %d values, one frame has %d", len(pcm), e.values)
	}
	n, err := e.enc.Encode(pcm, e.buf)
	if err != nil {
		return nil, fmt.Errorf("encode opus: %w", err)
	}
	return e.buf[:n], nil
}

// SetBitrate takes bit/s, 500 to 512000 (RFC 6716, section 2.1.1, asks for
// 6000 and more).
func (e *Encoder) SetBitrate(bps int) error {
	if e.enc == nil {
		return errClosed
	}
	if bps < 500 || bps > 512000 {
		return fmt.Errorf("opus encoder: bit rate %d is not within 500 and 512000", bps)
	}
	if err := e.enc.SetBitrate(bps); err != nil {
		return fmt.Errorf("opus encoder: bit rate %d: %w", bps, err)
	}
	return nil
}

// SetLoss takes the expected share of lost packets, 0 to 1. Without in-band
// repair it does nothing but make the coding a little more robust.
func (e *Encoder) SetLoss(share float64) error {
	if e.enc == nil {
		return errClosed
	}
	if !(share >= 0 && share <= 1) {
		return fmt.Errorf("opus encoder: loss %v is not within 0 and 1", share)
	}
	if err := e.enc.SetPacketLossPerc(int(math.Ceil(share * 100))); err != nil {
		return fmt.Errorf("opus encoder: loss %v: %w", share, err)
	}
	return nil
}

// SetDTX begins or ends making next to nothing of what is taken for silence:
// the encoder takes a steady tone for it, too.
func (e *Encoder) SetDTX(on bool) error {
	if e.enc == nil {
		return errClosed
	}
	if err := e.enc.SetDTX(on); err != nil {
		return fmt.Errorf("opus encoder: silence suppression: %w", err)
	}
	e.dtx = on
	return nil
}

// Close ends the encoder.
func (e *Encoder) Close() error {
	e.enc = nil
	return nil
}
