package audio

import (
	"math"
	"testing"
)

// TestPlayed has a steady tone, which a gate takes for noise, played beside as many
// voices as may be open, and one over all of it.
func TestPlayed(t *testing.T) {
	b := NewBus(Config{MaxOpen: 1})
	film, over, voice := b.Add(), b.Add(), b.Add()
	film.Played, over.Played, over.Over = true, true, true
	sine := func(s *Strip, hz, amplitude float64, tick int) {
		for i := range s.PCM {
			s.PCM[i] = int16(amplitude * math.Sin(2*math.Pi*hz*float64(tick*len(s.PCM)+i)/48000))
		}
		s.Silent = amplitude == 0
	}
	var quietest float64
	for tick := range 400 {
		sine(film, 500, 2000, tick)
		sine(voice, 200, 3000*float64(tick/10%2), tick)
		sine(over, 900, 4000*float64(tick/200), tick)
		b.Step()
		if tick == 199 && (!film.Open || over.Open || math.Abs(film.gain-1) > 1e-6) {
			t.Errorf("at %d: film open %v at %v, announcement open %v", tick, film.Open, film.gain, over.Open)
		}
		quietest = film.gain
	}
	if !over.Open || math.Abs(20*math.Log10(quietest)-duckBy) > 0.1 || over.gain != 1 {
		t.Errorf("under an announcement the film is at %v, the announcement at %v", quietest, over.gain)
	}
	if b.Speaker() == film || b.Speaker() == over || film.Speaking {
		t.Error("what is played has taken the floor")
	}
	for tick := range 100 {
		sine(film, 500, 2000, tick)
		sine(over, 900, 0, tick)
		b.Step()
	}
	if film.gain != 1 || over.Open {
		t.Errorf("afterwards the film is at %v, the announcement open %v", film.gain, over.Open)
	}
}
