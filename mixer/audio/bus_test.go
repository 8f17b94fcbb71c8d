package audio

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// sine writes ticks of a sine at amplitude amp into strips.
type sine struct {
	freq, amp float64
	at        int
}

func (o *sine) fill(pcm []int16) {
	for i := range pcm {
		pcm[i] = int16(math.Round(o.amp * math.Sin(2*math.Pi*o.freq*float64(o.at)/48000)))
		o.at++
	}
}

// tone is the level of one frequency in pcm, in dB of a full-scale sine. freq
// has whole periods in pcm.
func tone(pcm []int16, freq float64) float64 {
	var re, im float64
	for i, v := range pcm {
		sin, cos := math.Sincos(2 * math.Pi * freq * float64(i) / 48000)
		re += float64(v) * cos
		im += float64(v) * sin
	}
	return 20 * math.Log10(2*math.Hypot(re, im)/float64(len(pcm))/32768+1e-12)
}

func say(s *Strip, o *sine) {
	if o == nil {
		clear(s.PCM)
		s.Silent = true
		return
	}
	o.fill(s.PCM)
	s.Silent = false
}

func TestLevel(t *testing.T) {
	pcm := make([]int16, 960)
	if got := Level(pcm); got != -127 {
		t.Errorf("silence: %v", got)
	}
	(&sine{freq: 400, amp: 32767}).fill(pcm)
	if got := Level(pcm); math.Abs(got+3.01) > 0.01 {
		t.Errorf("full-scale sine: %v dBov, want -3.01", got)
	}
	for i := range pcm {
		pcm[i] = math.MinInt16
	}
	if got := Level(pcm); got != 0 {
		t.Errorf("full-scale square: %v dBov, want 0", got)
	}
}

func TestMinusLacksOnlySelf(t *testing.T) {
	b := NewBus(Config{})
	var strips []*Strip
	var voices []*sine
	for i := range 4 {
		strips = append(strips, b.Add())
		voices = append(voices, &sine{freq: float64(400 + 300*i), amp: 3000})
	}
	viewer := b.Add()
	for tick := range 100 {
		for i, s := range strips {
			say(s, voices[i])
		}
		b.Step()
		if tick == 0 {
			continue // fades in
		}
		for i, s := range strips {
			minus := b.Minus(s)
			for j, v := range voices {
				got, want := tone(minus, v.freq), tone(strips[j].PCM, v.freq)
				if i == j && got > want-60 {
					t.Fatalf("tick %d: strip %d hears itself at %.1f dB of %.1f", tick, i, got, want)
				}
				if i != j && math.Abs(got-want) > 0.5 {
					t.Fatalf("tick %d: strip %d hears %d at %.1f dB, want %.1f", tick, i, j, got, want)
				}
			}
		}
		for j, v := range voices {
			if got, want := tone(b.Minus(viewer), v.freq), tone(strips[j].PCM, v.freq); math.Abs(got-want) > 0.5 {
				t.Fatalf("tick %d: the viewer hears %d at %.1f dB, want %.1f", tick, j, got, want)
			}
		}
	}
	if &b.Minus(viewer)[0] != &b.Mix()[0] {
		t.Error("a closed strip does not hear the shared mix itself")
	}
}

func TestClosedContributesNothing(t *testing.T) {
	b := NewBus(Config{})
	s := b.Add()
	murmur := &sine{freq: 300, amp: 60} // -57.8 dBov
	for range 100 {
		say(s, murmur)
		b.Step()
		if s.Open {
			t.Fatal("opened below the threshold")
		}
		for _, v := range b.Mix() {
			if v != 0 {
				t.Fatal("a closed strip is heard")
			}
		}
	}
}

// A word after a long silence is whole for the others, from its first tick, and
// is in its speaker's own mix in no tick.
func TestBurstAfterSilence(t *testing.T) {
	b := NewBus(Config{})
	talker, other, listener := b.Add(), b.Add(), b.Add()
	base := &sine{freq: 1000, amp: 2000}
	for range 250 {
		say(talker, nil)
		say(other, base)
		b.Step()
	}
	if talker.Open {
		t.Fatal("open in silence")
	}
	burst := &sine{freq: 400, amp: 6000}
	var said, own []int16
	heard := map[*Strip][]int16{}
	for tick := range 60 {
		say(other, base)
		if tick < 10 {
			say(talker, burst)
		} else {
			say(talker, nil)
		}
		b.Step()
		said = append(said, talker.PCM...)
		own = append(own, b.Minus(talker)...)
		for _, s := range []*Strip{other, listener} {
			heard[s] = append(heard[s], b.Minus(s)...)
		}
	}
	for tick := range 59 {
		at := tick * b.Samples()
		if own := tone(own[at:at+b.Samples()], 400); own > -95 {
			t.Errorf("tick %d: own burst at %.1f dB in the own mix", tick, own)
		}
		if tick >= 10 {
			continue
		}
		want := tone(said[at:at+b.Samples()], 400)
		for _, pcm := range heard {
			at := at + delay(b)
			// the first tick has 2 ms of fade-in, 1 of 20 ms at most is lost
			if got := tone(pcm[at:at+b.Samples()], 400); got < want-0.5 {
				t.Errorf("tick %d: burst at %.1f dB, want %.1f", tick, got, want)
			}
		}
	}
}

