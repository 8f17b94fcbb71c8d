package rtp

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v2"

	"mixdown/codec"
	"mixdown/mixer/stream"
)

// relatchAfter is how long the other end has to be silent before packets from
// another address are taken for its own, where nothing proves that they are.
const relatchAfter = 2 * time.Second

// maxDatagram is the longest packet that is read; no network carries more.
const maxDatagram = 2048

// line is one m-line: its sockets, its keys, where its packets go.
type line struct {
	leg  *Leg
	role role
	kind codec.Kind
	port int // of RTP
	conn [2]*net.UDPConn

	agreed atomic.Pointer[agreement] // nil before the answer
	to     [2]atomic.Pointer[netip.AddrPort]

	// What comes in. Two goroutines read.
	recv   sync.Mutex
	inKey  key
	in     *srtp.Context
	latch  [2]latch
	stream stream.Stream

	pictures *pictures // what comes in of them; nil for sound
	rate     bucket
	plain    []byte
	packet   rtp.Packet
	pressed

	send sync.Mutex
	out  outgoing

	received, receivedBytes, bad atomic.Uint64
	heard                        atomic.Int64 // when anything valid came, Unix ns
}

// The sockets of a line.
const (
	forRTP = iota
	forRTCP
)

// latch is where packets of one socket come from (RFC 4961: that is where they
// are to go).
type latch struct {
	from netip.AddrPort
	at   time.Time
}

// bucket bounds packets a second.
type bucket struct {
	tokens float64
	filled time.Time
}

func (b *bucket) take(rate float64, now time.Time) bool {
	if b.filled.IsZero() {
		b.tokens = rate
	}
	b.tokens = min(b.tokens+now.Sub(b.filled).Seconds()*rate, rate)
	b.filled = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// use takes a new agreement.
func (n *line) use(a *agreement) error {
	n.recv.Lock()
	defer n.recv.Unlock()
	n.send.Lock()
	defer n.send.Unlock()
	was := n.agreed.Load()
	switch {
	case a.in == nil:
		n.in, n.inKey = nil, key{}
	case n.in == nil || !n.inKey.same(*a.in):
		c, err := a.in.context(srtp.SRTPReplayProtection(replayWindow), srtp.SRTCPReplayProtection(replayWindow))
		if err != nil {
			return err
		}
		n.in, n.inKey = c, *a.in
	}
	if err := n.out.encrypt(a.out); err != nil {
		return err
	}
	for i, at := range []netip.AddrPort{a.rtp, a.rtcp} {
		if before := was.signalled(i); at.IsValid() && at != before {
			n.to[i].Store(&at)
			n.latch[i] = latch{}
		}
	}
	if was == nil {
		n.heard.Store(time.Now().UnixNano()) // silence counts from here
	}
	n.agreed.Store(a)
	return nil
}

func (a *agreement) signalled(socket int) netip.AddrPort {
	switch {
	case a == nil:
		return netip.AddrPort{}
	case socket == forRTP:
		return a.rtp
	}
	return a.rtcp
}

// read brings in what comes to a socket until it is closed.
func (n *line) read(socket int) {
	buf := make([]byte, maxDatagram)
	for {
		size, from, err := n.conn[socket].ReadFromUDPAddrPort(buf)
		if err != nil {
			select {
			case <-n.leg.done:
				return
			default:
			}
			if size == 0 && !from.IsValid() { // closed, or an ICMP error of earlier packets
				if n.leg.ended() {
					return
				}
			}
			continue
		}
		n.take(socket, buf[:size], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), time.Now())
	}
}

// take takes one datagram, which is valid until it returns.
func (n *line) take(socket int, b []byte, from netip.AddrPort, now time.Time) {
	a := n.agreed.Load()
	// RFC 5761, section 4: RTCP's packet types are no payload types.
	isRTCP := len(b) > 1 && b[1] >= 192 && b[1] <= 223
	if a == nil || len(b) < 8 || isRTCP != (socket == forRTCP) && !(isRTCP && a.mux) {
		n.dropBad()
		return
	}
	n.recv.Lock()
	defer n.recv.Unlock()
	if !n.rate.take(float64(n.leg.cfg.Packets), now) {
		n.leg.meter.limited.Inc()
		return
	}
	if isRTCP {
		n.takeRTCP(socket, a, b, from, now)
		return
	}
	if n.in != nil {
		clear, err := n.in.DecryptRTP(n.plain[:0], b, nil)
		if err != nil {
			n.dropBad()
			return
		}
		n.plain, b = clear, clear
	}
	p := &n.packet
	*p = rtp.Packet{Header: rtp.Header{Extensions: p.Extensions[:0], CSRC: p.CSRC[:0]}}
	if p.Unmarshal(b) != nil || p.Version != 2 || !n.knows(a, p.PayloadType) || !n.admit(socket, from, now) {
		n.dropBad()
		return
	}
	n.received.Add(1)
	n.receivedBytes.Add(uint64(len(b)))
	n.leg.meter.in(n.kind, len(b))
	n.leg.media(n, a, p, now)
}

// takeRTCP takes a compound packet. The caller holds recv.
func (n *line) takeRTCP(socket int, a *agreement, b []byte, from netip.AddrPort, now time.Time) {
	if n.in != nil {
		clear, err := n.in.DecryptRTCP(n.plain[:0], b, nil)
		if err != nil {
			n.dropBad()
			return
		}
		n.plain, b = clear, clear
	}
	packets, err := rtcp.Unmarshal(b)
	if err != nil || !n.admit(socket, from, now) {
		n.dropBad()
		return
	}
	n.leg.control(n, a, packets, now)
}

func (n *line) dropBad() {
	n.bad.Add(1)
	n.leg.meter.bad.Inc()
}

func (n *line) knows(a *agreement, pt uint8) bool {
	if a.format(pt) != nil || a.comfort && pt == comfortType {
		return true
	}
	for _, e := range a.events {
		if e.pt == pt {
			return true
		}
	}
	return false
}

// admit reports whether a valid packet is the other end's, and notes where it came
// from. The caller holds recv.
func (n *line) admit(socket int, from netip.AddrPort, now time.Time) bool {
	l := &n.latch[socket]
	if l.from != from {
		if l.from.IsValid() && n.in == nil && now.Sub(l.at) < relatchAfter {
			return false
		}
		l.from = from
		n.to[socket].Store(&from)
		n.leg.log.Debug("media comes from", "media", n.kind, "address", from, "rtcp", socket == forRTCP)
	}
	l.at = now
	n.heard.Store(now.UnixNano())
	return true
}

// target is where a socket's packets go, and whether that is known.
func (n *line) target(socket int) (netip.AddrPort, bool) {
	p := n.to[socket].Load()
	if p == nil {
		return netip.AddrPort{}, false
	}
	return *p, true
}
