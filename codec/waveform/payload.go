package waveform

import (
	"bytes"
	"fmt"

	"mixdown/codec"
)

// payload is the format of RFC 3551, section 4: samples follow each other, and
// may be cut anywhere between two.
type payload struct {
	name string
	unit int
}

func (p payload) NewPacketizer() codec.Packetizer         { return p }
func (p payload) NewDepacketizer() codec.Depacketizer     { return p }
func (payload) Counters([]byte) codec.Counters            { return 0 }
func (payload) Follow(_, _ codec.Counters) codec.Counters { return 0 }
func (payload) Shift([]byte, codec.Counters)              {}
func (payload) Begins(b []byte) bool                      { return len(b) > 0 }
func (payload) Keyframe([]byte) bool                      { return true }
func (p payload) Packetize(u codec.Unit, mtu int) ([][]byte, error) {
	most := mtu - mtu%p.unit
	if most <= 0 {
		return nil, fmt.Errorf("packetize %s: %d bytes hold no sample", p.name, mtu)
	}
	var out [][]byte
	for data := u.Data; len(data) > 0; {
		n := min(most, len(data))
		out = append(out, bytes.Clone(data[:n]))
		data = data[n:]
	}
	return out, nil
}

func (p payload) Append(unit, b []byte) ([]byte, error) {
	if len(b) == 0 || len(b)%p.unit != 0 {
		return unit, fmt.Errorf("depacketize %s: %d bytes are not whole samples", p.name, len(b))
	}
	return append(unit, b...), nil
}
