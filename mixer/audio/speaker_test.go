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
	t.Parallel()
	voice := everybody(t)
	const limit = 600 * time.Millisecond
	phases := 3 // of the voice's beginning in a tick
	if !thorough {
		phases = 1
	}
	var table strings.Builder
	for _, noise := range []struct {
		name  string
		sound func(seed uint64) []int16
	}{
		{"quiet", func(uint64) []int16 { return nil }},
		{"fan -60", func(seed uint64) []int16 { return fan(seed, 5, -60) }},
		{"fan -50", func(seed uint64) []int16 { return fan(seed, 5, -50) }},
		{"fan -45", func(seed uint64) []int16 { return fan(seed, 5, -45) }},
		{"hum -45", func(seed uint64) []int16 { return hum(seed, 5, -45) }},
		{"keyboard -40", func(seed uint64) []int16 { return keyboard(seed, 5, -40) }},
	} {
		fmt.Fprintf(&table, "%-13s", noise.name)
		behind := make([][]int16, phases)
		for seed := range behind {
			behind[seed] = noise.sound(uint64(seed))
		}
		for i := range voice {
			var slowest time.Duration
			for phase := range behind {
				b := NewBus(Config{})
				holder, s := b.Add(), b.Add()
				before := (i + 1 + phase) % len(voice)
				var found time.Duration
				sounds := map[*Strip][]int16{
					holder: voice[before][:seconds(2.4)],
					s:      over(behind[phase], after(3+0.0067*float64(phase), voice[i])),
				}
				play(b, 210, sounds, func(tick int) {
					if tick == 149 && b.Speaker() != holder {
						t.Errorf("%s: %s was not found", noise.name, voices[before].name)
					}
					if found == 0 && tick >= 150 && b.Speaker() == s {
						found = time.Duration(tick-149) * Tick
					}
				})
				if found == 0 || found > limit {
					t.Errorf("%s: %s is found after %v, want %v at most", noise.name, voices[i].name, found, limit)
				}
				slowest = max(slowest, found)
			}
			fmt.Fprintf(&table, "%5d", slowest.Milliseconds())
		}
		table.WriteString("\n")
	}
	t.Logf("ms from the first sound to the floor, the holder silent, for each voice the slowest:\n%s", &table)
}

// What is no speech takes no floor, be the holder talking, in a pause, or not
// there at all. The confusion table counts the trials in which it did.
func TestNoiseTakesNoFloor(t *testing.T) {
	t.Parallel()
	voice := everybody(t)
	trials := 12
	if !thorough {
		trials = 4
	}
	rooms := []string{"holder talks", "holder pauses", "nobody spoke"}
	var table strings.Builder
	fmt.Fprintf(&table, "%-16s%16s%16s%16s%16s\n", "took the floor", rooms[0], rooms[1], rooms[2], "shown speaking")
	for _, kind := range []struct {
		name   string
		most   int // trials, in each room
		shown  int // trials, in all rooms
		speech bool
		sound  func(seed uint64) []int16
	}{
		{"cough -25", 0, 0, false, func(seed uint64) []int16 { return cough(seed, -25) }},
		{"cough -10", 0, 0, false, func(seed uint64) []int16 { return cough(seed, -10) }},
		{"keyboard -35", 0, 0, false, func(seed uint64) []int16 { return keyboard(seed, 5, -35) }},
		{"keyboard -20", 0, 0, false, func(seed uint64) []int16 { return keyboard(seed, 5, -20) }},
		{"door -15", 0, 0, false, func(seed uint64) []int16 { return door(seed, -15) }},
		{"fan -50", 0, 0, false, func(seed uint64) []int16 { return fan(seed, 5, -50) }},
		{"fan -40", 0, 0, false, func(seed uint64) []int16 { return fan(seed, 5, -40) }},
		{"fan -30", 0, 0, false, func(seed uint64) []int16 { return fan(seed, 5, -30) }},
		{"hum -45", 0, 0, false, func(seed uint64) []int16 { return hum(seed, 5, -45) }},
		{"fan + keyboard", 0, 0, false, func(seed uint64) []int16 { return over(fan(seed, 5, -45), keyboard(seed, 5, -30)) }},
		// what is meant to deceive: tones that are struck, cords that sound again
		{"ringing desk -20", 1, 6, false, func(seed uint64) []int16 { return desk(seed, 5, -20) }},
		{"three coughs -20", 3, 18, false, func(seed uint64) []int16 { return coughs(seed, -20) }},
		{"speech", trials, 3 * trials, true, func(seed uint64) []int16 { return voice[(seed+3)%8] }},
		{"speech + fan -45", trials, 3 * trials, true, func(seed uint64) []int16 { return over(fan(seed, 6, -45), voice[(seed+3)%8]) }},
	} {
		fmt.Fprintf(&table, "%-16s", kind.name)
		sounds := make([][]int16, trials)
		for seed := range sounds {
			sounds[seed] = after(3, kind.sound(uint64(seed)))
		}
		shown := 0
		for room := range rooms {
			took := 0
			for seed, sound := range sounds {
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
				play(b, 400, map[*Strip][]int16{holder: hold, s: sound}, func(int) {
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
		switch {
		case !kind.speech && shown > kind.shown:
			t.Errorf("%s showed as speaking in %d of %d trials", kind.name, shown, 3*trials)
		case kind.speech && shown < kind.shown:
			t.Errorf("%s showed as speaking in only %d of %d trials", kind.name, shown, 3*trials)
		}
	}
	t.Logf("\n%s", &table)
}

// Noise that stays is closed within seconds, and a voice over it opens in its
// first tick or the second.
func TestNoiseFloor(t *testing.T) {
	t.Parallel()
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
