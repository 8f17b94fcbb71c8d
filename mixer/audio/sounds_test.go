package audio

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os/exec"
	"sync"
	"testing"
)

// Sounds of a meeting, at 48 kHz in one channel. All but speech are made of
// random numbers with a seed, so that every run hears the same.

// speech is espeak-ng saying text. gain in dB is relative to a level of active
// speech of -26 dBov.
func speech(t testing.TB, voice, text string, gain float64) []int16 {
	t.Helper()
	said.Lock()
	defer said.Unlock()
	key := [2]string{voice, text}
	if said.pcm[key] == nil {
		said.pcm[key] = synthesized(t, voice, text)
	}
	return toLevel(said.pcm[key], -26+gain)
}

// said is what espeak-ng has said so far: several tests hear the same words.
var said = struct {
	sync.Mutex
	pcm map[[2]string][]float64
}{pcm: make(map[[2]string][]float64)}

// synthesized is what espeak-ng says without silence around it, at its own level.
func synthesized(t testing.TB, voice, text string) []float64 {
	t.Helper()
	wav, err := exec.Command("espeak-ng", "-v", voice, "--stdout", text).Output()
	if err != nil {
		t.Fatalf("espeak-ng -v %s: %v; make test installs it", voice, err)
	}
	at := bytes.Index(wav, []byte("data"))
	if at < 0 || len(wav) < at+8 {
		t.Fatalf("espeak-ng -v %s: %d bytes without sound", voice, len(wav))
	}
	rate := float64(binary.LittleEndian.Uint32(wav[24:]))
	data := wav[at+8:]
	in := make([]float64, len(data)/2)
	for i := range in {
		in[i] = float64(int16(binary.LittleEndian.Uint16(data[2*i:])))
	}
	out := make([]float64, int(float64(len(in))*48000/rate))
	for i := range out {
		x := float64(i) * rate / 48000
		out[i] = between(in, int(x), x-math.Floor(x))
	}
	return trim(out)
}

// between is a windowed sinc around in[at].
func between(in []float64, at int, part float64) float64 {
	sum := 0.0
	for k := -15; k <= 16; k++ {
		if at+k < 0 || at+k >= len(in) {
			continue
		}
		x := float64(k) - part
		h := 0.5 + 0.5*math.Cos(math.Pi*x/17)
		if x != 0 {
			h *= math.Sin(math.Pi*x) / (math.Pi * x)
		}
		sum += h * in[at+k]
	}
	return sum
}

// trim cuts silence off both ends.
func trim(pcm []float64) []float64 {
	from, to := 0, len(pcm)
	for from < to && math.Abs(pcm[from]) < 100 {
		from++
	}
	for to > from && math.Abs(pcm[to-1]) < 100 {
		to--
	}
	return pcm[from:to]
}

// toLevel scales sound so that its active ticks, those within 20 dB of the
// loudest, are at level dBov on average.
func toLevel(in []float64, level float64) []int16 {
	var ticks []float64
	top := 0.0
	for i := 0; i+960 <= len(in); i += 960 {
		e := 0.0
		for _, v := range in[i : i+960] {
			e += v * v
		}
		ticks = append(ticks, e/960)
		top = max(top, e/960)
	}
	sum, n := 0.0, 0
	for _, e := range ticks {
		if e > top/100 {
			sum += e
			n++
		}
	}
	g := math.Sqrt(math.Pow(10, level/10) * (1 << 30) / (sum / float64(n)))
	out := make([]int16, len(in))
	for i, v := range in {
		out[i] = int16(max(-32767, min(32767, math.Round(v*g))))
	}
	return out
}

// filtered is white noise through a band pass.
func filtered(r *rand.Rand, n int, hz, width float64) []float64 {
	return through(n, hz, width, func(int) float64 { return r.NormFloat64() })
}

// through is a sound of n samples behind a band pass of two poles.
func through(n int, hz, width float64, sound func(i int) float64) []float64 {
	w := 2 * math.Pi * hz / 48000
	radius := math.Exp(-math.Pi * width / 48000)
	var y1, y2, x1, x2 float64
	out := make([]float64, n)
	for i := range out {
		x := sound(i)
		y := x - x2 + 2*radius*math.Cos(w)*y1 - radius*radius*y2
		x1, x2, y1, y2 = x, x1, y, y1
		out[i] = y
	}
	return out
}

func seconds(s float64) int { return int(s * 48000) }

// fan is a steady rush with a rotor in it.
func fan(seed uint64, length, level float64) []int16 {
	r := rand.New(rand.NewPCG(seed, 1))
	out := filtered(r, seconds(length), 250, 600)
	for i := range out {
		out[i] *= 1 + 0.15*math.Sin(2*math.Pi*11*float64(i)/48000)
	}
	return toLevel(out, level)
}

// hum is that of mains, with harmonics.
func hum(seed uint64, length, level float64) []int16 {
	r := rand.New(rand.NewPCG(seed, 2))
	hz := []float64{50, 60}[seed%2]
	phase := r.Float64()
	out := make([]float64, seconds(length))
	for i := range out {
		for k, a := range []float64{1, 0.5, 0.3, 0.1} {
			out[i] += a * math.Sin(2*math.Pi*(hz*float64(k+1)*float64(i)/48000+phase*float64(k)))
		}
	}
	return toLevel(out, level)
}

