package bfcp

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"
)

var at = time.Unix(1e9, 0)

func floor() *Floor { return &Floor{Conference: 0x01020304, User: 7, ID: 1} }

// ask is a message of the participant of floor.
func ask(p Primitive, transaction uint16, a ...Attribute) []byte {
	m := Message{Primitive: p, Conference: 0x01020304, Transaction: transaction, User: 7, Attributes: a}
	return m.Marshal()
}

// take wants an answer of a primitive.
func take(t *testing.T, f *Floor, b []byte, want Primitive) Message {
	t.Helper()
	answer, err := f.Take(b, at)
	if (err != nil) != (want == Error) {
		t.Fatal(err)
	}
	m, err := Parse(answer)
	if err != nil || m.Primitive != want || !m.Response || m.Transaction != uint16(b[8])<<8|uint16(b[9]) || m.Conference != f.Conference {
		t.Fatalf("%+v, %v: want primitive %d", m, err, want)
	}
	return m
}

func state(t *testing.T, m Message, request uint16, want Status) {
	t.Helper()
	if id, s, ok := m.State(); !ok || id != request || s != want {
		t.Fatalf("request %d is in state %d, %v: want %d in %d", id, s, ok, request, want)
	}
}

// code is that of an error.
func code(t *testing.T, f *Floor, b []byte, want byte) {
	t.Helper()
	m := take(t, f, b, Error)
	if m.Attributes[0].Kind != ErrorCode || m.Attributes[0].Value[0] != want {
		t.Fatalf("%+v: want code %d", m, want)
	}
}

// TestFloor has a participant ask for the floor, hold it and give it back.
func TestFloor(t *testing.T) {
	f := floor()
	m := take(t, f, ask(Hello, 1), HelloAck)
	if len(m.Attributes) != 2 || len(m.Attributes[0].Value) != 17 || m.Attributes[1].Value[17] != 18<<1 {
		t.Errorf("supported: %+v", m.Attributes)
	}
	take(t, f, ask(FloorQuery, 2, Number(FloorID, 1)), FloorStatus)
	state(t, take(t, f, ask(FloorRequest, 3, Number(FloorID, 1)), FloorRequestStatus), 1, Granted)
	if !f.Held() {
		t.Fatal("not held")
	}
	// It comes again, as UDP's messages do: the answer is the same one.
	state(t, take(t, f, ask(FloorRequest, 3, Number(FloorID, 1)), FloorRequestStatus), 1, Granted)
	// Who watches is told until it says that it heard.
	told := f.Due(at)
	if m, err := Parse(told); err != nil || m.Primitive != FloorStatus || m.Response || m.Transaction == 0 {
		t.Fatalf("%+v %v", m, err)
	} else {
		state(t, m, 1, Granted)
		if f.Due(at.Add(firstRepeat-1)) != nil || !bytes.Equal(f.Due(at.Add(firstRepeat)), told) {
			t.Error("not again after half a second")
		}
		if b, err := f.Take((&Message{Primitive: FloorStatusAck, Response: true, Conference: f.Conference, Transaction: m.Transaction, User: 7}).Marshal(), at); b != nil || err != nil {
			t.Errorf("an acknowledgement is answered: %x %v", b, err)
		}
		if f.Due(at.Add(time.Hour)) != nil {
			t.Error("again after it was acknowledged")
		}
	}
	code(t, f, ask(FloorRequest, 4, Number(FloorID, 1)), tooManyRequests)
	state(t, take(t, f, ask(FloorRequestQuery, 5, Number(FloorRequestID, 1)), FloorRequestStatus), 1, Granted)
	state(t, take(t, f, ask(UserQuery, 6), UserStatus), 1, Granted)
	code(t, f, ask(FloorRelease, 7, Number(FloorRequestID, 2)), unknownRequest)
	state(t, take(t, f, ask(FloorRelease, 8, Number(FloorRequestID, 1)), FloorRequestStatus), 1, Released)
	if f.Held() {
		t.Error("still held")
	}
	// Nobody acknowledges that: it comes four times.
	n, now := 0, at
	for ; f.own != nil; now = now.Add(100 * time.Millisecond) {
		if f.Due(now) != nil {
			n++
		}
	}
	if n != tries {
		t.Errorf("told %d times", n)
	}
	state(t, take(t, f, ask(FloorRequest, 9, Number(FloorID, 1), Number(BeneficiaryID, 7)), FloorRequestStatus), 2, Granted)
	take(t, f, ask(Goodbye, 10), GoodbyeAck)
	if f.Held() || f.Due(now) != nil {
		t.Error("held after goodbye")
	}
	for range 2 {
		take(t, f, ask(FloorRequest, 11, Number(FloorID, 1)), FloorRequestStatus)
		if !f.Held() {
			t.Error("who begins anew is answered from memory")
		}
		f.Reset()
	}
}

