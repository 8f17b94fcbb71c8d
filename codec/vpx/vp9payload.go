package vpx

import (
	"encoding/binary"
	"errors"
	"fmt"

	"mixdown/codec"
)

// VP9Payload is the RTP payload format of RFC 9628.
type VP9Payload struct{}

// NewPacketizer returns a packetizer for non-flexible mode: a 15-bit PictureID,
// a temporal layer and a TL0PICIDX in each payload, and the picture's size and
// the pattern of layers in front of each keyframe.
func (VP9Payload) NewPacketizer() codec.Packetizer { return &vp9Packetizer{} }

// NewDepacketizer returns a depacketizer for both modes and all forms of the
// descriptor. Of spatial layers it takes the lowest.
func (VP9Payload) NewDepacketizer() codec.Depacketizer { return vp9Depacketizer{} }

// Counters reads PictureID and TL0PICIDX. They are 0 where the descriptor has
// none or cannot be read.
func (VP9Payload) Counters(payload []byte) codec.Counters {
	d, err := parseVP9(payload)
	if err != nil {
		return 0
	}
	return d.counters(payload)
}

// Follow returns the shift from first to the picture after last.
func (VP9Payload) Follow(last, first codec.Counters) codec.Counters { return follow(last, first) }

// Shift adds by to PictureID and TL0PICIDX, where the payload has them.
func (VP9Payload) Shift(payload []byte, by codec.Counters) {
	if d, err := parseVP9(payload); err == nil {
		d.shift(payload, by)
	}
}

// Bits of the descriptor's first byte (RFC 9628, section 4.2).
const (
	vp9I = 0x80 // PictureID follows
	vp9P = 0x40 // predicted from other pictures
	vp9L = 0x20 // layer indices follow
	vp9F = 0x10 // flexible mode
	vp9B = 0x08 // begins a frame
	vp9E = 0x04 // ends a frame
	vp9V = 0x02 // scalability structure follows
)

// vp9Header is the length of the descriptor that vp9Packetizer writes, before
// the scalability structure.
const vp9Header = 5

// vp9Packetizer counts the pictures of one stream.
type vp9Packetizer struct {
	picture uint16 // PictureID of the next picture, 15 bits
	base    uint8  // TL0PICIDX of the last base picture
}

// Packetize cuts u into payloads of about equal size.
func (p *vp9Packetizer) Packetize(u codec.Unit, mtu int) ([][]byte, error) {
	if len(u.Data) == 0 {
		return nil, nil // rate control dropped it
	}
	if u.Temporal > 2 || u.Layers > 3 {
		return nil, fmt.Errorf("packetize VP9: temporal layer %d of %d, there are at most 3", u.Temporal, u.Layers)
	}
	var structure []byte
	if u.Keyframe {
		structure = scalability(u)
	}
	room := mtu - vp9Header
	if room <= 2*len(structure) {
		return nil, fmt.Errorf("packetize VP9: payloads of %d bytes have no room behind a descriptor of %d", mtu, vp9Header+len(structure))
	}
	if u.Temporal == 0 {
		p.base++
	}
	header := [vp9Header]byte{
		vp9I | vp9P | vp9L,
		bitM | byte(p.picture>>8), byte(p.picture),
		u.Temporal << 5,
		p.base,
	}
	if u.Keyframe {
		header[0] &^= vp9P
	}
	if u.Temporal > 0 {
		header[3] |= 0x10 // U: our upper layers need the base alone, see leaf
	}
	p.picture = (p.picture + 1) & 0x7fff

	n := (len(structure) + len(u.Data) + room - 1) / room
	payloads := cut(u.Data, n, vp9Header, len(structure))
	for _, b := range payloads {
		copy(b, header[:])
	}
	if copy(payloads[0][vp9Header:], structure) > 0 {
		payloads[0][0] |= vp9V
	}
	payloads[0][0] |= vp9B
	payloads[n-1][0] |= vp9E
	return payloads, nil
}

// scalability returns the structure that goes before keyframe u (RFC 9628,
// section 4.2.1): one spatial layer, its size where the keyframe can be read,
// and the picture group of u's temporal layers.
func scalability(u codec.Unit) []byte {
	const hasSize, hasGroup = 0x10, 0x08
	b := append(make([]byte, 0, 16), hasGroup)
	if w, h, ok := vp9Size(u.Data); ok {
		b[0] |= hasSize
		b = binary.BigEndian.AppendUint16(b, uint16(w))
		b = binary.BigEndian.AppendUint16(b, uint16(h))
	}
	// Each picture: layer, U where upper, one reference; then how far it is back.
	picture := func(layer, back byte) {
		first := layer<<5 | 1<<2
		if layer > 0 {
			first |= 0x10
		}
		b = append(b, first, back)
	}
	switch u.Layers {
	default:
		b = append(b, 1)
		picture(0, 1)
	case 2:
		b = append(b, 2)
		picture(0, 2)
		picture(1, 1)
	case 3:
		b = append(b, 4)
		picture(0, 4)
		picture(2, 1)
		picture(1, 2)
		picture(2, 3)
	}
	return b
}

