package rtp

import (
	"encoding/binary"
	"math/bits"

	"github.com/pion/rtcp"
)

// Formats of transport-layer feedback (RFC 5104, section 4.2).
const (
	fmtTMMBR = 3
	fmtTMMBN = 4
)

// overhead is that of IP and UDP in a packet, which a bit rate of RFC 5104 is with.
const overhead = 40

// parseTMMBR reads the bit rate that a request allows the stream of an SSRC.
func parseTMMBR(raw []byte, ssrc uint32) (bps int, ok bool) {
	var h rtcp.Header
	if h.Unmarshal(raw) != nil || h.Type != rtcp.TypeTransportSpecificFeedback || h.Count != fmtTMMBR || len(raw) < 12 {
		return 0, false
	}
	for fci := raw[12:]; len(fci) >= 8; fci = fci[8:] {
		if binary.BigEndian.Uint32(fci) != ssrc {
			continue
		}
		v := binary.BigEndian.Uint32(fci[4:])
		exponent, mantissa := v>>26, v>>9&0x1ffff
		if exponent > 20 {
			return 1 << 30, true // as good as none
		}
		return int(min(mantissa<<exponent, 1<<30)), true
	}
	return 0, false
}

// tmmb makes a request (to is the stream's SSRC) or a notification (to is that of
// who asked, in the item; RFC 5104, sections 4.2.1.1 and 4.2.2.1).
func tmmb(format uint8, sender, to uint32, bps int) rtcp.Packet {
	b := make([]byte, 20)
	b[0], b[1] = 2<<6|format, byte(rtcp.TypeTransportSpecificFeedback)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)/4-1))
	binary.BigEndian.PutUint32(b[4:], sender)
	binary.BigEndian.PutUint32(b[12:], to)
	rate := uint32(min(max(bps, 0), 1<<30))
	exponent := max(bits.Len32(rate)-17, 0)
	binary.BigEndian.PutUint32(b[16:], uint32(exponent)<<26|rate>>exponent<<9|overhead)
	raw := rtcp.RawPacket(b)
	return &raw
}
