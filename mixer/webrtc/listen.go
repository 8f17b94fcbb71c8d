package webrtc

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/pion/ice/v2"
	"golang.org/x/sys/unix"
)

const (
	socketBuffer = 4 << 20 // all peers share a socket
	// tcpBacklog is what may wait for one client over ICE-TCP: the largest
	// keyframe and about a second of pictures. More would only be old.
	tcpBacklog  = 256 << 10
	tcpUnsent   = 16 << 10         // of it in the kernel
	tcpStall    = 30 * time.Second // a client that takes nothing for so long is gone
	tcpFirst    = 5 * time.Second  // for a new connection to say whose it is
	portRetries = 20
	acceptPause = 50 * time.Millisecond
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
}

func listen(port int, addrs []netip.Addr, lim Limits, m *meter, f loggers) (*sockets, error) {
	var err error
	for range portRetries {
		var s *sockets
		if s, err = listenOnce(port, addrs, lim, m, f); err == nil {
			return s, nil
		}
		if port != 0 || !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return nil, fmt.Errorf("--rtc-port %d: %w", port, err)
}

func listenOnce(port int, addrs []netip.Addr, lim Limits, m *meter, f loggers) (*sockets, error) {
	tcp, err := net.ListenTCP("tcp", &net.TCPAddr{Port: port})
	if err != nil {
		return nil, err
	}
	port = tcp.Addr().(*net.TCPAddr).Port

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
		_ = c.SetReadBuffer(socketBuffer) // the kernel's limit may be lower, which is no error
		_ = c.SetWriteBuffer(socketBuffer)
		conns = append(conns, c)
	}
	if len(conns) == 0 || errors.Is(err, syscall.EADDRINUSE) {
		for _, c := range conns {
			_ = c.Close()
		}
		_ = tcp.Close()
		if err == nil {
			err = errors.New("no network interface with a usable address")
		}
		return nil, err
	}

	left := make(farewells, 16)
	muxes := make([]ice.UDPMux, len(conns))
	for i, c := range conns {
		muxes[i] = ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: &udpSocket{c, m, left, newGuard(lim, m)}, Logger: f.forMux()})
	}
	l := &listener{TCPListener: tcp, conns: make(map[*tcpConn]struct{}), left: left}
	return &sockets{
		port: port,
		left: left,
		udp:  ice.NewMultiUDPMuxDefault(muxes...),
		tcpl: l,
		tcp: ice.NewTCPMuxDefault(ice.TCPMuxParams{
			Listener: l, Logger: f.NewLogger("tcpmux"),
			ReadBufferSize: 64, WriteBufferSize: tcpBacklog,
			FirstStunBindTimeout: tcpFirst, AliveDurationForConnFromStun: tcpFirst,
		}),
	}, nil
}

func (s *sockets) Close() error {
	s.tcpl.closeConns() // those that never said whose they are would hold up the mux
	return errors.Join(s.udp.Close(), s.tcp.Close())
}

// udpSocket lets only through what can be meant for a peer.
type udpSocket struct {
	*net.UDPConn
	meter *meter
	left  farewells
	guard *guard
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

// listener prepares ICE-TCP connections and remembers them, so that Close
// reaches those that pion has not assigned yet.
type listener struct {
	*net.TCPListener
	mu    sync.Mutex
	conns map[*tcpConn]struct{}
	left  farewells
	done  bool
}

// Accept implements net.Listener. Like ReadFrom it survives all but closing.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	for err != nil && !errors.Is(err, net.ErrClosed) {
		time.Sleep(acceptPause) // out of file descriptors
		c, err = l.AcceptTCP()
	}
	if err != nil {
		return nil, err
	}
	// What waits shall wait where it can be counted and refused, not in a kernel
	// buffer that grows to minutes on a slow link.
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, tcpUnsent)
		})
	}
	conn := &tcpConn{TCPConn: c, owner: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done {
		_ = c.Close()
		return nil, net.ErrClosed
	}
	l.conns[conn] = struct{}{}
	return conn, nil
}

func (l *listener) closeConns() {
	l.mu.Lock()
	l.done = true
	conns := l.conns
	l.conns = nil
	l.mu.Unlock()
	for c := range conns {
		_ = c.TCPConn.Close()
	}
}

// tcpConn closes when its client has stopped reading: after half a packet the
// framing (RFC 4571) is lost anyway.
type tcpConn struct {
	*net.TCPConn
	owner *listener
}

func (c *tcpConn) Write(b []byte) (int, error) {
	_ = c.SetWriteDeadline(time.Now().Add(tcpStall))
	n, err := c.TCPConn.Write(b)
	if err != nil {
		_ = c.TCPConn.Close()
	}
	return n, err
}

func (c *tcpConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	if err != nil {
		if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
			c.owner.left.from(a.AddrPort())
		}
	}
	return n, err
}

func (c *tcpConn) Close() error {
	c.owner.mu.Lock()
	delete(c.owner.conns, c)
	c.owner.mu.Unlock()
	return c.TCPConn.Close()
}
