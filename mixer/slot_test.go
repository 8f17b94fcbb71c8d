package mixer

import (
	"testing"
	"time"

	"mixdown/codec"
)

func TestSlotWaitsForSound(t *testing.T) {
	before := codec.LiveFrames()
	start := time.Unix(1000, 0)
	ms := func(n int) time.Time { return start.Add(time.Duration(n) * time.Millisecond) }
	var s slot
	put := func(captured, arrives int) {
		f := codec.NewFrame(16, 16)
		if captured >= 0 {
			f.Captured = ms(captured)
		}
		s.put(f, f.Width, f.Height, ms(arrives))
	}
	take := func(now int, lag time.Duration) uint64 {
		f, seq, _ := s.take(ms(now), lag)
		if f == nil {
			return 0
		}
		f.Release()
		return seq
	}
	const lag = 100 * time.Millisecond // sound captured at 0 plays at 100
	if n := take(0, lag); n != 0 {
		t.Errorf("an empty slot shows %d", n)
	}
	put(0, 20)
	if n := take(30, lag); n != 1 {
		t.Errorf("the first frame is shown at once, not %d", n)
	}
	put(40, 60)
	put(80, 100)
	for _, c := range []struct {
		now  int
		want uint64
	}{{110, 1}, {139, 1}, {140, 2}, {170, 2}, {180, 3}, {500, 3}} {
		if n := take(c.now, lag); n != c.want {
			t.Errorf("at %d ms frame %d is shown, want %d", c.now, n, c.want)
		}
	}
	put(600, 600)
	put(5000, 610) // a capture time far ahead
	if n := take(710, lag); n != 4 {
		t.Errorf("frame %d is shown, want 4", n)
	}
	if n := take(961, lag); n != 5 {
		t.Errorf("frame %d is shown past the longest wait, want 5", n)
	}
	put(6000, 970)
	if n := take(980, noSound); n != 6 {
		t.Errorf("without sound frame %d is shown, want the newest", n)
	}
	put(-1, 990)
	if n := take(1000, lag); n != 7 {
		t.Errorf("frame %d is shown, want the one without a capture time", n)
	}
	for i := range 3 * maxHeld {
		put(9000+i, 1000)
	}
	if len(s.frames) > maxHeld {
		t.Errorf("%d frames are held", len(s.frames))
	}
	s.close()
	put(0, 0)
	if n := codec.LiveFrames() - before; n != 0 {
		t.Errorf("%d frames are still held", n)
	}
}
