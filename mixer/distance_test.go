package mixer

import (
	"bytes"
	"testing"
	"time"

	"mixdown/codec"
	"mixdown/codec/codectest"
	"mixdown/compositor"
)

// TestDistance holds what is decoded without a loop filter against where it is
// shown: the ratios, and what lies between them.
func TestDistance(t *testing.T) {
	d := newDistance(0)
	d.width, d.height = 640, 360
	for i, c := range []struct {
		width, height int // of the place
		far           bool
	}{
		{0, 0, false}, {1280, 720, false}, {640, 360, false}, {320, 180, false},
		{280, 158, false}, // between the two
		{252, 140, true}, {280, 158, true}, {176, 98, true},
		{320, 180, false}, {280, 158, false}, {176, 98, true},
		{176, 300, false}, // most of the height is seen
		{176, 98, true}, {0, 0, false},
	} {
		d.show(c.width, c.height)
		if d.look(); d.far != c.far {
			t.Errorf("%d: 640x360 at %dx%d: far is %v", i, c.width, c.height, d.far)
		}
	}
}

// TestDrift asks for keyframes where none come by themselves.
func TestDrift(t *testing.T) {
	dec, err := codecs.Find("VP8").NewVideoDecoder()
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	d := newDistance(0)
	d.width, d.height = 640, 360
	d.show(176, 98)
	for range 2 {
		if unfiltered, restore := d.prepare(dec, true); unfiltered || restore {
			t.Errorf("a keyframe: unfiltered %v, to be restored %v", unfiltered, restore)
		}
		for i := range 2 * maxDrift {
			unfiltered, restore := d.prepare(dec, false)
			if unfiltered != (i < maxDrift) || restore != (i == maxDrift) {
				t.Errorf("picture %d: unfiltered %v, to be restored %v", i, unfiltered, restore)
			}
		}
	}
	d.prepare(dec, true)
	d.show(320, 180)
	if unfiltered, restore := d.prepare(dec, false); unfiltered || restore {
		t.Errorf("nothing has drifted: unfiltered %v, to be restored %v", unfiltered, restore)
	}
	limits := map[int]bool{}
	for order := range uint64(50) {
		n := newDistance(order).limit
		if limits[n] = true; n < maxDrift/2 || n > maxDrift {
			t.Errorf("sender %d may drift for %d pictures", order, n)
		}
	}
	if len(limits) < 40 {
		t.Errorf("50 senders come to their limits in %d pictures", len(limits))
	}
	// What cannot leave its filter out is not asked for anything.
	av1, err := codecs.Find("AV1").NewVideoDecoder()
	if err != nil {
		t.Fatal(err)
	}
	defer av1.Close()
	d.show(176, 98)
	if unfiltered, restore := d.prepare(av1, false); unfiltered || restore {
		t.Errorf("AV1: unfiltered %v, to be restored %v", unfiltered, restore)
	}
}

