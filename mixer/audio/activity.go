package audio

import "math"

// The three lengths on which Volfin and Cohen look at a voice. Each one counts
// what was active on the one before.
const (
	subUnits = 8 // of 2.5 ms in a tick

	shortTicks = 5 // 100 ms of sub-units: is there sound now
	shortCount = shortTicks * subUnits
	mediumTick = 2 // loud sub-units that make an active tick

	mediumTicks = 15 // 300 ms of ticks: a syllable or more, not a click
	mediumBlock = 6  // active ticks that make an active block

	longTicks = 30 // 600 ms of blocks: a phrase, not a cough
)

// A loud sub-unit is so far above the noise, dB, and no further below what was
// lately loudest: a syllable is, a click's echo is not.
const (
	loudAbove = 5.0
	loudRange = 20.0
)

// voicedShare is how many ticks of the medium length each voiced one among them
// vouches for. Where people speak, about every third tick is voiced or more; where
// they type, hardly one, however loud.
const voicedShare = 3

// A strip shows as speaking from so many active ticks of the medium length, and
// until there are fewer than these.
const (
	talkingFrom = 8
	talkingTo   = 3
)

// activity is what one strip's sound was like lately.
type activity struct {
	loud   [shortTicks]uint8 // loud sub-units of each tick
	medium uint32            // a bit for each tick, newest lowest
	voiced uint32
	long   uint32
	at     int
	talks  bool // this is a voice and no click
}

// listen takes the loud sub-units of one tick, and whether it is voiced.
func (a *activity) listen(loud int, voiced bool) {
	a.loud[a.at%shortTicks] = uint8(loud)
	a.at++
	a.medium = a.medium<<1&(1<<mediumTicks-1) | bit(voiced || loud >= mediumTick)
	a.voiced = a.voiced<<1&(1<<mediumTicks-1) | bit(voiced)
	n := a.ticks()
	a.long = a.long<<1&(1<<longTicks-1) | bit(n >= mediumBlock)
	if a.talks {
		a.talks = n >= talkingTo
	} else {
		a.talks = n >= talkingFrom
	}
}

// ticks is how many of the medium length are active, as far as they are vouched for.
func (a *activity) ticks() int { return min(ones(a.medium), voicedShare*ones(a.voiced)) }

// counts returns the active sub-units, ticks and blocks.
func (a *activity) counts() (short, medium, long int) {
	for _, v := range a.loud {
		short += int(v)
	}
	return short, a.ticks(), ones(a.long)
}

// forget takes back what was counted: it was noise.
func (a *activity) forget() { *a = activity{} }

// score says how much likelier speech is than its absence when active of n
// sub-units are active: the logarithm of a binomial distribution's likelihood
// (each sub-unit of speech is active with probability p) over that of an
// exponential one with parameter lambda (equation 8 of Volfin and Cohen).
func score(active, n int, p, lambda float64) float64 {
	choose, _ := math.Lgamma(float64(n + 1))
	a, _ := math.Lgamma(float64(active + 1))
	b, _ := math.Lgamma(float64(n - active + 1))
	likely := choose - a - b + float64(active)*math.Log(p) + float64(n-active)*math.Log(1-p)
	return likely - math.Log(lambda) + lambda*float64(active)
}

// scores tabulates the score of each count from 0 to n, none below that of
// quiet active ones: a silent holder must be beaten by that much, so that what
// is too short to be speech takes no floor.
func scores(n, quiet int, p, lambda float64) []float64 {
	table := make([]float64, n+1)
	for i := range table {
		table[i] = math.Log(score(max(i, quiet), n, p, lambda))
	}
	return table
}