// delay is how many samples Mix and Minus are late by.
func delay(b *Bus) int { return int(Delay*time.Duration(b.cfg.Rate)/time.Second) * b.cfg.Channels }

func TestAheadOpensBeforeTheSound(t *testing.T) {
	b := NewBus(Config{})
	s := b.Add()
	b.Step()
	if s.Open {
		t.Fatal("open without sound")
	}
	s.Ahead = -20
	b.Step()
	if !s.Open {
		t.Fatal("closed although a voice is waiting in the buffer")
	}
}

func TestHold(t *testing.T) {
	b := NewBus(Config{})
	s := b.Add()
	voice, noise := &sine{freq: 400, amp: 5000}, &sine{freq: 400, amp: 40}
	for range 10 {
		say(s, voice)
		b.Step()
	}
	held := 0
	for range 100 {
		say(s, noise)
		b.Step()
		if !s.Open {
			break
		}
		held++
	}
	if held < 20 || held > 30 {
		t.Errorf("held for %d ticks, want 400 to 600 ms", held)
	}
	for _, v := range b.Mix() {
		if v != 0 {
			t.Fatal("heard after closing")
		}
	}
}

// Eight people at full scale: nothing wraps or clips, and at most six are open,
// the same six.
func TestManyLoudTalkers(t *testing.T) {
	b := NewBus(Config{})
	var strips []*Strip
	var voices []*sine
	for i := range 8 {
		strips = append(strips, b.Add())
		voices = append(voices, &sine{freq: float64(150 + 50*i), amp: 32767})
	}
	var first []bool
	for tick := range 200 {
		for i, s := range strips {
			say(s, voices[i])
		}
		b.Step()
		var open []bool
		n := 0
		for _, s := range strips {
			open = append(open, s.Open)
			if s.Open {
				n++
			}
			mustNotClip(t, b.Minus(s))
		}
		mustNotClip(t, b.Mix())
		if n != 6 {
			t.Fatalf("tick %d: %d open, want 6", tick, n)
		}
		if first == nil {
			first = open
		} else if fmt.Sprint(first) != fmt.Sprint(open) {
			t.Fatalf("tick %d: open %v, was %v", tick, open, first)
		}
	}
}

func mustNotClip(t *testing.T, pcm []int16) {
	t.Helper()
	flat := 0
	for i, v := range pcm {
		if v > ceiling || v < -ceiling {
			t.Fatalf("sample %d is %d, over the ceiling", i, v)
		}
		if i > 0 && (v == ceiling || v == -ceiling) && v == pcm[i-1] {
			flat++
		} else {
			flat = 0
		}
		if flat > 48 {
			t.Fatalf("flat top of more than a millisecond at %d", i)
		}
	}
}

func TestLouderNewcomerReplacesQuietest(t *testing.T) {
	b := NewBus(Config{MaxOpen: 2})
	a, q, late := b.Add(), b.Add(), b.Add()
	loud, quiet := &sine{freq: 400, amp: 16000}, &sine{freq: 500, amp: 2000}
	similar, clearly := &sine{freq: 600, amp: 2400}, &sine{freq: 600, amp: 12000}
	step := func(o *sine) {
		say(a, loud)
		say(q, quiet)
		say(late, o)
		b.Step()
	}
	for range 20 {
		step(nil)
	}
	for range 50 {
		step(similar)
		if late.Open {
			t.Fatal("a newcomer of nearly the same loudness took a place")
		}
	}
	step(clearly)
	if !late.Open || !a.Open {
		t.Fatal("a clearly louder newcomer is not open in its first tick")
	}
	if !q.Open {
		t.Fatal("the replaced strip was cut instead of faded")
	}
	step(clearly)
	if q.Open {
		t.Fatal("the replaced strip is still open")
	}
	for range 100 {
		step(clearly)
		if !a.Open || q.Open || !late.Open {
			t.Fatal("places flap")
		}
	}
}