// TestReduce: pictures become smaller by exact halves, never smaller than their place,
// with all that they carry; and tiles that are drawn from them look the same.
func TestReduce(t *testing.T) {
	for _, c := range []struct{ w, h, placeW, placeH, wantW, wantH int }{
		{640, 360, 0, 0, 640, 360}, // whatever its size
		{640, 360, 640, 360, 640, 360},
		{640, 360, 322, 180, 640, 360},
		{640, 360, 320, 180, 320, 180},
		{640, 360, 176, 98, 320, 180},
		{640, 360, 160, 90, 160, 90},
		{640, 360, 176, 182, 640, 360}, // its height is all seen
		{360, 640, 176, 98, 180, 320},
		{1280, 720, 176, 98, 320, 180},
		{1920, 1080, 176, 98, 480, 270},
		{642, 360, 176, 98, 642, 360}, // no exact halves
		{4, 4, 2, 2, 2, 2},
	} {
		d := newDistance(0)
		d.show(c.placeW, c.placeH)
		f := codectest.MovingPicture(c.w, c.h, 3)
		whole := f.Retain()
		f.FullRange, f.Timestamp, f.Arrived, f.Captured = true, 7, time.Unix(8, 0), time.Unix(9, 0)
		got := d.reduce(f, compositor.YUV{})
		if got.Width != c.wantW || got.Height != c.wantH || got.Check(c.wantW, c.wantH) != nil {
			t.Errorf("%dx%d at %dx%d: became %dx%d", c.w, c.h, c.placeW, c.placeH, got.Width, got.Height)
		}
		if !got.FullRange || got.Timestamp != 7 || !got.Arrived.Equal(time.Unix(8, 0)) || !got.Captured.Equal(time.Unix(9, 0)) {
			t.Errorf("%dx%d: carries %v, %d, %v, %v", c.w, c.h, got.FullRange, got.Timestamp, got.Arrived, got.Captured)
		}
		if c.placeW >= 16 && c.placeH >= 16 {
			var tiles [2]*codec.Frame
			for i, f := range []*codec.Frame{whole, got} {
				tiles[i] = codec.NewFrame(c.placeW, c.placeH)
				defer tiles[i].Release()
				err := compositor.YUV{}.Scale(tiles[i], compositor.Rect{W: c.placeW, H: c.placeH}, f, compositor.Rect{W: f.Width, H: f.Height})
				if err != nil {
					t.Fatal(err)
				}
			}
			if db := codectest.PSNR(tiles[0], tiles[1]); db < 45 {
				t.Errorf("%dx%d at %dx%d: %.1f dB between tiles", c.w, c.h, c.placeW, c.placeH, db)
			}
		}
		got.Release()
		whole.Release()
	}
}

// TestUnfiltered follows a room from nine people to four in a tier that is no larger
// than what they send, and then back.
func TestUnfiltered(t *testing.T) {
	change := func(c *Config) {
		c.Ladder = []TierSpec{{Name: "small", Width: 320, Height: 180, FPS: 12, Bitrate: 200_000, MTU: 1160}}
		c.Budget = time.Hour
	}
	inRoom(t, change, func(t *testing.T, s *Server) {
		pubs, stop := cameras(t, s, 9)
		defer stop()
		r := subscribe(t, s, "viewer", "small", "VP8")
		defer r.release()
		type tally struct {
			decoded, unfiltered uint64
			keys                int
		}
		count := func() (out []tally) {
			for _, p := range pubs {
				c := p.src.(*camera)
				c.mu.Lock()
				out = append(out, tally{p.count.decoded.Load(), p.count.unfiltered.Load(), c.keys})
				c.mu.Unlock()
			}
			return out
		}
		// after returns what there was of it from a change on, and while time passed.
		after := func(change func(), d time.Duration) []tally {
			before := count()
			change()
			time.Sleep(d)
			now := count()
			for i := range now {
				now[i].decoded -= before[i].decoded
				now[i].unfiltered -= before[i].unfiltered
				now[i].keys -= before[i].keys
			}
			return now
		}
		nothing := func() {}
		time.Sleep(time.Second)
		for i, n := range after(nothing, 2*time.Second) {
			if n.decoded < 40 || n.unfiltered != n.decoded || n.keys != 0 {
				t.Errorf("one of nine, %d: %+v, want all unfiltered", i, n)
			}
			f, _, _ := pubs[i].slot.take(time.Now(), noSound)
			if f == nil {
				t.Fatalf("one of nine, %d: no picture", i)
			}
			if w, h, _ := pubs[i].slot.size(); w != 320 || h != 180 || f.Width != 160 || f.Height != 90 {
				t.Errorf("one of nine, %d: a picture of %dx%d is kept as one of %dx%d", i, w, h, f.Width, f.Height)
			}
			f.Release()
		}
		screen := func() {
			if err := s.SetScreen("a", "p08", true); err != nil {
				t.Fatal(err)
			}
		}
		for i, n := range after(screen, 2*time.Second) {
			switch {
			case i < 8 && (n.unfiltered != n.decoded || n.keys != 0), i == 8 && (n.unfiltered > 10 || n.keys != 1):
				t.Errorf("%d, while 8 shows a screen: %+v", i, n)
			}
		}
		leave := func() {
			for _, p := range pubs[4:] {
				p.Close()
			}
			pubs = pubs[:4]
		}
		for i, n := range after(leave, 2*time.Second) {
			if n.unfiltered > 10 || n.keys != 1 {
				t.Errorf("one of four, %d: %+v, want all filtered, and a keyframe asked for once", i, n)
			}
		}
		for i, n := range after(nothing, 2*time.Second) {
			if n.decoded < 40 || n.unfiltered > 0 || n.keys != 0 {
				t.Errorf("later, %d: %+v", i, n)
			}
		}
	})
}

