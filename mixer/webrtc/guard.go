package webrtc

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Limits are what one sender may make the server do. What goes beyond is
// dropped and counted; a sender within them never notices. 0 is no limit.
type Limits struct {
	Packets   int // a second, of all kinds, from one address
	Checks    int // of STUN and DTLS among them
	Feedback  int // of RTCP among them
	Streams   int // SSRCs of one address or session; a few more come free each minute
	Addresses int // that one ICE session is spoken to from
}

// DefaultLimits leaves a browser that sends 10 Mbit/s twice the room it needs.
func DefaultLimits() Limits {
	return Limits{Packets: 2000, Checks: 100, Feedback: 200, Streams: 32, Addresses: 32}
}

const (
	// maxSenders bounds the addresses that are told apart; more share one account.
	maxSenders = 8192
	// senderIdle is after which an address is forgotten: longer than ICE takes to
	// give a silent one up.
	senderIdle = 2 * iceFailed
	sweepEvery = time.Second
	// streamRefill is how fast further SSRCs are granted: a gateway that holds and
	// resumes takes a new one each time.
	streamRefill = 0.1
	maxUfrags    = 4 // ICE sessions that one address speaks to
)

// bucket grants rate events a second, and burst of them at once.
type bucket struct {
	left float64
	at   time.Time
}

func (b *bucket) take(rate, burst float64, now time.Time) bool {
	if burst == 0 {
		return true
	}
	if b.at.IsZero() {
		b.left = burst
	} else {
		b.left = min(b.left+max(now.Sub(b.at).Seconds(), 0)*rate, burst)
	}
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// guard stands before pion, which keeps something for each address, each SSRC
// and each ICE candidate that it ever saw, and takes all packets there are. It
// reads no more than is in clear and belongs to one socket's reader.
type guard struct {
	limits  Limits
	meter   *meter
	senders map[netip.AddrPort]*account
	ufrags  map[string]int // addresses that speak to it
	others  account        // of all addresses beyond maxSenders
	swept   time.Time
}

// account is what is known of one address.
type account struct {
	seen                               time.Time
	packets, checks, feedback, streams bucket
	ssrcs                              map[uint32]struct{}
	ufrags                             []string
}

func newGuard(l Limits, m *meter) *guard {
	return &guard{limits: l, meter: m, senders: make(map[netip.AddrPort]*account), ufrags: make(map[string]int)}
}

// admit reports whether a datagram goes on to pion.
func (g *guard) admit(b []byte, from netip.AddrPort, now time.Time) bool {
	a := g.account(from, now)
	if !g.within(&a.packets, g.limits.Packets, g.meter.limitPackets, now) {
		return false
	}
	switch {
	case b[0] < 64: // STUN or DTLS (RFC 7983, section 7)
		return g.within(&a.checks, g.limits.Checks, g.meter.limitChecks, now) && (b[0] >= 4 || a == &g.others || g.address(a, username(b)))
	case len(b) < 8:
		g.meter.badDatagram.Inc()
		return false
	case b[1] >= 192 && b[1] < 224: // RTCP (RFC 5761, section 4)
		return g.within(&a.feedback, g.limits.Feedback, g.meter.limitFeedback, now) && g.stream(a, b[4:], now)
	case len(b) < 12:
		g.meter.badDatagram.Inc()
		return false
	}
	return g.stream(a, b[8:], now)
}

// within counts one more event against a rate.
func (g *guard) within(b *bucket, rate int, over prometheus.Counter, now time.Time) bool {
	if b.take(float64(rate), float64(rate), now) {
		return true
	}
	over.Inc()
	return false
}

// stream reports whether a packet of the SSRC that b begins with goes on.
func (g *guard) stream(a *account, b []byte, now time.Time) bool {
	if a == &g.others {
		return true // pion drops what is of no session; its address has to be known
	}
	ssrc := binary.BigEndian.Uint32(b)
	if _, ok := a.ssrcs[ssrc]; ok {
		return true
	}
	if !a.streams.take(streamRefill, float64(g.limits.Streams), now) {
		g.meter.limitStreams.Inc()
		return false
	}
	if a.ssrcs == nil {
		a.ssrcs = make(map[uint32]struct{})
	}
	a.ssrcs[ssrc] = struct{}{}
	return true
}

// address reports whether one more address may speak to an ICE session.
func (g *guard) address(a *account, ufrag string) bool {
	if ufrag == "" {
		return true
	}
	for _, u := range a.ufrags {
		if u == ufrag {
			return true
		}
	}
	if most := g.limits.Addresses; most > 0 && (len(a.ufrags) == maxUfrags || g.ufrags[ufrag] >= most) {
		g.meter.limitAddresses.Inc()
		return false
	}
	a.ufrags = append(a.ufrags, ufrag)
	g.ufrags[ufrag]++
	return true
}

func (g *guard) account(from netip.AddrPort, now time.Time) *account {
	a := g.senders[from]
	if a == nil {
		if len(g.senders) >= maxSenders {
			g.sweep(now)
		}
		if len(g.senders) >= maxSenders {
			return &g.others
		}
		a = new(account)
		g.senders[from] = a
	}
	a.seen = now
	return a
}

// sweep forgets who has been silent, and strangers at once that have not
// spoken ICE.
func (g *guard) sweep(now time.Time) {
	if now.Sub(g.swept) < sweepEvery {
		return
	}
	g.swept = now
	for from, a := range g.senders {
		idle := now.Sub(a.seen)
		if idle < sweepEvery || len(a.ufrags) > 0 && idle < senderIdle {
			continue
		}
		for _, u := range a.ufrags {
			if g.ufrags[u]--; g.ufrags[u] <= 0 {
				delete(g.ufrags, u)
			}
		}
		delete(g.senders, from)
	}
}

// username returns the receiver's part of a STUN message's USERNAME (RFC 8445,
// section 7.2.2), empty if there is none.
func username(b []byte) string {
	const header, attribute = 20, 4
	if len(b) < header {
		return ""
	}
	for b = b[header:]; len(b) >= attribute; {
		kind, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		b = b[attribute:]
		if n > len(b) {
			return ""
		}
		if kind == 0x0006 { // RFC 8489, section 18.3
			for i, c := range b[:n] {
				if c == ':' {
					return string(b[:i])
				}
			}
			return string(b[:n])
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return ""
}
