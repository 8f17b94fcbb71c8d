package jitter

import (
	"time"

	"mixdown/codec"
)

// builder is the unit in the making.
type builder struct {
	codec  *codec.Codec
	depack codec.Depacketizer

	open      bool
	broken    bool // is taken in to its end, and dropped
	timestamp uint32
	arrived   time.Time // of the last of its packets to come
	data      []byte

	last   codec.Counters // of the last whole unit's last packet
	marked bool           // that packet had the marker bit, nothing of the unit is to come
}

// use changes the codec.
func (u *builder) use(c *codec.Codec) {
	u.abandon()
	u.codec, u.depack = c, c.Payload.NewDepacketizer()
	u.marked = false
}

// begins reports whether a packet can be the first of a unit.
func begins(s *slot) bool {
	return s.codec.Payload.NewDepacketizer().Begins(s.payload)
}

// begin opens a unit with the packet that is appended next. It is broken from
// the start if the packet is not the first of one.
func (u *builder) begin(s *slot) {
	u.open, u.marked = true, false
	u.timestamp, u.arrived = s.timestamp, s.arrived
	u.broken = !u.depack.Begins(s.payload)
}

// append adds a packet, or breaks the unit.
func (u *builder) append(s *slot, most int) bool {
	data, err := u.depack.Append(u.data, s.payload)
	if err != nil || len(data) > most {
		u.broken = true
		return false
	}
	u.data = data
	if s.arrived.After(u.arrived) {
		u.arrived = s.arrived
	}
	if s.marker {
		u.last, u.marked = u.codec.Payload.Counters(s.payload), true
	}
	return true
}

// keepBuffer is the largest buffer that is kept for the next unit.
const keepBuffer = 512 << 10

// abandon makes room for the next unit.
func (u *builder) abandon() {
	u.open, u.broken = false, false
	if cap(u.data) > keepBuffer {
		u.data = nil
	}
	u.data = u.data[:0]
}

// precedes reports whether a packet begins the very next unit, so that nothing
// of use can have been between. Codecs without counters never tell.
func (u *builder) precedes(s *slot) bool {
	if u.open || !u.marked || u.codec != s.codec || len(s.payload) == 0 || !u.depack.Begins(s.payload) {
		return false
	}
	p := u.codec.Payload
	return p.Follow(u.last, u.last) != 0 && p.Follow(u.last, p.Counters(s.payload)) == 0
}
