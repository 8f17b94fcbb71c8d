package load

import (
	"math"

	"mixdown/codec"
)

// Painting is done once per bot, at leisure, in floating point; what moves is
// cut into layers, and a frame is then nothing but a few blends of integers.
//
// All shapes are placed in units of the picture's height: y runs from 0 at the
// top to 1, x from the middle of the picture outward.

// rgb is a colour, each part 0 to 1.
type rgb struct{ r, g, b float64 }

// hsl returns a colour by hue (in turns), saturation and lightness.
func hsl(h, s, l float64) rgb {
	part := func(n float64) float64 {
		k := math.Mod(n+12*(h-math.Floor(h)), 12)
		return l - s*min(l, 1-l)*max(-1, min(k-3, 9-k, 1))
	}
	return rgb{part(0), part(8), part(4)}
}

// mix returns c and d mixed, t 0 being all c.
func (c rgb) mix(d rgb, t float64) rgb {
	t = max(0, min(1, t))
	return rgb{c.r + (d.r-c.r)*t, c.g + (d.g-c.g)*t, c.b + (d.b-c.b)*t}
}

// scale returns c lighter (k over 1) or darker.
func (c rgb) scale(k float64) rgb {
	return rgb{min(1, c.r*k), min(1, c.g*k), min(1, c.b*k)}
}

// yuv returns c as BT.601 limited range.
func (c rgb) yuv() (y, u, v float64) {
	y = 16 + 65.481*c.r + 128.553*c.g + 24.966*c.b
	u = 128 - 37.797*c.r - 74.203*c.g + 112*c.b
	v = 128 + 112*c.r - 93.786*c.g - 18.214*c.b
	return
}

// shape is an outline: the distance to it, negative inside, and a box around it.
type shape struct {
	x0, y0, x1, y1 float64
	dist           func(x, y float64) float64
}

func ellipse(cx, cy, rx, ry float64) shape {
	return shape{cx - rx, cy - ry, cx + rx, cy + ry, func(x, y float64) float64 {
		return (math.Hypot((x-cx)/rx, (y-cy)/ry) - 1) * min(rx, ry)
	}}
}

// box is a rectangle with round corners, given by its middle and half its size.
func box(cx, cy, w, h, round float64) shape {
	return shape{cx - w, cy - h, cx + w, cy + h, func(x, y float64) float64 {
		dx, dy := math.Abs(x-cx)-w+round, math.Abs(y-cy)-h+round
		return math.Hypot(max(dx, 0), max(dy, 0)) + min(max(dx, dy), 0) - round
	}}
}

// and returns what lies in both shapes.
func (s shape) and(o shape) shape {
	return shape{max(s.x0, o.x0), max(s.y0, o.y0), min(s.x1, o.x1), min(s.y1, o.y1),
		func(x, y float64) float64 { return max(s.dist(x, y), o.dist(x, y)) }}
}

// or returns both shapes melted together over a distance soft.
func (s shape) or(o shape, soft float64) shape {
	return shape{min(s.x0, o.x0), min(s.y0, o.y0), max(s.x1, o.x1), max(s.y1, o.y1),
		func(x, y float64) float64 {
			a, b := s.dist(x, y), o.dist(x, y)
			h := max(soft-math.Abs(a-b), 0)
			return min(a, b) - h*h/(4*soft+1e-9)
		}}
}

// without returns s with o cut out.
func (s shape) without(o shape) shape {
	return shape{s.x0, s.y0, s.x1, s.y1,
		func(x, y float64) float64 { return max(s.dist(x, y), -o.dist(x, y)) }}
}

// canvas is a picture with transparency, colours multiplied by it.
type canvas struct {
	w, h int
	px   [][4]float32 // r, g, b, alpha
}

func newCanvas(w, h int) *canvas { return &canvas{w, h, make([][4]float32, w*h)} }

// fill paints a shape in one colour.
func (c *canvas) fill(s shape, col rgb) {
	c.shade(s, 0, func(x, y float64) (rgb, float64) { return col, 1 })
}

// shade paints a shape whose edge is soft that far out, in a colour and an
// opacity by place.
func (c *canvas) shade(s shape, soft float64, at func(x, y float64) (rgb, float64)) {
	unit := float64(c.h)
	mid := float64(c.w) / 2
	edge := soft*unit + 1
	x0, x1 := max(0, int(s.x0*unit+mid-edge)), min(c.w, int(s.x1*unit+mid+edge)+1)
	y0, y1 := max(0, int(s.y0*unit-edge)), min(c.h, int(s.y1*unit+edge)+1)
	for py := y0; py < y1; py++ {
		y := (float64(py) + 0.5) / unit
		for px := x0; px < x1; px++ {
			x := (float64(px) + 0.5 - mid) / unit
			cover := max(0, min(1, 0.5-s.dist(x, y)*unit/edge))
			if cover == 0 {
				continue
			}
			col, alpha := at(x, y)
			a := float32(cover * alpha)
			p := &c.px[py*c.w+px]
			p[0] = p[0]*(1-a) + float32(col.r)*a
			p[1] = p[1]*(1-a) + float32(col.g)*a
			p[2] = p[2]*(1-a) + float32(col.b)*a
			p[3] = p[3]*(1-a) + a
		}
	}
}

// blur softens the whole canvas: three box blurs look like a lens out of focus.
func (c *canvas) blur(radius int) {
	line := make([][4]float32, max(c.w, c.h))
	for range 3 {
		for y := range c.h {
			blurLine(c.px[y*c.w:], 1, line[:c.w], radius)
		}
		for x := range c.w {
			blurLine(c.px[x:], c.w, line[:c.h], radius)
		}
	}
}

