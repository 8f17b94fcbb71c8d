package vpx

import "mixdown/codec"

// VP8's counters, packed: bits 0 to 14 are the PictureID, 16 to 23 the
// TL0PICIDX. The flags tell which of them a payload had, and whether its
// picture is of an upper temporal layer, which repeats the last TL0PICIDX. A
// shift has the same fields and no flags.
const (
	hasPicture = 1 << (32 + iota)
	hasBase
	isUpper
)

func pictureOf(c codec.Counters) uint16 { return uint16(c) & 0x7fff }
func baseOf(c codec.Counters) uint8     { return uint8(c >> 16) }

// Counters reads PictureID and TL0PICIDX. They are 0 where the descriptor has
// none or cannot be read.
func (VP8Payload) Counters(payload []byte) codec.Counters {
	d, err := parseVP8(payload)
	if err != nil {
		return 0
	}
	var c codec.Counters
	if d.picture > 0 {
		c |= hasPicture | codec.Counters(readPicture(payload, d))
	}
	if d.base > 0 {
		c |= hasBase | codec.Counters(payload[d.base])<<16
	}
	if d.layer > 0 && payload[d.layer]>>6 > 0 {
		c |= isUpper
	}
	return c
}

// Follow returns the shift from first to the picture after last. A counter
// that one of them lacks is not shifted.
func (VP8Payload) Follow(last, first codec.Counters) codec.Counters {
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

// Shift adds by to PictureID and TL0PICIDX, where the payload has them.
func (VP8Payload) Shift(payload []byte, by codec.Counters) {
	d, err := parseVP8(payload)
	if err != nil {
		return
	}
	if d.picture > 0 {
		writePicture(payload, d, readPicture(payload, d)+pictureOf(by))
	}
	if d.base > 0 {
		payload[d.base] += baseOf(by)
	}
}

func readPicture(payload []byte, d descriptor) uint16 {
	if d.wide {
		return uint16(payload[d.picture]&^bitM)<<8 | uint16(payload[d.picture+1])
	}
	return uint16(payload[d.picture])
}

// writePicture keeps the width of the field.
func writePicture(payload []byte, d descriptor, v uint16) {
	if d.wide {
		payload[d.picture], payload[d.picture+1] = bitM|byte(v>>8), byte(v)
		return
	}
	payload[d.picture] = byte(v) &^ bitM
}
