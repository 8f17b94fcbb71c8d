package aom

/*
#include "encoder.h"
*/
import "C"

import (
	"math/bits"

	"mixdown/codec"
)

// control is one libaom setting made after opening.
type control struct {
	name  string
	id    C.int
	value int
}

// controls returns what makes libaom fast enough for live pictures: all tools
// that cost more time than they save bits are off.
func controls(cfg codec.VideoConfig, opt Options) []control {
	return []control{
		{"speed", C.AOME_SET_CPUUSED, opt.Speed},
		{"tile columns", C.AV1E_SET_TILE_COLUMNS, tileColumns(cfg)},
		{"row threads", C.AV1E_SET_ROW_MT, 0},
		{"adaptive quantizer", C.AV1E_SET_AQ_MODE, 3}, // cyclic refresh
		{"content", C.AV1E_SET_TUNE_CONTENT, C.AOM_CONTENT_DEFAULT},
		{"noise sensitivity", C.AV1E_SET_NOISE_SENSITIVITY, 0},
		{"golden frame boost", C.AV1E_SET_GF_CBR_BOOST_PCT, 0},
		// In percent of the average frame; 0 is unbounded.
		{"keyframe bound", C.AOME_SET_MAX_INTRA_BITRATE_PCT, int(cfg.MaxKeyframe * 100)},

		// Browsers take an untagged 720p for BT.709.
		{"colour primaries", C.AV1E_SET_COLOR_PRIMARIES, C.AOM_CICP_CP_BT_601},
		{"transfer characteristics", C.AV1E_SET_TRANSFER_CHARACTERISTICS, C.AOM_CICP_TC_BT_601},
		{"matrix coefficients", C.AV1E_SET_MATRIX_COEFFICIENTS, C.AOM_CICP_MC_BT_601},
		{"colour range", C.AV1E_SET_COLOR_RANGE, C.AOM_CR_STUDIO_RANGE},

		{"CDEF", C.AV1E_SET_ENABLE_CDEF, 1},
		{"loop restoration", C.AV1E_SET_ENABLE_RESTORATION, 0},
		{"TPL model", C.AV1E_SET_ENABLE_TPL_MODEL, 0},
		{"quantizer by block", C.AV1E_SET_DELTAQ_MODE, 0},
		{"order hint", C.AV1E_SET_ENABLE_ORDER_HINT, 0},
		{"coefficient cost update", C.AV1E_SET_COEFF_COST_UPD_FREQ, 3},
		{"mode cost update", C.AV1E_SET_MODE_COST_UPD_FREQ, 3},
		{"vector cost update", C.AV1E_SET_MV_COST_UPD_FREQ, 3},
		{"overlapped blocks", C.AV1E_SET_ENABLE_OBMC, 0},
		{"warped motion", C.AV1E_SET_ENABLE_WARPED_MOTION, 0},
		{"global motion", C.AV1E_SET_ENABLE_GLOBAL_MOTION, 0},
		{"reference vectors", C.AV1E_SET_ENABLE_REF_FRAME_MVS, 0},
		{"chroma from luma", C.AV1E_SET_ENABLE_CFL_INTRA, 0},
		{"smooth intra", C.AV1E_SET_ENABLE_SMOOTH_INTRA, 0},
		{"paeth intra", C.AV1E_SET_ENABLE_PAETH_INTRA, 0},
		{"angle delta", C.AV1E_SET_ENABLE_ANGLE_DELTA, 0},
		{"filter intra", C.AV1E_SET_ENABLE_FILTER_INTRA, 0},
		{"intra edge filter", C.AV1E_SET_ENABLE_INTRA_EDGE_FILTER, 0},
		{"default intra transform", C.AV1E_SET_INTRA_DEFAULT_TX_ONLY, 1},
		{"no trellis", C.AV1E_SET_DISABLE_TRELLIS_QUANT, 1},
		{"dual filter", C.AV1E_SET_ENABLE_DUAL_FILTER, 0},
		{"inter-intra", C.AV1E_SET_ENABLE_INTERINTRA_COMP, 0},
		{"masked compound", C.AV1E_SET_ENABLE_MASKED_COMP, 0},
		{"distance-weighted compound", C.AV1E_SET_ENABLE_DIST_WTD_COMP, 0},
		{"palette", C.AV1E_SET_ENABLE_PALETTE, 0},
		{"intra block copy", C.AV1E_SET_ENABLE_INTRABC, 0},
		{"transforms of 64", C.AV1E_SET_ENABLE_TX64, 0},
		{"reference frames", C.AV1E_SET_MAX_REFERENCE_FRAMES, 3},
	}
}

// tileColumns returns log2 of the tile columns: as many as there are threads
// for, each at least 256 samples wide.
func tileColumns(cfg codec.VideoConfig) int {
	return bits.Len(uint(min(max(cfg.Threads, 1), max(cfg.Width/256, 1)))) - 1
}
