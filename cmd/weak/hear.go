package main

import (
	"math"

	"mixdown/cmd/mixdown/load"
)

// Sound is what somebody heard in a window of time.
type Sound struct {
	Concealed  Figure  `json:"concealed"`   // share of the samples that were made up and not silent (getStats)
	Turns      int     `json:"turns"`       // of somebody's tone that were to be heard
	Missed     int     `json:"missed"`      // of them, never heard
	DelayP50   Figure  `json:"delay_p50"`   // ms from mouth to ear
	DelayP95   Figure  `json:"delay_p95"`   // a turn that was not heard counts as its length
	LongestGap Figure  `json:"longest_gap"` // ms within a turn without its tone
	GapOf      float64 `json:"gap_of"`      // Hz, whose tone that was
	GapIn      float64 `json:"gap_in"`      // and the turn, ms of the machine's clock
	Gaps       Figure  `json:"gaps"`        // share of the turns' time without their tones
}

const (
	slotSeconds = 4
	audible     = -50.0 // dB of full scale, of a tone
	fallen      = 15.0  // dB below what it was: a gap
	halfFade    = 10.0  // ms until a bot's tone has half its amplitude
	searchFor   = 3000.0
	hopTime     = 10.0  // ms
	stopped     = 100.0 // ms between two hops: no sound at all came meanwhile
	wide        = 40.0  // ms that a hop's level is of
	tail        = 150.0 // ms before its end that a tone may end by stretching
)

// turn is when one tone is sounded at its source, ms of the machine's clock.
type turn struct{ from, to float64 }

// speaker is one source of sound.
type speaker struct {
	hz    float64
	turns func(w window) []turn
}

// botSpeaker is a bot of the schedule. A microphone would have heard what a
// packet holds in the 20 ms before it leaves.
func botSpeaker(s load.Schedule, id int) speaker {
	hz, from, until := s.Tone(id)
	return speaker{hz, func(w window) (out []turn) {
		for slot := int64(w.from / 1000 / slotSeconds); float64(slot*slotSeconds)*1000 < w.to; slot++ {
			if !s.Talks(id, slot) {
				continue
			}
			packet := float64(s.PacketTime(id, slot*slotSeconds*50).UnixMicro())/1000 - 20
			t := turn{packet + millis(from) + halfFade, packet + millis(until) - halfFade}
			if t.from >= w.from && t.to+1000 <= w.to {
				out = append(out, t)
			}
		}
		return out
	}}
}

// browserSpeaker is a page with e2e/page/weak.js, which speaks from 0.3 to 2.8 s
// of every other slot.
func browserSpeaker(hz float64, parity int64) speaker {
	return speaker{hz, func(w window) (out []turn) {
		for slot := int64(w.from / 1000 / slotSeconds); float64(slot*slotSeconds)*1000 < w.to; slot++ {
			at := float64(slot*slotSeconds) * 1000
			t := turn{at + 300 + halfFade, at + 2800 - halfFade}
			if slot%2 == parity && t.from >= w.from && t.to+1000 <= w.to {
				out = append(out, t)
			}
		}
		return out
	}}
}

// hop is the level of one tone in 40 ms around a time.
type hop struct{ at, level float64 }

// hops picks the i-th tone out of what a page heard.
func hops(raw [][]float64, i int) []hop {
	out := make([]hop, 0, len(raw))
	for _, r := range raw {
		if i+1 < len(r) {
			out = append(out, hop{r[0], r[i+1]})
		}
	}
	return out
}

