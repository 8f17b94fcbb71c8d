package congestion

import (
	"math/rand/v2"
	"time"
)

// step is the rate of a link from a moment on, bit/s; 0 is an outage.
type step struct {
	from time.Duration
	rate float64
}

// hop is one direction of a virtual link: a bounded queue in front of a rate,
// then delay and jitter, then loss. All chance comes from its own seeded source.
type hop struct {
	steps   []step
	delay   time.Duration
	jitter  time.Duration // even, 0 to jitter
	reorder bool          // jitter may turn the order round
	queue   time.Duration // most of it at the present rate, and 3000 bytes at least
	loss    float64
	burst   float64 // mean length of a loss; 0: each on its own
	bucket  float64 // a policer instead of a queue: bytes that it lets through at once
	rng     *rand.Rand

	tokens  float64
	filled  time.Duration
	free    time.Duration // when the last packet has left
	waiting []leaving
	held    int // bytes in waiting
	bad     bool
	last    time.Duration // arrival of the last
}

type leaving struct {
	at   time.Duration
	size int
}

// fate of a packet in a hop.
type passage struct {
	arrives time.Duration
	queued  time.Duration // waited in the queue
	drop    bool          // no room in the queue
	lost    bool
}

func (h *hop) rate(at time.Duration) (rate float64, until time.Duration) {
	until = never
	for _, s := range h.steps {
		if s.from > at {
			return rate, s.from
		}
		rate = s.rate
	}
	return rate, until
}

// pass sends a packet in.
func (h *hop) pass(size int, now time.Duration) passage {
	for len(h.waiting) > 0 && h.waiting[0].at <= now {
		h.held -= h.waiting[0].size
		h.waiting = h.waiting[1:]
	}
	rate, _ := h.rate(now)
	if rate == 0 {
		return passage{lost: true}
	}
	if h.bucket > 0 {
		h.tokens = min(h.tokens+rate/8*(now-h.filled).Seconds(), h.bucket)
		h.filled = now
		if h.tokens < float64(size) {
			return passage{drop: true}
		}
		h.tokens -= float64(size)
		return passage{arrives: now + h.delay, lost: h.loses()}
	}
	limit := max(int(rate*h.queue.Seconds()/8), 3000)
	if h.held+size > limit {
		return passage{drop: true}
	}
	start := max(h.free, now)
	at, bits := start, float64(size)*8
	for {
		r, until := h.rate(at)
		if r > 0 {
			end := at + time.Duration(bits/r*float64(time.Second))
			if end <= until {
				at = end
				break
			}
			bits -= r * (until - at).Seconds()
		}
		at = until
	}
	h.free = at
	h.waiting = append(h.waiting, leaving{at, size})
	h.held += size
	p := passage{queued: start - now, lost: h.loses()}
	p.arrives = at + h.delay
	if h.jitter > 0 {
		p.arrives += time.Duration(h.rng.Int64N(int64(h.jitter)))
	}
	if !h.reorder {
		p.arrives = max(p.arrives, h.last)
		h.last = p.arrives
	}
	return p
}

func (h *hop) loses() bool {
	if h.loss == 0 {
		return false
	}
	if h.burst == 0 {
		return h.rng.Float64() < h.loss
	}
	// Gilbert: out of a burst with 1/length, into one so that the share comes out.
	if h.bad {
		h.bad = h.rng.Float64() >= 1/h.burst
	} else {
		h.bad = h.rng.Float64() < h.loss/(1-h.loss)/h.burst
	}
	return h.bad
}

// room stands for the room's encoders: every tier at its own rate, sizes
// that vary, a rate control that pays for a keyframe afterwards, at most one
// keyframe in 4 s.
type room struct {
	rungs Rungs
	rng   *rand.Rand
	tiers []encoder
	cur   int // -1: none
	next  int // -1: no move
}

type encoder struct {
	due     time.Duration
	n       int // pictures since the keyframe
	debt    float64
	lastKey time.Duration
	wantKey bool
}

// pkt is the packet of the virtual sender.
type pkt struct {
	size   int
	sound  bool
	forget bool   // before it, how late sound came
	seq    uint16 // of its stream, as it went out
	pic    *picture
	index  int
}

// picture is known to both ends.
type picture struct {
	Picture
	n     int // number in its stream
	at    time.Duration
	tier  int
	refs  *picture
	pkts  int
	got   int
	have  []bool
	good  bool
	shown time.Duration
}

func newRoom(r Rungs, rng *rand.Rand) *room {
	m := &room{rungs: r, rng: rng, tiers: make([]encoder, len(r.Tiers)), cur: -1, next: -1}
	for i := range m.tiers {
		m.tiers[i].due = time.Duration(rng.Float64() / r.Tiers[i].FPS * float64(time.Second))
		m.tiers[i].lastKey = -time.Duration(rng.Int64N(int64(4 * time.Second)))
	}
	return m
}

// want follows the ladder.
func (m *room) want(tier int) {
	switch {
	case tier < 0:
		m.cur, m.next = -1, -1
	case tier == m.cur:
		m.next = -1
	case tier != m.next:
		m.next = tier
		m.tiers[tier].wantKey = true
	}
}

// keyframe is a request of the client.
func (m *room) keyframe() {
	if m.next >= 0 {
		m.tiers[m.next].wantKey = true
	} else if m.cur >= 0 {
		m.tiers[m.cur].wantKey = true
	}
}

// pattern3 is libvpx's pattern of three layers.
var pattern3 = []uint8{0, 2, 1, 2}

// step makes the pictures that are due for the client.
func (m *room) step(now time.Duration, out func(tier int, p Picture, bytes int)) {
	for i := range m.tiers {
		e, t := &m.tiers[i], m.rungs.Tiers[i]
		if now < e.due {
			continue
		}
		e.due += time.Duration(float64(time.Second) / t.FPS)
		hold := 4 * time.Second
		if m.cur < 0 {
			hold = 300 * time.Millisecond
		}
		// Others listen too: sometimes one of them needs a keyframe.
		if m.rng.Float64() < 0.04/t.FPS {
			e.wantKey = true
		}
		key := e.wantKey && now-e.lastKey >= hold
		mean := float64(t.Bitrate) / 8 / t.FPS
		size := mean * (0.6 + 0.8*m.rng.Float64())
		temporal := uint8(0)
		if key {
			e.wantKey, e.lastKey, e.n = false, now, 0
			size = mean * (5 + 5*m.rng.Float64())
			if t.FPS <= 2 {
				size = mean * (2 + m.rng.Float64())
			}
		} else {
			pay := min(e.debt*0.15, size*0.5)
			size -= pay
			if len(t.Layers) == 3 {
				temporal = pattern3[e.n%4]
				size *= []float64{1.6, 0.8, 0.8}[temporal]
			}
		}
		e.debt += size - mean
		e.debt = max(e.debt, -mean*2)
		e.n++
		if i == m.next && key {
			m.cur, m.next = i, -1
		}
		if i == m.cur {
			out(i, Picture{Keyframe: key, Temporal: temporal, Stream: uint32(i + 1)}, int(size))
		}
	}
}
