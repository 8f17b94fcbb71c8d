package compositor

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"mixdown/codec"
)

func TestComposeDrawsOnlyWhatChanged(t *testing.T) {
	s := &nearest{}
	p := canvas(t, 640, 360, s, builtin(t))
	a, b := flat(t, 320, 180, 100, 90, 80), flat(t, 320, 180, 110, 95, 85)
	places := Grid(4, 640, 360)
	shots := []Shot{{ID: "a", Name: "Ada", Frame: a, Seq: 1}, {ID: "b", Name: "Bob", Frame: b, Seq: 1}, {ID: "c", Name: "Cyd"}}
	step := func(what string, drawn, scaled int) {
		t.Helper()
		s.calls = 0
		if got := compose(t, p, places, shots); got != drawn || s.calls != scaled {
			t.Errorf("%s: %d drawn, %d scaled, want %d, %d", what, got, s.calls, drawn, scaled)
		}
	}
	step("all is new", 4, 2)
	step("nothing", 0, 0)
	shots[0].Seq = 2
	step("a picture", 1, 1)
	shots[1].Speaking = true
	step("speaking", 1, 1)
	shots[1].Speaking = false
	step("silent", 1, 1)
	shots[0].Dim = true
	step("dim", 1, 1)
	shots[0].Name = "Ada L."
	step("a name", 1, 1)
	shots[2].Muted = true
	step("muted", 1, 0)
	shots[2].Dim, shots[2].Seq = true, 9
	step("a name tile has no picture to be old", 0, 0)
	shots[2].Frame = b
	step("a camera goes on", 1, 1)
	shots[2].Frame = nil
	step("and off", 1, 0)
	shots = append(shots, Shot{More: 3})
	step("more", 1, 0)
	shots[3].More = 4
	step("one more", 1, 0)
	shots[3].Name, shots[3].Seq = "nobody", 7
	step("a more has no name", 0, 0)
	shots[0], shots[1] = shots[1], shots[0]
	step("two change places", 2, 2)
	places[1].W -= 2
	step("a place changes", 1, 1)
	places = Grid(3, 640, 360)
	shots = shots[:3]
	step("three are left: the third and the narrowed one move", 2, 1)
	shots = shots[:2]
	step("a place without a shot", 1, 0)
	if got := at(p.Frame(), places[2].X+50, places[2].Y+50); got != p.colors.canvas {
		t.Errorf("an empty place is %v", got)
	}
}

func TestComposeClearsWhatIsLeft(t *testing.T) {
	p := canvas(t, 640, 360, &nearest{}, nil)
	f := flat(t, 640, 360, 200, 60, 60)
	shots := make([]Shot, 9)
	for i := range shots {
		shots[i] = Shot{ID: fmt.Sprint(i), Frame: f, Seq: 1}
	}
	for _, n := range []int{1, 9, 2, 5, 3, 7, 1, 4} {
		places := Grid(n, 640, 360)
		compose(t, p, places, shots[:n])
		for y := 0; y < 360; y += 2 {
			for x := 0; x < 640; x += 2 {
				want := p.colors.canvas
				for _, r := range places {
					if x >= r.X && x < r.X+r.W && y >= r.Y && y < r.Y+r.H {
						want = yuvColor{200, 60, 60}
					}
				}
				if got := at(p.Frame(), x, y); got != want {
					t.Fatalf("%d tiles: %v at %d,%d, want %v", n, got, x, y, want)
				}
			}
		}
	}
}