// listen sums up how the speakers were heard in a window; sounds has the level of
// the i-th speaker's tone as its i-th value after the time.
func listen(sounds [][]float64, speakers []speaker, w window) Sound {
	s := Sound{Concealed: none}
	type heard struct {
		turn     turn
		hops     []hop
		hz       float64
		onset    float64
		level    float64
		audible  bool
		duration float64
	}
	var all []heard
	var delays []float64
	for i, who := range speakers {
		series := hops(sounds, i)
		for _, t := range who.turns(w) {
			h := heard{turn: t, hz: who.hz, duration: t.to - t.from}
			for _, x := range series {
				if x.at >= t.from-100 && x.at < t.to+searchFor {
					h.hops = append(h.hops, x)
				}
			}
			h.onset, h.level, h.audible = onset(h.hops)
			s.Turns++
			if !h.audible || h.onset-t.from > searchFor {
				h.audible = false
				s.Missed++
				delays = append(delays, h.duration)
			} else {
				delays = append(delays, h.onset-t.from)
			}
			all = append(all, h)
		}
	}
	s.DelayP50, s.DelayP95 = quantile(delays, 0.5), quantile(delays, 0.95)
	if s.Turns == 0 {
		s.LongestGap, s.Gaps = none, none
		return s
	}
	longest, missing, total := 0.0, 0.0, 0.0
	gap := func(ms float64, h heard) {
		if ms > longest {
			longest, s.GapOf, s.GapIn = ms, h.hz, h.turn.from
		}
	}
	for _, h := range all {
		total += h.duration
		if !h.audible {
			gap(h.duration, h)
			missing += h.duration
			continue
		}
		end := ended(h.hops, h.onset, h.onset+h.duration, h.level)
		l, m := gaps(h.hops, h.onset, max(h.turn.to+float64(s.DelayP50), end), h.level)
		// What its beginning is later than that of the others was not heard, as far as
		// the end is not later, too: what is whole was held back, which the delay tells.
		head := min(max(0, h.onset-h.turn.from-float64(s.DelayP50)), max(0, h.duration-(end-h.onset)-wide))
		gap(max(l, head), h)
		missing += m + head
	}
	s.LongestGap, s.Gaps = Figure(longest), Figure(missing/total)
	return s
}

// onset returns when a tone has half the amplitude that it then has, and its
// level in dB.
func onset(series []hop) (at, level float64, ok bool) {
	for i := 0; i+2 < len(series); i++ {
		if series[i].level < audible || series[i+1].level < audible || series[i+2].level < audible {
			continue
		}
		var then []float64
		for _, h := range series[i:] {
			if d := h.at - series[i].at; d >= 50 && d <= 350 {
				then = append(then, h.level)
			}
		}
		if len(then) == 0 {
			return 0, 0, false
		}
		level = float64(median(then))
		half := level - 20*math.Log10(2)
		for k := i; k < len(series); k++ {
			if series[k].level < half {
				continue
			}
			if k == 0 || series[k-1].level >= half {
				return series[k].at, level, true
			}
			a, b := series[k-1], series[k]
			return a.at + (b.at-a.at)*(half-a.level)/(b.level-a.level), level, true
		}
	}
	return 0, 0, false
}

// ended returns when a tone was last there between an onset and a time.
func ended(series []hop, onset, until, level float64) float64 {
	last := onset
	for _, h := range series {
		if h.at > onset && h.at <= until && h.level >= level-fallen {
			last = h.at
		}
	}
	return last
}

// gaps returns the longest time and the whole time between an onset and an end
// that the tone was not there. It counts hops, which follow each other in the
// sound; their times move by as much as the browser hands sound over unevenly.
func gaps(series []hop, from, to, level float64) (longest, sum float64) {
	run, before := 0.0, from
	count := func(least float64) {
		if run > least {
			longest, sum = max(longest, run), sum+run
		}
		run = 0
	}
	for _, h := range series {
		if h.at < from || h.at > to {
			continue
		}
		if d := h.at - before; d > stopped {
			run += d - hopTime
		}
		if before = h.at; h.level < level-fallen {
			run += hopTime
			continue
		}
		count(hopTime)
	}
	if d := to - before; d > stopped {
		run += d
	}
	count(tail)
	return longest, sum
}