// TestRefused has messages that are none of this floor's.
func TestRefused(t *testing.T) {
	f := floor()
	code(t, f, ask(FloorRequest, 1, Number(FloorID, 2)), unknownFloor)
	code(t, f, ask(FloorRequest, 1), unparsable)
	code(t, f, ask(FloorRequest, 1, Number(FloorID, 1), Number(BeneficiaryID, 8)), unauthorized)
	code(t, f, ask(FloorQuery, 1, Number(FloorID, 2)), unknownFloor)
	code(t, f, ask(FloorRelease, 1, Number(FloorRequestID, 0)), unknownRequest)
	code(t, f, ask(ChairAction, 1), unauthorized)
	code(t, f, ask(HelloAck, 1), unknownPrimitive)
	code(t, f, ask(Hello, 1, Number(99, 1)), unknownMandatory)
	take(t, f, ask(Hello, 1, Attribute{Kind: 99, Value: []byte{1}}), HelloAck)
	b := ask(Hello, 2)
	b[0] = 1 << 5
	code(t, f, b, unknownVersion)
	b = ask(Hello, 3)
	b[0] |= 8
	code(t, f, b, unparsable)
	code(t, f, append(ask(Hello, 4), 0, 0, 0, 0), wrongLength)
	b = ask(FloorRequest, 5, Number(FloorID, 1))
	b[headerSize+1] = 200
	code(t, f, b, unparsable)
	b = ask(Hello, 6)
	b[11] = 8
	if m, err := f.Take(b, at); err == nil || m == nil {
		t.Errorf("another user: %x %v", m, err)
	}
	for _, junk := range [][]byte{nil, {0x40}, make([]byte, 12)} {
		if answer, err := f.Take(junk, at); answer != nil || err == nil {
			t.Errorf("%x is answered %x, %v", junk, answer, err)
		}
	}
	if f.Held() {
		t.Error("it holds the floor")
	}
}

// TestBytes holds messages against RFC 8855's figures, byte by byte.
func TestBytes(t *testing.T) {
	f := floor()
	for _, c := range []struct{ what, in, out string }{
		{"FloorRequest", "40010001 01020304 0009 0007 0504 0001", "50040004 01020304 0009 0007 1f10 0001 2508 0001 0b040300 2304 0001"},
		{"FloorQuery", "40070001 01020304 000a 0007 0504 0001", "50080005 01020304 000a 0007 0504 0001 1f10 0001 2508 0001 0b040300 2304 0001"},
		{"FloorRelease", "40020001 01020304 000b 0007 0704 0001", "50040004 01020304 000b 0007 1f10 0001 2508 0001 0b040600 2304 0001"},
		{"Goodbye", "40100000 01020304 000c 0007", "50110000 01020304 000c 0007"},
	} {
		got, err := f.Take(unhex(t, c.in), at)
		if err != nil || !bytes.Equal(got, unhex(t, c.out)) {
			t.Errorf("%s: %x, %v", c.what, got, err)
		}
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(string(bytes.ReplaceAll([]byte(s), []byte(" "), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// FuzzFloor: whatever comes, what goes back is a response that can be read, and no
// longer than a few lines.
func FuzzFloor(f *testing.F) {
	for _, s := range []string{
		"40010001 01020304 0009 0007 0504 0001", "40070001 01020304 000a 0007 0504 0001", "40020001 01020304 000b 0007 0704 0001",
		"400b0000 01020304 0001 0007", "40100000 01020304 000c 0007", "48010002 01020304 0009 0007 00000001 0504 0001", "500f0000 01020304 0001 0007",
	} {
		f.Add(unhex(f, s), unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		one := floor()
		one.Take(unhex(t, "40010001 01020304 0009 0007 0504 0001"), at)
		for i, in := range [][]byte{a, b} {
			now := at.Add(time.Duration(i) * time.Second)
			answer, _ := one.Take(in, now)
			for _, out := range [][]byte{answer, one.Due(now)} {
				if out == nil {
					continue
				}
				m, err := Parse(out)
				if err != nil || len(out) > 100 || m.Primitive != FloorStatus && !m.Response {
					t.Fatalf("%x is answered %x: %v", in, out, err)
				}
			}
		}
	})
}
