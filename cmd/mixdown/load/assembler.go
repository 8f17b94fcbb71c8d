package load

import (
	"github.com/pion/rtp"

	"mixdown/codec"
)

// patience is how many packets after a hole are waited for its repair.
const patience = 128

// assembler puts pictures together from packets in any order. A hole that is
// not repaired in time costs the pictures up to the next keyframe.
type assembler struct {
	depacketizer codec.Depacketizer

	started bool
	next    uint16 // the sequence number that is waited for
	highest uint16
	held    [2 * patience]*rtp.Packet

	unit    []byte
	open    bool // unit has its beginning
	stamp   uint32
	waiting bool // for a keyframe
}

func newAssembler(c *codec.Codec) *assembler {
	return &assembler{depacketizer: c.Payload.NewDepacketizer(), waiting: true}
}

// push takes a packet, which it keeps, and calls done with each whole picture.
// The unit is valid during the call.
func (a *assembler) push(p *rtp.Packet, done func(unit []byte, key bool)) {
	seq := p.SequenceNumber
	if !a.started {
		a.started, a.next, a.highest = true, seq, seq
	}
	if int16(seq-a.next) < 0 {
		return
	}
	if int16(seq-a.next) >= 2*patience { // another stream under the same name
		clear(a.held[:])
		a.next, a.highest, a.open, a.waiting = seq, seq, false, true
	}
	if int16(seq-a.highest) > 0 {
		a.highest = seq
	}
	a.held[seq%(2*patience)] = p
	for {
		slot := &a.held[a.next%(2*patience)]
		if *slot != nil {
			a.take(*slot, done)
			*slot = nil
			a.next++
			continue
		}
		if int16(a.highest-a.next) < patience {
			return
		}
		a.next++ // given up
		a.open, a.waiting = false, true
	}
}

// take goes on with the next packet in order.
func (a *assembler) take(p *rtp.Packet, done func([]byte, bool)) {
	if len(p.Payload) == 0 {
		return // padding only
	}
	if !a.open || p.Timestamp != a.stamp {
		a.open = a.depacketizer.Begins(p.Payload)
		a.unit, a.stamp = a.unit[:0], p.Timestamp
	}
	if a.open {
		unit, err := a.depacketizer.Append(a.unit, p.Payload)
		a.unit, a.open = unit, err == nil
	}
	if !a.open {
		a.waiting = true
		return
	}
	if !p.Marker {
		return
	}
	a.open = false
	key := a.depacketizer.Keyframe(a.unit)
	if a.waiting && !key {
		return
	}
	a.waiting = false
	done(a.unit, key)
}
