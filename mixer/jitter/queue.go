package jitter

import "time"

// parcel is one packet of sound that waits, or what is left to know of it.
type parcel struct {
	seq     int64
	state   state
	ts      int64 // unwrapped, in samples
	arrived time.Time
	level   float64
	copy    bool  // came inside a later packet
	noise   bool  // describes a pause instead of sound
	noticed bool  // that it is missing
	empty   bool  // a probe, which has a number and no time
	asks    uint8 // how often it was asked for; until it comes, arrived is the last time
	data    []byte
}

// queue keeps parcels in the order of their sequence numbers, and remembers
// what became of those before. Its buffers are used again.
type queue struct {
	ring []parcel
	next int64 // the first number not yet played
	last int64 // the highest seen
	open bool  // nothing has been played: earlier ones may still come
}

func newQueue(size int) queue { return queue{ring: make([]parcel, size)} }

func (q *queue) at(seq int64) *parcel { return &q.ring[seq%int64(len(q.ring))] }

// reset empties the queue, to go on at seq.
func (q *queue) reset(seq int64) {
	for i := range q.ring {
		q.ring[i].seq, q.ring[i].state = 0, unknown
	}
	q.next, q.last, q.open = seq, seq-1, true
}

// prepend makes room before the first number, while nothing has been played:
// the first packet to come need not be the first that was sent.
func (q *queue) prepend(seq int64) {
	if !q.open || q.last < q.next || seq >= q.next || q.next-seq > freshBack || q.last-seq >= int64(len(q.ring)) {
		return
	}
	for n := seq; n < q.next; n++ {
		e := q.at(n)
		*e = parcel{seq: n, state: missing, data: e.data}
	}
	q.next = seq
}

// know tells what became of a number.
func (q *queue) know(seq int64) state {
	e := q.at(seq)
	switch {
	case e.seq == seq && e.state != missing:
		return e.state
	case seq < q.next:
		return lost // or forgotten
	}
	return unknown
}

// extend moves last to seq, and drops what then has no place. It returns how
// many parcels that were.
func (q *queue) extend(seq int64) (dropped int) {
	if seq <= q.last {
		return 0
	}
	size := int64(len(q.ring))
	for ; q.next <= q.last && seq-q.next >= size; q.next++ {
		if e := q.at(q.next); e.state == waiting {
			e.state = lost
			dropped++
		}
	}
	q.next = max(q.next, seq-size+1)
	for n := max(q.last+1, q.next); n <= seq; n++ {
		e := q.at(n)
		*e = parcel{seq: n, state: missing, data: e.data}
	}
	q.last = seq
	return dropped
}

// put takes a parcel in, with a copy of data. It returns how many others it
// pushed out.
func (q *queue) put(e parcel, data []byte) (dropped int) {
	dropped = q.extend(e.seq)
	at := q.at(e.seq)
	e.state, e.data = waiting, append(at.data[:0], data...)
	*at = e
	return dropped
}

// skip notes a number that carries no sound.
func (q *queue) skip(seq int64) {
	if seq < q.next {
		return
	}
	q.extend(seq)
	if e := q.at(seq); e.state == missing {
		e.state, e.empty = taken, true
	}
}

// copiesBack is how many numbers before its own a copy may belong to: probes may be
// between it and what repeats it.
const copiesBack = 16

// place returns the number of a packet that a copy stands in for, of that time or
// not far below seq; -1 if the packet is there, or was.
func (q *queue) place(seq, ts int64) int64 {
	found := int64(-1)
	for n := seq; n > max(seq-copiesBack, 0); n-- {
		switch e := q.at(n); {
		case q.know(n) == unknown:
			found = max(found, n)
		case e.seq == n && e.ts == ts && !e.empty:
			return -1
		case e.seq != n || e.ts < ts && !e.empty:
			return found
		}
	}
	return found
}

// flush gives up all before seq and returns how many parcels that were.
func (q *queue) flush(seq int64) (dropped int) {
	for ; q.next < seq && q.next <= q.last; q.next++ {
		if e := q.at(q.next); e.state == waiting {
			e.state = lost
			dropped++
		}
	}
	q.next = max(q.next, seq)
	return dropped
}

// first returns the first parcel that waits and the number of missing ones
// before it, or nil.
func (q *queue) first() (e *parcel, hole int) {
	for n := q.next; n <= q.last; n++ {
		switch e := q.at(n); e.state {
		case waiting:
			return e, hole
		case missing:
			hole++
		}
	}
	return nil, 0
}

// pass gives up what is missing before e and counts it, and how much of it was
// asked for.
func (q *queue) pass(e *parcel) (missed, asked int) {
	q.open = false
	for ; q.next < e.seq; q.next++ {
		if m := q.at(q.next); m.state == missing {
			m.state = lost
			missed++
			if m.asks > 0 {
				asked++
			}
		}
	}
	return missed, asked
}

// take removes the first parcel, whose data is the caller's in exchange for buf.
func (q *queue) take(e *parcel, buf []byte) parcel {
	out := *e
	e.data, e.state = buf[:0], taken
	q.next, q.open = e.seq+1, false
	return out
}

// loudest is the highest level among the parcels that wait.
func (q *queue) loudest() float64 {
	level := silence
	for n := q.next; n <= q.last; n++ {
		if e := q.at(n); e.state == waiting {
			level = max(level, e.level)
		}
	}
	return level
}
