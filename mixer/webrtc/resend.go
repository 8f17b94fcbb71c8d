package webrtc

import (
	"encoding/binary"
	"hash/maphash"
	"maps"
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

// flights keeps the repeats of handshakes apart, whichever of a client's addresses
// they go to: before ICE has chosen one, pion tries another each time. The zero
// value is ready.
type flights struct {
	mu   sync.Mutex
	seed maphash.Seed
	last map[uint64]*flightOut // by what it says
}

// flightOut is one flight.
type flightOut struct {
	at   time.Time
	wait time.Duration
}

// admit reports whether a datagram goes out now, to a client that far away (0: not
// known). An answer that cannot be there yet is not waited for twice.
func (f *flights) admit(b []byte, trip time.Duration, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	says, ok := f.says(b)
	if !ok {
		return true // what is encrypted cannot be told apart
	}
	l := f.last[says]
	switch {
	case l == nil || now.Sub(l.at) > flightIdle:
		if len(f.last) >= maxFlights {
			forget(f.last, maxFlights, func(l *flightOut) bool { return now.Sub(l.at) > flightIdle })
		}
		if f.last == nil {
			f.last = map[uint64]*flightOut{}
		}
		f.last[says] = &flightOut{at: now, wait: min(max(dtlsRetransmit*9/10, trip*5/4), flightLongest)}
		return true
	case now.Sub(l.at) < l.wait:
		return false
	}
	l.at, l.wait = now, min(2*l.wait, flightLongest)
	return true
}

// says is a datagram's messages without the records' numbers, which are others each
// time, and without what is encrypted. No two handshakes say the same: each has a
// random number or a key of its own in it.
func (f *flights) says(b []byte) (sum uint64, ok bool) {
	if f.last == nil {
		f.seed = maphash.MakeSeed()
	}
	var h maphash.Hash
	h.SetSeed(f.seed)
	for len(b) > recordHeader && b[0] == recordHandshake && binary.BigEndian.Uint16(b[3:]) == 0 {
		end := min(recordHeader+int(binary.BigEndian.Uint16(b[recordHeader-2:])), len(b))
		h.Write(b[recordHeader:end])
		b, ok = b[end:], true
	}
	return h.Sum64(), ok
}

// forget makes room in what is kept of handshakes and addresses: it drops those that
// are over, and all if there are still most of them.
func forget[K comparable, V any](kept map[K]V, most int, over func(V) bool) {
	maps.DeleteFunc(kept, func(_ K, v V) bool { return over(v) })
	if len(kept) >= most {
		clear(kept)
	}
}

// How ICE's checks are repeated (RFC 8445, section 14.3, begins at half a second).
const (
	checkFirst   = 200 * time.Millisecond
	checkLongest = 1600 * time.Millisecond // iceKeepalive's questions go out, too, if every other
	checkIdle    = 10 * time.Second
	maxChecks    = 4096
	checkTrips   = 8
	// pion asks back at once whoever asks, again and again.
	checkBack = 100 * time.Millisecond

	stunRequest, stunSuccess = 0x0001, 0x0101 // RFC 8489, section 5
	stunHeader               = 20
)

// checks keeps ICE's questions to each address apart. pion asks every address that a
// client may have again five times a second, all at once, and the one that asked each
// time that it does: 80 kbit in the first two seconds of a client that has four, and
// what it waits for stands behind them. The zero value is ready.
type checks struct {
	mu   sync.Mutex
	last map[netip.AddrPort]*checksOut
}

// checksOut are the newest questions to one address.
type checksOut struct {
	ufrag string // of the ICE session
	at    time.Time
	wait  time.Duration
	trip  time.Duration // 0: no answer yet
	asked time.Time     // when it asked us last
	n     int
	sent  [checkTrips]checkOut
}

type checkOut struct {
	id [12]byte // of the transaction
	at time.Time
}

// admit reports whether a datagram goes out now.
func (c *checks) admit(b []byte, to netip.AddrPort, now time.Time) bool {
	if len(b) < stunHeader || binary.BigEndian.Uint16(b) != stunRequest {
		return true
	}
	ufrag := username(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.last[to]
	switch {
	case l == nil || l.ufrag != ufrag || now.Sub(l.at) > checkIdle:
		if len(c.last) >= maxChecks {
			forget(c.last, maxChecks, func(l *checksOut) bool { return now.Sub(l.at) > checkIdle })
		}
		if c.last == nil {
			c.last = map[netip.AddrPort]*checksOut{}
		}
		l = &checksOut{ufrag: ufrag, wait: checkFirst}
		c.last[to] = l
	case now.Sub(l.at) < l.wait:
		return false
	case l.trip > 0 && now.Sub(l.asked) < checkBack:
		return false // it is known to be there
	default:
		l.wait = min(2*l.wait, checkLongest)
	}
	l.at = now
	l.sent[l.n%checkTrips] = checkOut{[12]byte(b[8:stunHeader]), now}
	l.n++
	return true
}

// came takes what came in.
func (c *checks) came(b []byte, from netip.AddrPort, now time.Time) {
	if len(b) < stunHeader {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.last[from]
	if l == nil {
		return
	}
	switch binary.BigEndian.Uint16(b) {
	case stunRequest:
		l.asked = now
		return
	case stunSuccess:
	default:
		return
	}
	for _, s := range l.sent[:min(l.n, checkTrips)] {
		if s.id == [12]byte(b[8:stunHeader]) {
			l.trip = now.Sub(s.at)
		}
	}
}

// away is how far an address is, there and back; 0: not known.
func (c *checks) away(to netip.AddrPort) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.last[to]; l != nil {
		return l.trip
	}
	return 0
}
