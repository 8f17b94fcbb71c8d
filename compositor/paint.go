package compositor

import "mixdown/codec"

// in tells whether r is a drawable part of a canvas of w x h.
func (r Rect) in(w, h int) bool {
	return (r.X|r.Y|r.W|r.H)&1 == 0 && r.X >= 0 && r.Y >= 0 && r.W > 0 && r.H > 0 && r.X <= w-r.W && r.Y <= h-r.H
}

// fill paints r in one colour.
func fill(f *codec.Frame, r Rect, c yuvColor) {
	if r.W <= 0 || r.H <= 0 {
		return
	}
	rows(f.Y, f.YStride, r, func(p []byte) { set(p, c.y) })
	r = Rect{r.X / 2, r.Y / 2, r.W / 2, r.H / 2}
	rows(f.U, f.UVStride, r, func(p []byte) { set(p, c.u) })
	rows(f.V, f.UVStride, r, func(p []byte) { set(p, c.v) })
}

// border paints a frame of t pixels inside r.
func border(f *codec.Frame, r Rect, t int, c yuvColor) {
	fill(f, Rect{r.X, r.Y, r.W, t}, c)
	fill(f, Rect{r.X, r.Y + r.H - t, r.W, t}, c)
	fill(f, Rect{r.X, r.Y + t, t, r.H - 2*t}, c)
	fill(f, Rect{r.X + r.W - t, r.Y + t, t, r.H - 2*t}, c)
}

// dim leaves r 45 % of its brightness and colour.
func dim(f *codec.Frame, r Rect) {
	const keep = 115 // of 256
	rows(f.Y, f.YStride, r, func(p []byte) { toward(p, 16, keep) })
	r = Rect{r.X / 2, r.Y / 2, r.W / 2, r.H / 2}
	rows(f.U, f.UVStride, r, func(p []byte) { toward(p, 128, keep) })
	rows(f.V, f.UVStride, r, func(p []byte) { toward(p, 128, keep) })
}

// rows calls do for each row of r in one plane.
func rows(plane []byte, stride int, r Rect, do func([]byte)) {
	for y := r.Y; y < r.Y+r.H; y++ {
		do(plane[y*stride+r.X:][:r.W])
	}
}

func set(p []byte, v byte) {
	for i := range p {
		p[i] = v
	}
}

func toward(p []byte, black, keep uint32) {
	for i, v := range p {
		p[i] = byte((uint32(v)*keep + black*(256-keep) + 128) >> 8)
	}
}
