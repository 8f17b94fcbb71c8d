package webrtc

import (
	"net/netip"
	"testing"
	"time"
)

// handshake is a record of a message's number, as pion repeats it: with another
// record number each time.
func handshake(message, record byte) []byte {
	b := make([]byte, 60)
	copy(b, []byte{recordHandshake, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, record, 0, 47, 2, 0, 0, 35, 0, message})
	return b
}

func TestHandshakesAreRepeatedEverMoreSeldom(t *testing.T) {
	var f flights
	to, other := netip.MustParseAddrPort("192.0.2.1:5000"), netip.MustParseAddrPort("192.0.2.1:5001")
	began := time.Now()
	var out []time.Duration
	for i := range 60 {
		at := time.Duration(i) * dtlsRetransmit
		if f.admit(handshake(1, byte(i)), to, began.Add(at)) {
			out = append(out, at/dtlsRetransmit)
		}
	}
	// 150, 300, 600, 1200 ms between them, and from then on two seconds.
	want := []time.Duration{0, 1, 3, 7, 15, 29, 43, 57}
	if len(out) != len(want) {
		t.Fatalf("went out at %v intervals, want %v", out, want)
	}
	for i := range want {
		if out[i] != want[i] {
			t.Errorf("went out at %v intervals, want %v", out, want)
			break
		}
	}
	now := began.Add(60 * dtlsRetransmit)
	if !f.admit(handshake(1, 99), other, now) || !f.admit(handshake(2, 99), to, now) || f.admit(handshake(2, 100), to, now) {
		t.Error("another client, or the next flight, is held back; or its repeat is not")
	}
	encrypted := handshake(2, 101)
	encrypted[4] = 1
	if !f.admit(encrypted, to, now) || !f.admit([]byte{recordHandshake}, to, now) {
		t.Error("what cannot be told apart is held back")
	}
	for i := range 3 * maxFlights {
		f.admit(handshake(1, 1), netip.AddrPortFrom(to.Addr(), uint16(i)), now)
	}
	if len(f.last) > maxFlights {
		t.Errorf("%d addresses are kept", len(f.last))
	}
}
