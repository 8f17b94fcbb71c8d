package compositor

// strip is how many places stand beside a stage.
const strip = 5

// StagePlaces is Places for a Stage: the one large tile counts as one of tiles.
func StagePlaces(n int) (tiles, more int) {
	if n <= 1+strip {
		return max(n, 0), 0
	}
	return strip, n - strip
}

// Stage gives the first place most of the canvas and puts the others beside it,
// below each other; on a canvas that is higher than wide they stand under it, in
// a row. It has places for as many as StagePlaces says. One takes it all.
func Stage(n, width, height int) []Rect {
	width, height = width&^1, height&^1
	if n <= 1 || width <= 0 || height <= 0 {
		return Grid(n, width, height)
	}
	n = min(n, 1+strip)
	if height > width {
		out := Stage(n, height, width)
		for i, r := range out {
			out[i] = Rect{X: r.Y, Y: r.X, W: r.H, H: r.W}
		}
		return out
	}
	gap := max(2, min(width, height)/180&^1)
	// As high as all places of a full strip may be, so that nobody's tile changes
	// its size when somebody comes.
	h := (height - gap*(strip-1)) / strip &^ 1
	w := min(int(float64(h)*camera), width/3) &^ 1
	if w <= 0 || h <= 0 {
		return nil
	}
	out := make([]Rect, 0, n)
	out = append(out, Rect{W: width - gap - w, H: height})
	top := (height - (n-1)*h - (n-2)*gap) / 2 &^ 1
	for i := range n - 1 {
		out = append(out, Rect{X: width - w, Y: top + i*(h+gap), W: w, H: h})
	}
	return out
}
