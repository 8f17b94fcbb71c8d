// Package compositor draws a room: a layout says where everybody goes, a
// Picture puts them there. It knows neither rooms nor clocks.
package compositor

import "mixdown/codec"

// Rect is a place on a canvas in pixels; all four numbers are even.
type Rect struct {
	X, Y, W, H int
}

// Layout returns the places of n tiles on a canvas of width x height pixels.
// It is pure; the order of places is reading order. The rects do not overlap.
type Layout func(n, width, height int) []Rect

// Shot is what one tile is to show now.
type Shot struct {
	ID       string       // whose tile; empty leaves the place empty
	Name     string       // written on the tile
	Frame    *codec.Frame // newest picture, borrowed for the call; nil draws a name tile
	Seq      uint64       // grows with each new Frame of this ID; equal means unchanged
	Speaking bool         // draws the speaking border
	Muted    bool         // marks the name
	Hand     bool         // likewise: it is raised
	Dim      bool         // the picture is old: shown dark
	Whole    bool         // nothing of the picture is cut off: it is there to be read
	More     int          // over 0: this place says "+More" instead of a person
}

// Scaler puts a part of a frame into a part of another at the size of dst.
type Scaler interface {
	Scale(dst *codec.Frame, to Rect, src *codec.Frame, from Rect) error
}
