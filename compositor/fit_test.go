package compositor

import "testing"

func TestFit(t *testing.T) {
	for _, c := range []struct {
		name     string
		tile     Rect
		w, h     int
		to, from Rect
		whole    bool
	}{
		{"same", Rect{10, 20, 640, 360}, 640, 360, Rect{10, 20, 640, 360}, Rect{0, 0, 640, 360}, false},
		{"half, less the gap", Rect{0, 0, 318, 178}, 640, 360, Rect{0, 0, 318, 178}, Rect{2, 2, 636, 356}, false},
		{"same, less the gap", Rect{642, 0, 638, 358}, 640, 360, Rect{642, 0, 638, 358}, Rect{0, 0, 638, 358}, false},
		{"half width", Rect{0, 94, 638, 530}, 640, 360, Rect{0, 94, 638, 530}, Rect{104, 0, 432, 360}, false},
		{"4:3 in 16:9", Rect{0, 0, 320, 180}, 640, 480, Rect{0, 0, 320, 180}, Rect{0, 60, 640, 360}, false},
		{"odd picture", Rect{0, 0, 320, 180}, 641, 361, Rect{0, 0, 320, 180}, Rect{0, 0, 640, 360}, false},
		{"portrait", Rect{0, 0, 320, 180}, 360, 640, Rect{110, 0, 100, 180}, Rect{0, 0, 360, 640}, false},
		{"square", Rect{0, 0, 320, 180}, 400, 400, Rect{70, 0, 180, 180}, Rect{0, 0, 400, 400}, false},
		{"panorama", Rect{4, 8, 320, 180}, 1600, 400, Rect{4, 58, 320, 80}, Rect{0, 0, 1600, 400}, false},
		{"camera on a portrait canvas", Rect{0, 0, 360, 640}, 640, 360, Rect{0, 218, 360, 202}, Rect{0, 0, 640, 360}, false},
		{"thread", Rect{0, 0, 320, 180}, 2, 4000, Rect{158, 0, 2, 180}, Rect{0, 0, 2, 4000}, false},
		{"screen, less the gap", Rect{642, 0, 638, 358}, 640, 360, Rect{642, 0, 638, 358}, Rect{0, 0, 640, 360}, true},
		{"16:10 screen", Rect{0, 0, 1280, 720}, 1440, 900, Rect{64, 0, 1152, 720}, Rect{0, 0, 1440, 900}, true},
		{"window", Rect{0, 0, 320, 180}, 640, 480, Rect{40, 0, 240, 180}, Rect{0, 0, 640, 480}, true},
	} {
		if to, from := fit(c.tile, c.w, c.h, c.whole); to != c.to || from != c.from {
			t.Errorf("%s: %v from %v, want %v from %v", c.name, to, from, c.to, c.from)
		}
	}
}

func FuzzFit(f *testing.F) {
	f.Add(uint16(0), uint16(2), uint16(638), uint16(358), uint16(640), uint16(360))
	f.Add(uint16(0), uint16(0), uint16(2), uint16(2), uint16(2), uint16(9000))
	f.Fuzz(func(t *testing.T, x, y, tw, th, w, h uint16) {
		const whole = 1 // in the lowest bit of x, which is not used else
		if tw < 2 || th < 2 || w < 2 || h < 2 {
			t.Skip()
		}
		tile := Rect{int(x &^ 1), int(y &^ 1), int(tw &^ 1), int(th &^ 1)}
		to, from := fit(tile, int(w), int(h), x&whole != 0)
		if !from.in(int(w), int(h)) {
			t.Errorf("%v of %dx%d", from, w, h)
		}
		if inner := (Rect{to.X - tile.X, to.Y - tile.Y, to.W, to.H}); !inner.in(tile.W, tile.H) {
			t.Errorf("%v in %v", to, tile)
		}
		if to != tile && (from.W != int(w)&^1 || from.H != int(h)&^1) {
			t.Error("bars and a crop")
		}
		if x&whole != 0 && (from.W != int(w)&^1 || from.H != int(h)&^1) {
			t.Errorf("only %v of %dx%d", from, w, h)
		}
		if kept := float64(from.W*from.H) / float64(int(w&^1)*int(h&^1)); kept < 0.5 && w > 32 && h > 32 && tw > 32 && th > 32 {
			t.Errorf("only %.2f of the picture is kept: %v of %dx%d in %v", kept, from, w, h, tile)
		}
	})
}
