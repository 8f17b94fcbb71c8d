package vpx

import "mixdown/codec"

// The counters of VP8 and VP9, packed: bits 0 to 14 are the PictureID, 16 to 23
// the TL0PICIDX. The flags tell which of them a payload had, and whether its
// picture is of an upper temporal layer, which repeats the last TL0PICIDX. A
// shift has the same fields and no flags.
const (
	hasPicture = 1 << (32 + iota)
	hasBase
	isUpper
)

func pictureOf(c codec.Counters) uint16 { return uint16(c) & 0x7fff }
func baseOf(c codec.Counters) uint8     { return uint8(c >> 16) }

// places says where in a payload the counters are; 0 is nowhere, as neither
// can be in the first byte.
type places struct {
	picture int // PictureID
	wide    bool
	base    int // TL0PICIDX
	upper   bool
}

// bitM in a PictureID says that it has 15 bits.
const bitM = 0x80

// counters reads PictureID and TL0PICIDX.
func (p places) counters(payload []byte) codec.Counters {
	var c codec.Counters
	if p.picture > 0 {
		c |= hasPicture | codec.Counters(p.readPicture(payload))
	}
	if p.base > 0 {
		c |= hasBase | codec.Counters(payload[p.base])<<16
	}
	if p.upper {
		c |= isUpper
	}
	return c
}

// follow returns the shift from first to the picture after last. A counter
// that one of them lacks is not shifted.
func follow(last, first codec.Counters) codec.Counters {
	var by codec.Counters
	both := last & first
	if both&hasPicture != 0 {
		// Right for 7 bits too, which the low ones of 15 are.
		by |= codec.Counters((pictureOf(last) + 1 - pictureOf(first)) & 0x7fff)
	}
	if both&hasBase != 0 {
		next := baseOf(last)
		if first&isUpper == 0 {
			next++
		}
		by |= codec.Counters(next-baseOf(first)) << 16
	}
	return by
}

// shift adds by to PictureID and TL0PICIDX, where the payload has them.
func (p places) shift(payload []byte, by codec.Counters) {
	if p.picture > 0 {
		p.writePicture(payload, p.readPicture(payload)+pictureOf(by))
	}
	if p.base > 0 {
		payload[p.base] += baseOf(by)
	}
}

func (p places) readPicture(payload []byte) uint16 {
	if p.wide {
		return uint16(payload[p.picture]&^bitM)<<8 | uint16(payload[p.picture+1])
	}
	return uint16(payload[p.picture])
}

// writePicture keeps the width of the field.
func (p places) writePicture(payload []byte, v uint16) {
	if p.wide {
		payload[p.picture], payload[p.picture+1] = bitM|byte(v>>8), byte(v)
		return
	}
	payload[p.picture] = byte(v) &^ bitM
}
