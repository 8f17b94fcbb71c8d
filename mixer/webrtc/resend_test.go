package webrtc

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun"
)

// handshake is a record of a message's number, as pion repeats it: with another
// record number each time.
func handshake(message, record byte) []byte {
	b := make([]byte, 60)
	copy(b, []byte{recordHandshake, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, record, 0, 47, 2, 0, 0, 35, 0, message})
	return b
}

// finished is the encrypted end of a flight, as no repeat of it is.
func finished(record byte) []byte {
	return []byte{recordHandshake, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, record, 0, 2, record, 7}
}

func TestHandshakesAreRepeatedEverMoreSeldom(t *testing.T) {
	var f flights
	began := time.Now()
	goesOut := func(message byte, trip time.Duration) (out []time.Duration) {
		for i := range 60 {
			at := time.Duration(i) * dtlsRetransmit
			if f.admit(append(handshake(message, byte(i)), finished(byte(i))...), trip, began.Add(at)) {
				out = append(out, at/dtlsRetransmit)
			}
		}
		return out
	}
	// 150, 300, 600, 1200 ms between them, and from then on two seconds.
	if got, want := goesOut(1, 0), []time.Duration{0, 1, 3, 7, 15, 29, 43, 57}; !slices.Equal(got, want) {
		t.Errorf("went out at %v intervals, want %v", got, want)
	}
	// 1 s there and back: nothing before 1.25 s.
	if got, want := goesOut(2, time.Second), []time.Duration{0, 9, 23, 37, 51}; !slices.Equal(got, want) {
		t.Errorf("to far away went out at %v intervals, want %v", got, want)
	}
	now := began.Add(60 * dtlsRetransmit)
	if !f.admit(handshake(3, 99), 0, now) || f.admit(handshake(3, 100), 0, now) {
		t.Error("the next flight is held back; or its repeat is not")
	}
	for _, b := range [][]byte{finished(1), finished(1), {recordHandshake}} {
		if !f.admit(b, 0, now) {
			t.Error("what cannot be told apart is held back")
		}
	}
	for i := range 3 * maxFlights {
		b := handshake(4, 1)
		binary.BigEndian.PutUint16(b[30:], uint16(i)) // a random number
		f.admit(b, 0, now)
	}
	if len(f.last) > maxFlights {
		t.Errorf("%d flights are kept", len(f.last))
	}
}

func TestChecksAreRepeatedEverMoreSeldom(t *testing.T) {
	var c checks
	to, other := netip.MustParseAddrPort("192.0.2.1:5000"), netip.MustParseAddrPort("192.0.2.1:5001")
	ask := func(ufrag string) []byte {
		m, err := stun.Build(stun.BindingRequest, stun.TransactionID, stun.NewUsername(ufrag+":ours"))
		if err != nil {
			t.Fatal(err)
		}
		return m.Raw
	}
	began := time.Now()
	var out []time.Duration
	var first []byte
	for at := time.Duration(0); at < 8*time.Second; at += 200 * time.Millisecond {
		for range 3 { // pion's own, and two that answer a client's
			b := ask("theirs")
			if !c.admit(b, to, began.Add(at)) {
				continue
			}
			if out = append(out, at/(200*time.Millisecond)); first == nil {
				first = b
			}
		}
	}
	if want := []time.Duration{0, 1, 3, 7, 15, 23, 31, 39}; !slices.Equal(out, want) {
		t.Errorf("went out at %v intervals, want %v", out, want)
	}
	now := began.Add(8 * time.Second)
	if !c.admit(ask("theirs"), other, now) || !c.admit(ask("restarted"), to, now) || c.admit(ask("restarted"), to, now) {
		t.Error("another address, or a new ICE session, is held back; or its repeat is not")
	}
	if !c.admit(finished(0), to, now) {
		t.Error("something else is held back")
	}

	b := ask("far")
	c.admit(b, other, now)
	answer, err := stun.Build(stun.BindingSuccess, stun.NewTransactionIDSetter([12]byte(b[8:20])))
	if err != nil {
		t.Fatal(err)
	}
	c.came(answer.Raw, to, now.Add(time.Second)) // who was not asked
	if got := c.away(to); got != 0 {
		t.Errorf("an answer to another's question makes it %v away", got)
	}
	c.came(answer.Raw, other, now.Add(time.Second))
	if got := c.away(other); got != time.Second {
		t.Errorf("is %v away, want 1s", got)
	}

	later := now.Add(5 * time.Second)
	c.came(ask("ours"), other, later)
	if c.admit(ask("far"), other, later) {
		t.Error("who is known to be there is asked back")
	}
	if !c.admit(ask("far"), other, later.Add(time.Second)) {
		t.Error("who has become silent is not asked")
	}

	for i := range 3 * maxChecks {
		c.admit(ask("theirs"), netip.AddrPortFrom(to.Addr(), uint16(i)), now)
	}
	if len(c.last) > maxChecks {
		t.Errorf("%d addresses are kept", len(c.last))
	}
}
