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
