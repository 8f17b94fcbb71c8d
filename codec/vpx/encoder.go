// Package vpx speaks to libvpx without FFmpeg between, whose wrapper cannot
// change the bit rate of a running encoder. It also knows the RTP payload
// formats of VP8 (RFC 7741) and VP9 (RFC 9628).
package vpx

/*
#cgo pkg-config: vpx
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

// Options are the settings of libvpx that a codec.VideoConfig does not hold.
type Options struct {
	// Speed is the cpu-used setting. VP8 takes -16 to 16: negative ones are fixed,
	// positive ones change with the machine's load. VP9 takes 0 to 9, all fixed.
	Speed int
	// MinQ and MaxQ bound the quantizer, 0 to 63.
	MinQ, MaxQ int
	// DropBelow is how full the rate control's buffer must be, in percent, for a
	// frame not to be dropped. 0 never drops.
	DropBelow int
}

// Encoder is a codec.VideoEncoder and codec.BitrateSetter. The codec of its
// units is for the caller to set, who holds the row.
type Encoder struct {
	c        *C.encoder
	name     string
	width    int
	height   int
	pace     codec.Pace
	duration C.ulong // of a frame at the configured rate
	layers   []layer // the pattern of temporal layers, repeated
	count    uint8   // of temporal layers
	next     int     // index into layers
	buf      []byte
}

// control is one libvpx setting made after opening.
type control struct {
	name  string
	id    C.int
	value int
}

// open makes an encoder from what all of libvpx's formats share.
func open(name string, iface *C.vpx_codec_iface_t, cfg codec.VideoConfig, opt Options, layers []layer, controls []control) (*Encoder, error) {
	if err := check(cfg); err != nil {
		return nil, fmt.Errorf("%s encoder: %w", name, err)
	}
	vp9 := name == "VP9"
	c := (*C.encoder)(C.calloc(1, C.sizeof_encoder)) // cgo's calloc does not return nil
	e := &Encoder{
		c: c, name: name, width: cfg.Width, height: cfg.Height,
		pace: codec.Pace{Interval: cfg.KeyInterval}, duration: C.ulong(codec.VideoClock / cfg.FPS),
		layers: layers, count: uint8(max(cfg.TemporalLayers, 1)),
	}
	if rc := C.vpxenc_defaults(c, iface); rc != C.VPX_CODEC_OK {
		return nil, errors.Join(e.err("defaults", rc), e.Close())
	}
	s := &c.cfg
	s.g_w, s.g_h = C.uint(cfg.Width), C.uint(cfg.Height)
	s.g_timebase.num, s.g_timebase.den = 1, codec.VideoClock
	s.g_threads = C.uint(max(cfg.Threads, 1))
	s.g_pass = C.VPX_RC_ONE_PASS
	s.g_lag_in_frames = 0
	if vp9 && len(layers) > 1 {
		c.vp9 = 1
		// What a VP9 picture hands to the next one beside references (entropy
		// contexts, motion vectors) must not come from a leaf.
		s.g_error_resilient = C.VPX_ERROR_RESILIENT_DEFAULT
	}
	s.rc_end_usage = C.VPX_CBR
	s.rc_min_quantizer, s.rc_max_quantizer = C.uint(opt.MinQ), C.uint(opt.MaxQ)
	s.rc_dropframe_thresh = C.uint(opt.DropBelow)
	s.rc_resize_allowed = 0
	s.rc_undershoot_pct, s.rc_overshoot_pct = 100, 15
	s.rc_buf_initial_sz, s.rc_buf_optimal_sz, s.rc_buf_sz = 500, 600, 1000 // ms
	s.kf_mode = C.VPX_KF_DISABLED                                          // Encode counts
	e.setRate(cfg.Bitrate)
	if rc := C.vpxenc_open(c, iface); rc != C.VPX_CODEC_OK {
		return nil, errors.Join(e.err("open", rc), e.Close())
	}
	for _, k := range controls {
		if rc := C.vpxenc_control(c, k.id, C.int(k.value)); rc != C.VPX_CODEC_OK {
			return nil, errors.Join(e.err(fmt.Sprintf("set %s to %d", k.name, k.value), rc), e.Close())
		}
	}
	return e, nil
}

// check finds what libvpx would take wrongly or without a word.
func check(cfg codec.VideoConfig) error {
	switch {
	case cfg.Width <= 0 || cfg.Height <= 0 || cfg.Width%2 != 0 || cfg.Height%2 != 0 || max(cfg.Width, cfg.Height) > 16383:
		return fmt.Errorf("size %dx%d: width and height must be even and at most 16382", cfg.Width, cfg.Height)
	case cfg.FPS <= 0 || cfg.FPS > 240:
		return fmt.Errorf("%d frames a second: must be 1 to 240", cfg.FPS)
	case cfg.Bitrate < 1000:
		return fmt.Errorf("bit rate %d: must be at least 1000 bit/s", cfg.Bitrate)
	}
	return nil
}

// Encode codes one frame.
func (e *Encoder) Encode(f *codec.Frame, pts time.Duration, key bool) (codec.Unit, error) {
	if e.c == nil {
		return codec.Unit{}, fmt.Errorf("encode %s: used after Close", e.name)
	}
	if err := f.Check(e.width, e.height); err != nil {
		return codec.Unit{}, fmt.Errorf("encode %s: %w", e.name, err)
	}
	ticks, key, err := e.pace.Next(pts, key)
	if err != nil {
		return codec.Unit{}, fmt.Errorf("encode %s: %w", e.name, err)
	}
	if key {
		e.next = 0 // a keyframe is a base picture
	}
	l := e.layers[e.next]
	flags := l.flags
	if key {
		flags = C.VPX_EFLAG_FORCE_KF
	}
	if len(e.layers) > 1 {
		if rc := C.vpxenc_layer(e.c, C.int(l.id)); rc != C.VPX_CODEC_OK {
			return codec.Unit{}, e.err("set temporal layer", rc)
		}
	}
	rc := C.vpxenc_encode(e.c, plane(f.Y), plane(f.U), plane(f.V), C.int(f.YStride), C.int(f.UVStride),
		C.vpx_codec_pts_t(ticks), e.duration, flags)
	if rc != C.VPX_CODEC_OK {
		return codec.Unit{}, e.err("encode", rc)
	}
	u := codec.Unit{
		Keyframe:  e.c.key != 0,
		Temporal:  l.id,
		Layers:    e.count,
		Timestamp: uint32(ticks),
	}
	if e.c.size > 0 { // a dropped picture's place in the pattern goes to the next
		e.next = (e.next + 1) % len(e.layers)
	}
	e.pace.Coded(u.Keyframe)
	e.buf = append(e.buf[:0], unsafe.Slice((*byte)(e.c.data), e.c.size)...)
	u.Data = e.buf
	return u, nil
}

// plane returns a plane's first sample for C. Go's rules let it pass as an
// argument of the call but not inside of a struct.
func plane(p []byte) *C.uchar { return (*C.uchar)(unsafe.Pointer(unsafe.SliceData(p))) }

// SetBitrate takes bit/s, from the next frame on.
func (e *Encoder) SetBitrate(bps int) error {
	if e.c == nil {
		return fmt.Errorf("set bit rate of %s: used after Close", e.name)
	}
	if bps < 1000 {
		return fmt.Errorf("set bit rate of %s: %d, must be at least 1000 bit/s", e.name, bps)
	}
	e.setRate(bps)
	if rc := C.vpx_codec_enc_config_set(&e.c.ctx, &e.c.cfg); rc != C.VPX_CODEC_OK {
		return e.err(fmt.Sprintf("set bit rate to %d", bps), rc)
	}
	return nil
}

// setRate writes the bit rate into the configuration, shared out to the layers.
func (e *Encoder) setRate(bps int) {
	s := &e.c.cfg
	s.rc_target_bitrate = C.uint(bps / 1000)
	if len(e.layers) > 1 {
		setLayers(s, e.layers)
	}
}

// err words an error of libvpx.
func (e *Encoder) err(doing string, rc C.vpx_codec_err_t) error {
	text := C.GoString(C.vpx_codec_err_to_string(rc))
	if detail := C.GoString(C.vpxenc_detail(e.c)); detail != "" {
		text += " (" + detail + ")"
	}
	return fmt.Errorf("%s encoder %dx%d: %s: %s", e.name, e.width, e.height, doing, text)
}

// Close ends the encoder.
func (e *Encoder) Close() error {
	if e.c != nil {
		C.vpxenc_close(e.c)
		C.free(unsafe.Pointer(e.c))
		e.c = nil
	}
	return nil
}
