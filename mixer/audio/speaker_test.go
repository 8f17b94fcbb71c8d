package audio

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Who speaks is found whatever noise is behind the voice, soon after the
// holder stopped.
func TestSpeakerIsFound(t *testing.T) {
	voice := everybody(t)
	const limit = 600 * time.Millisecond
	var table strings.Builder
	for _, noise := range []struct {
		name  string
		sound []int16
		late  int // of the voices may take longer than limit
		most  time.Duration
	}{
		{"quiet", nil, 0, limit},
		{"fan -60", fan(1, 8, -60), 0, limit},
		{"fan -50", fan(2, 8, -50), 0, limit},
		{"fan -45", fan(3, 8, -45), 1, 800 * time.Millisecond},
		{"hum -45", hum(4, 8, -45), 1, 800 * time.Millisecond},
		{"keyboard -40", keyboard(5, 8, -40), 0, limit},
	} {
		fmt.Fprintf(&table, "%-13s", noise.name)
		late := 0
		for i := range voice {
			b := NewBus(Config{})
			holder, s := b.Add(), b.Add()
			var found time.Duration
			sounds := map[*Strip][]int16{
				holder: voice[(i+1)%len(voice)][:seconds(2.4)],
				s:      over(noise.sound, after(3, voice[i])),
			}
			play(b, 300, sounds, func(tick int) {
				if tick == 149 && b.Speaker() != holder {
					t.Errorf("%s: %s was not found", noise.name, voices[(i+1)%len(voice)].name)
				}
				if found == 0 && tick >= 150 && b.Speaker() == s {
					found = time.Duration(tick-149) * Tick
				}
			})
			fmt.Fprintf(&table, "%5d", found.Milliseconds())
			if found == 0 || found > noise.most {
				t.Errorf("%s: %s is found after %v, want %v at most", noise.name, voices[i].name, found, noise.most)
			}
			if found > limit {
				late++
			}
		}
		if late > noise.late {
			t.Errorf("%s: %d voices are found later than %v, want %d at most", noise.name, late, limit, noise.late)
		}
		table.WriteString("\n")
	}
	t.Logf("ms from the first sound to the floor, the holder silent, for each voice:\n%s", &table)
}

// What is no speech takes no floor, be the holder talking, in a pause, or not
// there at all. The confusion table counts the trials in which it did.
func TestNoiseTakesNoFloor(t *testing.T) {
	voice := everybody(t)
	const trials = 12
	rooms := []string{"holder talks", "holder pauses", "nobody spoke"}
	var table strings.Builder
	fmt.Fprintf(&table, "%-16s%16s%16s%16s%16s\n", "took the floor", rooms[0], rooms[1], rooms[2], "shown speaking")
	for _, kind := range []struct {
		name   string
		most   int // trials
		speech bool
		sound  func(seed uint64) []int16
	}{
		{"cough -25", 0, false, func(seed uint64) []int16 { return cough(seed, -25) }},
		{"cough -10", 0, false, func(seed uint64) []int16 { return cough(seed, -10) }},
		{"keyboard -35", 0, false, func(seed uint64) []int16 { return keyboard(seed, 5, -35) }},
		{"keyboard -20", 0, false, func(seed uint64) []int16 { return keyboard(seed, 5, -20) }},
		{"door -15", 0, false, func(seed uint64) []int16 { return door(seed, -15) }},
		{"fan -50", 0, false, func(seed uint64) []int16 { return fan(seed, 5, -50) }},
		{"fan -40", 0, false, func(seed uint64) []int16 { return fan(seed, 5, -40) }},
		{"hum -45", 0, false, func(seed uint64) []int16 { return hum(seed, 5, -45) }},
		// strokes from the first moment on hide the fan's steadiness for a while
		{"fan + keyboard", trials / 4, false, func(seed uint64) []int16 { return over(fan(seed, 5, -45), keyboard(seed, 5, -30)) }},
		{"speech", trials, true, func(seed uint64) []int16 { return voice[(seed+3)%8] }},
		{"speech + fan -45", trials, true, func(seed uint64) []int16 { return over(fan(seed, 6, -45), voice[(seed+3)%8]) }},
	} {
		fmt.Fprintf(&table, "%-16s", kind.name)
		shown := 0
		for room := range rooms {
			took := 0
			for seed := range uint64(trials) {
				b := NewBus(Config{})
				holder, s := b.Add(), b.Add()
				var hold []int16
				switch room {
				case 0:
					hold = again(voice[seed%8], 10)
				case 1:
					hold = voice[seed%8][:seconds(2.4)]
				}
				front, speaking := false, 0
				sounds := map[*Strip][]int16{holder: hold, s: after(3, kind.sound(seed))}
				play(b, 400, sounds, func(int) {
					front = front || b.Speaker() == s
					if s.Speaking {
						speaking++
					}
				})
				if front {
					took++
				}
				if speaking >= 25 {
					shown++
				}
			}
			fmt.Fprintf(&table, "%13d/%d", took, trials)
			switch {
			case !kind.speech && took > kind.most:
				t.Errorf("%s took the floor in %d of %d trials while %s", kind.name, took, trials, rooms[room])
			case kind.speech && room > 0 && took < kind.most:
				t.Errorf("%s took the floor in only %d of %d trials while %s", kind.name, took, trials, rooms[room])
			}
		}
		fmt.Fprintf(&table, "%13d/%d\n", shown, 3*trials)
	}
	t.Logf("\n%s", &table)
}

// Noise that stays is closed within seconds, and a voice over it opens in its
// first tick or the second.
func TestNoiseFloor(t *testing.T) {
	voice := everybody(t)
	for _, c := range []struct {
		name  string
		noise []int16
	}{
		{"fan -45", fan(1, 14, -45)},
		{"fan -55", fan(2, 14, -55)},
		{"fan -40", fan(3, 14, -40)},
		{"hum -45", hum(4, 14, -45)},
	} {
		for i := range voice {
			b := NewBus(Config{})
			s := b.Add()
			closed, opened := -1, -1
			play(b, 700, map[*Strip][]int16{s: over(c.noise, after(6, voice[i]))}, func(tick int) {
				switch {
				case tick < 300 && !s.Open && closed < 0:
					closed = tick
				case tick < 300 && s.Open:
					closed = -1
				case tick >= 300 && s.Open && opened < 0:
					opened = tick - 300
				case tick == 699 && s.Open:
					t.Errorf("%s: still open at the end", c.name)
				}
			})
			if closed < 0 || closed > 150 {
				t.Errorf("%s: closed in tick %d, want 3 s at most", c.name, closed)
			}
			if opened < 0 || opened > 3 {
				t.Errorf("%s: %s opens it after %d ticks", c.name, voices[i].name, opened)
			}
			if i == 0 {
				t.Logf("%s: closed after %d ms", c.name, closed*20)
			}
		}
	}
}

// Steady sound that is loud is somebody's music, not noise.
func TestLoudToneStaysOpen(t *testing.T) {
	b := NewBus(Config{})
	s := b.Add()
	music := &sine{freq: 440, amp: 3000}
	for tick := range 1000 {
		say(s, music)
		b.Step()
		if !s.Open {
			t.Fatalf("closed in tick %d", tick)
		}
	}
}

func TestScoresGrow(t *testing.T) {
	p := newSpeaker()
	for _, table := range [][]float64{p.short, p.medium, p.long} {
		for i := 1; i < len(table); i++ {
			if !(table[i] >= table[i-1]) {
				t.Errorf("score of %d is %v, of %d %v", i-1, table[i-1], i, table[i])
			}
		}
	}
}
