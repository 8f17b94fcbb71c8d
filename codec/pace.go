package codec

import (
	"fmt"
	"time"
)

// VideoClock is the RTP clock of all codecs of pictures, Hz, and the time base of
// their encoders.
const VideoClock = 90_000

// Pace is what a video encoder keeps of the times of its pictures.
type Pace struct {
	Interval int // pictures from one keyframe to the next, at most; 0: no bound

	least int64 // time that the next one may have
	since int   // pictures since the last keyframe, with it
}

// Next returns a picture's time on the VideoClock, which must be later than the
// last one's, and whether it is to be a keyframe: because that is asked for, or due.
func (p *Pace) Next(pts time.Duration, asked bool) (ticks int64, key bool, err error) {
	ticks = int64(pts) * (VideoClock / 10_000) / int64(time.Second/10_000)
	if ticks < p.least {
		return 0, false, fmt.Errorf("time %v does not grow", pts)
	}
	p.least = ticks + 1
	return ticks, asked || p.Interval > 0 && p.since >= p.Interval, nil
}

// Coded notes that the picture was coded, and whether as a keyframe.
func (p *Pace) Coded(key bool) {
	if p.since++; key {
		p.since = 1
	}
}
