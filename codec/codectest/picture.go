package codectest

import (
	"math"
	"sync"

	"mixdown/codec"
)

// MovingPicture returns picture i of an endless scene: a textured wall, a
// shadow that wanders over it and three textured balls on paths of their own.
// It is the same for the same arguments. The caller releases it. Nobody else has the
// frame yet, and the race detector took three times as long as all of the painting.
//
//go:norace
func MovingPicture(width, height, i int) *codec.Frame {
	f := codec.NewFrame(width, height)
	t := float64(i)
	bare := wall(width, height)
	for y := range height {
		row := f.Y[y*f.YStride:][:width]
		shadow := int(24 * math.Sin(float64(y)/37+t/9))
		for x, v := range bare[y*width:][:width] {
			row[x] = clamp(shadow + int(v))
		}
	}
	for y := range (height + 1) / 2 {
		u, v := f.U[y*f.UVStride:], f.V[y*f.UVStride:]
		for x := range (width + 1) / 2 {
			u[x] = byte(112 + y*32/height)
			v[x] = byte(144 - x*32/width)
		}
	}
	for n := range 3 {
		k := float64(n)
		r := max(height/(5+n), 2)
		cx := width/2 + int(float64(width)*0.38*math.Sin(t/(11+3*k)+2*k))
		cy := height/2 + int(float64(height)*0.34*math.Cos(t/(8+2*k)+k))
		ball(f, cx, cy, r, n, i)
	}
	return f
}

// walls are those painted so far, by width and height: nothing on one moves, and
// most of a picture's time went into painting it again.
var walls sync.Map

// wall returns a wall's brightness without the shadow.
func wall(width, height int) []int16 {
	size := [2]int{width, height}
	if w, ok := walls.Load(size); ok {
		return w.([]int16)
	}
	w := make([]int16, width*height)
	for y := range height {
		for x := range width {
			w[y*width+x] = int16(110 + x*40/width + texture(x, y)/2)
		}
	}
	walls.Store(size, w)
	return w
}

// ball paints a disc whose texture turns as it moves.
//
//go:norace
func ball(f *codec.Frame, cx, cy, r, n, i int) {
	for y := max(cy-r, 0); y < min(cy+r, f.Height); y++ {
		half := int(math.Sqrt(float64(r*r - (y-cy)*(y-cy))))
		for x := max(cx-half, 0); x < min(cx+half, f.Width); x++ {
			f.Y[y*f.YStride+x] = clamp(80 + 40*n + texture(x-cx+i*(n+1), y-cy-i))
			c := y/2*f.UVStride + x/2
			f.U[c], f.V[c] = byte(90+40*n), byte(170-35*n)
		}
	}
}

// texture returns smooth noise from -32 to 31 that depends on the place alone.
func texture(x, y int) int {
	const cell = 4
	gx, gy := x>>2, y>>2
	fx, fy := x&(cell-1), y&(cell-1)
	top := lattice(gx, gy)*(cell-fx) + lattice(gx+1, gy)*fx
	bottom := lattice(gx, gy+1)*(cell-fx) + lattice(gx+1, gy+1)*fx
	return (top*(cell-fy) + bottom*fy) / (cell * cell)
}

// lattice hashes a grid point to -32 … 31.
func lattice(x, y int) int {
	h := uint32(x)*0x9e3779b1 ^ uint32(y)*0x85ebca77
	h ^= h >> 15
	h *= 0x2c1b3c6d
	return int(h>>26) - 32
}

// clamp keeps a sample in limited range.
func clamp(v int) byte { return byte(min(max(v, 16), 235)) }