// cough is a burst of breath and then a voiced end with the pitch of cords, 300 ms
// in all.
func cough(seed uint64, level float64) []int16 {
	r := rand.New(rand.NewPCG(seed, 3))
	n := seconds(0.3)
	breath := filtered(r, n, 900+300*r.Float64(), 1500)
	pitch, phase := 130+170*r.Float64(), 0.0
	rough := 0.1 * r.Float64()
	voice := through(n, 500+200*r.Float64(), 200, func(i int) float64 {
		phase += pitch * (1 - float64(i)/float64(2*n)) * (1 + rough*r.NormFloat64()) / 48000
		if phase < 1 {
			return 0
		}
		phase--
		return 1
	})
	even(breath)
	even(voice)
	out := make([]float64, n)
	for i := range out {
		at := float64(i) / 48000
		burst := min(1, at/0.004) * math.Exp(-at/0.09)
		end := math.Exp(-math.Pow((at-0.2)/0.05, 2))
		out[i] = (breath[i]*burst + 0.7*voice[i]*end) * min(1, (0.3-at)/0.02)
	}
	return toLevel(out, level)
}

// coughs is a fit of three, with a breath between.
func coughs(seed uint64, level float64) []int16 {
	r := rand.New(rand.NewPCG(seed, 6))
	var out []int16
	for k := range uint64(3) {
		out = append(out, cough(seed+100*k, level)...)
		out = append(out, make([]int16, seconds(0.15+0.2*r.Float64()))...)
	}
	return out
}

// keyboard is somebody typing: each stroke has a click, a thud and the key
// coming back.
func keyboard(seed uint64, length, level float64) []int16 {
	r := rand.New(rand.NewPCG(seed, 4))
	out := make([]float64, seconds(length))
	click := filtered(r, len(out), 3500, 3000)
	thud := filtered(r, len(out), 400, 300)
	for at := 0.02; at < length-0.2; at += 0.07 + 0.15*r.Float64() {
		from, force := seconds(at), 0.5+r.Float64()
		back := seconds(0.05 + 0.04*r.Float64())
		for i := range seconds(0.15) {
			x := float64(i) / 48000
			v := click[from+i]*math.Exp(-x/0.004) + thud[from+i]*math.Exp(-x/0.012)
			if i >= back {
				v += 0.5 * click[from+i] * math.Exp(-(x-float64(back)/48000)/0.004)
			}
			out[from+i] += force * v
		}
	}
	return toLevel(out, level)
}

// desk is somebody typing fast on a board that rings on two tones.
func desk(seed uint64, length, level float64) []int16 {
	r := rand.New(rand.NewPCG(seed, 7))
	n := seconds(length)
	click := filtered(r, n, 3500, 3000)
	strokes := make([]float64, n)
	for at := 0.02; at < length-0.2; at += 0.06 + 0.08*r.Float64() {
		strokes[seconds(at)] = 0.5 + r.Float64()
	}
	struck := func(i int) float64 { return strokes[i] }
	low := through(n, 120+130*r.Float64(), 25, struck)
	high := through(n, 300+300*r.Float64(), 40, struck)
	for _, sound := range [][]float64{click, low, high} {
		even(sound)
	}
	out, force := make([]float64, n), 0.0
	for i := range out {
		force = max(force*math.Exp(-1/0.004/48000), strokes[i])
		out[i] = 2*force*click[i] + low[i] + high[i]
	}
	return toLevel(out, level)
}

// even scales sound to a mean square of 1.
func even(sound []float64) {
	sum := 0.0
	for _, v := range sound {
		sum += v * v
	}
	g := math.Sqrt(float64(len(sound)) / sum)
	for i := range sound {
		sound[i] *= g
	}
}

// door is a slam with its room.
func door(seed uint64, level float64) []int16 {
	r := rand.New(rand.NewPCG(seed, 5))
	out := filtered(r, seconds(0.5), 120, 200)
	for i := range out {
		out[i] *= math.Exp(-float64(i) / 48000 / 0.07)
	}
	return toLevel(out, level)
}

// over adds sounds; the longest gives the length.
func over(sounds ...[]int16) []int16 {
	var out []int16
	for _, s := range sounds {
		for len(out) < len(s) {
			out = append(out, 0)
		}
		for i, v := range s {
			out[i] = int16(max(-32768, min(32767, int(out[i])+int(v))))
		}
	}
	return out
}

// after puts sound behind so much silence.
func after(length float64, sound []int16) []int16 {
	return append(make([]int16, seconds(length)), sound...)
}

// again repeats sound up to a length.
func again(sound []int16, length float64) []int16 {
	out := make([]int16, 0, seconds(length)+len(sound))
	for len(out) < seconds(length) {
		out = append(out, sound...)
	}
	return out[:seconds(length)]
}

// play gives strips their sounds tick by tick, silence behind their ends.
func play(b *Bus, ticks int, sounds map[*Strip][]int16, each func(tick int)) {
	for tick := range ticks {
		for s, sound := range sounds {
			clear(s.PCM)
			if at := tick * b.n; at < len(sound) {
				copy(s.PCM, sound[at:])
			}
			s.Silent = Level(s.PCM) == Silence
		}
		b.Step()
		each(tick)
	}
}

var voices = []struct{ name, text string }{
	{"en-us", "Good morning everybody, shall we begin with the first point of the agenda?"},
	{"en-gb+f2", "I have a question about the budget, because the numbers do not add up."},
	{"en-us+m7", "Well, actually, that is not what we agreed on last week."},
	{"en-gb-scotland+f4", "Could you please share the document with the rest of us?"},
	{"de", "Guten Morgen zusammen, ich möchte kurz etwas dazu sagen."},
	{"fr+f3", "Bonjour à tous, je voudrais ajouter quelque chose à ce sujet."},
	{"es+m3", "Buenos días, creo que deberíamos hablar de los plazos."},
	{"it+f5", "Scusate, posso dire una cosa prima di andare avanti?"},
}

func everybody(t testing.TB) [][]int16 {
	var out [][]int16
	for _, v := range voices {
		out = append(out, speech(t, v.name, v.text, 0))
	}
	return out
}
