package vpx

import (
	"errors"
	"fmt"

	"mixdown/codec"
)

// VP8Payload is the RTP payload format of RFC 7741.
type VP8Payload struct{}

// NewPacketizer returns a packetizer that writes a 15-bit PictureID, a
// TL0PICIDX and a temporal layer into each payload.
func (VP8Payload) NewPacketizer() codec.Packetizer { return &vp8Packetizer{} }

// NewDepacketizer returns a depacketizer for all forms of the descriptor.
func (VP8Payload) NewDepacketizer() codec.Depacketizer { return vp8Depacketizer{} }

// Counters reads PictureID and TL0PICIDX. They are 0 where the descriptor has
// none or cannot be read.
func (VP8Payload) Counters(payload []byte) codec.Counters {
	d, err := parseVP8(payload)
	if err != nil {
		return 0
	}
	return d.counters(payload)
}

// Follow returns the shift from first to the picture after last.
func (VP8Payload) Follow(last, first codec.Counters) codec.Counters { return follow(last, first) }

// Shift adds by to PictureID and TL0PICIDX, where the payload has them.
func (VP8Payload) Shift(payload []byte, by codec.Counters) {
	if d, err := parseVP8(payload); err == nil {
		d.shift(payload, by)
	}
}

// vp8Header is the length of the descriptor that vp8Packetizer writes.
const vp8Header = 6

// vp8Packetizer counts the pictures of one stream.
type vp8Packetizer struct {
	picture uint16 // PictureID of the next picture, 15 bits
	base    uint8  // TL0PICIDX of the last base picture
}

// Packetize cuts u into payloads of about equal size. The first partition's
// index is written into all of them, which RFC 7741, section 4.2, leaves to the
// sender as long as S marks the beginning.
func (p *vp8Packetizer) Packetize(u codec.Unit, mtu int) ([][]byte, error) {
	if len(u.Data) == 0 {
		return nil, nil // rate control dropped it
	}
	room := mtu - vp8Header
	if room <= 0 {
		return nil, fmt.Errorf("packetize VP8: payloads of %d bytes have no room behind a descriptor of %d", mtu, vp8Header)
	}
	if u.Temporal > 3 {
		return nil, fmt.Errorf("packetize VP8: temporal layer %d, the descriptor holds 0 to 3", u.Temporal)
	}
	if u.Temporal == 0 {
		p.base++
	}
	header := [vp8Header]byte{
		bitX,
		bitI | bitL | bitT,
		bitM | byte(p.picture>>8), byte(p.picture),
		p.base,
		u.Temporal << 6,
	}
	if u.Temporal > 0 {
		header[5] |= bitY // our upper layers need the base alone, see leaf
	}
	p.picture = (p.picture + 1) & 0x7fff

	payloads := cut(u.Data, (len(u.Data)+room-1)/room, vp8Header, 0)
	for _, b := range payloads {
		copy(b, header[:])
	}
	payloads[0][0] |= bitS
	return payloads, nil
}

// cut returns n payloads with the bytes of data, shared out evenly, each behind
// header bytes of room; the first has first bytes of room more.
func cut(data []byte, n, header, first int) [][]byte {
	payloads := make([][]byte, n)
	block := make([]byte, n*header+first+len(data)) // one for all: they live and die together
	header += first
	for i := range payloads {
		size := (first + len(data) + n - i - 1) / (n - i)
		end := header + size - first
		b := block[:end:end]
		copy(b[header:], data[:size-first])
		payloads[i], data, block = b, data[size-first:], block[end:]
		header, first = header-first, 0
	}
	return payloads
}

// vp8Depacketizer holds no state: the descriptor says where a unit begins, and
// the marker bit where it ends.
type vp8Depacketizer struct{}

// Begins reports the start of the first partition.
func (vp8Depacketizer) Begins(payload []byte) bool {
	_, err := parseVP8(payload)
	return err == nil && payload[0]&(bitS|maskPID) == bitS
}

// Append adds what follows the descriptor.
func (vp8Depacketizer) Append(unit, payload []byte) ([]byte, error) {
	d, err := parseVP8(payload)
	if err != nil {
		return unit, err
	}
	return append(unit, payload[d.length:]...), nil
}

// Keyframe reads the frame tag: P is 0, and a start code follows (RFC 6386,
// section 9.1).
func (vp8Depacketizer) Keyframe(unit []byte) bool {
	return len(unit) >= 10 && unit[0]&1 == 0 &&
		unit[3] == 0x9d && unit[4] == 0x01 && unit[5] == 0x2a
}

// Bits of the descriptor (RFC 7741, section 4.2).
const (
	bitX    = 0x80 // in the first byte: extension byte follows
	bitS    = 0x10 // start of a partition
	maskPID = 0x07
	bitI    = 0x80 // in the extension byte: PictureID follows
	bitL    = 0x40 // TL0PICIDX follows
	bitT    = 0x20 // TID is in the byte that follows
	bitK    = 0x10 // KEYIDX is in the byte that follows
	bitY    = 0x20 // beside TID: needs base pictures only
)

// vp8Descriptor says what a payload's descriptor holds.
type vp8Descriptor struct {
	places
	length int
}

// parseVP8 reads the descriptor of a payload that has at least a byte behind it.
func parseVP8(payload []byte) (vp8Descriptor, error) {
	var d vp8Descriptor
	if len(payload) < 2 {
		return d, errShort
	}
	d.length = 1
	if payload[0]&bitX != 0 {
		x := payload[1]
		d.length = 2
		if x&bitI != 0 {
			if len(payload) <= d.length {
				return d, errShort
			}
			d.picture = d.length
			d.wide = payload[d.length]&bitM != 0
			d.length++
			if d.wide {
				d.length++
			}
		}
		if x&bitL != 0 {
			d.base = d.length
			d.length++
		}
		if x&(bitT|bitK) != 0 {
			d.upper = x&bitT != 0 && d.length < len(payload) && payload[d.length]>>6 > 0
			d.length++
		}
	}
	if len(payload) <= d.length {
		return d, errShort
	}
	return d, nil
}

var errShort = errors.New("depacketize VP8: payload ends within or right after its descriptor")
