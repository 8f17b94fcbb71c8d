package compositor

import (
	"fmt"
	"testing"
)

// rowsOf returns how many places each row of a gallery has.
func rowsOf(places []Rect) []int {
	var rows []int
	for i, r := range places {
		if i == 0 || r.Y != places[i-1].Y {
			rows = append(rows, 0)
		}
		rows[len(rows)-1]++
	}
	return rows
}

func TestGrid(t *testing.T) {
	for _, size := range [][2]int{{1280, 720}, {1920, 1080}, {854, 480}, {640, 360}, {426, 240}, {640, 480}, {720, 1280}, {360, 640}, {480, 480}} {
		w, h := size[0], size[1]
		for n := 1; n <= most; n++ {
			places := Grid(n, w, h)
			if len(places) != n {
				t.Fatalf("%dx%d: %d places for %d", w, h, len(places), n)
			}
			area := 0
			for i, r := range places {
				if !r.in(w, h) {
					t.Fatalf("%dx%d, %d: %v is odd or outside", w, h, n, r)
				}
				if r.W != places[0].W || r.H != places[0].H {
					t.Errorf("%dx%d, %d: tiles differ: %v", w, h, n, r)
				}
				if i > 0 && (r.Y < places[i-1].Y || r.Y == places[i-1].Y && r.X <= places[i-1].X) {
					t.Errorf("%dx%d, %d: %v is not in reading order", w, h, n, r)
				}
				for _, o := range places[:i] {
					if r.X < o.X+o.W && o.X < r.X+r.W && r.Y < o.Y+o.H && o.Y < r.Y+r.H {
						t.Fatalf("%dx%d, %d: %v lies over %v", w, h, n, r, o)
					}
				}
				area += r.W * r.H
			}
			floor := 55
			if w*9 == h*16 {
				floor = 72 // the most that 2 or 3 tiles can have
			}
			if 100*area < floor*w*h {
				t.Errorf("%dx%d, %d: %d %% of the canvas used, want %d", w, h, n, 100*area/(w*h), floor)
			}
		}
	}
}

func TestGridRows(t *testing.T) {
	for n, want := range map[int]string{
		1: "[1]", 2: "[2]", 3: "[2 1]", 4: "[2 2]", 5: "[3 2]", 6: "[3 3]", 7: "[3 3 1]", 8: "[3 3 2]", 9: "[3 3 3]", 10: "[4 4 2]",
		12: "[4 4 4]", 16: "[4 4 4 4]", 25: "[5 5 5 5 5]", 49: "[7 7 7 7 7 7 7]",
	} {
		if got := fmt.Sprint(rowsOf(Grid(n, 1280, 720))); got != want {
			t.Errorf("%d stand as %s, want %s", n, got, want)
		}
	}
	if got := fmt.Sprint(rowsOf(Grid(2, 720, 1280))); got != "[1 1]" {
		t.Errorf("2 on a portrait canvas stand as %s", got)
	}
}

// A camera of 16:9 or 4:3 fills its tile in every gallery of more than one.
func TestGridTilesAreCovered(t *testing.T) {
	for _, size := range [][2]int{{1280, 720}, {640, 360}, {320, 180}, {720, 1280}, {360, 640}, {640, 480}} {
		for n := 2; n <= most; n++ {
			tile := Grid(n, size[0], size[1])[0]
			for _, cam := range [][2]int{{640, 360}, {640, 480}} {
				if to, _ := fit(tile, cam[0], cam[1], false); to != tile {
					t.Errorf("%v, %d: camera %v leaves bars in %v", size, n, cam, tile)
				}
			}
		}
	}
}

// Tiers of one shape show everybody in the same place.
func TestGridTiersAgree(t *testing.T) {
	for n := 1; n <= most; n++ {
		big := Grid(n, 1280, 720)
		for _, size := range [][2]int{{1920, 1080}, {960, 540}, {854, 480}, {640, 360}, {426, 240}, {320, 180}} {
			small := Grid(n, size[0], size[1])
			if got, want := fmt.Sprint(rowsOf(small)), fmt.Sprint(rowsOf(big)); got != want {
				t.Fatalf("%v, %d: rows %s, want %s", size, n, got, want)
			}
			for i := range small {
				x := float64(2*small[i].X+small[i].W)/float64(size[0]) - float64(2*big[i].X+big[i].W)/1280
				y := float64(2*small[i].Y+small[i].H)/float64(size[1]) - float64(2*big[i].Y+big[i].H)/720
				if max(x, -x) > 0.06 || max(y, -y) > 0.06 {
					t.Errorf("%v, %d: tile %d is off by %.3f, %.3f", size, n, i, x/2, y/2)
				}
			}
		}
	}
}

func TestGridOfNothing(t *testing.T) {
	for _, c := range [][3]int{{0, 1280, 720}, {-1, 1280, 720}, {4, 0, 720}, {4, 1280, -2}, {49, 8, 8}} {
		if got := Grid(c[0], c[1], c[2]); len(got) != 0 {
			t.Errorf("%v: %v", c, got)
		}
	}
}

func TestPlaces(t *testing.T) {
	for _, c := range [][3]int{{-1, 0, 0}, {0, 0, 0}, {1, 1, 0}, {49, 49, 0}, {50, 48, 2}, {200, 48, 152}} {
		if tiles, more := Places(c[0]); tiles != c[1] || more != c[2] {
			t.Errorf("%d people: %d tiles, %d more, want %d, %d", c[0], tiles, more, c[1], c[2])
		}
	}
}
