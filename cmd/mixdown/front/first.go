package front

import "encoding/binary"

// Protocol is what a connection's first bytes say it is.
type Protocol int

// What a port may be spoken to with. TLS is opened, and what is inside told
// apart again.
const (
	Unknown Protocol = iota
	TLS
	HTTP
	TURN   // STUN without framing (RFC 8656, section 3.1)
	ICETCP // STUN with two bytes of length before it (RFC 4571, RFC 6544)
)

// enough is how many bytes tell all protocols apart.
const enough = 10

const stunCookie = 0x2112a442 // RFC 8489, section 5

// Tell reads a connection's first bytes. more says that there are too few yet.
func Tell(b []byte) (p Protocol, more bool) {
	if len(b) == 0 {
		return Unknown, true
	}
	switch {
	case b[0] == 0x16: // a handshake record (RFC 8446, section 5.1)
		return TLS, false
	case b[0] >= 'A' && b[0] <= 'Z': // a method
		return HTTP, false
	case b[0] > 3: // STUN begins with two zero bits, and so does a length below 1024
		return Unknown, false
	case len(b) < 8:
		return Unknown, true
	case binary.BigEndian.Uint32(b[4:]) == stunCookie:
		return TURN, false
	case len(b) < enough:
		return Unknown, true
	case binary.BigEndian.Uint32(b[6:]) == stunCookie && b[2] < 4:
		return ICETCP, false
	}
	return Unknown, false
}