// TestPlacesOfOtherShapes: who is shown in a wide place and in a high one is looked at as
// in one that is both.
func TestPlacesOfOtherShapes(t *testing.T) {
	change := func(c *Config) {
		c.Ladder = []TierSpec{
			{Name: "wide", Width: 160, Height: 64, FPS: 12, Bitrate: 100_000, MTU: 1160},
			{Name: "high", Width: 56, Height: 160, FPS: 12, Bitrate: 90_000, MTU: 1160},
		}
		c.Budget = time.Hour
	}
	inRoom(t, change, func(t *testing.T, s *Server) {
		pubs, stop := cameras(t, s, 1)
		defer stop()
		kept := func() int {
			time.Sleep(time.Second)
			f, _, _ := pubs[0].slot.take(time.Now(), noSound)
			if f == nil {
				t.Fatal("no picture")
			}
			defer f.Release()
			return f.Height
		}
		wide := subscribe(t, s, "one", "wide", "VP8")
		defer wide.release()
		if h := kept(); h != 90 {
			t.Errorf("for a place of 160x64 a picture of 320x180 is kept %d high", h)
		}
		high := subscribe(t, s, "two", "high", "VP8")
		defer high.release()
		if h := kept(); h != 180 {
			t.Errorf("for one of 56x160, too, it is kept %d high", h)
		}
	})
}

// TestUnfilteredTile looks at what is seen of pictures without their loop filter
// where they are shown as small as they have to be for that, against the right
// ones, until a keyframe would be asked for.
func TestUnfilteredTile(t *testing.T) {
	const width, height, n, floor = 640, 360, maxDrift + 1, 40 // dB
	tall := float64(height) / farRatio
	tile := compositor.Rect{W: int(tall*16/9) &^ 1, H: int(tall) &^ 1}
	row := codecs.Find("VP8")
	enc, err := row.NewVideoEncoder(codec.VideoConfig{Width: width, Height: height, FPS: 25, Bitrate: 600_000})
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	var decoders [2]codec.VideoDecoder
	for i := range decoders {
		if decoders[i], err = row.NewVideoDecoder(); err != nil {
			t.Fatal(err)
		}
		defer decoders[i].Close()
	}
	near, far := newDistance(0), newDistance(0)
	far.show(tile.W, tile.H)
	var tiles [2]*codec.Frame
	for i := range tiles {
		tiles[i] = codec.NewFrame(tile.W, tile.H)
		defer tiles[i].Release()
	}
	worst := 100.
	for i := range n {
		f := codectest.MovingPicture(width, height, i/2) // people move less
		u, err := enc.Encode(f, time.Duration(i)*time.Second/25, false)
		f.Release()
		if err != nil {
			t.Fatal(err)
		}
		if len(u.Data) == 0 {
			continue
		}
		u.Data = bytes.Clone(u.Data)
		for k, d := range []*distance{near, far} {
			if unfiltered, _ := d.prepare(decoders[k], u.Keyframe); unfiltered != (k == 1 && !u.Keyframe) {
				t.Fatalf("picture %d of decoder %d: unfiltered is %v", i, k, unfiltered)
			}
			f, err := decoders[k].Decode(u)
			if err != nil {
				t.Fatal(err)
			}
			d.width, d.height = f.Width, f.Height
			err = compositor.YUV{}.Scale(tiles[k], tile, f, compositor.Rect{W: width, H: height})
			f.Release()
			if err != nil {
				t.Fatal(err)
			}
		}
		worst = min(worst, codectest.PSNR(tiles[0], tiles[1]))
	}
	if worst < floor {
		t.Errorf("at %dx%d down to %.1f dB, want %d", tile.W, tile.H, worst, floor)
	}
}
