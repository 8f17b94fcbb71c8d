package compositor

import (
	"image"
	"image/color"

	"mixdown/codec"
)

// overlay is a small picture with transparency, ready to be laid over I420:
// its samples are premultiplied and rest are what it lets through, of 255.
type overlay struct {
	w, h         int // even
	y, u, v      []byte
	rest, restUV []byte
}

// newOverlay converts img, whose sides are rounded up to even.
func newOverlay(img *image.RGBA) *overlay {
	b := img.Bounds()
	w, h := (b.Dx()+1)&^1, (b.Dy()+1)&^1
	n := w * h
	buf := make([]byte, 3*n+n/4)
	o := &overlay{w: w, h: h, y: buf[:n], u: buf[n:][:n/4], v: buf[n+n/4:][:n/4],
		rest: buf[n+n/2:][:n], restUV: buf[2*n+n/2:][:n/4]}
	at := func(x, y int) (r, g, b, a int) {
		c := img.RGBAAt(img.Rect.Min.X+x, img.Rect.Min.Y+y) // transparent outside
		return int(c.R), int(c.G), int(c.B), int(c.A)
	}
	for y := 0; y < h; y += 2 {
		for x := 0; x < w; x += 2 {
			var sr, sg, sb, sa int
			for i := range 4 {
				dx, dy := x+i&1, y+i>>1
				r, g, b, a := at(dx, dy)
				o.y[dy*w+dx] = luma(r, g, b, a)
				o.rest[dy*w+dx] = byte(255 - a)
				sr, sg, sb, sa = sr+r, sg+g, sb+b, sa+a
			}
			c := y/2*(w/2) + x/2
			o.u[c], o.v[c] = chroma(sr/4, sg/4, sb/4, sa/4)
			o.restUV[c] = byte(255 - sa/4)
		}
	}
	return o
}

// bytes is what o takes in memory.
func (o *overlay) bytes() int { return 3*o.w*o.h + o.w*o.h/4 }

// draw lays o over f with its corner at x, y (even), as far as clip allows.
func (o *overlay) draw(f *codec.Frame, x, y int, clip Rect) {
	x0, y0 := max(clip.X-x, 0), max(clip.Y-y, 0)
	x1, y1 := min(clip.X+clip.W-x, o.w), min(clip.Y+clip.H-y, o.h)
	if x0 >= x1 || y0 >= y1 {
		return
	}
	for i := y0; i < y1; i++ {
		d := f.Y[(y+i)*f.YStride+x:]
		lay(d[x0:x1], o.y[i*o.w:][x0:x1], o.rest[i*o.w:][x0:x1])
	}
	x, y, x0, y0, x1, y1 = x/2, y/2, x0/2, y0/2, x1/2, y1/2
	w := o.w / 2
	for i := y0; i < y1; i++ {
		at := (y+i)*f.UVStride + x
		lay(f.U[at+x0:at+x1], o.u[i*w:][x0:x1], o.restUV[i*w:][x0:x1])
		lay(f.V[at+x0:at+x1], o.v[i*w:][x0:x1], o.restUV[i*w:][x0:x1])
	}
}

// lay puts one row of premultiplied samples over another.
func lay(dst, add, rest []byte) {
	add, rest = add[:len(dst)], rest[:len(dst)]
	for i, v := range dst {
		dst[i] = byte((uint32(v)*uint32(rest[i])+127)/255 + uint32(add[i]))
	}
}

// yuvColor is one colour in BT.601 limited range.
type yuvColor struct{ y, u, v byte }

// paint converts an opaque colour.
func paint(c color.RGBA) yuvColor {
	r, g, b := int(c.R), int(c.G), int(c.B)
	u, v := chroma(r, g, b, 255)
	return yuvColor{luma(r, g, b, 255), u, v}
}

// luma and chroma convert premultiplied RGBA, so black's and grey's offsets
// are premultiplied too. Rounding never lets a sample pass its limit: the sums
// in lay stay within a byte.
func luma(r, g, b, a int) byte {
	return byte((66*r+129*g+25*b)/256 + 16*a/255)
}

func chroma(r, g, b, a int) (u, v byte) {
	grey := 128 * 256 * a / 255
	return byte((grey - 38*r - 74*g + 112*b) >> 8), byte((grey + 112*r - 94*g - 18*b) >> 8)
}
