package compositor

// fit says where in tile a picture of w x h pixels goes and which part of it.
// It covers the tile where that costs less than about a third of the picture,
// else all of it stands between bars. whole has nothing cut off; what is nearly of
// the tile's shape is stretched a little. Everything is even. w and h are at
// least 2.
func fit(tile Rect, w, h int, whole bool) (to, from Rect) {
	w, h = w&^1, h&^1 // an odd last column has only half a chroma sample
	a, b := w*tile.H, tile.W*h
	from = Rect{W: w, H: h}
	switch {
	case whole && 50*min(a, b) >= 49*max(a, b):
		return tile, from
	case !whole && 20*min(a, b) >= 13*max(a, b):
		return tile, cover(tile, w, h)
	}
	to = Rect{W: tile.W, H: tile.H}
	if a > b { // wider than the tile
		to.H = max(tile.W*h/w&^1, 2)
	} else {
		to.W = max(tile.H*w/h&^1, 2)
	}
	to.X = tile.X + (tile.W-to.W)/2&^1
	to.Y = tile.Y + (tile.H-to.H)/2&^1
	return to, from
}

// cover returns the middle part of w x h that has the tile's shape. Where a
// little less makes a ratio that scales fast and sharp, it takes that.
func cover(tile Rect, w, h int) Rect {
	cw, ch := w, h
	if w*tile.H > tile.W*h {
		cw = max(tile.W*h/tile.H&^1, 2)
	} else {
		ch = max(tile.H*w/tile.W&^1, 2)
	}
	for _, r := range [...]struct{ num, den int }{{1, 1}, {4, 3}, {2, 1}, {4, 1}} {
		if r.den == 3 && (tile.W%6 != 0 || tile.H%6 != 0) {
			continue
		}
		sw, sh := tile.W*r.num/r.den, tile.H*r.num/r.den
		if sw <= cw && sh <= ch && 16*sw >= 15*cw && 16*sh >= 15*ch {
			cw, ch = sw, sh
			break
		}
	}
	if cw > 2*tile.W && ch > 2*tile.H {
		cw, ch = cw&^3, ch&^3 // halves exactly, chroma too
	}
	return Rect{X: (w - cw) / 2 &^ 1, Y: (h - ch) / 2 &^ 1, W: cw, H: ch}
}
