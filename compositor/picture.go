package compositor

import (
	"errors"
	"fmt"
	"image/color"

	"mixdown/codec"
)

// ErrPlace is a place that is not an even rect inside of its canvas.
var ErrPlace = errors.New("place outside of the canvas")

// Picture is one tier's canvas. It remembers what stands where and draws only
// what has changed. It belongs to one goroutine.
type Picture struct {
	frame  *codec.Frame
	scaler Scaler
	text   *Text
	tiles  []tileState
	colors palette
	plain  bool
}

// palette is the few colours of a gallery.
type palette struct {
	canvas  yuvColor // where nobody is
	bars    yuvColor // beside a picture that does not fill its tile
	more    yuvColor
	speaker yuvColor
}

// NewPicture returns an empty canvas of width x height pixels, both even. text
// may be nil: nothing is written then. Close frees it.
func NewPicture(width, height int, scaler Scaler, text *Text) *Picture {
	p := &Picture{frame: codec.NewFrame(width, height), scaler: scaler, text: text, colors: palette{
		canvas:  paint(color.RGBA{R: 0x1b, G: 0x1d, B: 0x21}),
		bars:    paint(color.RGBA{R: 0x0c, G: 0x0d, B: 0x0f}),
		more:    paint(color.RGBA{R: 0x3a, G: 0x3f, B: 0x47}),
		speaker: paint(color.RGBA{R: 0x4c, G: 0xe0, B: 0x8a}),
	}}
	fill(p.frame, Rect{W: width, H: height}, p.colors.canvas)
	return p
}

// HideNames leaves names and marks off tiles that have a picture.
func (p *Picture) HideNames() { p.plain = true }

// Frame is the canvas, borrowed: it is valid until Close and must not be read
// during Compose.
func (p *Picture) Frame() *codec.Frame { return p.frame }

// Close frees the canvas. It may be called twice.
func (p *Picture) Close() {
	if p.frame != nil {
		p.frame.Release()
		p.frame = nil
	}
}

// Compose brings the canvas up to date: shots[i] goes to places[i], a place
// without a shot stays empty. It returns how many tiles had to be drawn. A shot
// that cannot be scaled is drawn as a name tile; the errors of all such come
// back joined, and the canvas is good all the same.
func (p *Picture) Compose(places []Rect, shots []Shot) (drawn int, err error) {
	if p.frame == nil {
		return 0, errors.New("compose: picture is closed")
	}
	p.arrange(places)
	var errs []error
	for i := range p.tiles {
		var s Shot
		if i < len(shots) {
			s = shots[i]
		}
		t := &p.tiles[i]
		now := seen(&s)
		if t.drawn && t.now == now {
			continue
		}
		if !t.place.in(p.frame.Width, p.frame.Height) {
			if !t.drawn {
				errs = append(errs, fmt.Errorf("tile %q at %v: %w", s.ID, t.place, ErrPlace))
			}
			t.drawn, t.now = true, now
			continue
		}
		if err := p.draw(t, now, s.Frame); err != nil {
			errs = append(errs, fmt.Errorf("tile %q: %w", s.ID, err))
		}
		drawn++
	}
	return drawn, errors.Join(errs...)
}

// arrange takes over new places. A place that was there before keeps its tile;
// what the others leave behind is cleared.
func (p *Picture) arrange(places []Rect) {
	for i := range p.tiles {
		if t := &p.tiles[i]; i >= len(places) || places[i] != t.place {
			if t.place.in(p.frame.Width, p.frame.Height) {
				fill(p.frame, t.place, p.colors.canvas)
			}
			*t = tileState{}
		}
	}
	for len(p.tiles) < len(places) {
		p.tiles = append(p.tiles, tileState{})
	}
	p.tiles = p.tiles[:len(places)]
	for i := range p.tiles {
		p.tiles[i].place = places[i]
	}
}
