package mixer

// refresh is how often the tiles of a picture are drawn anew. The zero value
// draws all of them every time. Who speaks is always drawn.
type refresh struct {
	silent int // of silent people: every so many pictures
	small  int // likewise where a tile is small
}

// smallShare is the share of a canvas under which a tile is small: from ten
// people on.
const smallShare = 1. / 9

// sparse is what a tier of that many pictures a second does when it has to
// save: silent people about three times a second, in a crowd every second one
// of those.
func sparse(fps float64) refresh {
	every := max(2, int(fps/3))
	return refresh{silent: every, small: 2 * every}
}

// face is what counts for how often one tile is drawn.
type face struct {
	speaks bool    // is in the sum, or shown as speaking
	share  float64 // of the canvas
}

// due tells which tiles picture number n draws anew; out is used for the
// result. The silent ones come in turn, so that every picture draws about as many.
func (r refresh) due(out []bool, n uint64, faces []face) []bool {
	out = out[:0]
	for i, f := range faces {
		every := r.silent
		if f.share < smallShare {
			every = r.small
		}
		out = append(out, f.speaks || every <= 1 || (n+uint64(i))%uint64(every) == 0)
	}
	return out
}
