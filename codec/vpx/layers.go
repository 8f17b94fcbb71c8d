package vpx

/*
#include "encoder.h"
*/
import "C"

import "fmt"

// layer is one step in a pattern of temporal layers.
type layer struct {
	id    uint8
	flags C.vpx_enc_frame_flags_t
}

const (
	// base predicts from and replaces the last base picture only.
	base = C.VP8_EFLAG_NO_REF_GF | C.VP8_EFLAG_NO_REF_ARF | C.VP8_EFLAG_NO_UPD_GF | C.VP8_EFLAG_NO_UPD_ARF
	// leaf predicts from the last base picture and leaves no trace: whoever has
	// the base can go up to any layer at any picture (the Y bit of RFC 7741,
	// section 4.2), and whoever has not seen a leaf misses nothing.
	leaf = base | C.VP8_EFLAG_NO_UPD_LAST | C.VP8_EFLAG_NO_UPD_ENTROPY
)

// pattern returns the repeating order of n temporal layers.
func pattern(n int) ([]layer, error) {
	switch n {
	case 0, 1:
		return []layer{{0, 0}}, nil
	case 2:
		return []layer{{0, base}, {1, leaf}}, nil
	case 3:
		return []layer{{0, base}, {2, leaf}, {1, leaf}, {2, leaf}}, nil
	}
	return nil, fmt.Errorf("%d temporal layers: must be 1 to 3", n)
}

// setLayers tells libvpx the pattern and what of the target bit rate the layers
// up to each may take: 60 % for the lower of two, 40 and 60 % of three.
func setLayers(s *C.vpx_codec_enc_cfg_t, layers []layer) {
	shares, decimators := []C.uint{60, 100}, []C.uint{2, 1}
	if len(layers) == 4 {
		shares, decimators = []C.uint{40, 60, 100}, []C.uint{4, 2, 1}
	}
	s.ss_number_layers = 1
	s.temporal_layering_mode = C.VP9E_TEMPORAL_LAYERING_MODE_BYPASS // the flags rule
	s.ts_number_layers = C.uint(len(shares))
	s.ts_periodicity = C.uint(len(layers))
	for i, l := range layers {
		s.ts_layer_id[i] = C.uint(l.id)
	}
	for i := range shares {
		s.ts_target_bitrate[i] = max(s.rc_target_bitrate*shares[i]/100, 1)
		s.layer_target_bitrate[i] = s.ts_target_bitrate[i] // where VP9 looks
		s.ts_rate_decimator[i] = decimators[i]
	}
}
