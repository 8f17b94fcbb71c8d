package tcp

import "encoding/binary"

// Framed takes the packet out of a message as ICE-TCP frames it: two bytes of
// length before it (RFC 4571, section 2).
func Framed(message []byte) []byte {
	if len(message) < 2 {
		return nil
	}
	return message[2:]
}

const (
	stunHeader    = 20
	stunCookie    = 0x2112a442 // RFC 8489, section 5
	attributeData = 0x0013     // RFC 8656, section 18
	methodData    = 0x0017     // Data indication
)

// Relayed takes the packet out of a message as TURN frames it: ChannelData or
// a Data indication (RFC 8656, sections 12.4 and 11.4). Anything else has none.
func Relayed(message []byte) []byte {
	if len(message) < 4 {
		return nil
	}
	length := int(binary.BigEndian.Uint16(message[2:]))
	if message[0]>>6 == 1 {
		if len(message) < 4+length {
			return nil
		}
		return message[4 : 4+length]
	}
	if binary.BigEndian.Uint16(message) != methodData || len(message) < stunHeader+length || binary.BigEndian.Uint32(message[4:]) != stunCookie {
		return nil
	}
	for rest := message[stunHeader : stunHeader+length]; len(rest) >= 4; {
		kind, n := binary.BigEndian.Uint16(rest), int(binary.BigEndian.Uint16(rest[2:]))
		if len(rest) < 4+n {
			return nil
		}
		if kind == attributeData {
			return rest[4 : 4+n]
		}
		rest = rest[min(4+(n+3)&^3, len(rest)):]
	}
	return nil
}

// parseRTP returns the fields of an RTP packet by which streams and pictures
// are told apart; media is false for everything else (RFC 7983, section 7, and
// RFC 5761, section 4, for RTCP). SRTP leaves these fields readable.
func parseRTP(p []byte) (ssrc, timestamp uint32, media bool) {
	if len(p) < 12 || p[0]>>6 != 2 || p[1]&0x7f >= 64 && p[1]&0x7f < 96 {
		return 0, 0, false
	}
	return binary.BigEndian.Uint32(p[8:]), binary.BigEndian.Uint32(p[4:]), true
}
