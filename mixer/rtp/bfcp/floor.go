package bfcp

import (
	"encoding/binary"
	"slices"
	"time"
)

const (
	// firstRepeat and tries are how a message of our own is sent again until it is
	// acknowledged, the wait doubled each time (RFC 8855, section 6.2, timer T1).
	firstRepeat = 500 * time.Millisecond
	tries       = 4
)

// Floor is the one floor of a conference of one participant, and the server that
// gives it. It is given to who asks. One goroutine at a time may use it.
type Floor struct {
	Conference uint32
	User       uint16 // the participant's
	ID         uint16 // the floor's

	held    bool
	request uint16 // the newest request; 0: there was none
	ended   bool   // that one is over
	watched bool   // the participant asked to be told of changes

	answered    []byte // the message that was answered last,
	answer      []byte // and how: it may come again
	transaction uint16 // the last of our own
	own         []byte // of ours, not acknowledged
	repeat      time.Time
	wait        time.Duration
	left        int
}

// Held reports whether the participant has the floor.
func (f *Floor) Held() bool { return f.held }

// Reset has the participant gone, as its goodbye does. What it sends from then on
// is new, even if it looks like its last message.
func (f *Floor) Reset() {
	f.held, f.ended, f.watched, f.own, f.answered = false, true, false, nil, nil
}

// Take takes a message of the participant and returns what goes back, nil for
// nothing. err says what was wrong with it; who sends another conference's or
// another one's messages may be anybody.
func (f *Floor) Take(b []byte, now time.Time) (answer []byte, err error) {
	m, err := Parse(b)
	if err != nil {
		bad, ok := err.(fault)
		if !ok || m.Response || m.Conference != f.Conference || m.User != f.User {
			return nil, err
		}
		return f.refuse(m, bad.code), err
	}
	if f.answered != nil && slices.Equal(b, f.answered) {
		return f.answer, nil
	}
	before := f.held
	reply, err := f.judge(&m, now)
	if reply == nil {
		return nil, err
	}
	reply.Response, reply.Conference, reply.Transaction, reply.User = true, m.Conference, m.Transaction, m.User
	answer = reply.Marshal()
	if err == nil {
		f.answered, f.answer = slices.Clone(b), answer
	}
	if f.held != before && f.watched {
		f.tell(now)
	}
	return answer, err
}

// judge does what a message asks for. A nil reply is none.
func (f *Floor) judge(m *Message, now time.Time) (reply *Message, err error) {
	refuse := func(code int, text string) (*Message, error) {
		return &Message{Primitive: Error, Attributes: []Attribute{{ErrorCode, true, []byte{byte(code)}}}}, fault{code, text}
	}
	if m.Response || m.Primitive == FloorStatusAck || m.Primitive == FloorRequestStatusAck {
		if f.own != nil && m.Primitive == FloorStatusAck && m.Transaction == f.transaction && m.Conference == f.Conference {
			f.own = nil
		}
		return nil, nil
	}
	switch {
	case m.Conference != f.Conference:
		return refuse(unknownConference, "another conference")
	case m.User != f.User:
		return refuse(unknownUser, "another user")
	}
	for _, a := range m.Attributes {
		if a.Mandatory && (a.Kind == 0 || a.Kind > lastKind) {
			return &Message{Primitive: Error, Attributes: []Attribute{{ErrorCode, true, []byte{unknownMandatory, byte(a.Kind) << 1}}}}, fault{unknownMandatory, "an unknown attribute is mandatory"}
		}
	}
	id, named := m.number(FloorRequestID)
	known := named && id == f.request && id != 0
	switch m.Primitive {
	case Hello:
		return &Message{Primitive: HelloAck, Attributes: []Attribute{supported(SupportedPrimitives, 1, int(GoodbyeAck)), supported(SupportedAttributes, 2, int(lastKind))}}, nil
	case FloorRequest:
		switch floor, ok := m.number(FloorID); {
		case !ok:
			return refuse(unparsable, "a request names no floor")
		case floor != f.ID:
			return refuse(unknownFloor, "another floor")
		case f.held:
			return refuse(tooManyRequests, "it has the floor")
		}
		if b, ok := m.number(BeneficiaryID); ok && b != f.User {
			return refuse(unauthorized, "a request for somebody else")
		}
		f.held, f.ended = true, false
		if f.request++; f.request == 0 {
			f.request = 1
		}
		return f.requested(), nil
	case FloorRelease:
		if !known || f.ended {
			return refuse(unknownRequest, "another request is to be released")
		}
		f.held, f.ended = false, true
		return f.requested(), nil
	case FloorRequestQuery:
		if !known {
			return refuse(unknownRequest, "another request is asked for")
		}
		return f.requested(), nil
	case FloorQuery:
		f.watched = false
		for _, a := range m.Attributes {
			if a.Kind == FloorID {
				if floor, ok := m.number(FloorID); !ok || floor != f.ID {
					return refuse(unknownFloor, "another floor")
				}
				f.watched = true
			}
		}
		return f.status(f.watched), nil
	case UserQuery:
		reply = &Message{Primitive: UserStatus}
		if f.held {
			reply.Attributes = f.requested().Attributes
		}
		return reply, nil
	case Goodbye:
		f.Reset()
		return &Message{Primitive: GoodbyeAck}, nil
	case ChairAction:
		return refuse(unauthorized, "nobody is chair")
	}
	return refuse(unknownPrimitive, "a message that is none to a server")
}

