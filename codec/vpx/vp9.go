package vpx

/*
#include "encoder.h"

// A macro in libvpx, which cgo cannot call.
static vpx_codec_iface_t *vp9_iface(void) { return vpx_codec_vp9_cx(); }
*/
import "C"

import (
	"fmt"
	"math/bits"

	"mixdown/codec"
)

// NewVP9Encoder opens a VP9 encoder with settings for live pictures.
func NewVP9Encoder(cfg codec.VideoConfig) (codec.VideoEncoder, error) {
	e, err := OpenVP9(cfg, Options{Speed: 8, MinQ: 4, MaxQ: 63, DropBelow: 30})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// OpenVP9 opens a VP9 encoder with settings of the caller's.
func OpenVP9(cfg codec.VideoConfig, opt Options) (*Encoder, error) {
	layers, err := pattern(cfg.TemporalLayers)
	if err != nil {
		return nil, fmt.Errorf("VP9 encoder: %w", err)
	}
	svc := 0
	if len(layers) > 1 {
		svc = 1
	}
	return open("VP9", C.vp9_iface(), cfg, opt, layers, []control{
		{"speed", C.VP8E_SET_CPUUSED, opt.Speed},
		{"SVC", C.VP9E_SET_SVC, svc},
		{"static threshold", C.VP8E_SET_STATIC_THRESHOLD, 1},
		{"noise sensitivity", C.VP9E_SET_NOISE_SENSITIVITY, 0},
		{"adaptive quantizer", C.VP9E_SET_AQ_MODE, 3}, // cyclic refresh
		{"golden frame boost", C.VP9E_SET_GF_CBR_BOOST_PCT, 0},
		{"frame-parallel decoding", C.VP9E_SET_FRAME_PARALLEL_DECODING, 0},
		{"row threads", C.VP9E_SET_ROW_MT, 0},
		{"tile columns", C.VP9E_SET_TILE_COLUMNS, tileColumns(cfg)},
		// In percent of the average frame; 0 is unbounded.
		{"keyframe bound", C.VP8E_SET_MAX_INTRA_BITRATE_PCT, int(cfg.MaxKeyframe * 100)},
		// Browsers take an untagged 720p for BT.709.
		{"color space", C.VP9E_SET_COLOR_SPACE, C.VPX_CS_SMPTE_170},
		{"color range", C.VP9E_SET_COLOR_RANGE, C.VPX_CR_STUDIO_RANGE},
	})
}

// tileColumns returns log2 of the tile columns: as many as there are threads
// for, each at least 256 samples wide.
func tileColumns(cfg codec.VideoConfig) int {
	return bits.Len(uint(min(max(cfg.Threads, 1), max(cfg.Width/256, 1)))) - 1
}
