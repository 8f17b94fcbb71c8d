package audio

import "math"

// Silence is the lowest level, which RFC 6464 gives to digital silence.
const Silence = -127.0

// Level is the RMS level of pcm in dBov, -127 to 0 as in RFC 6464: 0 is a
// full-scale square wave, a full-scale sine is at -3.
func Level(pcm []int16) float64 { return decibels(energy(pcm), len(pcm)) }

// levels returns the level of one tick, and those of its sub-units as energies
// per sample, full scale being 1.
func levels(pcm []int16, units *[subUnits]float64) float64 {
	sum, from := uint64(0), 0
	for i := range units {
		to := (i + 1) * len(pcm) / subUnits
		e := energy(pcm[from:to])
		units[i] = float64(e) / float64(to-from) / (1 << 30)
		sum += e
		from = to
	}
	return decibels(sum, len(pcm))
}

func energy(pcm []int16) uint64 {
	var sum uint64
	for _, v := range pcm {
		sum += uint64(int32(v) * int32(v))
	}
	return sum
}

func decibels(energy uint64, samples int) float64 {
	if energy == 0 {
		return Silence
	}
	db := 10 * math.Log10(float64(energy)/float64(samples)/(1<<30))
	return max(Silence, min(0, db))
}

// power is the energy per sample of a level.
func power(db float64) float64 { return math.Pow(10, db/10) }
