package main

import (
	"math"
	"time"

	"mixdown/cmd/mixdown/load"
)

// Picture is what somebody saw in a window of time. A source is somebody
// else's tile, told by its bar code; its age is that of what the tile shows.
type Picture struct {
	FPS           Figure `json:"fps"`            // pictures a second, whatever is in them
	LongestFreeze Figure `json:"longest_freeze"` // s between two pictures
	Frozen        Figure `json:"frozen"`         // share of the time between pictures more than freezeAfter apart
	AgeP50        Figure `json:"age_p50"`        // s, of all sources at all times
	AgeP95        Figure `json:"age_p95"`
	WorstAge      Figure `json:"worst_age"`   // s, the largest that any source came to
	Refresh       Figure `json:"refresh"`     // refreshes a second of a source, median of the sources
	RefreshMin    Figure `json:"refresh_min"` // of the source with the fewest
	SpeakerFPS    Figure `json:"speaker_fps"` // of the most refreshed of those who speak, median over turns
	LongestGap    Figure `json:"longest_gap"` // s, the longest that any source was not refreshed
	Unread        Figure `json:"unread"`      // share of the tiles looked at whose code could not be read
	Width         int    `json:"width"`       // at the end
	Height        int    `json:"height"`
}

// freezeAfter is the distance of two pictures that is a freeze.
const freezeAfter = 500.0 // ms

// window is a stretch of time, ms of the machine's clock.
type window struct{ from, to float64 }

func (w window) length() float64 { return w.to - w.from }

// shot is one picture as it was seen.
type shot struct {
	at            float64
	width, height int
	codes         []int // id*256 + index, -1 where none was read
}

func shots(raw [][]float64) []shot {
	out := make([]shot, 0, len(raw))
	for _, r := range raw {
		if len(r) < 3 {
			continue
		}
		s := shot{at: r[0], width: int(r[1]), height: int(r[2])}
		for _, c := range r[3:] {
			s.codes = append(s.codes, int(c))
		}
		out = append(out, s)
	}
	return out
}

// eye knows who can be seen, and when they drew what they show.
type eye struct {
	schedule load.Schedule
	sources  []int // ids that should be seen, without one's own
}

// drawn returns when the frame was drawn that shows a code at a time, ms.
func (e eye) drawn(id, index int, at float64) float64 {
	if id < e.schedule.First+e.schedule.Bots {
		now := time.UnixMicro(int64(at * 1000))
		return at - float64(e.schedule.Age(id, index, now).Microseconds())/1000
	}
	// Browsers draw when the frame's time has begun, all at once.
	interval, loop := 1000/float64(e.schedule.FPS), float64(e.schedule.Loop())
	n := math.Floor(at / interval)
	n -= math.Mod(n-float64(index)+loop, loop)
	return n * interval
}

// look sums up what was seen in a window.
func (e eye) look(all []shot, w window) Picture {
	p := Picture{}
	type refresh struct{ at, drawn float64 }
	seen := map[int][]refresh{}
	pictures, looked, unread := 0, 0, 0
	last, frozen, longest := w.from, 0.0, 0.0
	pause := func(until float64) {
		gap := until - last
		if longest = max(longest, gap); gap > freezeAfter {
			frozen += gap
		}
		last = until
	}
	for _, s := range all {
		if s.at >= w.to {
			break
		}
		if s.at >= w.from {
			pictures++
			pause(s.at)
		}
		p.Width, p.Height = s.width, s.height
		for _, c := range s.codes {
			if s.at >= w.from {
				looked++
			}
			if c < 0 {
				if s.at >= w.from {
					unread++
				}
				continue
			}
			id, drawn := c>>8, e.drawn(c>>8, c&255, s.at)
			if r := seen[id]; len(r) == 0 || drawn > r[len(r)-1].drawn+1 {
				seen[id] = append(r, refresh{s.at, drawn})
			}
		}
	}
	pause(w.to)
	seconds := w.length() / 1000
	p.FPS, p.LongestFreeze, p.Frozen = Figure(float64(pictures)/seconds), Figure(longest/1000), Figure(frozen/w.length())
	p.Unread = ratio(float64(unread), float64(looked))

	var ages, rates []float64
	worst, gap := 0.0, 0.0
	for _, id := range e.sources {
		r := seen[id]
		shown := w.from // never seen: as if fresh when the window began
		before, n, next := w.from, 0, 0
		for t := w.from; t < w.to; t += 20 {
			for ; next < len(r) && r[next].at <= t; next++ {
				if r[next].at >= w.from {
					worst = max(worst, r[next].at-shown)
					gap = max(gap, r[next].at-before)
					before = r[next].at
					n++
				}
				shown = r[next].drawn
			}
			ages = append(ages, (t-shown)/1000)
			worst = max(worst, t-shown)
		}
		gap = max(gap, w.to-before)
		rates = append(rates, float64(n)/seconds)
	}
	p.AgeP50, p.AgeP95, p.WorstAge = quantile(ages, 0.5), quantile(ages, 0.95), Figure(worst/1000)
	p.Refresh, p.RefreshMin, p.LongestGap = median(rates), quantile(rates, 0), Figure(gap/1000)

	// A turn counts from when its sound has come, roughly, to its end.
	var speakers []float64
	for slot := int64(w.from/1000/slotSeconds) + 1; float64(slot+1)*slotSeconds*1000 <= w.to; slot++ {
		from, to, most := float64(slot)*slotSeconds*1000+1500, float64(slot+1)*slotSeconds*1000, -1
		for _, id := range e.sources {
			if !e.schedule.Talks(id, slot) {
				continue
			}
			n := 0
			for _, r := range seen[id] {
				if r.at >= from && r.at < to {
					n++
				}
			}
			most = max(most, n)
		}
		if most >= 0 {
			speakers = append(speakers, float64(most)*1000/(to-from))
		}
	}
	p.SpeakerFPS = median(speakers)
	return p
}

// moving returns how many seconds after a moment pictures run again: from then
// on, for two seconds, no two are more than a freeze apart.
func moving(all []shot, from, end float64) Figure {
	const calm = 2000.0
	since, last := math.NaN(), math.Inf(-1)
	for _, s := range all {
		if s.at < from || s.at >= end {
			continue
		}
		if s.at-last > freezeAfter {
			since = s.at
		}
		if last = s.at; last-since >= calm {
			return Figure(max(0, since-from) / 1000)
		}
	}
	return none
}
