package mixer

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"mixdown/mixer/audio"
)

// muffler is a Denoiser that counts.
type muffler struct{ opened, closed, ticks *atomic.Int32 }

func (m muffler) Process(pcm []int16) { m.ticks.Add(1) }
func (m muffler) Close()              { m.closed.Add(1) }

func TestDenoisersOpenAndClose(t *testing.T) {
	m := muffler{new(atomic.Int32), new(atomic.Int32), new(atomic.Int32)}
	denoise := func(c *Config) {
		c.Sound.Denoise = true
		c.NewDenoiser = func(rate, channels int) (audio.Denoiser, error) {
			if m.opened.Add(1) == 3 {
				return nil, errors.New("no more")
			}
			return m, nil
		}
	}
	inRoom(t, denoise, func(t *testing.T, s *Server) {
		for _, id := range []string{"a", "b", "c"} {
			defer join(t, s, id, red, 500, "360p").leave()
		}
		time.Sleep(time.Second)
		if n := m.opened.Load(); n != 3 {
			t.Errorf("%d denoisers for three people", n)
		}
		if n := m.ticks.Load(); n < 80 {
			t.Errorf("two denoisers heard %d ticks in a second", n)
		}
	})
	if n := m.closed.Load(); n != 2 {
		t.Errorf("%d denoisers were closed, want the two that opened", n)
	}
}

func TestDenoiseNeedsADenoiser(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Sound.Denoise = true
	if cfg.Validate() == nil {
		t.Error("a room without a denoiser is to suppress noise")
	}
}

func TestSoundIsSwitchedInOneRoom(t *testing.T) {
	m := muffler{new(atomic.Int32), new(atomic.Int32), new(atomic.Int32)}
	with := func(c *Config) {
		c.NewDenoiser = func(rate, channels int) (audio.Denoiser, error) {
			m.opened.Add(1)
			return m, nil
		}
	}
	inRoom(t, with, func(t *testing.T, s *Server) {
		defer join(t, s, "a", red, 500, "360p").leave()
		if _, err := s.CreateRoom(RoomConfig{Name: "other"}); err != nil {
			t.Fatal(err)
		}
		on, off := true, false
		for _, step := range []struct {
			level, denoise *bool
			opened, closed int32
		}{{nil, nil, 0, 0}, {&off, &on, 1, 0}, {&on, nil, 1, 0}, {nil, &off, 1, 1}} {
			if err := s.SetSound("a", step.level, step.denoise); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			if o, c := m.opened.Load(), m.closed.Load(); o != step.opened || c != step.closed {
				t.Errorf("%d denoisers opened, %d closed, want %d and %d", o, c, step.opened, step.closed)
			}
			st, err := s.State("a")
			if err != nil {
				t.Fatal(err)
			}
			if step.level != nil && st.Levelling != *step.level || step.denoise != nil && st.Denoising != *step.denoise {
				t.Errorf("the room says levelling %t, denoising %t", st.Levelling, st.Denoising)
			}
			if other, err := s.State("other"); err != nil || !other.Levelling || other.Denoising {
				t.Errorf("another room changed: %+v %v", other, err)
			}
		}
		if err := s.SetSound("none", nil, &off); !errors.Is(err, ErrNoRoom) {
			t.Errorf("a room that is not there: %v", err)
		}
	})
	inRoom(t, nil, func(t *testing.T, s *Server) {
		on := true
		if err := s.SetSound("a", nil, &on); !errors.Is(err, ErrNoDenoiser) {
			t.Errorf("without a denoiser: %v", err)
		}
	})
}