func TestComposeContainsOddShapes(t *testing.T) {
	p := canvas(t, 640, 360, &nearest{}, nil)
	phone := flat(t, 360, 640, 200, 60, 60)
	place := []Rect{{0, 0, 320, 180}}
	compose(t, p, place, []Shot{{ID: "a", Frame: phone, Seq: 1}})
	f := p.Frame()
	for _, c := range []struct {
		x, y int
		want yuvColor
	}{
		{160, 0, yuvColor{200, 60, 60}}, {160, 178, yuvColor{200, 60, 60}}, {110, 90, yuvColor{200, 60, 60}}, {208, 90, yuvColor{200, 60, 60}},
		{0, 0, p.colors.bars}, {108, 90, p.colors.bars}, {210, 90, p.colors.bars}, {318, 178, p.colors.bars},
		{320, 90, p.colors.canvas}, {160, 180, p.colors.canvas},
	} {
		if got := at(f, c.x, c.y); got != c.want {
			t.Errorf("%v at %d,%d, want %v", got, c.x, c.y, c.want)
		}
	}
	// A camera in its place covers the bars.
	compose(t, p, place, []Shot{{ID: "a", Frame: flat(t, 640, 480, 150, 70, 70), Seq: 2}})
	for _, x := range []int{0, 108, 160, 318} {
		if got := at(f, x, 90); got != (yuvColor{150, 70, 70}) {
			t.Errorf("%v at %d after a camera", got, x)
		}
	}
}

func TestComposeDims(t *testing.T) {
	p := canvas(t, 320, 180, &nearest{}, nil)
	shot := Shot{ID: "a", Frame: flat(t, 320, 180, 216, 28, 228), Seq: 1, Dim: true}
	place := []Rect{{0, 0, 320, 180}}
	compose(t, p, place, []Shot{shot})
	compose(t, p, place, []Shot{shot}) // not darkened twice
	if got, want := at(p.Frame(), 100, 100), (yuvColor{106, 83, 173}); got != want {
		t.Errorf("dim is %v, want %v", got, want)
	}
	shot.Dim = false
	compose(t, p, place, []Shot{shot})
	if got, want := at(p.Frame(), 100, 100), (yuvColor{216, 28, 228}); got != want {
		t.Errorf("bright again is %v, want %v", got, want)
	}
}

func TestComposeSpeakingBorder(t *testing.T) {
	p := canvas(t, 1280, 720, &nearest{}, nil)
	grey := yuvColor{100, 128, 128}
	f := flat(t, 640, 360, 100, 128, 128)
	for _, n := range []int{1, 4, 25, 49} {
		places := Grid(n, 1280, 720)
		shots := make([]Shot, n)
		for i := range shots {
			shots[i] = Shot{ID: "a", Frame: f, Seq: 1, Speaking: true}
		}
		compose(t, p, places, shots)
		r, edge := places[n/2], thickness(places[n/2])
		if edge&1 != 0 || edge < 2 || edge > 4 {
			t.Fatalf("border of %d", edge)
		}
		midX, midY := r.X+r.W/2, r.Y+r.H/2
		for _, c := range [][2]int{{r.X, midY}, {r.X + edge - 1, midY}, {r.X + r.W - 1, midY}, {r.X + r.W - edge, midY}, {midX, r.Y}, {midX, r.Y + edge - 1}, {midX, r.Y + r.H - 1}, {r.X, r.Y}} {
			if got := at(p.Frame(), c[0], c[1]); got != p.colors.speaker {
				t.Errorf("%d tiles: %v at %v, want the border", n, got, c)
			}
		}
		for _, c := range [][2]int{{r.X + edge, midY}, {r.X + r.W - edge - 1, midY}, {midX, r.Y + edge}, {midX, r.Y + r.H - edge - 1}} {
			if got := at(p.Frame(), c[0], c[1]); got != grey {
				t.Errorf("%d tiles: %v at %v, want the picture", n, got, c)
			}
		}
		shots[n/2].Speaking = false
		if drawn := compose(t, p, places, shots); drawn != 1 {
			t.Errorf("%d drawn", drawn)
		}
		if got := at(p.Frame(), r.X, midY); got != grey {
			t.Errorf("%d tiles: the border stayed", n)
		}
	}
}

