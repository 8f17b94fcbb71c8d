package mixer

import (
	"testing"
	"time"

	"mixdown/codec"
)

func TestLimiter(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	run := func(l *limiter, fps int, cost time.Duration, seconds int) (taken int) {
		for range fps * seconds {
			now = now.Add(time.Second / time.Duration(fps))
			if l.admit(now) {
				taken++
				l.decode.spend(cost, now)
			}
		}
		return taken
	}
	limits := Limits{Pixels: 1 << 20, FPS: 60, Decode: 0.3}
	for name, c := range map[string]struct {
		fps    int
		cost   time.Duration
		lo, hi int // of ten seconds
	}{
		"a camera":          {30, time.Millisecond, 300, 300},
		"60 fps":            {60, time.Millisecond, 600, 600},
		"4K":                {30, 9 * time.Millisecond, 300, 300},
		"a keyframe flood":  {1000, time.Millisecond, 600, 740},
		"expensive":         {30, 50 * time.Millisecond, 58, 66},
		"one that takes it": {30, 10 * time.Second, 1, 1},
	} {
		l := newLimiter(limits)
		if got := run(&l, c.fps, c.cost, 10); got < c.lo || got > c.hi {
			t.Errorf("%s: %d pictures in 10 s, want %d to %d", name, got, c.lo, c.hi)
		}
	}
	// It is over when it is over.
	l := newLimiter(limits)
	run(&l, 1000, 5*time.Millisecond, 10)
	run(&l, 1, 0, 2)
	if got := run(&l, 30, time.Millisecond, 10); got != 300 {
		t.Errorf("after a flood %d of 300 pictures are taken", got)
	}
}

// TestSlotBounds: few large frames are held, not twelve.
func TestSlotBounds(t *testing.T) {
	live := codec.LiveFrames()
	var s slot
	now := time.Now()
	for i := range 40 {
		f := codec.NewFrame(4096, 2304)
		f.Captured = now.Add(time.Duration(i) * time.Second) // all wait for their sound
		s.put(f, f.Width, f.Height, now)
		if held := len(s.frames); held > 2 {
			t.Fatalf("%d frames of 4K are held", held)
		}
	}
	s.close()
	if n := codec.LiveFrames(); n != live {
		t.Errorf("%d frames live, were %d", n, live)
	}
}
