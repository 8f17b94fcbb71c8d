package mixer

import (
	"math"
	"sync/atomic"

	"mixdown/codec"
	"mixdown/compositor"
)

// A picture is far away from this ratio of its size to the largest place that it is
// shown at, and close again below the other one; docs/bench.md has what is seen of it.
const (
	farRatio   = 2.4
	closeRatio = 2.1
)

// maxDrift is how many pictures without loop filter may follow one another. Senders
// have limits of their own, from half of it on: a layout that makes all of them small
// is not to be followed by everybody's keyframe at once.
const maxDrift = 300

// distance is how far a sender's pictures are looked at from. Of those that are far
// away nobody sees whether they went through their codec's loop filter, a quarter of
// what decoding takes. Without it they drift from what was sent, ever more, until
// the next keyframe, which is asked for when it is time.
type distance struct {
	place atomic.Uint64 // as large as any, each way: width<<32 | height; 0: it is looked at closely
	limit int           // of drift

	// Touched by the one pool thread that decodes for it.
	width, height int // of the newest picture
	far           bool
	skips         bool // the decoder leaves the filter out
	drift         int  // pictures without it since the last keyframe
	small         codec.FramePool
}

// newDistance returns that of the sender of some number.
func newDistance(order uint64) *distance {
	_, phase := math.Modf(0.618 * float64(order))
	return &distance{limit: maxDrift - int(phase*maxDrift/2)}
}

// show sets the largest place; one of 0x0 is for what is to be right at any size.
func (d *distance) show(width, height int) { d.place.Store(uint64(width)<<32 | uint64(height)) }

// shown is what show has set, and false where every size is to be right.
func (d *distance) shown() (width, height int, known bool) {
	place := d.place.Load()
	return int(place >> 32), int(place & (1<<32 - 1)), place != 0
}

// look decides from where the next picture is looked at.
func (d *distance) look() {
	w, h, known := d.shown()
	ratio := farRatio
	if d.far {
		ratio = closeRatio
	}
	d.far = known && float64(d.width) >= ratio*float64(w) && float64(d.height) >= ratio*float64(h)
}

// prepare tells the decoder how to take the next unit. restore asks for a keyframe,
// once: pictures have drifted, and are not far away any more or have done so for
// long enough. They are filtered until it comes, which keeps them from drifting on.
func (d *distance) prepare(dec codec.VideoDecoder, keyframe bool) (unfiltered, restore bool) {
	if keyframe {
		d.drift = 0
	}
	d.look()
	was, skip := d.skips, d.far && d.drift < d.limit
	s, ok := dec.(codec.FilterSkipper)
	d.skips = ok && s.SkipFilter(skip) && skip
	if unfiltered = d.skips && !keyframe; unfiltered {
		d.drift++
	}
	return unfiltered, was && !d.skips && d.drift > 0
}

// reduce returns f by as many exact halves smaller as its largest place allows: tiers
// draw the same from it, a frame that waits for its sound takes a fraction of the
// memory, and the decoder has its own back while they are in the cache. f passes to it.
func (d *distance) reduce(f *codec.Frame, s compositor.Scaler) *codec.Frame {
	pw, ph, known := d.shown()
	w, h := f.Width, f.Height
	for known && w%4 == 0 && h%4 == 0 && w >= 2*pw && h >= 2*ph {
		w, h = w/2, h/2
	}
	if w == f.Width {
		return f
	}
	to := d.small.Get(w, h)
	to.FullRange, to.Timestamp, to.Arrived, to.Captured = f.FullRange, f.Timestamp, f.Arrived, f.Captured
	if s.Scale(to, compositor.Rect{W: w, H: h}, f, compositor.Rect{W: f.Width, H: f.Height}) != nil {
		to.Release()
		return f // whoever draws it says what is wrong with it
	}
	f.Release()
	return to
}
