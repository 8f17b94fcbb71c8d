package congestion

import (
	"testing"
	"time"
)

// defaultRungs is a ladder for talking heads. A packet of a picture stands before sound in the
// link for as long as it takes: the less rate, the smaller they are. What has layers depends on the codec.
func defaultRungs(layers []float64) Rungs {
	tier := func(name string, fps float64, bitrate, payload int) Tier {
		t := Tier{Name: name, FPS: fps, Bitrate: bitrate, Payload: payload}
		if fps >= 5 {
			t.Layers = layers
		}
		return t
	}
	return Rungs{
		Tiers: []Tier{
			tier("720p", 25, 1_500_000, 1160),
			tier("540p", 25, 700_000, 1160),
			tier("360p", 15, 300_000, 1160),
			tier("270p", 15, 150_000, 800),
			tier("240p", 10, 75_000, 560),
			tier("180p", 6, 38_000, 400),
			tier("slides", 1.5, 11_000, 200),
		},
		Tones: []Tone{
			{32_000, 20 * time.Millisecond},
			{16_000, 40 * time.Millisecond},
			{12_000, 40 * time.Millisecond},
			{11_000, 60 * time.Millisecond},
		},
		FECLoss: []float64{0, 0.1, 0.2},
	}
}

// climb steps a ladder at a rate from one moment to another.
func climb(l *Ladder, rate int, loss float64, from, to time.Duration) Choice {
	for now := from; now < to; now += stepEvery {
		l.Step(Estimate{Rate: rate, Loss: loss, Known: true}, 0, moment(now))
	}
	return l.Choice()
}

func tierName(l *Ladder) string { return name(l.Choice().Tier) }

// TestRungs: what each rate gives; sound is never more than fits.
func TestRungs(t *testing.T) {
	for _, c := range []struct {
		rate int
		tier string
		tone time.Duration
	}{
		{2_500_000, "720p", 20 * ms}, {1_000_000, "540p", 20 * ms}, {500_000, "360p", 20 * ms},
		{290_000, "270p", 20 * ms}, {95_000, "180p", 40 * ms}, {86_000, "180p", 40 * ms}, {47_000, "slides", 40 * ms}, {43_000, "slides", 60 * ms},
		{29_000, "none", 60 * ms}, {10_000, "none", 60 * ms},
	} {
		l := NewLadder(defaultRungs(nil))
		got := climb(l, c.rate, 0, 0, 20*time.Second)
		if tierName(l) != c.tier || l.rungs.Tones[got.Tone].Packet != c.tone {
			t.Errorf("%d bit/s: %s with sound of %v, want %s, %v", c.rate, tierName(l), l.rungs.Tones[got.Tone].Packet, c.tier, c.tone)
		}
		if total := l.wire(got.Tier, 0, got.Tone, 0); total > c.rate && c.rate > 20_000 {
			t.Errorf("%d bit/s: takes %d", c.rate, total)
		}
	}
}

// TestDown: within a second, at once by layers where there are some.
func TestDown(t *testing.T) {
	l := NewLadder(defaultRungs(vp8))
	climb(l, 1_000_000, 0, 0, 20*time.Second)
	c := climb(l, 650_000, 0, 20*time.Second, 20*time.Second+stepEvery)
	if tierName(l) != "540p" || c.Layer != 1 {
		t.Fatalf("%s, layer %d at once", tierName(l), c.Layer)
	}
	climb(l, 650_000, 0, 20*time.Second+stepEvery, 27*time.Second)
	if tierName(l) != "360p" {
		t.Fatalf("%s after 7 s on fewer layers", tierName(l))
	}
	climb(l, 140_000, 0, 27*time.Second, 27900*ms)
	if tierName(l) != "240p" {
		t.Fatalf("%s within 0.9 s of a drop to 140 kbit/s", tierName(l))
	}
}

// TestLastTier: a moment of less costs the last pictures a while, not themselves;
// a link that carries sound alone has none soon.
func TestLastTier(t *testing.T) {
	l := NewLadder(defaultRungs(nil))
	climb(l, 48_000, 0, 0, 10*time.Second)
	climb(l, 32_000, 0, 10*time.Second, 13*time.Second)
	if tierName(l) != "slides" {
		t.Fatalf("%s after 3 s of a little too little", tierName(l))
	}
	climb(l, 32_000, 0, 13*time.Second, 15*time.Second)
	if tierName(l) != "none" {
		t.Fatalf("%s after 5 s of too little", tierName(l))
	}
	climb(l, 48_000, 0, 15*time.Second, 60*time.Second)
	climb(l, 20_000, 0, 60*time.Second, 60900*ms)
	if tierName(l) != "none" {
		t.Fatalf("%s within 0.9 s of a drop to 20 kbit/s", tierName(l))
	}
}

