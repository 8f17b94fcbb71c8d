package vpx

/*
#include "encoder.h"

// A macro in libvpx, which cgo cannot call.
static vpx_codec_iface_t *vp8_iface(void) { return vpx_codec_vp8_cx(); }
*/
import "C"

import (
	"fmt"

	"mixdown/codec"
)

// slow is the rate up to which no picture is dropped for a keyframe before it: the
// next one would be too far away.
const slow = 2

// speed is libvpx's cpu-used for a size. A large picture has bits enough: nine people in 1280x720,
// 1500 kbit/s, are coded at 47.9 dB by -8 and at 47.7 by -12, which takes 17 to 27 % less time; in
// 960x540, 700 kbit/s, three, nine and 25 people at 46.3, 41.3 and 36.1 dB by -8, and 0.2, 0.3 and 0.1 dB
// less by -10, which takes about an eighth less; in 640x360, 300 kbit/s, three layers, -8 and -12 make 39.8 and 38.9.
func speed(width, height int) int {
	switch n := width * height; {
	case n >= 1280*720:
		return -12
	case n >= 960*540:
		return -10
	}
	return -8
}

// NewVP8Encoder opens a VP8 encoder with settings for live pictures: a fixed
// fast speed, and a quantizer that goes all the way up before frames drop.
func NewVP8Encoder(cfg codec.VideoConfig) (codec.VideoEncoder, error) {
	opt := Options{Speed: speed(cfg.Width, cfg.Height), MinQ: 4, MaxQ: 63, DropBelow: 30}
	if cfg.FPS <= slow {
		opt.DropBelow = 0
	}
	e, err := OpenVP8(cfg, opt)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// OpenVP8 opens a VP8 encoder with settings of the caller's.
func OpenVP8(cfg codec.VideoConfig, opt Options) (*Encoder, error) {
	layers, err := pattern(cfg.TemporalLayers)
	if err != nil {
		return nil, fmt.Errorf("VP8 encoder: %w", err)
	}
	if len(layers) > 1 {
		// libvpx 1.12 loses step with its decoders when it drops two leaves in a row:
		// what it predicts from is no longer what they have.
		opt.DropBelow = 0
	}
	return open("VP8", C.vp8_iface(), cfg, opt, layers, []control{
		{"speed", C.VP8E_SET_CPUUSED, opt.Speed},
		{"static threshold", C.VP8E_SET_STATIC_THRESHOLD, 1},
		{"token partitions", C.VP8E_SET_TOKEN_PARTITIONS, 0},
		{"noise sensitivity", C.VP8E_SET_NOISE_SENSITIVITY, 0},
		{"screen content", C.VP8E_SET_SCREEN_CONTENT_MODE, 0},
		// In percent of the average frame; 0 is unbounded.
		{"keyframe bound", C.VP8E_SET_MAX_INTRA_BITRATE_PCT, int(cfg.MaxKeyframe * 100)},
	})
}