func TestComposeSurvivesBadPictures(t *testing.T) {
	s := &nearest{refuse: 322}
	p := canvas(t, 640, 360, s, builtin(t))
	good, bad, tiny := flat(t, 320, 180, 100, 90, 80), flat(t, 322, 180, 1, 1, 1), flat(t, 1, 1, 1, 1, 1)
	places := Grid(4, 640, 360)
	shots := []Shot{{ID: "a", Frame: bad, Seq: 1}, {ID: "b", Frame: tiny, Seq: 1}, {ID: "c", Frame: good, Seq: 1}, {ID: "d", Frame: good, Seq: 1}}
	drawn, err := p.Compose(places, shots)
	if drawn != 4 || !errors.Is(err, errRefused) || !strings.Contains(err.Error(), `"a"`) || !strings.Contains(err.Error(), `"b"`) {
		t.Fatalf("%d drawn, %v", drawn, err)
	}
	for i, want := range []yuvColor{backdrop("a"), backdrop("b"), {100, 90, 80}, {100, 90, 80}} {
		if got := at(p.Frame(), places[i].X+20, places[i].Y+20); got != want {
			t.Errorf("tile %d is %v, want %v", i, got, want)
		}
	}
	if drawn, err := p.Compose(places, shots); drawn != 0 || err != nil {
		t.Errorf("the same bad picture again: %d drawn, %v", drawn, err)
	}
	shots[0].Seq, shots[0].Frame = 2, good
	if drawn, err := p.Compose(places, shots); drawn != 1 || err != nil {
		t.Errorf("a good one: %d drawn, %v", drawn, err)
	}
	if got := at(p.Frame(), places[0].X+20, places[0].Y+20); got != (yuvColor{100, 90, 80}) {
		t.Errorf("after a good one the tile is %v", got)
	}
}

func TestComposeRefusesBadPlaces(t *testing.T) {
	p := canvas(t, 320, 180, &nearest{}, builtin(t))
	f := flat(t, 320, 180, 100, 90, 80)
	for _, r := range []Rect{{-2, 0, 20, 20}, {0, 0, 322, 20}, {302, 0, 20, 20}, {1, 0, 20, 20}, {0, 0, 0, 20}, {0, 170, 20, 20}} {
		shots := []Shot{{ID: "a", Name: "Ada", Frame: f, Seq: 1}, {ID: "b", Frame: f, Seq: 1}}
		drawn, err := p.Compose([]Rect{r, {100, 100, 40, 40}}, shots)
		if drawn != 1 && r.X != 1 || !errors.Is(err, ErrPlace) {
			t.Errorf("%v: %d drawn, %v", r, drawn, err)
		}
		compose(t, p, nil, nil)
	}
}

func TestNameTiles(t *testing.T) {
	p := canvas(t, 640, 360, &nearest{}, builtin(t))
	places := Grid(2, 640, 360)
	compose(t, p, places, []Shot{{ID: "a", Name: "Ada Lovelace"}, {More: 12}})
	bright := func(r Rect) (n int) {
		for y := r.Y; y < r.Y+r.H; y++ {
			for x := r.X; x < r.X+r.W; x++ {
				if p.Frame().Y[y*p.Frame().YStride+x] > 200 {
					n++
				}
			}
		}
		return n
	}
	r := places[0]
	if got := at(p.Frame(), r.X+r.W-10, r.Y+10); got != backdrop("a") {
		t.Errorf("the tile is %v", got)
	}
	if middle := bright(Rect{r.X + r.W/4, r.Y + r.H/4, r.W / 2, r.H / 3}); middle < 500 {
		t.Errorf("%d bright samples where the initials are to be", middle)
	}
	if corner := bright(Rect{r.X, r.Y + r.H*3/4, r.W / 2, r.H / 4}); corner < 50 {
		t.Errorf("%d bright samples where the name is to be", corner)
	}
	r = places[1]
	if got := at(p.Frame(), r.X+10, r.Y+10); got != p.colors.more {
		t.Errorf("the rest's tile is %v", got)
	}
	if middle := bright(Rect{r.X + r.W/4, r.Y + r.H/4, r.W / 2, r.H / 2}); middle < 500 {
		t.Errorf("%d bright samples where +12 is to be", middle)
	}
}

