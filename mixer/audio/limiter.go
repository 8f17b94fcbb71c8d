package audio

import "math"

const (
	// ceiling is what the peaks that are looked at reach at most: -1.5 dBFS, so
	// that what lies between them stays under -1 dBTP.
	ceiling = 27571
	// releaseTime is how long a limiter takes to let go, to 1/e.
	releaseTime = 200 // ms
	// attackBlocks is how long the gain takes to come down before a peak, less one.
	attackBlocks = 2
	// blocks of a millisecond in a tick; the gain is a straight line within each.
	blocks = 20
	// delayBlocks is what every limiter delays the sound by: the attack, and a
	// block at either end for peaks that lie on a border.
	delayBlocks = attackBlocks + 2
)

// limiter brings a sum under the ceiling without ever clipping it. It looks
// ahead by delaying the sound: the gain of a peak is the lowest of the
// blocks it may touch, held for the attack, released slowly, and averaged over
// the attack, which makes it a smooth line that is low enough where the peak is.
// All limiters of a bus delay by the same.
type limiter struct {
	limiterState
	frame   int     // samples of a frame
	block   int     // samples of a block, all channels
	release float64 // share of the way to 1 in a block
	points  *interpolator

	line  []int32         // the delay and one tick behind it
	trace [blocks]float64 // held of each block of the last tick
}

// limiterState is a limiter's gains, 1 and less, newest last.
type limiterState struct {
	need [2]float64                // of the last blocks
	edge [attackBlocks]float64     // of the last borders, each with its neighbours
	held [attackBlocks + 1]float64 // released slowly
	gain float64                   // at the end of what was put out
}

// history is the blocks kept before a tick: the delay, and the taps of the
// interpolator at the lowest rate, where they are longer than a block.
const history = delayBlocks + 2

func newLimiter(cfg Config, points *interpolator) limiter {
	l := limiter{
		frame:   cfg.Channels,
		block:   cfg.Rate / 1000 * cfg.Channels,
		release: 1.0 / releaseTime,
		points:  points,
	}
	l.gain = 1
	for _, gains := range [][]float64{l.need[:], l.edge[:], l.held[:]} {
		for i := range gains {
			gains[i] = 1
		}
	}
	l.line = make([]int32, (history+blocks)*l.block)
	return l
}

// follow takes over the state of another limiter of the same bus, and the
// sound on its way through it.
func (l *limiter) follow(o *limiter) {
	l.limiterState = o.limiterState
	copy(l.line, o.line)
}

// run limits src into dst, later by delayBlocks. With lead, which has just run
// its own tick, the gain leads to lead's: where both had the same sound in the
// second half of the tick, both end in the same state.
func (l *limiter) run(dst []int16, src []int32, lead *limiter) {
	past := history * l.block
	copy(l.line[past:], src)
	for k := range blocks {
		// The peaks of a block are those from tpLate frames earlier.
		to := past + (k+1)*l.block
		peak := l.points.peak(l.line[to-l.block-(tpTaps-1)*l.frame:to], l.frame, ceiling)
		need := 1.0
		if peak > ceiling {
			need = ceiling / peak
		}
		from := to - (delayBlocks+1)*l.block
		l.step(k, need, lead)
		l.put(dst[k*l.block:(k+1)*l.block], l.line[from:from+l.block])
	}
	copy(l.line, l.line[len(src):])
}

// step moves the gains on by one block.
func (l *limiter) step(k int, need float64, lead *limiter) {
	edge := min(l.need[0], l.need[1], need)
	l.need = [2]float64{l.need[1], need}
	held := edge
	for _, v := range l.edge {
		held = min(held, v)
	}
	copy(l.edge[:], l.edge[1:])
	l.edge[attackBlocks-1] = edge
	last := l.held[attackBlocks]
	if lead != nil {
		left := max(1, blocks*3/5-k) // blocks until both are the same
		held = min(held, last+(lead.trace[k]-last)/float64(left))
	} else {
		held = min(held, last+(1-last)*l.release)
	}
	if held > 0.9999 {
		held = 1
	}
	copy(l.held[:], l.held[1:])
	l.held[attackBlocks] = held
	l.trace[k] = held
}

// put writes one block with the gain that follows from the held ones.
func (l *limiter) put(dst []int16, src []int32) {
	sum := 0.0
	for _, v := range l.held {
		sum += v
	}
	g, end := l.gain, sum/float64(len(l.held))
	l.gain = end
	if g == 1 && end == 1 {
		for i, v := range src {
			dst[i] = int16(v)
		}
		return
	}
	step := (end - g) / float64(len(src))
	for i, v := range src {
		g += step
		dst[i] = int16(math.Floor(float64(v)*g + 0.5))
	}
}
