package link

import "encoding/binary"

// Protocol numbers of IP.
const (
	protoTCP = 6
	protoUDP = 17
)

// header is what is needed of an IP packet to let it pass or not.
type header struct {
	version  int
	protocol int
	from, to int // ports of TCP and UDP, else 0
	target   []byte
}

// parse reads an IP packet's header. Extension headers of IPv6 and fragments
// have no ports here.
func parse(packet []byte) (h header, ok bool) {
	if len(packet) == 0 {
		return h, false
	}
	var payload []byte
	switch h.version = int(packet[0] >> 4); h.version {
	case 4: // RFC 791, section 3.1
		length := int(packet[0]&15) * 4
		if length < 20 || len(packet) < length {
			return h, false
		}
		h.protocol, h.target = int(packet[9]), packet[16:20]
		if binary.BigEndian.Uint16(packet[6:])&0x1fff == 0 {
			payload = packet[length:]
		}
	case 6: // RFC 8200, section 3
		if len(packet) < 40 {
			return h, false
		}
		h.protocol, h.target = int(packet[6]), packet[24:40]
		payload = packet[40:]
	default:
		return h, false
	}
	if (h.protocol == protoTCP || h.protocol == protoUDP) && len(payload) >= 4 {
		h.from, h.to = int(binary.BigEndian.Uint16(payload)), int(binary.BigEndian.Uint16(payload[2:]))
	}
	return h, true
}

// drops reports whether the block takes a packet away.
func (b Block) drops(packet []byte) bool {
	if b == (Block{}) {
		return false
	}
	h, ok := parse(packet)
	if !ok {
		return false
	}
	if b.UDP && h.protocol == protoUDP {
		return true
	}
	return b.TCP > 0 && (h.protocol != protoTCP || h.from != b.TCP && h.to != b.TCP)
}
