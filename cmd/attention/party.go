package main

import (
	"math"
	"slices"

	"mixdown/cmd/mixdown/load"
	"mixdown/codec"
	"mixdown/compositor"
)

// What is measured.
const (
	people  = 9
	fps     = 15
	seconds = 16
	turn    = 8 * fps // pictures that one of them speaks for
	settled = 2 * fps // pictures that are not counted: rate control settles
)

// party is what nine cameras see, raw: a loop of each person silent, and of
// those who get a turn speaking. Every third one holds a phone in the hand.
type party struct {
	frames  int
	settled int              // pictures that are not counted
	sample  int              // of the others every so many are compared
	idle    [][]*codec.Frame // by person and index
	talk    map[int][]*codec.Frame
}

// speakers take turns.
var speakers = []int{0, 4}

// speaker is who speaks at a picture.
func speaker(i int) int { return speakers[i/turn%len(speakers)] }

// newParty draws n people for so many pictures, the first of which are not
// counted.
func newParty(n, frames, settled int) *party {
	w, h := view.W+2*sway, view.H+2*sway
	p := &party{frames: frames, settled: settled, sample: 1, talk: map[int][]*codec.Frame{}}
	for id := range n {
		person := load.NewPerson(id, w, h)
		draw := func(talks bool) (out []*codec.Frame) {
			for i := range min(turn, frames) {
				f := codec.NewFrame(w, h)
				mouth := 0.
				if talks {
					mouth = syllables(float64(i) / fps)
				}
				person.Paint(f, i, turn, mouth, talks)
				out = append(out, f)
			}
			return out
		}
		p.idle = append(p.idle, draw(false))
		if slices.Contains(speakers, id) {
			p.talk[id] = draw(true)
		}
		person.Close()
	}
	return p
}

// view is what of a camera's picture is used, larger than any tile; around it is
// what comes into it when the camera sways, so many pixels each way.
var view = compositor.Rect{W: 320, H: 180}

const sway = 6

// held is what a camera sees at an index of the loop.
func held(f *codec.Frame, id, i int) *codec.Frame {
	t := 2 * math.Pi * float64(i) / turn
	r := view
	r.X, r.Y = sway, sway
	if id%3 == 1 {
		r.X += 2 * int(math.Round(sway/4.*(math.Sin(3*t+float64(id))+math.Sin(7*t))))
		r.Y += 2 * int(math.Round(sway/4.*(math.Sin(4*t)+math.Sin(9*t+float64(id)))))
	}
	return part(f, r)
}

// syllables is how far a mouth is open at a time in s: about four of them a
// second, in phrases.
func syllables(t float64) float64 {
	return max(0, math.Sin(2*math.Pi*3.8*t)) * (0.4 + 0.6*max(0, math.Sin(2*math.Pi*0.45*t+1)))
}

func (p *party) close() {
	for _, all := range append(p.idle, p.talk[speakers[0]], p.talk[speakers[1]]) {
		for _, f := range all {
			f.Release()
		}
	}
}

// shots fills what every tile is to show at a picture.
func (p *party) shots(shots []compositor.Shot, i int) []compositor.Shot {
	shots = shots[:0]
	for id, frames := range p.idle {
		talks := id == speaker(i)
		if talks {
			frames = p.talk[id]
		}
		shots = append(shots, compositor.Shot{ID: string(rune('a' + id)), Seq: uint64(i + 1), Frame: held(frames[i%len(frames)], id, i), Speaking: talks})
	}
	return shots
}
