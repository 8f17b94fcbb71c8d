package opus

import (
	"bytes"
	"errors"
	"fmt"

	"mixdown/codec"
)

// Payload is the RTP payload format of RFC 7587: one packet is one payload, and
// there are no counters.
type Payload struct{}

// NewPacketizer returns a Packetizer.
func (Payload) NewPacketizer() codec.Packetizer { return packets{} }

// NewDepacketizer returns a Depacketizer.
func (Payload) NewDepacketizer() codec.Depacketizer { return packets{} }

// Counters returns 0.
func (Payload) Counters([]byte) codec.Counters { return 0 }

// Follow returns 0.
func (Payload) Follow(_, _ codec.Counters) codec.Counters { return 0 }

// Shift does nothing.
func (Payload) Shift([]byte, codec.Counters) {}

type packets struct{}

func (packets) Packetize(u codec.Unit, mtu int) ([][]byte, error) {
	switch {
	case len(u.Data) == 0:
		return nil, nil
	case len(u.Data) > mtu:
		// RFC 7587, section 4.2: a packet is never split.
		return nil, fmt.Errorf("packetize opus: %d bytes do not fit %d, take a lower bit rate or shorter frames", len(u.Data), mtu)
	}
	return [][]byte{bytes.Clone(u.Data)}, nil
}

func (packets) Begins(payload []byte) bool { return len(payload) > 0 }

func (packets) Append(unit, payload []byte) ([]byte, error) {
	if len(payload) == 0 {
		return unit, errors.New("depacketize opus: empty payload")
	}
	return append(unit, payload...), nil
}

// Keyframe is true: every packet can be the first that a decoder hears.
func (packets) Keyframe([]byte) bool { return true }
