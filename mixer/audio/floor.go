package audio

import (
	"math"
	"slices"
)

// A noise floor is followed between these levels. The upper one keeps loud
// steady sound, a tone or music, from being taken for noise.
const (
	floorLowest  = -80.0
	floorHighest = -40.0
	floorFall    = 0.2 // of the way, a tick
	// floorSpread is the standard deviation of the level of steady noise at most,
	// dB. Speech moves by more from one syllable to the next.
	floorSpread = 1.5
)

const (
	steadyTicks = 15 // that sound must be steady to be noise: 300 ms
	steadyPart  = 9  // of them, the lowest: steps and strokes do not count
	lowBlocks   = 10 // of steadyTicks, whose lowest level is noise: 3 s
)

// floor follows the level of a sender's noise, which is what is there when
// nobody speaks. It falls at once. It rises in two ways: to what was steady for
// steadyTicks but for what stood out, and, for noise that sways, to the minimum of lowBlocks, within
// which speech always pauses (minimum statistics, after Martin 2001).
type floor struct {
	level  float64 // dBov
	recent [steadyTicks]float64
	lows   [lowBlocks]float64
	at     int // ticks heard
}

func newFloor() floor {
	f := floor{level: floorLowest}
	for i := range f.recent {
		f.recent[i] = Silence
	}
	for i := range f.lows {
		f.lows[i] = Silence
	}
	return f
}

// listen takes one tick's level. Digital silence is no noise: the sender or
// its codec has stopped sending, and tells nothing.
func (f *floor) listen(level float64) {
	if level <= Silence {
		return
	}
	f.recent[f.at%steadyTicks] = level
	f.at++
	sorted := f.recent
	slices.Sort(sorted[:])
	low, sum, squares := sorted[0], 0.0, 0.0
	for _, v := range sorted[:steadyPart] {
		sum += v
		squares += v * v
	}
	mean := sum / steadyPart
	if f.at%steadyTicks == 0 {
		f.lows[f.at/steadyTicks%lowBlocks] = low
	}
	if level < f.level {
		f.level = max(f.level+(level-f.level)*floorFall, floorLowest)
		return
	}
	rise := math.Inf(1)
	for _, v := range f.lows {
		rise = min(rise, v)
	}
	rise += floorSpread // noise is above its minimum
	if squares/steadyPart-mean*mean <= floorSpread*floorSpread {
		rise = mean
	}
	f.level = max(f.level, min(rise, floorHighest))
}

// threshold is the level from which sound over this noise is a voice, dBov.
func (f *floor) threshold(cfg Config) float64 { return max(cfg.Threshold, f.level+cfg.NoiseAbove) }
