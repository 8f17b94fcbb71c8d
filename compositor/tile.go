package compositor

import (
	"fmt"
	"strconv"

	"mixdown/codec"
)

// look is all of a Shot that shows; equal looks need no drawing.
type look struct {
	id, name             string
	seq                  uint64
	picture, whole       bool
	speaking, muted, dim bool
	hand                 bool
	more                 int
}

// seen reduces a shot to what shows of it.
func seen(s *Shot) look {
	switch {
	case s.More > 0:
		return look{more: s.More}
	case s.ID == "":
		return look{}
	case s.Frame == nil:
		return look{id: s.ID, name: s.Name, speaking: s.Speaking, muted: s.Muted, hand: s.Hand}
	}
	return look{id: s.ID, name: s.Name, seq: s.Seq, picture: true, whole: s.Whole, speaking: s.Speaking, muted: s.Muted, hand: s.Hand, dim: s.Dim}
}

// tileState is what stands in one place, and what is laid over each new
// picture there.
type tileState struct {
	place Rect
	drawn bool
	now   look
	label *overlay // name and mark; nil for none
	large *overlay // initials or "+N"; nil while there is a picture
}

// draw makes t look like now.
func (p *Picture) draw(t *tileState, now look, src *codec.Frame) error {
	before := t.now
	before.seq = now.seq
	if !t.drawn || before != now {
		p.letter(t, now)
	}
	t.drawn, t.now = true, now
	switch {
	case now.more > 0:
		fill(p.frame, t.place, p.colors.more)
		p.centre(t)
		return nil
	case now.id == "":
		fill(p.frame, t.place, p.colors.canvas)
		return nil
	}
	var err error
	if now.picture {
		if err = p.scale(t.place, src, now.whole); err == nil && now.dim {
			dim(p.frame, t.place)
		}
	}
	if !now.picture || err != nil {
		if t.large == nil {
			t.large = p.initials(t.place, now.name)
		}
		fill(p.frame, t.place, backdrop(now.id))
		p.centre(t)
	}
	edge := thickness(t.place)
	if now.speaking {
		border(p.frame, t.place, edge, p.colors.speaker)
	}
	if t.label != nil {
		t.label.draw(p.frame, t.place.X+2*edge, t.place.Y+t.place.H-2*edge-t.label.h, t.place)
	}
	return err
}

// scale puts src into place, with bars where it does not fill it; see fit.
func (p *Picture) scale(place Rect, src *codec.Frame, whole bool) error {
	if src.Width < 2 || src.Height < 2 {
		return fmt.Errorf("picture of %dx%d", src.Width, src.Height)
	}
	to, from := fit(place, src.Width, src.Height, whole)
	if to != place {
		right, bottom := to.X+to.W, to.Y+to.H
		fill(p.frame, Rect{place.X, place.Y, place.W, to.Y - place.Y}, p.colors.bars)
		fill(p.frame, Rect{place.X, bottom, place.W, place.Y + place.H - bottom}, p.colors.bars)
		fill(p.frame, Rect{place.X, to.Y, to.X - place.X, to.H}, p.colors.bars)
		fill(p.frame, Rect{right, to.Y, place.X + place.W - right, to.H}, p.colors.bars)
	}
	return p.scaler.Scale(p.frame, to, src, from)
}

// letter looks up what is written on a tile; it stays until the tile changes in
// more than its picture.
func (p *Picture) letter(t *tileState, now look) {
	t.label, t.large = nil, nil
	switch {
	case now.more > 0:
		t.large = p.text.overlay(sign{text: "+" + strconv.Itoa(now.more), px: min(t.place.H, t.place.W) * 2 / 5, width: t.place.W, plain: true})
	case now.id != "" && p.plain && now.picture:
	case now.id != "":
		// A thirteenth of the height, but what can still be read where that is
		// little, and not a headline where it is much.
		h := min(t.place.H, t.place.W*9/16)
		px := min(max(h/13, min(14, h/4)), 32)
		t.label = p.text.overlay(sign{text: clean(now.name), muted: now.muted, hand: now.hand, px: px, width: t.place.W - 4*thickness(t.place)})
		if !now.picture {
			t.large = p.initials(t.place, now.name)
		}
	}
}

func (p *Picture) initials(place Rect, name string) *overlay {
	return p.text.overlay(sign{text: initials(clean(name)), px: min(place.H, place.W) * 2 / 5, width: place.W, plain: true})
}

// centre lays the large letters over the middle of what the label leaves of
// their tile.
func (p *Picture) centre(t *tileState) {
	if o := t.large; o != nil {
		h := t.place.H
		if t.label != nil {
			h = max(h-t.label.h, o.h)
		}
		o.draw(p.frame, t.place.X+(t.place.W-o.w)/2&^1, t.place.Y+(h-o.h)/2&^1, t.place)
	}
}

// thickness is that of a tile's border.
func thickness(place Rect) int {
	if place.H < 200 {
		return 2
	}
	return 4
}
