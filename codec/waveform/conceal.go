package waveform

import "mixdown/codec"

const (
	// A voice has a pitch of 66 Hz and more; its period is looked for in what was
	// heard last, in steps of an eighth of a millisecond first (G.711, appendix I,
	// section 2.1).
	heardFor  = 60 // ms kept
	minPeriod = 5  // ms
	maxPeriod = 15
	matchFor  = 20 // ms compared
	joinFor   = 4  // ms in which what is made up gives way to what comes

	fadeAfter = 20 // ms that are made up at full level
	fadeEnd   = 120
)

// concealer hides losses: it repeats the last period of what was heard. What
// came is not held back for it, so that the first join depends on the match.
type concealer struct {
	channels int
	ms       int     // samples per channel in a millisecond
	past     []int16 // the last heardFor, interleaved
	cycle    []int16 // that is being repeated; empty: nothing is
	at       int     // samples per channel made up so far
	join     []int16
}

func newConcealer(f codec.AudioFormat) *concealer {
	ms := f.Rate / 1000
	return &concealer{channels: f.Channels, ms: ms, past: make([]int16, heardFor*ms*f.Channels)}
}

// heard takes what was decoded. Behind a loss, its beginning is changed.
func (c *concealer) heard(pcm []int16) {
	if len(c.cycle) > 0 {
		n := min(joinFor*c.ms, len(pcm)/c.channels)
		c.join = append(c.join[:0], make([]int16, n*c.channels)...)
		c.fill(c.join)
		for i := range c.join {
			k := i / c.channels
			pcm[i] = int16((int(pcm[i])*k + int(c.join[i])*(n-k)) / n)
		}
		c.cycle = c.cycle[:0]
	}
	if len(pcm) >= len(c.past) {
		copy(c.past, pcm[len(pcm)-len(c.past):])
		return
	}
	copy(c.past, c.past[len(pcm):])
	copy(c.past[len(c.past)-len(pcm):], pcm)
}

// fill makes sound up, quieter the longer it lasts.
func (c *concealer) fill(pcm []int16) {
	if len(c.cycle) == 0 {
		c.begin()
	}
	full, end := fadeAfter*c.ms, fadeEnd*c.ms
	for i := 0; i < len(pcm); i += c.channels {
		if c.at >= end {
			clear(pcm[i:])
			return
		}
		k := c.at * c.channels % len(c.cycle)
		for ch := range c.channels {
			v := int(c.cycle[k+ch])
			if c.at > full {
				v = v * (end - c.at) / (end - full)
			}
			pcm[i+ch] = int16(v)
		}
		c.at++
	}
}

// begin finds what to repeat.
func (c *concealer) begin() {
	period := c.period()
	n := period * c.channels
	c.cycle = append(c.cycle[:0], c.past[len(c.past)-n:]...)
	// Its end is drawn over to what was before its beginning, so that it closes.
	q := period / 4
	for i := range q * c.channels {
		k := i / c.channels
		at := n - q*c.channels + i
		before := int(c.past[len(c.past)-n-q*c.channels+i])
		c.cycle[at] = int16((int(c.cycle[at])*(q-k) + before*k) / q)
	}
	c.at = 0
}

// period returns after how many samples what was heard last is most like itself.
func (c *concealer) period() int {
	step := max(c.ms/8, 1)
	best := c.search(minPeriod*c.ms, maxPeriod*c.ms, step)
	return c.search(max(best-step, minPeriod*c.ms), min(best+step, maxPeriod*c.ms), 1)
}

func (c *concealer) search(from, to, by int) int {
	const coarse = 8 // compared samples a millisecond
	skip := max(c.ms/coarse, 1) * c.channels
	last := c.past[len(c.past)-matchFor*c.ms*c.channels:]
	best, top := from, -1.0
	for lag := from; lag <= to; lag += by {
		former := c.past[len(c.past)-(matchFor*c.ms+lag)*c.channels:]
		var cross, energy float64
		for i := 0; i < len(last); i += skip {
			a, b := float64(last[i]), float64(former[i])
			cross += a * b
			energy += b * b
		}
		if score := cross * max(cross, 0) / (energy + 1); score > top {
			best, top = lag, score
		}
	}
	return best
}
