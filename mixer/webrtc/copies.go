package webrtc

import (
	"encoding/binary"

	"mixdown/mixer"
)

// maxCopies is how many former packets of sound a packet may repeat.
const maxCopies = 2

// copies repeats former packets of a stream of sound in each new one (RFC 2198),
// for clients that lose much: what is lost is then there with the next packet that
// comes, sooner than by asking.
type copies struct {
	pt   uint8 // 0: not agreed
	want int   // former packets to repeat
	past [maxCopies]*mixer.Packet
	buf  [maxPayload]byte
}

// Sizes and bounds of a block's header (RFC 2198, section 3).
const (
	blockHeader   = 4
	lastHeader    = 1
	longestOffset = 1<<14 - 1
	longestBlock  = 1<<10 - 1
)

// repeats returns the former packets that go out with p, the oldest first, and the
// bytes that they add.
func (c *copies) repeats(p *mixer.Packet) (out []*mixer.Packet, bytes int) {
	if c.pt == 0 || c.want == 0 {
		return nil, 0
	}
	size := lastHeader + len(p.Payload)
	first := maxCopies
	for i := maxCopies - 1; i >= maxCopies-min(c.want, maxCopies); i-- {
		q := c.past[i]
		if q == nil || q.Codec != p.Codec || p.Timestamp-q.Timestamp-1 >= longestOffset || len(q.Payload) > longestBlock ||
			size+blockHeader+len(q.Payload) > maxPayload {
			break
		}
		size += blockHeader + len(q.Payload)
		first = i
	}
	if first == maxCopies {
		return nil, 0
	}
	return c.past[first:], size - len(p.Payload)
}

// pack returns p with those former packets, valid until the next call.
func (c *copies) pack(pt uint8, p *mixer.Packet, former []*mixer.Packet) []byte {
	b := c.buf[:0]
	for _, q := range former {
		b = append(b, 0x80|pt)
		b = binary.BigEndian.AppendUint16(b, uint16((p.Timestamp-q.Timestamp)<<2|uint32(len(q.Payload))>>8))
		b = append(b, byte(len(q.Payload)))
	}
	b = append(b, pt)
	for _, q := range former {
		b = append(b, q.Payload...)
	}
	return append(b, p.Payload...)
}

// keep remembers p for the packets after it.
func (c *copies) keep(p *mixer.Packet) {
	if c.pt != 0 {
		copy(c.past[:], c.past[1:])
		c.past[maxCopies-1] = p
	}
}
