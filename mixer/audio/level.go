package audio

import "math"

// Silence is the lowest level, which RFC 6464 gives to digital silence.
const Silence = -127.0

// Level is the RMS level of pcm in dBov, -127 to 0 as in RFC 6464: 0 is a
// full-scale square wave, a full-scale sine is at -3.
func Level(pcm []int16) float64 {
	var sum uint64
	for _, v := range pcm {
		sum += uint64(int32(v) * int32(v))
	}
	if sum == 0 {
		return Silence
	}
	db := 10 * math.Log10(float64(sum)/float64(len(pcm))/(1<<30))
	return max(Silence, min(0, db))
}
