package load

import (
	"sync"
	"time"

	"github.com/pion/rtp"

	"mixdown/codec"
)

// lateAfter is the distance of two packets of sound that a listener may hear.
const lateAfter = 60 * time.Millisecond

// Counts is what has come in on one track.
type Counts struct {
	Packets   uint64 `json:"packets"`
	Bytes     uint64 `json:"bytes"`   // of RTP, headers included
	Lost      uint64 `json:"lost"`    // never came, repair included
	Repeats   uint64 `json:"repeats"` // came twice
	Frames    uint64 `json:"frames,omitempty"`
	Late      uint64 `json:"late,omitempty"` // packets of sound more than 60 ms after the one before
	Gaps      uint64 `json:"gaps"`           // holes in the sequence as packets came in
	GapMillis int64  `json:"longest_gap_ms"` // longest time between two frames, or packets of sound

	First, Last time.Time `json:"-"` // first frame's or packet's arrival, and the newest one's
}

// Receiver counts the packets of one kind that a bot gets, over all its
// sessions. It is safe for use by several goroutines.
type Receiver struct {
	kind codec.Kind

	mu     sync.Mutex
	counts Counts
	seen   window
	last   time.Time     // last frame or packet of sound, zero after a new session
	gap    time.Duration // the longest since Gap was last called
}

// window knows which of the last sequence numbers have come.
type window struct {
	started bool
	highest int64 // extended sequence number (RFC 3550, section 6.4.1)
	base    int64
	unique  int64
	bits    [64]uint64
}

const windowSize = 64 * 64

// take notes a sequence number. It returns by how much it moved the highest
// one on, 0 for an older one, and whether it came before.
func (w *window) take(seq uint16) (ahead int64, repeat bool) {
	if !w.started {
		*w = window{started: true, highest: int64(seq) - 1, base: int64(seq)}
	}
	n := w.highest + int64(int16(seq-uint16(w.highest)))
	if n <= w.highest-windowSize || n < w.base {
		return 0, true // too old to know: it was counted as lost
	}
	if ahead = max(0, n-w.highest); ahead > 0 {
		for k := max(w.highest+1, n-windowSize+1); k <= n; k++ {
			w.bits[k/64%64&63] &^= 1 << (k & 63)
		}
		w.highest = n
	}
	bit := uint64(1) << (n & 63)
	word := &w.bits[n/64%64&63]
	if *word&bit != 0 {
		return ahead, true
	}
	*word |= bit
	w.unique++
	return ahead, false
}

// lost returns how many numbers up to the highest never came.
func (w *window) lost() uint64 {
	if !w.started {
		return 0
	}
	return uint64(max(0, w.highest-w.base+1-w.unique))
}

// Restart is called when another session begins: its numbers are its own.
func (r *Receiver) Restart() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts.Lost += r.seen.lost()
	r.seen, r.last = window{}, time.Time{}
}

// Forget begins to count anew, from the next packet on.
func (r *Receiver) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts = Counts{}
	if r.seen.started {
		r.seen.base, r.seen.unique = r.seen.highest+1, 0
	}
}

// Take counts a packet of size bytes that came at now.
func (r *Receiver) Take(h *rtp.Header, size, payload int, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &r.counts
	c.Packets++
	c.Bytes += uint64(size)
	ahead, repeat := r.seen.take(h.SequenceNumber)
	switch {
	case repeat:
		c.Repeats++
		return
	case ahead > 1:
		c.Gaps++
	}
	if payload == 0 {
		return // padding only
	}
	if r.kind == codec.Video {
		if !h.Marker {
			return
		}
		c.Frames++
	}
	if c.First.IsZero() {
		c.First = now
	}
	c.Last = now
	if !r.last.IsZero() {
		gap := now.Sub(r.last)
		c.GapMillis = max(c.GapMillis, gap.Milliseconds())
		r.gap = max(r.gap, gap)
		if r.kind == codec.Audio && gap > lateAfter {
			c.Late++
		}
	}
	r.last = now
}

// Counts returns what has been counted up to now. A gap that lasts still is one.
func (r *Receiver) Counts(now time.Time) Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.counts
	c.Lost += r.seen.lost()
	if !r.last.IsZero() {
		c.GapMillis = max(c.GapMillis, now.Sub(r.last).Milliseconds())
	}
	return c
}

// Gap returns the longest time between two frames, or packets of sound, since it was
// last called; one that lasts still is one.
func (r *Receiver) Gap(now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	gap := r.gap
	r.gap = 0
	if !r.last.IsZero() {
		gap = max(gap, now.Sub(r.last))
	}
	return gap
}

// FPS is the number of frames a second between the first and the last one.
func (c Counts) FPS() float64 {
	if s := c.Last.Sub(c.First).Seconds(); s > 0 && c.Frames > 1 {
		return float64(c.Frames-1) / s
	}
	return 0
}

// Kbps is the bit rate between the first and the last frame or packet of sound.
func (c Counts) Kbps() float64 {
	if s := c.Last.Sub(c.First).Seconds(); s > 0 {
		return float64(c.Bytes) * 8 / 1000 / s
	}
	return 0
}