// Mix is the limited sum of the open strips and Minus the limited sum of the
// other open ones, whatever happens.
func TestMixIsLimitedSumOfOpen(t *testing.T) {
	t.Parallel()
	seeds := uint64(8)
	if !thorough {
		seeds = 3
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 1))
		channels := 1 + int(seed%2)
		b := NewBus(Config{Channels: channels, MaxOpen: 1 + r.IntN(4)})
		ref := newLimiter(b.cfg, newInterpolator())
		var strips []*Strip
		for range 300 {
			if len(strips) < 12 && r.IntN(10) == 0 {
				strips = append(strips, b.Add())
			}
			if len(strips) > 2 && r.IntN(40) == 0 {
				b.Remove(strips[0])
				strips = strips[1:]
			}
			for _, s := range strips {
				if r.IntN(20) == 0 {
					s.gate.quiet = min(s.gate.quiet, 1<<20) + 20 // voices come and go
				}
				amp := math.Pow(10, -float64(r.IntN(7))) * 32767
				for i := range s.PCM {
					s.PCM[i] = int16(amp * (2*r.Float64() - 1))
				}
				s.Silent = false
			}
			sum := append([]int32(nil), b.rest...)
			b.Step()
			open := 0
			for _, s := range strips {
				if !s.Open {
					if s.in != nil {
						t.Fatal("a closed strip is in the sum")
					}
					continue
				}
				open++
				for i, v := range s.in {
					sum[i] += v
				}
				if s.fade == fadeNone && s.Level > Silence {
					for i, v := range s.in {
						if v != int32(s.PCM[i]) {
							t.Fatal("an open strip is not in the sum as it is")
						}
					}
				}
			}
			if open > b.cfg.MaxOpen+1 {
				t.Fatalf("%d open of %d", open, b.cfg.MaxOpen)
			}
			want := make([]int16, b.n)
			ref.run(want, sum, nil)
			mustNotClip(t, b.Mix())
			for i, v := range b.Mix() {
				if v != want[i] {
					t.Fatalf("seed %d: sample %d is %d, want %d", seed, i, v, want[i])
				}
			}
			for _, s := range strips {
				if s.Open {
					mustNotClip(t, b.Minus(s))
				}
			}
		}
	}
}

func TestLimiterGainIsContinuous(t *testing.T) {
	l := newLimiter(Config{}.WithDefaults(), newInterpolator())
	src, dst := make([]int32, 960), make([]int16, 960)
	late := delay(NewBus(Config{}))
	all := make([]int32, late)
	at, seen, last := 0, 0, 1.0
	for tick := range 60 {
		amp := 20000.0
		if tick >= 5 && tick < 15 {
			amp = 100000
		}
		for i := range src {
			src[i] = int32(amp * math.Sin(2*math.Pi*200*float64(at)/48000))
			at++
		}
		all = append(all, src...)
		l.run(dst, src, nil)
		for i, out := range dst {
			v := all[len(all)-len(src)-late+i]
			if v > -5000 && v < 5000 {
				continue
			}
			g := float64(out) / float64(v)
			// the gain is down to a quarter in 3 ms or more, and up again slowly
			n := float64(960*tick + i - seen)
			if g-last > 0.001*n+0.0005 || last-g > 0.0055*n+0.0005 {
				t.Fatalf("tick %d: gain steps from %.3f to %.3f in %.0f samples", tick, last, g, n)
			}
			last, seen = g, 960*tick+i
		}
		mustNotClip(t, dst)
	}
	if l.gain < 0.95 {
		t.Errorf("gain %.3f 900 ms after the peak: it does not come back", l.gain)
	}
}

func TestSpeaker(t *testing.T) {
	b := NewBus(Config{})
	x, y := b.Add(), b.Add()
	voice := &sine{freq: 400, amp: 3000}
	if b.Speaker() != nil {
		t.Fatal("a speaker before anybody spoke")
	}
	run := func(ticks int, sx, sy *sine) {
		for range ticks {
			say(x, sx)
			say(y, sy)
			b.Step()
		}
	}
	run(50, voice, nil)
	if b.Speaker() != x || !x.Speaking || y.Speaking {
		t.Fatal("x speaks and is not the speaker")
	}
	run(3, voice, &sine{freq: 500, amp: 20000}) // a cough
	if b.Speaker() != x {
		t.Fatal("a cough moved the room")
	}
	run(200, nil, nil)
	if b.Speaker() != x || x.Speaking {
		t.Fatal("silence moved the room, or x still speaks")
	}
	run(50, nil, voice)
	if b.Speaker() != y {
		t.Fatal("y speaks alone and is not the speaker")
	}
	b.Remove(y)
	if b.Speaker() != nil {
		t.Fatal("who left is still the speaker")
	}
}

