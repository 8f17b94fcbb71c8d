package compositor

import (
	"image"
	"image/color"

	"github.com/go-text/typesetting/shaping"
	"golang.org/x/image/draw"
	"golang.org/x/image/vector"
)

// sign is all that an overlay depends on.
type sign struct {
	text  string
	px    int  // height of its line
	width int  // at most, of the whole
	plain bool // text alone; else a label with a backing
	muted bool // with the mark of a microphone switched off
	hand  bool // with that of a raised hand
}

// overlay returns what s says, or nil if that is nothing or has no room. Each is drawn once
// and remembered, the oldest are forgotten.
func (t *Text) overlay(s sign) *overlay {
	if t == nil || s.px < 6 || s.width < 2*s.px || s.text == "" && !s.muted && !s.hand {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if o, ok := t.cache[s]; ok {
		return o
	}
	o := t.try(s)
	t.cache[s] = o
	t.order = append(t.order, s)
	t.size += o.bytes()
	for t.size > cacheBytes && len(t.order) > 1 {
		t.size -= t.cache[t.order[0]].bytes()
		delete(t.cache, t.order[0])
		t.order = t.order[1:]
	}
	return o
}

// try draws s; it is an empty overlay if that panics. Fonts and shaping are
// large tables walked by a stranger's name: a fault there may cost the name,
// and not the server.
func (t *Text) try(s sign) (o *overlay) {
	defer func() {
		if recover() != nil {
			t.segmenter, t.shaper, t.wrapper = shaping.Segmenter{}, shaping.HarfbuzzShaper{}, shaping.LineWrapper{}
			o = newOverlay(image.NewRGBA(image.Rectangle{}))
		}
	}()
	return t.draw(s)
}

// draw makes a new overlay.
func (t *Text) draw(s sign) *overlay {
	if s.plain {
		return newOverlay(t.line(s.text, s.px, s.width))
	}
	pad, icon := (s.px+2)/3, s.px*3/4
	gap := pad * 2 / 3
	var marks []func(img *image.RGBA, x, y, px int)
	if s.hand && s.width >= 3*s.px { // or else two marks have no room
		marks = append(marks, handMark)
	}
	if s.muted {
		marks = append(marks, mutedMark)
	}
	before := len(marks) * (icon + gap) // the name
	line := image.NewRGBA(image.Rectangle{})
	if room := s.width - 2*pad - before; s.text != "" && room >= s.px {
		line = t.line(s.text, s.px, room)
	} else {
		before = max(0, before-gap)
	}
	w, h := 2*pad+before+line.Rect.Dx(), (s.px+2*((s.px+7)/8)+1)&^1
	img := image.NewRGBA(image.Rect(0, 0, (w+1)&^1, h))
	backing(img)
	for i, mark := range marks {
		mark(img, pad+i*(icon+gap), (h-icon)/2, icon)
	}
	draw.Draw(img, line.Rect.Add(image.Pt(pad+before, 0)), line, image.Point{}, draw.Over)
	return newOverlay(img)
}

// backing fills img with translucent black, its corners rounded.
func backing(img *image.RGBA) {
	w, h := float32(img.Rect.Dx()), float32(img.Rect.Dy())
	z := vector.NewRasterizer(img.Rect.Dx(), img.Rect.Dy())
	box(z, 0, 0, w, h, h/4)
	z.Draw(img, img.Rect, image.NewUniform(color.NRGBA{A: 150}), image.Point{})
}

// mutedMark draws a crossed microphone of px pixels at x, y.
func mutedMark(img *image.RGBA, x, y, px int) {
	z := vector.NewRasterizer(px, px)
	s := float32(px) / 16
	box(z, 5.5*s, 0, 10.5*s, 9.5*s, 2.5*s) // capsule
	box(z, 7.2*s, 11*s, 8.8*s, 15*s, 0)    // stem
	box(z, 4.5*s, 14.4*s, 11.5*s, 16*s, 0) // foot
	box(z, 3*s, 6.5*s, 4.5*s, 10*s, 0)     // the fork's arms
	box(z, 11.5*s, 6.5*s, 13*s, 10*s, 0)   //
	box(z, 3*s, 10*s, 13*s, 11.6*s, 0)     // and its bottom
	z.Draw(img, image.Rect(x, y, x+px, y+px), image.NewUniform(color.RGBA{R: 255, G: 110, B: 100, A: 255}), image.Point{})
	z.Reset(px, px)
	z.MoveTo(0.5*s, 1.8*s)
	z.LineTo(2*s, 0.3*s)
	z.LineTo(15.8*s, 14.2*s)
	z.LineTo(14.3*s, 15.7*s)
	z.ClosePath()
	z.Draw(img, image.Rect(x, y, x+px, y+px), image.White, image.Point{})
}

// handMark draws a raised hand likewise.
func handMark(img *image.RGBA, x, y, px int) {
	z := vector.NewRasterizer(px, px)
	s := float32(px) / 16
	box(z, 3.5*s, 2.5*s, 5.9*s, 10*s, 1.1*s)  // fingers
	box(z, 6.4*s, 0.5*s, 8.8*s, 10*s, 1.1*s)  //
	box(z, 9.3*s, 1.5*s, 11.7*s, 10*s, 1.1*s) //
	box(z, 12.2*s, 4*s, 14.4*s, 12*s, 1*s)    //
	box(z, 3.5*s, 8.5*s, 14.4*s, 16*s, 3*s)   // palm
	z.MoveTo(0.3*s, 8.6*s)                    // thumb
	z.LineTo(1.9*s, 7.4*s)
	z.LineTo(6*s, 11*s)
	z.LineTo(6*s, 15*s)
	z.ClosePath()
	z.Draw(img, image.Rect(x, y, x+px, y+px), image.NewUniform(color.RGBA{R: 255, G: 205, B: 90, A: 255}), image.Point{})
}

// box adds a rectangle with corners of radius r.
func box(z *vector.Rasterizer, x0, y0, x1, y1, r float32) {
	z.MoveTo(x0+r, y0)
	z.LineTo(x1-r, y0)
	z.QuadTo(x1, y0, x1, y0+r)
	z.LineTo(x1, y1-r)
	z.QuadTo(x1, y1, x1-r, y1)
	z.LineTo(x0+r, y1)
	z.QuadTo(x0, y1, x0, y1-r)
	z.LineTo(x0, y0+r)
	z.QuadTo(x0, y0, x0+r, y0)
	z.ClosePath()
}
