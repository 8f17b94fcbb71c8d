package load

import "time"

// Tone says how a bot is told from all others by ear: the frequency of its
// tone, and the part of each of its slots that the tone fills.
func (s Schedule) Tone(id int) (hz float64, from, until time.Duration) {
	return toneHz(id), time.Duration(s.KeyOffset(id)) * time.Second / time.Duration(s.FPS), talkEnd * time.Second / soundRate
}
