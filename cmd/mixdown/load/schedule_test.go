package load

import (
	"testing"
	"time"
)

func TestTurns(t *testing.T) {
	for _, bots := range []int{0, 1, 3, 4, 5, 9, 25, 50, 127} {
		s := Schedule{FPS: 25, Bots: bots, First: 1, Talkers: 4}
		turns := map[int]int{}
		first := int64(447_000_001)
		slots := int64(max(bots, 1))
		for slot := first; slot < first+slots; slot++ {
			n := 0
			for id := range maxID + 1 {
				if s.Talks(id, slot) {
					turns[id]++
					n++
				}
			}
			if n != min(4, bots) {
				t.Fatalf("%d bots: %d speak at once", bots, n)
			}
		}
		for id := 1; id <= bots; id++ {
			if turns[id] != int(slots)*min(4, bots)/bots {
				t.Errorf("%d bots: bot %d had %d turns in %d slots", bots, id, turns[id], slots)
			}
		}
		if turns[0] != 0 || turns[bots+1] != 0 {
			t.Errorf("%d bots: somebody else had a turn", bots)
		}
	}
}

func TestFramesAreDueOnceAndInStep(t *testing.T) {
	for _, fps := range []int{1, 7, 15, 24, 25, 30, 32} {
		s := Schedule{FPS: fps, Bots: 9, Talkers: 4}
		if err := s.Validate(); err != nil {
			t.Fatal(err)
		}
		start := time.Unix(1_795_000_000, 123456789)
		for id := range 9 {
			n := s.Frame(id, start)
			if at := s.FrameTime(id, n); at.Before(start) || !s.FrameTime(id, n-1).Before(start) {
				t.Fatalf("%d fps: frame %d is due at %v, asked from %v", fps, n, at, start)
			}
			if again := s.Frame(id, s.FrameTime(id, n)); again != n {
				t.Errorf("%d fps: frame %d is due when %d is", fps, again, n)
			}
			// A second holds fps frames, at whatever time it begins.
			if d := s.Frame(id, start.Add(time.Hour)) - n; d != int64(fps)*3600 {
				t.Errorf("%d fps: %d frames in an hour", fps, d)
			}
			if d := s.Packet(id, start.Add(time.Hour)) - s.Packet(id, start); d != 3600*50 {
				t.Errorf("%d packets in an hour", d)
			}
			if o := s.KeyOffset(id); o < 0 || o >= fps {
				t.Errorf("%d fps: key offset %d", fps, o)
			}
		}
	}
}

func TestAge(t *testing.T) {
	s := Schedule{FPS: 25, Bots: 50, Talkers: 4}
	for _, old := range []time.Duration{0, time.Millisecond, 39 * time.Millisecond, 130 * time.Millisecond, time.Second, 7990 * time.Millisecond} {
		for id := range 50 {
			n := s.Frame(id, time.Unix(1_795_000_007, 990e6))
			if got := s.Age(id, s.Index(n), s.FrameTime(id, n).Add(old)); got != old {
				t.Fatalf("bot %d: a frame is %v old, not %v", id, got, old)
			}
		}
	}
}

// The picture of a turn is shown from a keyframe on and through all that is said.
func TestPictureAndSoundOfATurn(t *testing.T) {
	s := Schedule{FPS: 25, Bots: 9, Talkers: 4}
	for id := range 9 {
		for n := int64(1e9); n < 1e9+1000; n++ {
			changes := s.TalkingFrame(id, n) != s.TalkingFrame(id, n-1)
			if changes && n%25 != int64(s.KeyOffset(id)) {
				t.Fatalf("bot %d: the clip changes at frame %d, which is no keyframe", id, n)
			}
			slot, into := n/(slotSeconds*25), n%(slotSeconds*25)
			speaks := s.Talks(id, slot) && into >= int64(s.KeyOffset(id))
			if speaks && !s.TalkingFrame(id, n) {
				t.Fatalf("bot %d: speaks at frame %d without moving the mouth", id, n)
			}
		}
	}
}

func TestScheduleRefuses(t *testing.T) {
	for _, s := range []Schedule{{FPS: 0}, {FPS: 33}, {FPS: -1}, {FPS: 25, Bots: 129}, {FPS: 25, Bots: 28, First: 101}, {FPS: 25, Bots: -1}, {FPS: 25, First: -1}} {
		if s.Validate() == nil {
			t.Errorf("%+v is accepted", s)
		}
	}
}
