package turn

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/pion/stun"
)

const (
	maxMessage   = 1599 // pion's buffer, which it must not fill
	stunHeader   = 20
	channelFirst = 0x40 // channel numbers are 0x4000 to 0x4FFF (RFC 8656, section 12)
	channelLast  = 0x4f
)

var errFrame = errors.New("neither STUN nor ChannelData")

// frameLength returns how long the message is that begins with these four
// bytes, on a stream, its padding included (RFC 8656, section 12.5).
func frameLength(head []byte) (int, error) {
	n := int(binary.BigEndian.Uint16(head[2:]))
	switch {
	case head[0] < 4 && n%4 == 0:
		n += stunHeader
	case head[0] >= channelFirst && head[0] <= channelLast:
		n = 4 + (n+3)&^3
	default:
		return 0, errFrame
	}
	if n > maxMessage {
		return 0, errFrame
	}
	return n, nil
}

// kind is what a message from a client is to the door.
type kind int

const (
	nonsense kind = iota
	data          // ChannelData, or a Send indication
	request
	peerRequest // a request that names peers
	allocate    // a request for a relay address
)

// Types of messages that the door reads (RFC 8656, section 17).
const (
	allocateRequest  = 0x0003
	createPermission = 0x0008
	channelBind      = 0x0009
	send             = 0x0016
)

func classify(b []byte) kind {
	if len(b) >= 4 && b[0] >= channelFirst && b[0] <= channelLast {
		return data
	}
	if len(b) < stunHeader || b[0] >= 4 || binary.BigEndian.Uint32(b[4:]) != 0x2112a442 {
		return nonsense
	}
	switch t := binary.BigEndian.Uint16(b); {
	case t == send:
		return data
	case t == createPermission || t == channelBind:
		return peerRequest
	case t == allocateRequest:
		return allocate
	case t&0x0110 == 0:
		return request
	}
	return nonsense // responses, other indications
}

// peers lists the XOR-PEER-ADDRESSes of a message; ok is false if it cannot be
// read, or has none.
func peers(m *stun.Message) (out []netip.AddrPort, ok bool) {
	for _, a := range m.Attributes {
		if a.Type != stun.AttrXORPeerAddress {
			continue
		}
		one := stun.Message{TransactionID: m.TransactionID, Attributes: stun.Attributes{a}}
		var x stun.XORMappedAddress
		if x.GetFromAs(&one, stun.AttrXORPeerAddress) != nil {
			return nil, false
		}
		ip, fits := netip.AddrFromSlice(x.IP)
		if !fits || x.Port < 0 || x.Port > 65535 {
			return nil, false
		}
		out = append(out, netip.AddrPortFrom(ip.Unmap(), uint16(x.Port)))
	}
	return out, len(out) > 0
}

// forbidden reports whether a request names a peer that is not relayed to, and
// the answer to it; f is the family of the sender's relay address. A permission
// is for an address with all its ports.
func (s *Server) forbidden(b []byte, f family) (answer []byte, refuse bool) {
	m := &stun.Message{Raw: append([]byte(nil), b...)}
	if m.Decode() != nil {
		return nil, true
	}
	named, ok := peers(m)
	if !ok {
		return nil, false // pion says what is wrong
	}
	for _, p := range named {
		_, fits := s.cfg.Peers[p]
		if m.Type.Method == stun.MethodCreatePermission {
			fits = s.permits(p.Addr())
		}
		if !fits {
			return refusal(m, stun.CodeForbidden), true
		}
		if f != anyFamily && familyOf(p.Addr()) != f {
			return refusal(m, stun.CodePeerAddrFamilyMismatch), true
		}
	}
	return nil, false
}

// ask notes which family an Allocate request wants, which pion does not look at,
// and reports whether there is none such, and the answer.
func (t *seat) ask(b []byte) (answer []byte, refuse bool) {
	m := &stun.Message{Raw: append([]byte(nil), b...)}
	if m.Decode() != nil {
		return nil, true
	}
	f, ok := asked(m)
	if !ok || !t.server.relayAt(f).IsValid() {
		return refusal(m, stun.CodeAddrFamilyNotSupported), true
	}
	t.wish = f
	return nil, false
}

func refusal(m *stun.Message, code stun.ErrorCode) []byte {
	a, err := stun.Build(&stun.Message{TransactionID: m.TransactionID}, stun.NewType(m.Type.Method, stun.ClassErrorResponse), code)
	if err != nil {
		return nil
	}
	return a.Raw
}

// isRefusal reports whether a message to a client is an error of the kind that
// wrong credentials give. pion says 400 where RFC 8489, section 9.2.4, has 401:
// its 401 is the first word of every login.
func isRefusal(b []byte) bool {
	if len(b) < stunHeader || b[0] >= 4 || binary.BigEndian.Uint16(b)&0x0110 != 0x0110 {
		return false
	}
	for rest := b[stunHeader:]; len(rest) >= 8; {
		n := int(binary.BigEndian.Uint16(rest[2:]))
		if binary.BigEndian.Uint16(rest) == 0x0009 { // ERROR-CODE
			return rest[6] == 4 && rest[7] == 0
		}
		rest = rest[min(4+(n+3)&^3, len(rest)):]
	}
	return false
}
