// Package aom encodes AV1 with libaom without FFmpeg between, whose wrapper
// cannot change the bit rate of a running encoder. It also knows AV1's RTP
// payload format.
package aom

/*
#cgo pkg-config: aom
#include <stdlib.h>
#include "encoder.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"mixdown/codec"
)

// Options are the settings of libaom that a codec.VideoConfig does not hold.
type Options struct {
	// Speed is the cpu-used setting, 5 to 10 for live coding.
	Speed int
	// MinQ and MaxQ bound the quantizer, 0 to 63.
	MinQ, MaxQ int
	// DropBelow is how full the rate control's buffer must be, in percent, for a
	// frame not to be dropped. 0 never drops.
	DropBelow int
}

// Encoder is a codec.VideoEncoder and codec.BitrateSetter. Its units are OBUs
// with size fields and no temporal delimiter. The codec of the units is for the
// caller to set, who holds the row.
type Encoder struct {
	c        *C.encoder
	width    int
	height   int
	pace     codec.Pace
	duration C.ulong // of a frame at the configured rate
	buf      []byte
}

// NewEncoder opens an encoder with settings for live pictures.
func NewEncoder(cfg codec.VideoConfig) (codec.VideoEncoder, error) {
	e, err := Open(cfg, Options{Speed: 10, MinQ: 4, MaxQ: 63, DropBelow: 30})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Open opens an encoder with settings of the caller's.
func Open(cfg codec.VideoConfig, opt Options) (*Encoder, error) {
	if err := check(cfg); err != nil {
		return nil, fmt.Errorf("AV1 encoder: %w", err)
	}
	c := (*C.encoder)(C.calloc(1, C.sizeof_encoder)) // cgo's calloc does not return nil
	e := &Encoder{
		c: c, width: cfg.Width, height: cfg.Height,
		pace: codec.Pace{Interval: cfg.KeyInterval}, duration: C.ulong(codec.VideoClock / cfg.FPS),
	}
	if rc := C.aomenc_defaults(c); rc != C.AOM_CODEC_OK {
		return nil, errors.Join(e.err("defaults", rc), e.Close())
	}
	s := &c.cfg
	s.g_w, s.g_h = C.uint(cfg.Width), C.uint(cfg.Height)
	s.g_timebase.num, s.g_timebase.den = 1, codec.VideoClock
	s.g_threads = C.uint(max(cfg.Threads, 1))
	s.g_pass = C.AOM_RC_ONE_PASS
	s.g_lag_in_frames = 0
	s.g_error_resilient = 0
	s.rc_end_usage = C.AOM_CBR
	s.rc_min_quantizer, s.rc_max_quantizer = C.uint(opt.MinQ), C.uint(opt.MaxQ)
	s.rc_dropframe_thresh = C.uint(opt.DropBelow)
	s.rc_resize_mode = 0
	s.rc_undershoot_pct, s.rc_overshoot_pct = 50, 50
	s.rc_buf_initial_sz, s.rc_buf_optimal_sz, s.rc_buf_sz = 500, 600, 1000 // ms
	s.rc_target_bitrate = C.uint(cfg.Bitrate / 1000)
	s.kf_mode = C.AOM_KF_DISABLED // Encode counts
	if rc := C.aomenc_open(c); rc != C.AOM_CODEC_OK {
		return nil, errors.Join(e.err("open", rc), e.Close())
	}
	for _, k := range controls(cfg, opt) {
		if rc := C.aomenc_control(c, k.id, C.int(k.value)); rc != C.AOM_CODEC_OK {
			return nil, errors.Join(e.err(fmt.Sprintf("set %s to %d", k.name, k.value), rc), e.Close())
		}
	}
	return e, nil
}

// check finds what libaom would take wrongly or without a word.
func check(cfg codec.VideoConfig) error {
	switch {
	case cfg.Width <= 0 || cfg.Height <= 0 || cfg.Width%2 != 0 || cfg.Height%2 != 0 || max(cfg.Width, cfg.Height) > 16383:
		return fmt.Errorf("size %dx%d: width and height must be even and at most 16382", cfg.Width, cfg.Height)
	case cfg.FPS <= 0 || cfg.FPS > 240:
		return fmt.Errorf("%d frames a second: must be 1 to 240", cfg.FPS)
	case cfg.Bitrate < 1000:
		return fmt.Errorf("bit rate %d: must be at least 1000 bit/s", cfg.Bitrate)
	case cfg.TemporalLayers > 1:
		return fmt.Errorf("%d temporal layers: there are none", cfg.TemporalLayers)
	}
	return nil
}

// Encode codes one frame.
func (e *Encoder) Encode(f *codec.Frame, pts time.Duration, key bool) (codec.Unit, error) {
	if e.c == nil {
		return codec.Unit{}, errors.New("encode AV1: used after Close")
	}
	if err := f.Check(e.width, e.height); err != nil {
		return codec.Unit{}, fmt.Errorf("encode AV1: %w", err)
	}
	ticks, key, err := e.pace.Next(pts, key)
	if err != nil {
		return codec.Unit{}, fmt.Errorf("encode AV1: %w", err)
	}
	force := C.int(0)
	if key {
		force = 1
	}
	rc := C.aomenc_encode(e.c, plane(f.Y), plane(f.U), plane(f.V), C.int(f.YStride), C.int(f.UVStride),
		C.aom_codec_pts_t(ticks), e.duration, force)
	if rc != C.AOM_CODEC_OK {
		return codec.Unit{}, e.err("encode", rc)
	}
	u := codec.Unit{Keyframe: e.c.key != 0, Layers: 1, Timestamp: uint32(ticks)}
	e.pace.Coded(u.Keyframe)
	e.buf = append(e.buf[:0], withoutDelimiter(unsafe.Slice((*byte)(e.c.data), e.c.size))...)
	u.Data = e.buf
	return u, nil
}

// plane returns a plane's first sample for C. Go's rules let it pass as an
// argument of the call but not inside of a struct.
func plane(p []byte) *C.uchar { return (*C.uchar)(unsafe.Pointer(unsafe.SliceData(p))) }

// SetBitrate takes bit/s, from the next frame on.
func (e *Encoder) SetBitrate(bps int) error {
	if e.c == nil {
		return errors.New("set bit rate of AV1: used after Close")
	}
	if bps < 1000 {
		return fmt.Errorf("set bit rate of AV1: %d, must be at least 1000 bit/s", bps)
	}
	e.c.cfg.rc_target_bitrate = C.uint(bps / 1000)
	if rc := C.aom_codec_enc_config_set(&e.c.ctx, &e.c.cfg); rc != C.AOM_CODEC_OK {
		return e.err(fmt.Sprintf("set bit rate to %d", bps), rc)
	}
	return nil
}

// err words an error of libaom.
func (e *Encoder) err(doing string, rc C.aom_codec_err_t) error {
	text := C.GoString(C.aom_codec_err_to_string(rc))
	if detail := C.GoString(C.aomenc_detail(e.c)); detail != "" {
		text += " (" + detail + ")"
	}
	return fmt.Errorf("AV1 encoder %dx%d: %s: %s", e.width, e.height, doing, text)
}

// Close ends the encoder.
func (e *Encoder) Close() error {
	if e.c != nil {
		C.aomenc_close(e.c)
		C.free(unsafe.Pointer(e.c))
		e.c = nil
	}
	return nil
}
