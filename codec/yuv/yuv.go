// Package yuv scales and converts I420 pictures with libyuv, and by ratios that
// libyuv has no vectors for with its own. Every function
// checks the planes it is given before C sees them: a frame that lies about its
// size is an error, never damaged memory.
package yuv

/*
#cgo CFLAGS: -O3
#cgo LDFLAGS: -lyuv
#include <stdint.h>
#include <stdlib.h>
#include <libyuv.h>
#include "bilinear.h"

// scale leaves to libyuv what it has vectors for.
static int scale(picture s, picture d) {
	int same = s.w == d.w && s.h == d.h, half = s.w == 2 * d.w && s.h == 2 * d.h, most = 3 * s.w == 4 * d.w && 3 * s.h == 4 * d.h;
	if (!same && !half && !most && bilinear(s, d))
		return 0;
	return I420Scale(s.y, s.ys, s.u, s.uvs, s.v, s.uvs, s.w, s.h,
		d.y, d.ys, d.u, d.uvs, d.v, d.uvs, d.w, d.h, kFilterBox);
}

// shrink scales by exact halves as long as the picture is more than twice its
// place, then by what remains: libyuv's box at other ratios is plain C, whose
// boxes begin and end at whole pixels.
static int shrink(picture s, picture d) {
	uint8_t *held = NULL;
	int bad = 0;
	while (!bad && s.w % 4 == 0 && s.h % 4 == 0 && s.w > 2 * d.w && s.h > 2 * d.h && s.w != 4 * d.w) {
		picture half = {NULL, NULL, NULL, s.w / 2, s.w / 4, s.w / 2, s.h / 2};
		size_t n = (size_t)half.w * half.h;
		uint8_t *buf = malloc(n * 3 / 2);
		if (buf == NULL)
			break; // slower, and as good
		half.y = buf;
		half.u = buf + n;
		half.v = half.u + n / 4;
		bad = scale(s, half);
		free(held);
		held = buf;
		s = half;
	}
	if (!bad)
		bad = scale(s, d);
	free(held);
	return bad;
}

// put is shrink as Go may call it: pointers into Go's memory only as arguments.
static int put(uint8_t *sy, uint8_t *su, uint8_t *sv, int sys, int suvs, int sw, int sh,
	uint8_t *dy, uint8_t *du, uint8_t *dv, int dys, int duvs, int dw, int dh) {
	picture s = {sy, su, sv, sys, suvs, sw, sh}, d = {dy, du, dv, dys, duvs, dw, dh};
	return shrink(s, d);
}

// limit squeezes full range samples into limited range in place: 219 or 224
// steps from the floor instead of 255 (BT.601, H.273 section 8.3).
static void limit(uint8_t *p, int stride, int w, int h, int steps) {
	uint32_t mul = (uint32_t)((steps * 65536 + 127) / 255);
	for (int y = 0; y < h; y++, p += stride)
		for (int x = 0; x < w; x++)
			p[x] = (uint8_t)(16 + ((p[x] * mul + 32768) >> 16));
}
*/
import "C"

import (
	"errors"
	"fmt"
	"image"

	"mixdown/codec"
)

// ErrBounds is a rectangle outside of its frame, or a frame whose planes are
// smaller than its size says.
var ErrBounds = errors.New("outside of the frame")

// side bounds what is handed to libyuv, whose 16.16 steps overflow beyond it.
const side = 16384

