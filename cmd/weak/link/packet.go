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
	payload  []byte // of IP, nil in a fragment that is not the first
}

// parse reads an IP packet's header. Extension headers of IPv6 and fragments
// have no ports here.
func parse(packet []byte) (h header, ok bool) {
	if len(packet) == 0 {
		return h, false
	}
	switch h.version = int(packet[0] >> 4); h.version {
	case 4: // RFC 791, section 3.1
		length := int(packet[0]&15) * 4
		if length < 20 || len(packet) < length {
			return h, false
		}
		h.protocol, h.target = int(packet[9]), packet[16:20]
		if binary.BigEndian.Uint16(packet[6:])&0x1fff == 0 {
			h.payload = packet[length:]
		}
	case 6: // RFC 8200, section 3
		if len(packet) < 40 {
			return h, false
		}
		h.protocol, h.target = int(packet[6]), packet[24:40]
		h.payload = packet[40:]
	default:
		return h, false
	}
	if (h.protocol == protoTCP || h.protocol == protoUDP) && len(h.payload) >= 4 {
		h.from, h.to = int(binary.BigEndian.Uint16(h.payload)), int(binary.BigEndian.Uint16(h.payload[2:]))
	}
	return h, true
}

// Kind is what a packet carries, as far as can be read in clear.
type Kind int

const (
	Sound    Kind = iota // RTP of the payload types that Chromium has for Opus and its repeats
	Pictures             // other RTP
	RTCP
	STUN
	DTLS
	TCP // the page's connections, and media if there is no UDP
	Other
	kinds = iota
)

// String implements fmt.Stringer.
func (k Kind) String() string {
	return [...]string{"sound", "pictures", "RTCP", "STUN", "DTLS", "TCP", "other"}[k]
}

// Chromium's payload types of sound.
const (
	payloadOpus = 111
	payloadRED  = 63
)

// kindOf tells apart what shares one port (RFC 7983, section 7; RFC 5761,
// section 4).
func kindOf(packet []byte) Kind {
	h, ok := parse(packet)
	const udpHeader = 8
	switch {
	case !ok:
		return Other
	case h.protocol == protoTCP:
		return TCP
	case h.protocol != protoUDP || len(h.payload) < udpHeader+2:
		return Other
	}
	first, second := h.payload[udpHeader], h.payload[udpHeader+1]
	switch {
	case first < 4:
		return STUN
	case first >= 20 && first < 64:
		return DTLS
	case first < 128 || first >= 192:
		return Other
	case second >= 192 && second < 224:
		return RTCP
	}
	if pt := second & 0x7f; pt == payloadOpus || pt == payloadRED {
		return Sound
	}
	return Pictures
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
