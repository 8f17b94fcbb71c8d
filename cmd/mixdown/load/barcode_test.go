package load

import (
	"testing"
	"time"

	"mixdown/codec"
	"mixdown/codec/catalog"
	"mixdown/codec/yuv"
)

func TestCodeOfEveryNumber(t *testing.T) {
	seen := map[uint32]bool{}
	for id := range maxID + 1 {
		for index := range maxIndex + 1 {
			bits := codeBits(id, index)
			if bits>>24 != 0 || seen[bits] {
				t.Fatalf("id %d index %d: code %#x is not its own", id, index, bits)
			}
			seen[bits] = true
		}
	}
	// One block read wrongly is noticed.
	for bits := range seen {
		if seen[bits^1<<9] || seen[bits^1<<3] || seen[bits^1<<23] {
			t.Fatalf("%#x has a neighbour one block away", bits)
		}
	}
}

func TestCodeDrawnAndRead(t *testing.T) {
	f := codec.NewFrame(640, 360)
	defer f.Release()
	for _, n := range [][2]int{{0, 0}, {1, 199}, {42, 128}, {maxID, maxIndex}, {85, 170}} {
		f.Fill(120, 100, 150)
		drawCode(f, n[0], n[1])
		id, index, ok := readCode(f, Area{0, 0, 640, 360}, 640.0/360)
		if !ok || id != n[0] || index != n[1] {
			t.Errorf("drew %v, read %d %d %v", n, id, index, ok)
		}
	}
	f.Fill(120, 128, 128)
	if _, _, ok := readCode(f, Area{0, 0, 640, 360}, 640.0/360); ok {
		t.Error("read a code in an empty picture")
	}
	drawCode(f, 3, 4)
	for _, tile := range []Area{{100, 0, 640, 360}, {-60, 0, 640, 360}, {0, 200, 640, 360}, {0, 0, 0, 0}, {700, 400, 10, 10}} {
		if id, index, ok := readCode(f, tile, 640.0/360); ok {
			t.Errorf("read %d %d where there is no picture: %v", id, index, tile)
		}
	}
}

// through codes frames as a gallery would be and returns them decoded, one by one.
func through(t *testing.T, w, h, bitrate, frames int, draw func(f *codec.Frame, n int), look func(f *codec.Frame, n int)) {
	t.Helper()
	vp8 := catalog.Default().Find("VP8")
	enc, err := vp8.NewVideoEncoder(codec.VideoConfig{Width: w, Height: h, FPS: 25, Bitrate: bitrate, MaxKeyframe: 6})
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	dec, err := vp8.NewVideoDecoder()
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	f := codec.NewFrame(w, h)
	defer f.Release()
	for n := range frames {
		draw(f, n)
		u, err := enc.Encode(f, time.Duration(n)*40*time.Millisecond, n == 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(u.Data) == 0 {
			continue
		}
		out, err := dec.Decode(u)
		if err != nil || out == nil {
			t.Fatalf("frame %d: %v %v", n, out, err)
		}
		look(out, n)
		out.Release()
	}
}

// TestCodeThroughTheMill follows a picture as it goes: coded by the bot,
// decoded, scaled and cropped into a tile, coded again at a tenth of the bits.
func TestCodeThroughTheMill(t *testing.T) {
	p := NewPerson(7, 640, 360)
	defer p.Close()
	for _, tile := range []struct{ w, h, bitrate int }{
		{128, 72, 80_000}, {160, 90, 80_000}, {212, 120, 100_000}, {320, 180, 120_000}, {640, 360, 250_000},
		{128, 128, 80_000},  // cropped to a square
		{160, 120, 80_000},  // and to 4:3
		{320, 160, 120_000}, // to 2:1
	} {
		read, wrong, total := 0, 0, 0
		small := codec.NewFrame(tile.w, tile.h)
		// What the mixer does: cover the tile with the middle of the picture.
		sw, sh := 640, 640*tile.h/tile.w&^1
		if sh > 360 {
			sw, sh = 360*tile.w/tile.h&^1, 360
		}
		var scaled []*codec.Frame
		through(t, 640, 360, 500_000, 50, func(f *codec.Frame, n int) { p.Draw(f, n, 200, float64(n%6)/5, true) }, func(f *codec.Frame, n int) {
			if err := yuv.Scale(small, 0, 0, tile.w, tile.h, f, (640-sw)/2&^1, (360-sh)/2&^1, sw, sh); err != nil {
				t.Fatal(err)
			}
			c := codec.NewFrame(tile.w, tile.h)
			copy(c.Y, small.Y)
			copy(c.U, small.U)
			copy(c.V, small.V)
			scaled = append(scaled, c)
		})
		through(t, tile.w, tile.h, tile.bitrate, len(scaled), func(f *codec.Frame, n int) {
			copy(f.Y, scaled[n].Y)
			copy(f.U, scaled[n].U)
			copy(f.V, scaled[n].V)
		}, func(f *codec.Frame, n int) {
			total++
			id, index, ok := readCode(f, Area{0, 0, float64(tile.w), float64(tile.h)}, 640.0/360)
			switch {
			case !ok:
			case id == 7 && index == n:
				read++
			default:
				wrong++
			}
		})
		small.Release()
		for _, f := range scaled {
			f.Release()
		}
		t.Logf("%dx%d at %d kb/s: read %d of %d", tile.w, tile.h, tile.bitrate/1000, read, total)
		if read*100 < total*95 || wrong > 0 {
			t.Errorf("%dx%d: read %d of %d codes, %d wrongly", tile.w, tile.h, read, total, wrong)
		}
	}
}

func FuzzReadCode(f *testing.F) {
	f.Add([]byte{16, 235, 100}, 0.0, 0.0, 64.0, 36.0)
	f.Add([]byte{235}, -3.0, 2.5, 1e9, 1e-9)
	f.Fuzz(func(t *testing.T, luma []byte, x, y, w, h float64) {
		frame := codec.NewFrame(64, 36)
		defer frame.Release()
		for i := range frame.Y {
			if len(luma) > 0 {
				frame.Y[i] = luma[i%len(luma)]
			}
		}
		id, index, ok := readCode(frame, Area{x, y, w, h}, 16.0/9)
		if ok && (id < 0 || id > maxID || index < 0 || index > maxIndex) {
			t.Errorf("read %d %d", id, index)
		}
	})
}
