// Package ffmpeg decodes pictures with libavcodec through go-astiav.
package ffmpeg

import (
	"errors"
	"fmt"
	"strconv"
	"syscall"

	"github.com/asticode/go-astiav"

	"mixdown/codec"
)

// MaxPixels is the largest picture that NewDecoder's decoders take, in luma
// samples: 4096x2304, either way up.
const MaxPixels = 4096 * 2304

// padding is what libavcodec's readers may look at behind a packet's end
// (AV_INPUT_BUFFER_PADDING_SIZE).
const padding = 64

// ErrNoKeyframe is Decode's answer to what cannot be decoded before a keyframe
// has come.
var ErrNoKeyframe = errors.New("no keyframe yet")

// Decoder is a codec.VideoDecoder. Its frames are libavcodec's own, without a
// copy; they outlive the decoder.
type Decoder struct {
	name   string
	max    int
	ctx    *astiav.CodecContext
	packet *astiav.Packet
	padded []byte
	spare  *astiav.Frame // takes the next picture
	ready  bool          // a keyframe was decoded and nothing failed since
	fresh  bool          // ctx has seen nothing yet
}

// NewDecoder returns a row's constructor of decoders with libavcodec's name for
// one ("vp8", "h264", "libdav1d").
func NewDecoder(name string) func() (codec.VideoDecoder, error) {
	return func() (codec.VideoDecoder, error) {
		d, err := Open(name, MaxPixels)
		if err != nil {
			return nil, err
		}
		return d, nil
	}
}

// Open opens a decoder that refuses pictures of more than maxPixels luma
// samples.
func Open(name string, maxPixels int) (*Decoder, error) {
	// libavcodec writes to stderr about every bad packet, which Decode returns as
	// an error already. Its log callback is no way out: go-astiav's overflows.
	astiav.SetLogLevel(astiav.LogLevelQuiet)
	d := &Decoder{name: name, max: maxPixels, packet: astiav.AllocPacket(), spare: astiav.AllocFrame()}
	if err := d.open(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// open begins anew.
func (d *Decoder) open() error {
	if d.ctx != nil {
		d.ctx.Free()
		d.ctx = nil
	}
	c := astiav.FindDecoderByName(d.name)
	if c == nil {
		return fmt.Errorf("decoder %q: this FFmpeg has none of that name, see ffmpeg -decoders", d.name)
	}
	options := astiav.NewDictionary()
	defer options.Free()
	if err := options.Set("max_pixels", strconv.Itoa(d.max), 0); err != nil {
		return fmt.Errorf("decoder %q: limit of %d pixels: %w", d.name, d.max, err)
	}
	ctx := astiav.AllocCodecContext(c)
	ctx.SetThreadCount(1) // frame threads add a frame of delay each
	ctx.SetFlags(astiav.NewCodecContextFlags(astiav.CodecContextFlagLowDelay))
	if err := ctx.Open(c, options); err != nil {
		ctx.Free()
		return fmt.Errorf("decoder %q: %w", d.name, err)
	}
	d.ctx, d.fresh = ctx, true
	return nil
}

// LimitPixels implements codec.PixelLimiter.
func (d *Decoder) LimitPixels(n int) error {
	if n == d.max {
		return nil
	}
	d.max, d.ready = n, false
	return d.open()
}

// Decode takes one access unit. At the start and after an error it wants a
// keyframe (u.Keyframe) and answers ErrNoKeyframe to anything else.
func (d *Decoder) Decode(u codec.Unit) (*codec.Frame, error) {
	if d.packet == nil {
		return nil, fmt.Errorf("decode %s: used after Close", d.name)
	}
	if !d.ready && !u.Keyframe {
		return nil, fmt.Errorf("decode %s: %w", d.name, ErrNoKeyframe)
	}
	d.ready = false
	if len(u.Data) == 0 {
		return nil, fmt.Errorf("decode %s: empty unit", d.name) // libavcodec takes it for the end
	}
	if d.ctx == nil { // could not be opened again
		if err := d.open(); err != nil {
			return nil, err
		}
	}
	f, err := d.decode(u.Data)
	if u.Keyframe && f == nil && !d.fresh {
		// What came before must not spoil it: after some kinds of damage decoders
		// refuse, or hold back, every picture that follows.
		if err := d.open(); err != nil {
			return nil, err
		}
		f, err = d.decode(u.Data)
	}
	d.fresh = false
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", d.name, err)
	}
	d.ready = true
	if f != nil {
		f.Timestamp, f.Arrived, f.Captured = u.Timestamp, u.Arrived, u.Captured
	}
	return f, nil
}

// decode returns the newest frame that data completed, so that no decoder ever
// runs a frame behind.
func (d *Decoder) decode(data []byte) (*codec.Frame, error) {
	// FromData copies without padding: so pad first, then take it off the size.
	d.padded = append(append(d.padded[:0], data...), make([]byte, padding)...)
	if err := d.packet.FromData(d.padded); err != nil {
		return nil, err
	}
	defer d.packet.Unref()
	d.packet.SetSize(len(data))
	if err := d.ctx.SendPacket(d.packet); err != nil {
		return nil, d.explain(err)
	}
	var newest *astiav.Frame
	for {
		err := d.ctx.ReceiveFrame(d.spare)
		if errors.Is(err, astiav.ErrEagain) {
			break
		}
		if newest != nil {
			newest.Free()
		}
		if err != nil {
			return nil, d.explain(err)
		}
		newest, d.spare = d.spare, astiav.AllocFrame()
	}
	if newest == nil {
		return nil, nil
	}
	f, err := wrap(newest)
	if err != nil {
		return nil, err
	}
	if f.Width*f.Height > d.max {
		defer f.Release()
		return nil, fmt.Errorf("picture of %dx%d is larger than %d pixels", f.Width, f.Height, d.max)
	}
	return f, nil
}

// explain adds the limit to an error that may be about it. Decoders answer a
// size beyond max_pixels with numbers of their own, most of them with that of
// bad data; the context then has that size or none at all. dav1d says out of
// range.
func (d *Decoder) explain(err error) error {
	size := d.ctx.Width() * d.ctx.Height()
	if size == 0 || size > d.max || errors.Is(err, astiav.Error(-int(syscall.ERANGE))) {
		return fmt.Errorf("%w: no picture, or one larger than %d pixels", err, d.max)
	}
	return err
}

// Close frees the decoder. Frames that it has handed out stay.
func (d *Decoder) Close() error {
	if d.packet == nil {
		return nil
	}
	if d.ctx != nil {
		d.ctx.Free()
	}
	d.packet.Free()
	d.spare.Free()
	d.ctx, d.packet, d.spare = nil, nil, nil
	return nil
}
