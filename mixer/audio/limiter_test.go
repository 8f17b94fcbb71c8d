package audio

import (
	"math"
	"math/rand/v2"
	"testing"
)

// What is under the ceiling passes unchanged, Delay later.
func TestLimiterPasses(t *testing.T) {
	for channels := 1; channels <= 2; channels++ {
		cfg := Config{Channels: channels}.WithDefaults()
		l := newLimiter(cfg, newInterpolator())
		r := rand.New(rand.NewPCG(1, 1))
		n := 960 * channels
		late := 192 * channels
		var in, out []int16
		src, dst := make([]int32, n), make([]int16, n)
		for range 10 {
			for i := range src {
				src[i] = int32(r.IntN(20000) - 10000)
				in = append(in, int16(src[i]))
			}
			l.run(dst, src, nil)
			out = append(out, dst...)
		}
		for i := range out[late:] {
			if out[late+i] != in[i] {
				t.Fatalf("%d channels: sample %d is %d, want %d", channels, i, out[late+i], in[i])
			}
		}
	}
}

// Whatever comes, at every rate: nothing over the ceiling.
func TestLimiterHolds(t *testing.T) {
	for _, rate := range []int{8000, 11000, 16000, 48000} {
		for channels := 1; channels <= 2; channels++ {
			l := newLimiter(Config{Rate: rate, Channels: channels}.WithDefaults(), newInterpolator())
			r := rand.New(rand.NewPCG(2, uint64(rate)))
			n := rate / 50 * channels
			src, dst := make([]int32, n), make([]int16, n)
			for tick := range 200 {
				amp := math.Pow(10, 3+3*r.Float64())
				for i := range src {
					src[i] = int32(amp * (2*r.Float64() - 1))
					if r.IntN(300) == 0 {
						src[i] *= 20
					}
				}
				if tick%7 == 0 {
					clear(src)
				}
				l.run(dst, src, nil)
				for i, v := range dst {
					if v > ceiling || v < -ceiling {
						t.Fatalf("%d Hz: sample %d of tick %d is %d, the ceiling is %d", rate, i, tick, v, ceiling)
					}
				}
			}
		}
	}
}

// A peak between two samples counts: a sine of a quarter of the rate whose
// samples all lie at -3 dB of its crest.
func TestLimiterSeesBetweenSamples(t *testing.T) {
	l := newLimiter(Config{}.WithDefaults(), newInterpolator())
	src, dst := make([]int32, 960), make([]int16, 960)
	var out []int16
	for i := range src {
		src[i] = int32(38000 * math.Sin(math.Pi/2*float64(i)+math.Pi/4)) // samples of 26870
	}
	for range 20 {
		l.run(dst, src, nil)
		out = append(out, dst...)
	}
	// until the gain came down from nothing there is a front without a band
	if p := truePeak(out[960:]); p > -1 {
		t.Errorf("%.2f dBTP, want -1 at most", p)
	}
	for _, v := range out[960:] {
		if v > 20500 {
			t.Fatalf("a sample of %d lets the wave between over the ceiling", v)
		}
	}
}

