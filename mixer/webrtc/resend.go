package webrtc

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"time"
)

const (
	// A flight goes out again after the first wait, then after twice as long each
	// time (RFC 9147, section 5.8.2). pion repeats at one interval for ever: on a
	// link of 30 kbit/s the server's half kilobyte every 150 ms is all there is, and
	// stands before what it waits for.
	flightLongest = 2 * time.Second
	flightIdle    = 10 * time.Second
	maxFlights    = 1024

	recordHandshake = 22
	recordHeader    = 13 // content type, version, epoch, sequence number, length (RFC 6347, section 4.1)
)

// flights keeps the repeats of handshakes apart. The zero value is ready.
type flights struct {
	mu   sync.Mutex
	last map[netip.AddrPort]*flightOut
}

// flightOut is the newest flight to one address.
type flightOut struct {
	message uint64 // type, number and length of its first message
	at      time.Time
	wait    time.Duration
}

// admit reports whether a datagram goes out now.
func (f *flights) admit(b []byte, to netip.AddrPort, now time.Time) bool {
	if len(b) < recordHeader+6 || b[0] != recordHandshake || binary.BigEndian.Uint16(b[3:]) != 0 {
		return true // what is encrypted cannot be told apart
	}
	message := binary.BigEndian.Uint64(b[recordHeader-2:]) // the record's length, and 6 bytes of the message (RFC 6347, section 4.2.2)
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.last[to]
	switch {
	case l == nil || l.message != message || now.Sub(l.at) > flightIdle:
		if len(f.last) >= maxFlights {
			f.sweep(now)
		}
		if f.last == nil {
			f.last = map[netip.AddrPort]*flightOut{}
		}
		f.last[to] = &flightOut{message: message, at: now, wait: dtlsRetransmit * 9 / 10}
		return true
	case now.Sub(l.at) < l.wait:
		return false
	}
	l.at, l.wait = now, min(2*l.wait, flightLongest)
	return true
}

// sweep forgets handshakes that are over, and all if they are too many.
func (f *flights) sweep(now time.Time) {
	for to, l := range f.last {
		if now.Sub(l.at) > flightIdle {
			delete(f.last, to)
		}
	}
	if len(f.last) >= maxFlights {
		clear(f.last)
	}
}