// A raised hand is a mark on the tile, beside that of a muted microphone, and goes.
func TestHandIsMarked(t *testing.T) {
	text := builtin(t)
	p, place := canvas(t, 320, 180, &nearest{}, text), []Rect{{0, 0, 320, 180}}
	shot := Shot{ID: "a", Name: "Ada", Frame: sitter(t, 320, 180, 1), Seq: 1}
	width := func(hand, muted bool) int {
		shot.Hand, shot.Muted = hand, muted
		if drawn := compose(t, p, place, []Shot{shot}); drawn != 1 {
			t.Errorf("hand %v, muted %v: %d tiles were drawn", hand, muted, drawn)
		}
		return p.tiles[0].label.w
	}
	bare := width(false, false)
	before := sum(p.Frame())
	hand, both, muted := width(true, false), width(true, true), width(false, true)
	if hand <= bare || muted != hand || both-hand < hand-bare-2 || both-hand > hand-bare+2 {
		t.Errorf("labels are %d wide bare, %d with a hand, %d muted, %d with both", bare, hand, muted, both)
	}
	if width(false, false) != bare || sum(p.Frame()) != before {
		t.Error("the tile is not as it was")
	}
}

// A picture that is there to be read stands whole between bars, from one moment to
// the next.
func TestScreenIsWhole(t *testing.T) {
	p, place := canvas(t, 320, 180, &nearest{}, builtin(t)), []Rect{{0, 0, 320, 180}}
	shot := Shot{ID: "a", Frame: sitter(t, 320, 240, 1), Seq: 1}
	for _, whole := range []bool{false, true, false} {
		shot.Whole = whole
		if drawn := compose(t, p, place, []Shot{shot}); drawn != 1 {
			t.Errorf("whole %v: %d tiles were drawn", whole, drawn)
		}
		for _, x := range []int{10, 310} {
			if bar := at(p.Frame(), x, 90) == p.colors.bars; bar != whole {
				t.Errorf("whole %v: a bar at %d: %v", whole, x, bar)
			}
		}
	}
}

// A label stands on each new picture as on the first.
func TestLabelIsRedrawnOverEachPicture(t *testing.T) {
	text := builtin(t)
	p, q := canvas(t, 320, 180, &nearest{}, text), canvas(t, 320, 180, &nearest{}, text)
	place := []Rect{{0, 0, 320, 180}}
	a, b := sitter(t, 320, 180, 1), sitter(t, 320, 180, 2)
	shot := func(f *codec.Frame, seq uint64) []Shot {
		return []Shot{{ID: "a", Name: "Ada", Muted: true, Speaking: true, Frame: f, Seq: seq}}
	}
	compose(t, p, place, shot(a, 1))
	compose(t, p, place, shot(b, 2))
	compose(t, q, place, shot(b, 1))
	if sum(p.Frame()) != sum(q.Frame()) {
		t.Error("a second picture looks different from a first one")
	}
	if len(text.cache) != 1 {
		t.Errorf("%d labels were drawn for one name", len(text.cache))
	}
}

func TestComposeDoesNotAllocate(t *testing.T) {
	text, f := builtin(t), flat(t, 640, 360, 100, 90, 80)
	phone := flat(t, 360, 640, 100, 90, 80)
	p := canvas(t, 640, 360, YUV{}, text)
	places := Grid(9, 640, 360)
	shots := make([]Shot, 9)
	for i := range shots {
		shots[i] = Shot{ID: fmt.Sprint(i), Name: "Name " + fmt.Sprint(i), Frame: f, Speaking: i == 2, Muted: i == 3, Dim: i == 4}
	}
	shots[5].Frame = phone
	shots[6].Frame = nil
	compose(t, p, places, shots)
	if n := testing.AllocsPerRun(50, func() {
		for i := range shots {
			shots[i].Seq++
		}
		if drawn, err := p.Compose(places, shots); drawn != 8 || err != nil {
			t.Fatal(drawn, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a call", n)
	}
}

func TestPictureClose(t *testing.T) {
	p := NewPicture(64, 64, &nearest{}, nil)
	p.Close()
	p.Close()
	if _, err := p.Compose(nil, nil); err == nil {
		t.Error("a closed picture composes")
	}
}