// However different two sums were, a limiter that is led ends its tick where
// the other one does, and holds the ceiling on its way.
func TestLimiterLeadsBack(t *testing.T) {
	for _, rate := range []int{8000, 48000} {
		for seed := range uint64(50) {
			r := rand.New(rand.NewPCG(seed, 3))
			cfg := Config{Rate: rate}.WithDefaults()
			shared := newLimiter(cfg, newInterpolator())
			private := newLimiter(cfg, shared.points)
			n := rate / 50
			a, b, dst := make([]int32, n), make([]int32, n), make([]int16, n)
			for tick := range 5 {
				base, own := 60000*r.Float64(), 90000*r.Float64()*float64(1-2*(seed%2))
				for i := range a {
					b[i] = int32(base * (2*r.Float64() - 1))
					a[i] = b[i]
					if tick < 4 || i < n/2 {
						a[i] += int32(own * (2*r.Float64() - 1))
					}
				}
				if seed%3 == 0 && tick < 4 { // the private sum can be the louder one
					a, b = b, a
				}
				shared.run(dst, a, nil)
				if tick < 4 {
					private.run(dst, b, nil)
					continue
				}
				if private.held == shared.held {
					t.Fatal("nothing to lead back from")
				}
				private.run(dst, b, &shared)
				for i, v := range dst {
					if v > ceiling || v < -ceiling {
						t.Fatalf("seed %d: sample %d is %d, the ceiling is %d", seed, i, v, ceiling)
					}
				}
			}
			if private.limiterState != shared.limiterState {
				t.Fatalf("%d Hz, seed %d: ends in %+v, the shared one in %+v", rate, seed, private.limiterState, shared.limiterState)
			}
			for i, v := range private.line[:history*private.block] {
				if v != shared.line[i] {
					t.Fatalf("%d Hz, seed %d: what waits differs at %d", rate, seed, i)
				}
			}
		}
	}
}

// The own tone stays 60 dB down in the own mix while limiters, levelling and
// the crowd's gain are all at work, and through every change.
func TestMinusLacksSelfWhileGainsMove(t *testing.T) {
	b := NewBus(Config{Level: true, MaxOpen: 3})
	var strips []*Strip
	var voices []*sine
	for i := range 4 {
		strips = append(strips, b.Add())
		voices = append(voices, &sine{freq: float64(400 + 300*i), amp: 32000})
	}
	r := rand.New(rand.NewPCG(4, 4))
	talks := make([]int, 4) // ticks to go
	reach := 0.0
	for tick := range 1500 {
		for i, s := range strips {
			if talks[i]--; talks[i] < -60 && r.IntN(30) == 0 {
				talks[i] = 20 + r.IntN(60)
			}
			if talks[i] > 0 {
				say(s, voices[i])
			} else {
				say(s, nil)
			}
		}
		b.Step()
		for i, s := range strips {
			for j, v := range voices {
				got := tone(b.Minus(s), v.freq)
				switch {
				case i != j:
					reach = max(reach, got)
				case talks[i] < -1:
				case talks[i] > 1 && !s.Open: // more than three talk
				case others(talks, i) == 0 && got > -100:
					t.Fatalf("tick %d: strip %d hears itself at %.1f dB", tick, i, got)
				}
			}
		}
	}
	if reach < -20 {
		t.Errorf("others are heard at %.1f dB at most", reach)
	}
}

// others is how many but i talk or have just done.
func others(talks []int, i int) (n int) {
	for j, left := range talks {
		if j != i && left > -3 {
			n++
		}
	}
	return n
}

// halver is a Denoiser whose work shows.
type halver struct{ ticks int }

func (h *halver) Process(pcm []int16) {
	h.ticks++
	for i := range pcm {
		pcm[i] /= 2
	}
}

func (*halver) Close() {}

func TestDenoiserComesFirst(t *testing.T) {
	b := NewBus(Config{})
	s, listener := b.Add(), b.Add()
	h := &halver{}
	s.Denoiser = h
	voice := &sine{freq: 400, amp: 8000}
	for range 5 {
		say(s, voice)
		b.Step()
	}
	say(s, nil)
	b.Step()
	if h.ticks != 5 {
		t.Errorf("asked for %d ticks, want those 5 with sound", h.ticks)
	}
	say(s, voice)
	b.Step()
	say(s, voice)
	b.Step()
	want := 20 * math.Log10(4000.0/32768)
	if got := tone(b.Minus(listener), 400); math.Abs(got-want) > 0.5 {
		t.Errorf("heard at %.1f dB, want %.1f", got, want)
	}
	if math.Abs(s.Level-(want-3)) > 0.1 {
		t.Errorf("level is %.1f, want that behind the denoiser, %.1f", s.Level, want-3)
	}
}
