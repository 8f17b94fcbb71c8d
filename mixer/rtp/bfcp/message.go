// Package bfcp is the Binary Floor Control Protocol (RFC 8855) over UDP, as far
// as one floor of one participant takes it: who holds it shows slides. Neither
// sockets nor clocks are here; messages and times are passed in.
package bfcp

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Primitive is what a message is (RFC 8855, section 5.1).
type Primitive uint8

// The primitives.
const (
	FloorRequest Primitive = iota + 1
	FloorRelease
	FloorRequestQuery
	FloorRequestStatus
	UserQuery
	UserStatus
	FloorQuery
	FloorStatus
	ChairAction
	ChairActionAck
	Hello
	HelloAck
	Error
	FloorRequestStatusAck
	FloorStatusAck
	Goodbye
	GoodbyeAck
)

// Kind is what an attribute is (section 5.2).
type Kind uint8

// The attributes that are read or written here.
const (
	BeneficiaryID           Kind = 1
	FloorID                 Kind = 2
	FloorRequestID          Kind = 3
	RequestStatus           Kind = 5
	ErrorCode               Kind = 6
	SupportedAttributes     Kind = 10
	SupportedPrimitives     Kind = 11
	FloorRequestInformation Kind = 15
	FloorRequestStatusOf    Kind = 17 // FLOOR-REQUEST-STATUS, of each floor
	OverallRequestStatus    Kind = 18
	lastKind                Kind = 18
)

// Status is the state of a request (section 5.2.5).
type Status uint8

// The states that a request has here.
const (
	Granted  Status = 3
	Released Status = 6
)

// Codes of errors (section 5.2.6).
const (
	unknownConference = 1
	unknownUser       = 2
	unknownPrimitive  = 3
	unknownMandatory  = 4
	unauthorized      = 5
	unknownFloor      = 6
	unknownRequest    = 7
	tooManyRequests   = 8
	unparsable        = 10
	unknownVersion    = 12
	wrongLength       = 13
)

const (
	version    = 2 // of unreliable transports
	headerSize = 12
	maxMessage = 1500 // longer ones would have been fragmented, which nobody's are
)

// Message is one message without its attributes' padding.
type Message struct {
	Primitive   Primitive
	Response    bool // to a message of the other end
	Conference  uint32
	Transaction uint16
	User        uint16
	Attributes  []Attribute
}

// Attribute is one attribute; those that group others have theirs in Value.
type Attribute struct {
	Kind      Kind
	Mandatory bool
	Value     []byte
}

// fault is a message that cannot be used, with the code to answer.
type fault struct {
	code int
	text string
}

func (f fault) Error() string { return "bfcp: " + f.text }

var errShort = errors.New("bfcp: no BFCP header")

// Parse reads a message. Where the header could be read m has it, whatever err
// says. The attributes' values are b's.
func Parse(b []byte) (m Message, err error) {
	if len(b) < headerSize || b[0]>>5 == 0 {
		return m, errShort
	}
	m = Message{
		Primitive: Primitive(b[1]), Response: b[0]&0x10 != 0,
		Conference: binary.BigEndian.Uint32(b[4:]), Transaction: binary.BigEndian.Uint16(b[8:]), User: binary.BigEndian.Uint16(b[10:]),
	}
	switch size := headerSize + 4*int(binary.BigEndian.Uint16(b[2:])); {
	case b[0]>>5 != version:
		return m, fault{unknownVersion, fmt.Sprintf("version %d", b[0]>>5)}
	case b[0]&0x08 != 0:
		return m, fault{unparsable, "a fragment"}
	case size != len(b) || size > maxMessage:
		return m, fault{wrongLength, fmt.Sprintf("%d bytes, its header says %d", len(b), size)}
	}
	m.Attributes, err = attributes(b[headerSize:])
	return m, err
}

// attributes reads a row of them.
func attributes(b []byte) (out []Attribute, err error) {
	for len(b) > 0 {
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			return nil, fault{unparsable, "an attribute is longer than its message"}
		}
		out = append(out, Attribute{Kind: Kind(b[0] >> 1), Mandatory: b[0]&1 != 0, Value: b[2:b[1]]})
		b = b[min((int(b[1])+3)&^3, len(b)):] // padded to 32 bits
	}
	return out, nil
}

// number is the value of the first attribute of a kind that is a number of 16
// bits.
func (m *Message) number(k Kind) (n uint16, ok bool) {
	for _, a := range m.Attributes {
		if a.Kind == k && len(a.Value) == 2 {
			return binary.BigEndian.Uint16(a.Value), true
		}
	}
	return 0, false
}

// Marshal writes the message.
func (m *Message) Marshal() []byte {
	b := make([]byte, headerSize, 64)
	b[0], b[1] = version<<5, byte(m.Primitive)
	if m.Response {
		b[0] |= 0x10
	}
	binary.BigEndian.PutUint32(b[4:], m.Conference)
	binary.BigEndian.PutUint16(b[8:], m.Transaction)
	binary.BigEndian.PutUint16(b[10:], m.User)
	for _, a := range m.Attributes {
		b = a.appendTo(b)
	}
	binary.BigEndian.PutUint16(b[2:], uint16((len(b)-headerSize)/4))
	return b
}

func (a Attribute) appendTo(b []byte) []byte {
	first := byte(a.Kind) << 1
	if a.Mandatory {
		first |= 1
	}
	b = append(append(b, first, byte(2+len(a.Value))), a.Value...)
	return append(b, make([]byte, -(2+len(a.Value))&3)...) // to 32 bits
}

// Number is an attribute whose value is a number of 16 bits.
func Number(k Kind, n uint16) Attribute {
	return Attribute{k, true, binary.BigEndian.AppendUint16(nil, n)}
}

// group is an attribute that begins with a number and has others in it.
func group(k Kind, n uint16, in ...Attribute) Attribute {
	a := Number(k, n)
	for _, one := range in {
		a.Value = one.appendTo(a.Value)
	}
	return a
}