// Due returns what is to be sent by itself now, nil for nothing.
func (f *Floor) Due(now time.Time) []byte {
	if f.own == nil || now.Before(f.repeat) {
		return nil
	}
	if f.left == 0 { // who does not listen loses nothing but news
		f.own = nil
		return nil
	}
	f.repeat, f.wait, f.left = now.Add(f.wait), 2*f.wait, f.left-1
	return f.own
}

// tell has the participant told of the floor.
func (f *Floor) tell(now time.Time) {
	m := f.status(true)
	if f.transaction++; f.transaction == 0 { // no message's of a server (section 5.1)
		f.transaction = 1
	}
	m.Conference, m.Transaction, m.User = f.Conference, f.transaction, f.User
	f.own, f.repeat, f.wait, f.left = m.Marshal(), now, firstRepeat, tries
}

// requested is how the newest request stands.
func (f *Floor) requested() *Message {
	return &Message{Primitive: FloorRequestStatus, Attributes: []Attribute{f.information()}}
}

// status is how the floor stands (section 5.3.8).
func (f *Floor) status(floor bool) *Message {
	m := &Message{Primitive: FloorStatus}
	if floor {
		m.Attributes = append(m.Attributes, Number(FloorID, f.ID))
		if f.held {
			m.Attributes = append(m.Attributes, f.information())
		}
	}
	return m
}

// information is a FLOOR-REQUEST-INFORMATION (section 5.2.15).
func (f *Floor) information() Attribute {
	s := Granted
	if f.ended {
		s = Released
	}
	return group(FloorRequestInformation, f.request,
		group(OverallRequestStatus, f.request, Attribute{RequestStatus, true, []byte{byte(s), 0}}), // 0: no place in a line
		Number(FloorRequestStatusOf, f.ID))
}

// refuse is the answer to what could not be read.
func (f *Floor) refuse(m Message, code int) []byte {
	e := Message{Primitive: Error, Response: true, Conference: m.Conference, Transaction: m.Transaction, User: m.User,
		Attributes: []Attribute{{ErrorCode, true, []byte{byte(code)}}}}
	return e.Marshal()
}

// supported lists numbers, each moved to the left by what the list has there
// (section 5.2.10: attributes have a reserved bit at the end).
func supported(k Kind, step, last int) Attribute {
	a := Attribute{Kind: k, Mandatory: true}
	for i := 1; i <= last; i++ {
		a.Value = append(a.Value, byte(i*step))
	}
	return a
}

// State reads a FLOOR-REQUEST-INFORMATION in a message: the request and its
// overall status, for those who are told.
func (m *Message) State() (request uint16, s Status, ok bool) {
	for _, a := range m.Attributes {
		if a.Kind != FloorRequestInformation || len(a.Value) < 2 {
			continue
		}
		in, err := attributes(a.Value[2:])
		if err != nil {
			return 0, 0, false
		}
		for _, o := range in {
			if o.Kind != OverallRequestStatus || len(o.Value) < 2 {
				continue
			}
			inner, err := attributes(o.Value[2:])
			if err == nil && len(inner) > 0 && inner[0].Kind == RequestStatus && len(inner[0].Value) == 2 {
				return binary.BigEndian.Uint16(a.Value), Status(inner[0].Value[0]), true
			}
		}
	}
	return 0, 0, false
}
