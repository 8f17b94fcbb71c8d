// Package ffmpeg decodes pictures with libavcodec, and reads and writes media
// with libavformat.
package ffmpeg

/*
#cgo pkg-config: libavcodec libavutil
#include <stdlib.h>
#include "decoder.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"github.com/asticode/go-astiav"

	"mixdown/codec"
)

// MaxPixels is the largest picture that NewDecoder's decoders take, in luma
// samples: 4096x2304, either way up.
const MaxPixels = 4096 * 2304

// unfiltered is the decoder that leaves out its loop filter when it is told to.
// H.264's could, but its pictures drift by far faster where much moves; those of
// VP9 and AV1 always filter.
const unfiltered = "vp8"

// ErrNoKeyframe is Decode's answer to what cannot be decoded before a keyframe
// has come.
var ErrNoKeyframe = errors.New("no keyframe yet")

// Decoder is a codec.VideoDecoder. Its frames are libavcodec's own, without a
// copy; they outlive the decoder.
type Decoder struct {
	name  string
	max   int
	c     C.decoder
	rough bool // the loop filter is left out
	ready bool // a keyframe was decoded and nothing failed since
	fresh bool // c has seen nothing yet
	done  bool // is closed
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
	d := &Decoder{name: name, max: maxPixels}
	if err := d.open(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// open begins anew.
func (d *Decoder) open() error {
	name := C.CString(d.name)
	defer C.free(unsafe.Pointer(name))
	switch code := C.decoder_open(&d.c, name, C.int64_t(d.max)); {
	case code == C.AVERROR_DECODER_NOT_FOUND:
		return fmt.Errorf("decoder %q: this FFmpeg has none of that name, see ffmpeg -decoders", d.name)
	case code < 0:
		return fmt.Errorf("decoder %q: %w", d.name, astiav.Error(code))
	}
	d.fresh = true
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

// SkipFilter implements codec.FilterSkipper.
func (d *Decoder) SkipFilter(on bool) bool {
	d.rough = on && d.name == unfiltered
	return d.rough == on
}

// Decode takes one access unit. At the start and after an error it wants a
// keyframe (u.Keyframe) and answers ErrNoKeyframe to anything else.
func (d *Decoder) Decode(u codec.Unit) (*codec.Frame, error) {
	if d.done {
		return nil, fmt.Errorf("decode %s: used after Close", d.name)
	}
	if !d.ready && !u.Keyframe {
		return nil, fmt.Errorf("decode %s: %w", d.name, ErrNoKeyframe)
	}
	d.ready = false
	if len(u.Data) == 0 {
		return nil, fmt.Errorf("decode %s: empty unit", d.name) // libavcodec takes it for the end
	}
	if d.c.codec == nil { // could not be opened again
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

// decode returns the frame that data completed.
func (d *Decoder) decode(data []byte) (*codec.Frame, error) {
	filtered := C.int(1)
	if d.rough {
		filtered = 0
	}
	var av *C.AVFrame
	code := C.decoder_decode(&d.c, (*C.uint8_t)(unsafe.SliceData(data)), C.int(len(data)), filtered, &av)
	if code < 0 {
		return nil, d.explain(astiav.Error(code))
	}
	if av == nil {
		return nil, nil
	}
	f, err := view(av, func() { C.av_frame_free(&av) })
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
	size := int(d.c.codec.width) * int(d.c.codec.height)
	if size == 0 || size > d.max || errors.Is(err, astiav.Error(-int(syscall.ERANGE))) {
		return fmt.Errorf("%w: no picture, or one larger than %d pixels", err, d.max)
	}
	return err
}

// Close frees the decoder. Frames that it has handed out stay.
func (d *Decoder) Close() error {
	d.done = true
	C.decoder_close(&d.c)
	return nil
}
