package jitter

import (
	"time"

	"github.com/pion/rtp"

	"mixdown/codec"
)

// state of one sequence number.
type state uint8

const (
	unknown state = iota
	missing       // a later one came before it
	waiting       // came, not yet taken
	taken
	lost // given up
)

// slot holds what is known of one sequence number.
type slot struct {
	seq   int64
	state state

	// of a missing one
	since time.Time // when it was missed
	asked time.Time // when it was last asked for
	nacks int       // how often

	// of a waiting one
	codec     *codec.Codec
	marker    bool
	timestamp uint32
	arrived   time.Time
	payload   []byte
}

func (a *Assembler) slot(seq int64) *slot { return &a.ring[seq&int64(len(a.ring)-1)] }

// open marks the numbers from one up to, not including, another as missing.
func (a *Assembler) open(from, to int64, now time.Time) {
	for q := from; q < to; q++ {
		s := a.slot(q)
		a.drop(s)
		*s = slot{seq: q, state: missing, since: now}
	}
}

// place puts a packet into the ring. It returns false for one that is of no
// use.
func (a *Assembler) place(seq int64, c *codec.Codec, p *rtp.Packet, now time.Time) bool {
	s := a.slot(seq)
	switch {
	case seq < a.next && s.seq == seq && s.state == lost:
		a.stats.Late++
		return false
	case seq < a.next, s.seq == seq && s.state == waiting:
		a.stats.Duplicates++
		return false
	}
	for a.next <= a.last && (seq-a.next >= int64(len(a.ring)) || a.held+len(p.Payload) > a.cfg.MaxUnit) {
		a.giveUp(now) // there is no more room
	}
	from := a.last + 1
	if seq > a.last {
		a.last = seq
		a.open(from, seq, now)
	} else if s.state == missing && s.nacks > 0 {
		a.stats.Recovered++
	}
	a.drop(s)
	*s = slot{
		seq:       seq,
		state:     waiting,
		codec:     c,
		marker:    p.Marker,
		timestamp: p.Timestamp,
		arrived:   now,
		payload:   append(a.buffer(), p.Payload...),
	}
	a.held += len(s.payload)
	a.arrived = now
	if seq-from > int64(a.cfg.MaxHole) { // nobody repairs as much in time
		for a.next <= seq {
			a.giveUp(now)
		}
	}
	return true
}

// spareBuffers is how many packet buffers are kept.
const spareBuffers = 64

func (a *Assembler) buffer() []byte {
	if n := len(a.free); n > 0 {
		b := a.free[n-1]
		a.free = a.free[:n-1]
		return b
	}
	return make([]byte, 0, 1500)
}

// drop takes a slot's bytes back.
func (a *Assembler) drop(s *slot) {
	a.held -= len(s.payload)
	if cap(s.payload) > 0 && cap(s.payload) <= 2048 && len(a.free) < spareBuffers {
		a.free = append(a.free, s.payload[:0])
	}
	s.payload = nil
}
