package codectest

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"mixdown/codec"
)

// resident returns the process's resident memory in bytes, with Go's garbage
// given back. What C holds is seen only here.
func resident() (int, error) {
	debug.FreeOSMemory()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	var size, pages int
	if _, err := fmt.Sscan(string(b), &size, &pages); err != nil {
		return 0, err
	}
	return pages * os.Getpagesize(), nil
}

// videoMemory opens and closes many codecs, each for a few pictures. One that
// forgets itself or a picture of 640x360 keeps a third of a megabyte or more
// each time.
func videoMemory(t *testing.T, row *codec.Codec) {
	const cycles, pictures, most = 80, 5, 24 << 20
	cfg := codec.VideoConfig{Width: 640, Height: 360, FPS: 25, Bitrate: 400_000}
	f := MovingPicture(cfg.Width, cfg.Height, 0)
	defer f.Release()
	cycle := func() {
		e, d := newEncoder(t, row, cfg), newDecoder(t, row)
		for i := range pictures {
			u, err := e.Encode(f, time.Duration(i)*time.Second/25, false)
			if err != nil {
				t.Fatal(err)
			}
			got, err := d.Decode(u)
			if err != nil {
				t.Fatal(err)
			}
			got.Release()
		}
		closeTwice(t, e)
		closeTwice(t, d)
	}
	// Each thread has an arena of the C allocator's, so stay on one.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for range 20 {
		cycle()
	}
	before, err := resident()
	if err != nil {
		t.Skip(err)
	}
	for range cycles {
		cycle()
	}
	after, err := resident()
	if err != nil {
		t.Skip(err)
	}
	t.Logf("%d cycles grew memory by %d kB", cycles, (after-before)>>10)
	if after-before > most {
		t.Errorf("%d cycles grew memory by %d kB", cycles, (after-before)>>10)
	}
}
