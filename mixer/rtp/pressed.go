package rtp

import (
	"github.com/pion/rtp"
)

// pressed notes which key was told last: an event comes in many packets of one
// timestamp, so that none is missed (RFC 4733, section 2.5.1).
type pressed struct {
	known     bool
	timestamp uint32
}

// press returns the key of an event that begins with p. ok is false for what is no
// event, goes on, or is no key.
func (k *pressed) press(p *rtp.Packet) (key byte, ok bool) {
	const keys = "0123456789*#ABCD"
	if len(p.Payload) < 4 || int(p.Payload[0]) >= len(keys) || k.known && k.timestamp == p.Timestamp {
		return 0, false
	}
	k.known, k.timestamp = true, p.Timestamp
	return keys[p.Payload[0]], true
}
