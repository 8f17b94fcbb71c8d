package audio

import (
	"math"
	"time"
)

const (
	// levelTarget is the loudness that talkers are brought to, dBov of active
	// speech (what ITU-T P.56 measures; -26 is what networks are planned for).
	levelTarget = -26.0
	// levelMost bounds the gain either way, dB.
	levelMost = 12.0
	// levelNoise is what raising a talker may raise its noise to, dBov.
	levelNoise = -52.0
	// levelRate is how fast the gain moves, dB a tick: 3 dB a second.
	levelRate = 3.0 / 50
	// levelTime is over how much of a talker's speech the level is taken.
	levelTime = 2 * time.Second
	// levelStart is how much must be heard first.
	levelStart = 200 * time.Millisecond
)

// leveller brings one talker to the common loudness, by so little at a time
// that nobody hears it move. It listens only while somebody is talking, so that
// neither pauses nor noise turn it up.
type leveller struct {
	energy float64 // mean of active speech, full scale being 1
	ticks  int
	gain   float64 // dB
}

func (l *leveller) listen(level, noise float64) {
	const longest, first = int(levelTime / Tick), int(levelStart / Tick)
	l.ticks = min(l.ticks+1, longest)
	l.energy += (power(level) - l.energy) / float64(l.ticks)
	if l.ticks < first {
		return
	}
	want := levelTarget - 10*math.Log10(l.energy)
	want = min(want, max(0, levelNoise-noise))
	want = max(-levelMost, min(levelMost, want))
	l.gain += max(-levelRate, min(levelRate, want-l.gain))
}

const (
	// crowdSpare is how much louder than one talker many may be together, dB.
	crowdSpare = 0.5
	// crowdTime is how long a change in who talks takes to show, to 1/e.
	crowdTime = 300 * time.Millisecond
)

// crowd turns everybody down while several talk at once, as the operator of a
// mixing desk does: together they are no more than crowdSpare louder than the
// loudest of them. It is one gain for all, so that a sum without one of them
// is still that sum without one of them.
type crowd struct{ gain float64 }

func (c *crowd) listen(strips []*Strip) {
	sum, top := 0.0, 0.0
	for _, s := range strips {
		const share = float64(Tick) / float64(crowdTime)
		e := 0.0
		if s.Open && !s.Played {
			e = power(s.Level + s.level.gain)
		}
		s.loud += (e - s.loud) * share
		sum += s.loud
		top = max(top, s.loud)
	}
	c.gain = 1
	if spare := math.Pow(10, crowdSpare/10); sum > top*spare {
		c.gain = math.Sqrt(top * spare / sum)
	}
}
