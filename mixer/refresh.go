package mixer

import (
	"math"
	"time"
)

// Refresh is how often the tiles of a picture are drawn anew: every so many
// pictures those of silent people, in turn. The zero value draws all of them
// every time. Who speaks is always drawn, and what is not drawn costs an encoder
// next to nothing: in a low tier that is where the speaker's bits come from.
type Refresh struct {
	Silent int
	Small  int // likewise where a tile is small
}

// smallShare is the share of a canvas under which a tile is small: from ten
// people on.
const smallShare = 1. / 9

// attentionHold is how long a tile stays with those who speak after a word: a
// pause for breath is no silence.
const attentionHold = 1500 * time.Millisecond

// fewOpen is how many may be in the sum, whether they speak or not, for all of
// them to be looked at: from there on it is noise as likely as voices.
const fewOpen = 3

// minSilent is the lowest TierSpec.Silent: no tile stands for more than 4 s.
const minSilent = 0.25

// Refresh is the policy of a tier that makes pace pictures a second at a bit
// rate, which may be others than its own.
func (t TierSpec) Refresh(pace float64, bitrate int) Refresh {
	rate := t.Silent
	if rate == 0 {
		rate = silentRate(bitrate)
	}
	if rate >= pace {
		return Refresh{}
	}
	every := max(1, min(int(math.Round(pace/rate)), int(pace/minSilent)))
	return Refresh{Silent: every, Small: every}
}

// silentRate is how often silent people's tiles are drawn, a second, where
// nobody says: docs/attention.md has what comes of it.
func silentRate(bitrate int) float64 {
	switch {
	case bitrate > 400_000:
		return maxFPS
	case bitrate >= 200_000:
		return 3
	case bitrate >= 80_000:
		return 1
	}
	return 0.6
}

// sparse is what a tier of that many pictures a second does when it has to
// save: silent people about three times a second, in a crowd every second one
// of those.
func sparse(fps float64) Refresh {
	every := max(2, int(fps/3))
	return Refresh{Silent: every, Small: 2 * every}
}

// and returns the policy that draws no more than either.
func (r Refresh) and(o Refresh) Refresh {
	return Refresh{Silent: max(r.Silent, o.Silent), Small: max(r.Small, o.Small)}
}

// Face is what counts for how often one tile is drawn.
type Face struct {
	Speaks bool
	Share  float64 // of the canvas
}

// Due tells which tiles picture number n draws anew; out is used for the
// result. The silent ones come in turn, so that every picture draws about as
// many. Who is alone on a canvas is drawn always.
func (r Refresh) Due(out []bool, n uint64, faces []Face) []bool {
	out = out[:0]
	for i, f := range faces {
		every := max(1, r.Silent)
		if f.Share < smallShare {
			every = max(1, r.Small)
		}
		turn := n + uint64(i*every/len(faces))
		out = append(out, f.Speaks || len(faces) == 1 || turn%uint64(every) == 0)
	}
	return out
}