// vp9Size reads the size in the uncompressed header of a keyframe of profile 0
// (VP9 bitstream specification, section 6.2): marker, profile, flags, the sync
// code, 3 bits of colour space and 1 of range, then two times 16 bits less one.
func vp9Size(unit []byte) (w, h int, ok bool) {
	const srgb = 7 // has no range bit, and is not of profile 0
	if !vp9Key(unit) || len(unit) < 9 || unit[0]&0x30 != 0 || unit[4]>>5 == srgb {
		return 0, 0, false
	}
	v := binary.BigEndian.Uint64(append(make([]byte, 0, 8), 0, 0, 0, unit[4], unit[5], unit[6], unit[7], unit[8]))
	return int(v>>20&0xffff) + 1, int(v>>4&0xffff) + 1, true
}

// vp9Key reads the frame marker and type and the sync code of profiles 0 to 2.
func vp9Key(unit []byte) bool {
	const marker, show, inter, profile3 = 0x80, 0x08, 0x04, 0x30
	return len(unit) >= 4 && unit[0]&0xc0 == marker && unit[0]&profile3 != profile3 &&
		unit[0]&(show|inter) == 0 && unit[1] == 0x49 && unit[2] == 0x83 && unit[3] == 0x42
}

// vp9Depacketizer holds no state: the descriptor says where a unit begins, and
// the marker bit where it ends.
type vp9Depacketizer struct{}

// Begins reports the start of the lowest spatial layer's frame.
func (vp9Depacketizer) Begins(payload []byte) bool {
	d, err := parseVP9(payload)
	return err == nil && payload[0]&vp9B != 0 && d.spatial == 0
}

// Append adds what follows the descriptor. Frames of upper spatial layers are
// left out: whole in their own right, they are no part of the lowest's unit.
func (vp9Depacketizer) Append(unit, payload []byte) ([]byte, error) {
	d, err := parseVP9(payload)
	if err != nil || d.spatial > 0 {
		return unit, err
	}
	return append(unit, payload[d.length:]...), nil
}

// Keyframe reads the uncompressed header.
func (vp9Depacketizer) Keyframe(unit []byte) bool { return vp9Key(unit) }

// vp9Descriptor says what a payload's descriptor holds.
type vp9Descriptor struct {
	places
	spatial byte // layer
	length  int
}

// parseVP9 reads the descriptor of a payload that has at least a byte behind it.
func parseVP9(payload []byte) (vp9Descriptor, error) {
	var d vp9Descriptor
	if len(payload) < 2 {
		return d, errShortVP9
	}
	first := payload[0]
	// next returns one more byte of the descriptor; there is always one behind.
	at, whole := 1, true
	next := func() byte {
		if at+1 >= len(payload) {
			whole = false
			return 0
		}
		at++
		return payload[at-1]
	}
	if first&vp9I != 0 {
		d.picture = at
		if d.wide = next()&bitM != 0; d.wide {
			next()
		}
	}
	if first&vp9L != 0 {
		layer := next()
		d.upper, d.spatial = layer>>5 > 0, layer>>1&7
		if first&vp9F == 0 {
			d.base = at
			next()
		}
	}
	if first&(vp9F|vp9P) == vp9F|vp9P {
		more := true
		for i := 0; more && whole; i++ {
			if i == 3 {
				return d, errors.New("depacketize VP9: more than three reference indices")
			}
			more = next()&1 != 0
		}
	}
	if first&vp9V != 0 {
		skipScalability(next)
	}
	if !whole {
		return d, errShortVP9
	}
	d.length = at
	return d, nil
}

// skipScalability reads over a scalability structure.
func skipScalability(next func() byte) {
	s := next()
	if s&0x10 != 0 {
		for range 4 * (int(s>>5) + 1) {
			next()
		}
	}
	if s&0x08 != 0 {
		for range next() {
			for range next() >> 2 & 3 {
				next()
			}
		}
	}
}

var errShortVP9 = errors.New("depacketize VP9: payload ends within or right after its descriptor")
