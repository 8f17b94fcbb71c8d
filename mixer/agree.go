package mixer

import (
	"slices"

	"mixdown/codec"
)

// agree chooses a codec for each receiver, given what each of them takes: one
// for all if there is such a one, the first in order. If not, the one that most
// of them take, and further ones only for who does not take it.
func agree(order codec.Set, takes [][]*codec.Codec) []*codec.Codec {
	chosen := make([]*codec.Codec, len(takes))
	for {
		var best *codec.Codec
		most := 0
		for _, c := range order {
			n := 0
			for i, t := range takes {
				if chosen[i] == nil && slices.Contains(t, c) {
					n++
				}
			}
			if n > most {
				best, most = c, n
			}
		}
		if best == nil {
			return chosen
		}
		for i, t := range takes {
			if chosen[i] == nil && slices.Contains(t, best) {
				chosen[i] = best
			}
		}
	}
}
