package compositor

import "math"

// most is how many tiles a gallery shows.
const most = 49

// A tile's shape lies between these. A 16:9 camera loses less than a third of
// its width in the narrowest. The widest leaves a little for the rounding of
// gaps, so that 2 x 2 tiles fill their canvas.
const (
	narrowest = 6.0 / 5
	camera    = 16.0 / 9
	widest    = 1.85
)

// Places returns how many of n people get a tile and how many stand behind a
// "+More" place after the tiles; a gallery has tiles places, and one more if
// more is not 0.
func Places(n int) (tiles, more int) {
	if n <= most {
		return max(n, 0), 0
	}
	return most - 1, n - (most - 1)
}

// Grid is the gallery: rows of equal tiles, the last row centred. Rows and
// columns are the same for every size of one shape, so that tiers agree. One
// tile takes the whole canvas.
func Grid(n, width, height int) []Rect {
	width, height = width&^1, height&^1
	if n <= 0 || width <= 0 || height <= 0 {
		return nil
	}
	if n == 1 {
		return []Rect{{W: width, H: height}}
	}
	cols, rows := arrange(n, float64(width)/float64(height))
	gap := max(2, min(width, height)/180&^1)
	w, h := tile(float64(width-gap*(cols-1))/float64(cols), float64(height-gap*(rows-1))/float64(rows))
	tw, th := int(w)&^1, int(h)&^1
	if tw <= 0 || th <= 0 {
		return nil
	}
	out := make([]Rect, n)
	top := (height - rows*th - (rows-1)*gap) / 2 &^ 1
	for i := range out {
		row, col := i/cols, i%cols
		in := min(cols, n-row*cols) // tiles in this row
		left := (width - in*tw - (in-1)*gap) / 2 &^ 1
		out[i] = Rect{X: left + col*(tw+gap), Y: top + row*(th+gap), W: tw, H: th}
	}
	return out
}

// arrange chooses the columns and rows that use the most of a canvas of the
// given shape (width / height), and of two that are close the one that crops
// cameras less.
func arrange(n int, shape float64) (cols, rows int) {
	// 854x480 and 426x240 are meant to be 16:9: a step of a twelfth takes the
	// rounding out, or tiers of one shape could fall on different sides of a tie.
	shape = max(math.Round(shape*12), 1) / 12
	best := 0.0
	for c := 1; c <= n; c++ {
		r := (n + c - 1) / c
		w, h := tile(shape/float64(c), 1/float64(r))
		shown := min(w/h/camera, camera*h/w) // of a camera's picture
		if score := w * h * (3 + shown); score > best+1e-9 {
			best, cols, rows = score, c, r
		}
	}
	return cols, rows
}

// tile returns the largest tile of a permitted shape in a cell.
func tile(w, h float64) (float64, float64) {
	return min(w, h*widest), min(h, w/narrowest)
}