// TestFailedRise: a rung that had to be left is tried ever more seldom.
func TestFailedRise(t *testing.T) {
	l := NewLadder(defaultRungs(nil))
	climb(l, 300_000, 0, 0, 10*time.Second)
	climb(l, 100_000, 0, 10*time.Second, 20*time.Second)
	rises, on := 0, false
	for now := 20 * time.Second; now < 140*time.Second; now += stepEvery {
		// The better rung never carries: the rate falls half a second after each rise.
		rate := 300_000
		if on {
			rate = 100_000
		}
		before := l.Choice().Tier
		c := l.Step(Estimate{Rate: rate, Known: true}, 0, moment(now))
		if c.Tier < before {
			rises++
		}
		on = name(c.Tier) == "270p"
	}
	if rises < 3 || rises > 8 {
		t.Fatalf("%d rises in two minutes", rises)
	}
}

// TestBound: a forced tier is the best one given, and the low-data bound holds all together.
func TestBound(t *testing.T) {
	l := NewLadder(defaultRungs(nil))
	l.Bound(index("360p"), 0)
	climb(l, 2_500_000, 0, 0, 10*time.Second)
	if tierName(l) != "360p" {
		t.Fatalf("%s though 360p is the best", tierName(l))
	}
	l.Bound(index("180p"), 0)
	climb(l, 2_500_000, 0, 10*time.Second, 10*time.Second+stepEvery)
	if tierName(l) != "180p" {
		t.Fatalf("%s though 180p is the best", tierName(l))
	}
	if l.Useful(Estimate{Rate: 500_000}) != 0 {
		t.Fatal("probes for what may not be given")
	}
	l = NewLadder(defaultRungs(nil))
	l.Bound(0, 100_000)
	c := climb(l, 2_500_000, 0, 0, 20*time.Second)
	if got := l.wire(c.Tier, 0, c.Tone, 0); got > 100_000 || tierName(l) != "180p" {
		t.Fatalf("%s takes %d of 100000", tierName(l), got)
	}
}

// TestLossy: over 5 % of loss the twin and sound made for loss, and back late.
func TestLossy(t *testing.T) {
	l := NewLadder(defaultRungs(nil))
	if c := climb(l, 1_000_000, 0.005, 0, 5*time.Second); c.Lossy || c.FEC != 0 {
		t.Fatalf("%+v at 0.5 %%", c)
	}
	if c := climb(l, 1_000_000, 0.02, 5*time.Second, 10*time.Second); c.Lossy || c.FEC != 0.1 {
		t.Fatalf("%+v at 2 %%", c)
	}
	if c := climb(l, 1_000_000, 0.2, 10*time.Second, 12*time.Second); !c.Lossy || c.FEC != 0.2 {
		t.Fatalf("%+v at 20 %%", c)
	}
	if c := climb(l, 1_000_000, 0.04, 12*time.Second, 30*time.Second); !c.Lossy || c.FEC != 0.2 {
		t.Fatalf("%+v at 4 %% after 20 %%", c)
	}
	if c := climb(l, 1_000_000, 0.02, 30*time.Second, 40*time.Second); c.Lossy || c.FEC != 0.1 {
		t.Fatalf("%+v at 2 %% after 20 %%", c)
	}
	if c := climb(l, 1_000_000, 0, 40*time.Second, 50*time.Second); c.Lossy || c.FEC != 0 {
		t.Fatalf("%+v at 0", c)
	}
}

// TestMendedSound: where some is lost sound takes more of the pictures' rate, to be of a kind that is repaired.
func TestMendedSound(t *testing.T) {
	for loss, tone := range map[float64]int{0: 2, 0.02: 1} {
		if c := climb(NewLadder(defaultRungs(nil)), 90_000, loss, 0, 20*time.Second); c.Tone != tone || c.Tier != 5 {
			t.Errorf("%+v at a loss of %v", c, loss)
		}
	}
}

func TestWire(t *testing.T) {
	if got := (Tone{16_000, 20 * ms}).Wire(); got != 41_600 {
		t.Errorf("16 kbit/s in 20 ms: %d", got)
	}
	if got := (Tone{16_000, 60 * ms}).Wire(); got != 24_533 {
		t.Errorf("16 kbit/s in 60 ms: %d", got)
	}
}

// TestSinking: sound is the least there is at once while a queue stands that came of a fall,
// and soon what the link carries again.
func TestSinking(t *testing.T) {
	l := NewLadder(defaultRungs(nil))
	now := time.Duration(0)
	step := func(e Estimate, length time.Duration) (c Choice) {
		for end := now + length; now < end; now += 50 * ms {
			c = l.Step(e, 0, moment(now))
		}
		return c
	}
	good := Estimate{Rate: 900_000, Pace: 900_000, Known: true}
	if c := step(good, 10*time.Second); c.Tone != 0 {
		t.Fatalf("%+v on a good link", c)
	}
	sinking := good
	sinking.Sinking = true
	if c := step(sinking, 50*ms); c.Tone != len(l.rungs.Tones)-1 {
		t.Fatalf("%+v while a queue stands", c)
	}
	if c := step(good, 700*ms); c.Tone != 0 {
		t.Fatalf("%+v after it", c)
	}
}
