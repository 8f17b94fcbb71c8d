package jitter

import "errors"

// Block is one coded packet out of a redundant payload (RFC 2198).
type Block struct {
	PT   uint8
	Back uint32 // ticks that it lies before the packet's timestamp; 0 in the packet's own
	Data []byte // part of the payload
}

// maxBlocks bounds what one packet repeats.
const maxBlocks = 8

var errRED = errors.New("redundant payload: headers and lengths do not fit")

// SplitRED appends the blocks of a redundant payload to dst, the oldest first;
// the last is the packet's own.
func SplitRED(dst []Block, payload []byte) ([]Block, error) {
	first := len(dst)
	// RFC 2198, section 3: headers of four bytes, and one of a single byte for the
	// packet's own, whose length is what is left.
	head := 0
	for {
		if head >= len(payload) || len(dst)-first == maxBlocks {
			return dst[:first], errRED
		}
		h := payload[head:]
		if h[0]&0x80 == 0 {
			dst = append(dst, Block{PT: h[0]})
			head++
			break
		}
		if len(h) < 4 {
			return dst[:first], errRED
		}
		dst = append(dst, Block{PT: h[0] & 0x7f, Back: uint32(h[1])<<6 | uint32(h[2])>>2})
		head += 4
	}
	data := payload[head:]
	blocks := dst[first:]
	for i := range blocks[:len(blocks)-1] {
		h := payload[4*i:]
		n := int(h[2]&3)<<8 | int(h[3])
		if n > len(data) {
			return dst[:first], errRED
		}
		blocks[i].Data, data = data[:n], data[n:]
	}
	blocks[len(blocks)-1].Data = data
	return dst, nil
}
