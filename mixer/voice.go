package mixer

import "time"

// VoiceStats are the figures of one sender's sound since it came.
type VoiceStats struct {
	Delay     time.Duration // between arrival and playing, now
	Target    time.Duration // what the delay is steered to
	Concealed time.Duration // sound made up for what did not come
	Stretched time.Duration // sound left out and put in to steer the delay
	Late      uint64        // packets that came after their time
	Estimated bool          // times of capture are, for want of sender reports
}

// VoiceMeter is a Voice that knows its figures. It may be asked from any
// goroutine.
type VoiceMeter interface {
	VoiceStats() VoiceStats
}
