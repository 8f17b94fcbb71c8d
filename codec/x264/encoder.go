// Package x264 encodes H.264 with libx264 itself, whose bit rate can change
// while it runs, and which reads a picture from where it is. It also knows the
// RTP payload format of H.264 (RFC 6184).
package x264

/*
#cgo pkg-config: x264
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

// Options are the settings of x264 that a codec.VideoConfig does not hold.
type Options struct {
	Preset     string // of x264, "ultrafast" to "placebo"
	Profile    string // "baseline" (x264 makes constrained baseline of it), "main" or "high"
	MinQ, MaxQ int    // bounds of the quantizer, 0 to 51
	FullRange  bool   // samples use 0…255
}

// Encoder is a codec.VideoEncoder and codec.BitrateSetter. Its units are in the
// byte stream format of H.264's Annex B with start codes of four bytes, and
// have their parameter sets in front of each keyframe. The codec of the units
// is for the caller to set, who holds the row.
type Encoder struct {
	c      *C.encoder
	width  int
	height int
	pace   codec.Pace
	buffer float64 // that rate control keeps to, s
	buf    []byte
}

// NewEncoder opens an encoder of constrained baseline with settings for live
// pictures.
func NewEncoder(cfg codec.VideoConfig) (codec.VideoEncoder, error) { return profile(cfg, "baseline") }

// NewMainEncoder opens an encoder of the Main profile.
func NewMainEncoder(cfg codec.VideoConfig) (codec.VideoEncoder, error) { return profile(cfg, "main") }

func profile(cfg codec.VideoConfig, name string) (codec.VideoEncoder, error) {
	e, err := Open(cfg, Options{Preset: "superfast", Profile: name, MinQ: 10, MaxQ: 51})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Open opens an encoder with settings of the caller's.
func Open(cfg codec.VideoConfig, opt Options) (*Encoder, error) {
	if err := check(cfg, opt); err != nil {
		return nil, fmt.Errorf("H264 encoder: %w", err)
	}
	c := (*C.encoder)(C.calloc(1, C.sizeof_encoder)) // cgo's calloc does not return nil
	e := &Encoder{
		c: c, width: cfg.Width, height: cfg.Height,
		pace: codec.Pace{Interval: cfg.KeyInterval}, buffer: 1,
	}
	if cfg.MaxKeyframe > 0 {
		// No picture is larger than what the buffer holds, and it holds the bound.
		e.buffer = min(cfg.MaxKeyframe/float64(cfg.FPS), 1)
	}
	preset, profile := C.CString(opt.Preset), C.CString(opt.Profile)
	defer C.free(unsafe.Pointer(preset))
	defer C.free(unsafe.Pointer(profile))
	if C.x264enc_defaults(c, preset) < 0 {
		return nil, errors.Join(e.err("take preset "+opt.Preset), e.Close())
	}
	p := &c.param
	p.i_width, p.i_height = C.int(cfg.Width), C.int(cfg.Height)
	p.i_csp = C.X264_CSP_I420
	p.i_fps_num, p.i_fps_den = C.uint32_t(cfg.FPS), 1
	p.i_timebase_num, p.i_timebase_den = 1, codec.VideoClock
	p.i_threads = C.int(max(cfg.Threads, 1))
	p.i_keyint_max = C.X264_KEYINT_MAX_INFINITE // Encode counts
	p.i_scenecut_threshold = 0
	p.b_repeat_headers = 1
	p.b_annexb = 0
	if cfg.MTU > 0 {
		p.i_slice_max_size = C.int(cfg.MTU + lengthSize)
	}
	p.rc.i_rc_method = C.X264_RC_ABR
	p.rc.i_qp_min, p.rc.i_qp_max = C.int(opt.MinQ), C.int(opt.MaxQ)
	e.setRate(cfg.Bitrate)
	// Browsers take an untagged 720p for BT.709 (H.264, annex E.2.1).
	const component, smpte170m = 0, 6
	p.vui.i_vidformat = component
	if opt.FullRange {
		p.vui.b_fullrange = 1
	}
	p.vui.i_colorprim, p.vui.i_transfer, p.vui.i_colmatrix = smpte170m, smpte170m, smpte170m
	if C.x264enc_open(c, profile) < 0 {
		return nil, errors.Join(e.err("open with profile "+opt.Profile), e.Close())
	}
	return e, nil
}

// check finds what x264 would take wrongly or without a word.
func check(cfg codec.VideoConfig, opt Options) error {
	switch {
	case cfg.Width <= 0 || cfg.Height <= 0 || cfg.Width%2 != 0 || cfg.Height%2 != 0 || max(cfg.Width, cfg.Height) > 16383:
		return fmt.Errorf("size %dx%d: width and height must be even and at most 16382", cfg.Width, cfg.Height)
	case cfg.FPS <= 0 || cfg.FPS > 240:
		return fmt.Errorf("%d frames a second: must be 1 to 240", cfg.FPS)
	case cfg.Bitrate < minBitrate:
		return fmt.Errorf("bit rate %d: must be at least %d bit/s", cfg.Bitrate, minBitrate)
	case cfg.TemporalLayers > 1:
		return fmt.Errorf("%d temporal layers: x264 has none", cfg.TemporalLayers)
	case cfg.MTU != 0 && cfg.MTU < 100:
		return fmt.Errorf("slices of %d bytes: must be at least 100", cfg.MTU)
	case opt.MinQ < 0 || opt.MinQ > opt.MaxQ || opt.MaxQ > 51:
		return fmt.Errorf("quantizers %d to %d: must be in 0 to 51", opt.MinQ, opt.MaxQ)
	}
	return nil
}

// minBitrate is the lowest that makes sense to x264's counting in kbit/s.
const minBitrate = 1000

// lengthSize is the size of the length that x264 puts before a NAL unit, and of
// the start code that takes its place.
const lengthSize = 4

// Encode codes one frame.
func (e *Encoder) Encode(f *codec.Frame, pts time.Duration, key bool) (codec.Unit, error) {
	if e.c == nil {
		return codec.Unit{}, errors.New("encode H264: used after Close")
	}
	if err := f.Check(e.width, e.height); err != nil {
		return codec.Unit{}, fmt.Errorf("encode H264: %w", err)
	}
	ticks, key, err := e.pace.Next(pts, key)
	if err != nil {
		return codec.Unit{}, fmt.Errorf("encode H264: %w", err)
	}
	force := C.int(0)
	if key {
		force = 1
	}
	size := C.x264enc_encode(e.c, plane(f.Y), plane(f.U), plane(f.V), C.int(f.YStride), C.int(f.UVStride), C.int64_t(ticks), force)
	if size < 0 {
		return codec.Unit{}, e.err("encode")
	}
	e.buf = e.buf[:0]
	for _, nal := range unsafe.Slice(e.c.nal, e.c.nals) {
		if nal.i_type == C.NAL_SEI {
			continue // x264's name and settings
		}
		e.buf = append(e.buf, 0, 0, 0, 1)
		e.buf = append(e.buf, unsafe.Slice((*byte)(nal.p_payload), nal.i_payload)[lengthSize:]...)
	}
	u := codec.Unit{Data: e.buf, Keyframe: e.c.key != 0, Layers: 1, Timestamp: uint32(ticks)}
	e.pace.Coded(u.Keyframe)
	return u, nil
}

// plane returns a plane's first sample for C. Go's rules let it pass as an
// argument of the call but not inside of a struct.
func plane(p []byte) *C.uint8_t { return (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(p))) }

// SetBitrate takes bit/s, from the next frame on.
func (e *Encoder) SetBitrate(bps int) error {
	if e.c == nil {
		return errors.New("set bit rate of H264: used after Close")
	}
	if bps < minBitrate {
		return fmt.Errorf("set bit rate of H264: %d, must be at least %d bit/s", bps, minBitrate)
	}
	e.setRate(bps)
	if C.x264enc_reconfig(e.c) < 0 {
		return e.err(fmt.Sprintf("set bit rate to %d", bps))
	}
	return nil
}

// setRate writes the bit rate into the parameters. Only rate control with a
// buffer follows a change.
func (e *Encoder) setRate(bps int) {
	rc := &e.c.param.rc
	kbps := C.int(bps / 1000)
	rc.i_bitrate, rc.i_vbv_max_bitrate = kbps, kbps
	rc.i_vbv_buffer_size = max(C.int(float64(bps)/1000*e.buffer), 1)
}

// err words an error of x264, which says no more than that there was one.
func (e *Encoder) err(doing string) error {
	return fmt.Errorf("H264 encoder %dx%d: x264 did not %s", e.width, e.height, doing)
}

// Close ends the encoder.
func (e *Encoder) Close() error {
	if e.c != nil {
		C.x264enc_close(e.c)
		C.free(unsafe.Pointer(e.c))
		e.c = nil
	}
	return nil
}
