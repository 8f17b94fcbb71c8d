package webrtc

import (
	"time"

	"mixdown/codec"
	"mixdown/mixer"
)

// What is sent again at most.
const (
	historySize = 512 // packets: 2 s at 2.5 Mbit/s
	maxAge      = time.Second
	maxResends  = 3 // of one packet
	minResend   = 10 * time.Millisecond
	resendRate  = 300 // packets a second and client
)

// history is what a client may ask for again. The packets are the room's own,
// so that all clients of a tier share one copy.
type history struct {
	ring   [historySize]sent
	tokens float64
	filled time.Time
}

// sent is one packet as it was sent.
type sent struct {
	packet  *mixer.Packet // nil: nothing here, or padding
	shift   codec.Counters
	first   time.Time // sent first
	again   time.Time // sent last
	seq     uint16
	pt      uint8
	resends uint8

	padding   bool
	timestamp uint32 // of padding
}

func (h *history) add(seq uint16, p *mixer.Packet, shift codec.Counters, pt uint8, now time.Time) {
	h.ring[seq%historySize] = sent{packet: p, shift: shift, first: now, again: now, seq: seq, pt: pt}
}

// find returns the packet of a sequence number, or nil.
func (h *history) find(seq uint16) *sent {
	e := &h.ring[seq%historySize]
	if e.packet == nil && !e.padding || e.seq != seq {
		return nil
	}
	return e
}

// take returns the packet of a sequence number if it may go out once more;
// wait is the least time since it went out last.
func (h *history) take(seq uint16, wait time.Duration, now time.Time) *sent {
	e := h.find(seq)
	if e == nil || e.resends == maxResends || now.Sub(e.first) > maxAge {
		return nil
	}
	// The first repeat need not wait: a NACK says that it was lost.
	if e.resends > 0 && now.Sub(e.again) < wait {
		return nil
	}
	if !h.filled.IsZero() {
		h.tokens += now.Sub(h.filled).Seconds() * resendRate
	} else {
		h.tokens = resendRate
	}
	h.filled = now
	h.tokens = min(h.tokens, resendRate)
	if h.tokens < 1 {
		return nil
	}
	h.tokens--
	e.resends++
	e.again = now
	return e
}