func blurLine(px [][4]float32, stride int, line [][4]float32, radius int) {
	for i := range line {
		line[i] = px[i*stride]
	}
	at := func(i int) [4]float32 { return line[max(0, min(len(line)-1, i))] }
	var sum [4]float32
	for i := -radius; i <= radius; i++ {
		for k, v := range at(i) {
			sum[k] += v
		}
	}
	for i := range line {
		in, out := at(i+radius+1), at(i-radius)
		for k := range sum {
			px[i*stride][k] = sum[k] / float32(2*radius+1)
			sum[k] += in[k] - out[k]
		}
	}
}

// frame returns the canvas, all of it opaque, as a picture.
func (c *canvas) frame() *codec.Frame {
	f := codec.NewFrame(c.w, c.h)
	l := c.cut()
	copy(f.Y, l.y)
	copy(f.U, l.u)
	copy(f.V, l.v)
	return f
}

// layer is the part of a canvas that is not empty, as I420 with two alpha
// planes, multiplied by alpha.
type layer struct {
	x, y0, w, h    int // even
	y, u, v, a, ac []byte
}

// cut returns what has been painted.
func (c *canvas) cut() *layer {
	x0, y0, x1, y1 := c.w, c.h, 0, 0
	for y := range c.h {
		for x := range c.w {
			if c.px[y*c.w+x][3] > 0 {
				x0, x1 = min(x0, x), max(x1, x+1)
				y0, y1 = min(y0, y), max(y1, y+1)
			}
		}
	}
	x0, y0, x1, y1 = x0&^1, y0&^1, (x1+1)&^1, (y1+1)&^1
	l := &layer{x: x0, y0: y0, w: max(0, x1-x0), h: max(0, y1-y0)}
	n := l.w * l.h
	buf := make([]byte, 2*n+3*n/4)
	l.y, l.a, buf = buf[:n], buf[n:2*n], buf[2*n:]
	l.u, l.v, l.ac = buf[:n/4], buf[n/4:n/2], buf[n/2:]
	var cu, cv, ca float64
	for y := 0; y < l.h; y += 2 {
		for x := 0; x < l.w; x += 2 {
			cu, cv, ca = 0, 0, 0
			for k := range 4 {
				dx, dy := x+k%2, y+k/2
				p := c.px[(y0+dy)*c.w+x0+dx]
				a := float64(p[3])
				if a == 0 {
					continue
				}
				py, pu, pv := rgb{float64(p[0]) / a, float64(p[1]) / a, float64(p[2]) / a}.yuv()
				l.y[dy*l.w+dx] = byte(py*a + 0.5)
				l.a[dy*l.w+dx] = byte(255*a + 0.5)
				cu, cv, ca = cu+pu*a, cv+pv*a, ca+a
			}
			i := y/2*(l.w/2) + x/2
			l.u[i], l.v[i], l.ac[i] = byte(cu/4+0.5), byte(cv/4+0.5), byte(255*ca/4+0.5)
		}
	}
	return l
}

// blend draws the layer on f, moved by dy and, row by row, by dx(y) pixels.
func (l *layer) blend(f *codec.Frame, dx func(y float64) float64, dy float64) {
	blendPlane(f.Y, f.YStride, f.Width, f.Height, l.y, l.a, l.x, l.y0, l.w, l.h, dx, dy)
	half := func(y float64) float64 { return dx(2*y) / 2 }
	w, h := (f.Width+1)/2, (f.Height+1)/2
	blendPlane(f.U, f.UVStride, w, h, l.u, l.ac, l.x/2, l.y0/2, l.w/2, l.h/2, half, dy/2)
	blendPlane(f.V, f.UVStride, w, h, l.v, l.ac, l.x/2, l.y0/2, l.w/2, l.h/2, half, dy/2)
}

func blendPlane(dst []byte, stride, dw, dh int, src, alpha []byte, x0, y0, w, h int, dx func(float64) float64, dy float64) {
	whole := math.Floor(dy)
	fy := uint32((dy - whole) * 16)
	for row := 0; row <= h; row++ {
		y := y0 + row + int(whole)
		if y < 0 || y >= dh {
			continue
		}
		shift := dx(float64(y))
		left := math.Floor(shift)
		fx := uint32((shift - left) * 16)
		// A row moved down and right by a fraction is made of four neighbours.
		w00, w10 := fx*fy, (16-fx)*fy
		w01, w11 := fx*(16-fy), (16-fx)*(16-fy)
		up, down := max(row-1, 0)*w, min(row, h-1)*w
		if row == 0 {
			w00, w10 = 0, 0
		}
		if row == h {
			w01, w11 = 0, 0
		}
		su, au, sd, ad := src[up:up+w], alpha[up:up+w], src[down:down+w], alpha[down:down+w]
		var s0, s1, a0, a1 uint32
		x := x0 + int(left)
		for i := 0; i <= w; i++ {
			s1, a1 = 0, 0
			s, a := s0, a0
			if i < w {
				u, d, p, q := uint32(su[i]), uint32(sd[i]), uint32(au[i]), uint32(ad[i])
				s += u*w10 + d*w11
				a += p*w10 + q*w11
				s1, a1 = u*w00+d*w01, p*w00+q*w01
			}
			if at := x + i; a > 0 && at >= 0 && at < dw {
				o := &dst[y*stride+at]
				*o = byte(min(255, (s+uint32(*o)*(255*256-a)/255+128)>>8))
			}
			s0, a0 = s1, a1
		}
	}
}
