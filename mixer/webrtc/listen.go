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
	out  []*batch // one for each UDP socket
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

	left := make(farewells, 16)
	muxes := make([]ice.UDPMux, len(conns))
	out := make([]*batch, len(conns))
	for i, c := range conns {
		out[i] = newBatch(c, m)
		muxes[i] = ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: &udpSocket{c, m, left, newGuard(lim, m), out[i]}, Logger: f.forMux()})
	}
	l := newListener(tcpl, left, opt)
	return &sockets{
		port: port,
		left: left,
		out:  out,
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
}

// ReadFrom implements net.PacketConn. It fails only when the socket is closed:
// pion's mux would end at any other error, and all sessions with it.
func (s *udpSocket) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, addr, err := s.UDPConn.ReadFromUDP(b)
		switch {
		case err == nil && n > 0 && known(b[0]):
			if !s.guard.admit(b[:n], addr.AddrPort(), time.Now()) {
				continue
			}
			if b[0] == recordAlert {
				s.left.from(addr.AddrPort())
			}
			return n, addr, nil
		case err == nil:
			s.meter.badDatagram.Inc()
		case errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded):
			return n, addr, err
		}
	}
}

// known tells STUN, DTLS and RTP from the rest by the first byte (RFC 7983, section 7).
func known(b byte) bool {
	return b < 4 || b >= 20 && b < 64 || b >= 128 && b < 192
}