// Scale puts the dw x dh pixels at dx, dy of dst over with the sw x sh pixels
// at sx, sy of src. All four positions are even; sizes may be odd. Ratios 1,
// 3/4, 1/2 and 1/4 have fast paths, other ratios below 1/2 have them if the
// source's sides are multiples of 4. Every source pixel counts (box) down to
// 1/2 and below, between 1/2 and 1 it is bilinear. Full range becomes limited when dst is limited.
func Scale(dst *codec.Frame, dx, dy, dw, dh int, src *codec.Frame, sx, sy, sw, sh int) error {
	d, err := at(dst, dx, dy, dw, dh)
	if err != nil {
		return fmt.Errorf("scale to: %w", err)
	}
	s, err := at(src, sx, sy, sw, sh)
	if err != nil {
		return fmt.Errorf("scale from: %w", err)
	}
	dys, duvs := C.int(dst.YStride), C.int(dst.UVStride)
	if C.put(s.y, s.u, s.v, C.int(src.YStride), C.int(src.UVStride), C.int(sw), C.int(sh),
		d.y, d.u, d.v, dys, duvs, C.int(dw), C.int(dh)) != 0 {
		return fmt.Errorf("scale %dx%d to %dx%d: libyuv refused", sw, sh, dw, dh)
	}
	if src.FullRange && !dst.FullRange {
		cw, ch := C.int(dw+1)/2, C.int(dh+1)/2
		C.limit(d.y, dys, C.int(dw), C.int(dh), 219)
		C.limit(d.u, duvs, cw, ch, 224)
		C.limit(d.v, duvs, cw, ch, 224)
	}
	return nil
}

// ToImage returns a copy of f in RGB, read as BT.601.
func ToImage(f *codec.Frame) (*image.RGBA, error) {
	p, err := at(f, 0, 0, f.Width, f.Height)
	if err != nil {
		return nil, fmt.Errorf("to image: %w", err)
	}
	img := image.NewRGBA(image.Rect(0, 0, f.Width, f.Height))
	pix, ys, uvs := (*C.uint8_t)(&img.Pix[0]), C.int(f.YStride), C.int(f.UVStride)
	w, h := C.int(f.Width), C.int(f.Height)
	// What libyuv calls ABGR lies in memory as R, G, B, A.
	var refused C.int
	if f.FullRange {
		refused = C.J420ToABGR(p.y, ys, p.u, uvs, p.v, uvs, pix, C.int(img.Stride), w, h)
	} else {
		refused = C.I420ToABGR(p.y, ys, p.u, uvs, p.v, uvs, pix, C.int(img.Stride), w, h)
	}
	if refused != 0 {
		return nil, fmt.Errorf("to image: libyuv refused %dx%d", f.Width, f.Height)
	}
	return img, nil
}

// planes points at one pixel in each plane.
type planes struct{ y, u, v *C.uint8_t }

// at returns where x, y of f is, if w x h pixels from there are all in it.
func at(f *codec.Frame, x, y, w, h int) (planes, error) {
	switch {
	case f == nil:
		return planes{}, fmt.Errorf("no frame: %w", ErrBounds)
	case x < 0 || y < 0 || x&1 != 0 || y&1 != 0 || w <= 0 || h <= 0 ||
		f.Width > side || f.Height > side || w > f.Width || h > f.Height || x > f.Width-w || y > f.Height-h:
		return planes{}, fmt.Errorf("%dx%d at %d,%d of %dx%d: %w", w, h, x, y, f.Width, f.Height, ErrBounds)
	}
	cx, cy := x/2, y/2
	cr, cb := (x+w+1)/2, (y+h+1)/2 // right and bottom in chroma
	uv := min(len(f.U), len(f.V))
	if f.YStride < x+w || f.UVStride < cr || f.YStride > 4*side || f.UVStride > 4*side ||
		len(f.Y) < (y+h-1)*f.YStride+x+w || uv < (cb-1)*f.UVStride+cr {
		return planes{}, fmt.Errorf("planes of %d, %d, %d bytes, strides %d, %d, are no %dx%d: %w",
			len(f.Y), len(f.U), len(f.V), f.YStride, f.UVStride, f.Width, f.Height, ErrBounds)
	}
	c := cy*f.UVStride + cx
	return planes{(*C.uint8_t)(&f.Y[y*f.YStride+x]), (*C.uint8_t)(&f.U[c]), (*C.uint8_t)(&f.V[c])}, nil
}
