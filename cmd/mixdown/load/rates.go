package load

import "time"

// Rate is the fewest pictures a second that any bot got for about a second, and the
// longest time without sound that ended, or lasted, in it.
type Rate struct {
	At    time.Time `json:"at"` // its end
	Least float64   `json:"least_fps"`
	Gap   int64     `json:"sound_gap_ms"`
}

// rates notes one Rate after the other, of the bots that were in all the time.
type rates struct {
	bots  []*Bot
	at    time.Time
	had   []uint64 // by bot
	in    []bool
	noted []Rate
}

func newRates(bots []*Bot, now time.Time) *rates {
	return &rates{bots: bots, at: now, had: make([]uint64, len(bots)), in: make([]bool, len(bots))}
}

// note ends a second. One in which nobody was in all the time has no rate.
func (r *rates) note(now time.Time) {
	passed := now.Sub(r.at).Seconds()
	r.at = now
	least, gap, some := 0.0, time.Duration(0), false
	for i, b := range r.bots {
		gap = max(gap, b.Audio.Gap(now))
		frames, in := b.Video.Counts(now).Frames, b.Status().In
		if in && r.in[i] && frames >= r.had[i] { // or its count began anew
			fps := float64(frames-r.had[i]) / passed
			if !some || fps < least {
				least, some = fps, true
			}
		}
		r.had[i], r.in[i] = frames, in
	}
	if some {
		r.noted = append(r.noted, Rate{now.UTC(), least, gap.Milliseconds()})
	}
}
