package webrtc

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/pion/ice/v2"

	"mixdown/mixer/webrtc/tcp"
)

const (
	socketBuffer = 4 << 20         // all peers share a socket
	tcpFirst     = 5 * time.Second // for a new connection to say whose it is
	portRetries  = 20
	maxDatagram  = 1600 // of media that is taken where it is read
)

// sockets are the one port that all media goes through: a UDP socket for each
// address (so that answers leave from the address that was asked) and a TCP
// listener for all.
type sockets struct {
	port int
	udp  *ice.MultiUDPMuxDefault
	tcp  *ice.TCPMuxDefault
	tcpl *listener
	left farewells
	out  []*batch   // one for each UDP socket
	in   []*inwards // too
}

func listen(port int, addrs []netip.Addr, lim Limits, opt tcp.Options, m *meter, f loggers) (*sockets, error) {
	var err error
	for range portRetries {
		var s *sockets
		if s, err = listenOnce(port, addrs, lim, opt, m, f); err == nil {
			return s, nil
		}
		if port != 0 || !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return nil, fmt.Errorf("--rtc-port %d: %w", port, err)
}

func listenOnce(port int, addrs []netip.Addr, lim Limits, opt tcp.Options, m *meter, f loggers) (*sockets, error) {
	tcpl, err := net.ListenTCP("tcp", &net.TCPAddr{Port: port})
	if err != nil {
		return nil, err
	}
	port = tcpl.Addr().(*net.TCPAddr).Port

	var conns []*net.UDPConn
	for _, ip := range addrs {
		c, lerr := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, uint16(port))))
		if lerr != nil {
			err = lerr
			if errors.Is(lerr, syscall.EADDRINUSE) {
				break
			}
			f.log.Warn("address not usable for media", "address", ip, "error", lerr)
			continue
		}
		enlarge(c, f.log, len(conns) == 0)
		conns = append(conns, c)
	}
	if len(conns) == 0 || errors.Is(err, syscall.EADDRINUSE) {
		for _, c := range conns {
			_ = c.Close()
		}
		_ = tcpl.Close()
		if err == nil {
			err = errors.New("no network interface with a usable address")
		}
		return nil, err
	}

	left, said := make(farewells, 16), new(flights)
	muxes := make([]ice.UDPMux, len(conns))
	out, in := make([]*batch, len(conns)), make([]*inwards, len(conns))
	for i, c := range conns {
		out[i], in[i] = newBatch(c, m), new(inwards)
		muxes[i] = ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: &udpSocket{UDPConn: c, meter: m, left: left, guard: newGuard(lim, m), batch: out[i], in: in[i], flights: said}, Logger: f.forMux()})
	}
	l := newListener(tcpl, left, opt, f.log)
	return &sockets{
		port: port,
		left: left,
		out:  out,
		in:   in,
		udp:  ice.NewMultiUDPMuxDefault(muxes...),
		tcpl: l,
		tcp: ice.NewTCPMuxDefault(ice.TCPMuxParams{
			Listener: l, Logger: f.NewLogger("tcpmux"),
			ReadBufferSize: 64, WriteBufferSize: 0, // tcp.Conn never blocks
			FirstStunBindTimeout: tcpFirst, AliveDurationForConnFromStun: tcpFirst,
		}),
	}, nil
}

func (s *sockets) Close() error {
	s.tcpl.end() // connections that never said whose they are would hold up the mux
	return errors.Join(s.udp.Close(), s.tcp.Close())
}

// udpSocket lets only through what can be meant for a peer.
type udpSocket struct {
	*net.UDPConn
	meter *meter
	left  farewells
	guard *guard
	batch *batch // of media to go out
	in    *inwards

	flights *flights // of all sockets
	checks  checks
	scratch [maxDatagram]byte // of the one goroutine that reads
}

// ReadFrom implements net.PacketConn. It fails only when the socket is closed:
// pion's mux would end at any other error, and all sessions with it.
func (s *udpSocket) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := s.ReadFromUDPAddrPort(b)
		switch {
		case err == nil && n > 0 && known(b[0]):
			now := time.Now()
			if !s.guard.admit(b[:n], from, now) || s.taken(b[:n], from, now) {
				continue
			}
			switch {
			case b[0] == recordAlert:
				s.left.from(from)
			case b[0] < 4:
				s.checks.came(b[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), now)
			}
			return n, net.UDPAddrFromAddrPort(from), nil
		case err == nil:
			s.meter.badDatagram.Inc()
		case errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded):
			return n, nil, err
		}
	}
}

// taken reports whether a datagram was media that went the direct way.
func (s *udpSocket) taken(b []byte, from netip.AddrPort, now time.Time) bool {
	if b[0] < 128 || len(b) < plainHeader || len(b) > len(s.scratch) {
		return false
	}
	in := s.in.of(netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
	return in != nil && in.take(b, s.scratch[:0], now)
}

// known tells STUN, DTLS and RTP from the rest by the first byte (RFC 7983, section 7).
func known(b byte) bool {
	return b < 4 || b >= 20 && b < 64 || b >= 128 && b < 192
}