func TestStepDoesNotAllocate(t *testing.T) {
	b := NewBus(Config{Level: true})
	var voices []*sine
	var strips []*Strip
	for i := range 10 {
		strips = append(strips, b.Add())
		voices = append(voices, &sine{freq: float64(200 + 100*i), amp: 20000})
	}
	i := 0
	if n := testing.AllocsPerRun(100, func() {
		for k, s := range strips {
			if (i/30+k)%3 == 0 {
				say(s, voices[k])
			} else {
				say(s, nil)
			}
		}
		i++
		b.Step()
	}); n != 0 {
		t.Errorf("%v allocations a tick", n)
	}
}

func BenchmarkStep(b *testing.B) {
	for _, n := range []int{2, 8, 16, 50} {
		b.Run(fmt.Sprintf("strips=%d", n), func(b *testing.B) {
			bus := NewBus(Config{Level: true})
			for i := range n {
				s := bus.Add()
				say(s, &sine{freq: float64(200 + 50*i), amp: 4000})
			}
			b.ReportAllocs()
			for b.Loop() {
				bus.Step()
			}
		})
	}
}

func TestConfig(t *testing.T) {
	if err := (Config{}).WithDefaults().Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
	for _, c := range []Config{
		{Rate: 44100}, {Channels: 3}, {MaxOpen: -1}, {Threshold: 5}, {Hold: 1},
	} {
		if c.WithDefaults().Validate() == nil {
			t.Errorf("%+v passes", c)
		}
	}
}

// Who leaves while speaking, or is silenced, ends without a click, in the shared mix
// and in the private ones. A click is what is far above the voice's own tones.
func TestCutsDoNotClick(t *testing.T) {
	clicks, faded := math.Inf(-1), math.Inf(-1) // of hard cuts and of ours
	for channels := 1; channels <= 2; channels++ {
		for phase := range 8 {
			for _, remove := range []bool{true, false} {
				b := NewBus(Config{Channels: channels})
				s, other, viewer := b.Add(), b.Add(), b.Add()
				voice := &sine{freq: 390 * float64(channels), at: 17 * phase, amp: 12000}
				low := &sine{freq: 130 * float64(channels), amp: 5000}
				heard := map[*Strip][]int16{}
				for tick := range 12 {
					say(s, voice)
					say(other, low)
					if tick >= 8 && remove {
						b.Remove(s)
					} else if tick >= 8 {
						say(s, nil)
					}
					b.Step()
					for _, l := range []*Strip{other, viewer} {
						heard[l] = append(heard[l], b.Minus(l)...)
					}
				}
				cut := 8*b.n + delay(b)
				for l, pcm := range heard {
					click := high(pcm[cut-b.n:cut+b.n], channels)
					faded = max(faded, click)
					if click > -75 {
						t.Errorf("%d channels, phase %d, removed %v: a click of %.1f dBov", channels, phase, remove, click)
					}
					if l != other {
						continue
					}
					hard := append([]int16(nil), pcm[cut-b.n:cut+b.n]...)
					clear(hard[b.n+7*channels:])
					clicks = max(clicks, high(hard, channels))
					after := pcm[cut+b.n/2 : cut+b.n]
					if Level(after) > Silence {
						t.Errorf("%d channels, phase %d, removed %v: still heard after 10 ms", channels, phase, remove)
					}
				}
			}
		}
	}
	t.Logf("a hard cut clicks at %.1f dBov, ours at %.1f", clicks, faded)
	if clicks < -60 {
		t.Errorf("a hard cut is a click of %.1f dBov to this test", clicks)
	}
}

// high is the level of what a fourth difference leaves over, which takes 48 dB off
// a tone at a twentieth of the rate, the loudest 1 ms, in dBov.
func high(pcm []int16, channels int) float64 {
	d := make([]float64, len(pcm))
	for i, v := range pcm {
		d[i] = float64(v) / 16
	}
	for range 4 {
		for i := len(d) - 1; i >= channels; i-- {
			d[i] -= d[i-channels]
		}
	}
	top := 0.0
	for i := 4 * channels; i+48 <= len(d); i++ {
		sum := 0.0
		for _, v := range d[i : i+48] {
			sum += v * v
		}
		top = max(top, sum/48)
	}
	return 10 * math.Log10(top/(1<<30)+1e-13)
}

func TestRemoveEndsTheSound(t *testing.T) {
	b := NewBus(Config{Channels: 2})
	s, o := b.Add(), b.Add()
	for range 5 {
		say(s, &sine{freq: 400, amp: 9000})
		b.Step()
	}
	if len(b.Mix()) != b.Samples() || !s.Open {
		t.Fatal("not heard")
	}
	b.Remove(s)
	b.Remove(s)
	say(o, nil)
	b.Step()
	for _, v := range b.Mix()[delay(b)+b.n/2:] {
		if v != 0 {
			t.Fatal("heard 10 ms after it left")
		}
	}
}
