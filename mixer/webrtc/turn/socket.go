package turn

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"mixdown/mixer/webrtc/tcp"
)

const (
	loginTimeout = 15 * time.Second // for a connection to have an allocation
	idleTimeout  = 3 * time.Minute  // ICE's consent alone says more than that
)

// admit decides whether a message goes on to pion. answer is for the sender,
// empty if there is none.
func (t *seat) admit(b []byte, from netip.AddrPort) (answer []byte, ok bool) {
	s, k := t.server, classify(b)
	has := t.holder(from)
	if k == nonsense {
		s.meter.badFrame.Inc()
		return nil, false
	}
	if has.name == "" {
		if k == data || k == peerRequest {
			s.meter.badRequest.Inc()
			return nil, false
		}
		if !s.doors.admit(from.Addr(), s.now()) {
			s.meter.badRate.Inc()
			return nil, false
		}
	}
	switch k {
	case peerRequest:
		if answer, refuse := s.forbidden(b, has.family); refuse {
			s.meter.badPeer.Inc()
			return answer, false
		}
	case allocate:
		if answer, refuse := t.ask(b); refuse {
			s.meter.badRequest.Inc()
			return answer, false
		}
	}
	return nil, true
}

// datagrams is a UDP socket that clients send to.
type datagrams struct {
	*net.UDPConn
	seat *seat
}

// ReadFrom implements net.PacketConn; it fails only when the socket is closed.
func (d *datagrams) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := d.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
			return n, nil, err
		}
		if err != nil {
			continue
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		answer, ok := d.seat.admit(b[:n], from)
		if ok {
			return n, net.UDPAddrFromAddrPort(from), nil
		}
		if answer != nil {
			_, _ = d.WriteToUDPAddrPort(answer, from)
		}
	}
}

// WriteTo implements net.PacketConn.
func (d *datagrams) WriteTo(b []byte, to net.Addr) (int, error) {
	if isRefusal(b) {
		d.seat.server.meter.badRequest.Inc()
	}
	return d.WriteToUDPAddrPort(b, addrPort(to))
}

// stream is a client's connection, TCP or TLS, cut into messages.
type stream struct {
	conn  *tcp.Conn
	seat  *seat
	in    *bufio.Reader
	from  netip.AddrPort
	began time.Time
	once  sync.Once
}

func newStream(s *Server, c net.Conn) *stream {
	t := &stream{seat: newSeat(s, "tcp"), from: addrPort(c.RemoteAddr()), began: s.now()}
	t.conn = tcp.New(c, tcp.Options{
		Packet: tcp.Relayed, Stream: s.cfg.Stream,
		Pictures: s.meter.dropPictures, Sounds: s.meter.dropSounds, Control: s.meter.dropControl,
	})
	t.in = bufio.NewReader(t.conn)
	return t
}

// ReadFrom implements net.PacketConn. Any error is the end of the connection:
// on a stream there is no finding back.
func (t *stream) ReadFrom(b []byte) (int, net.Addr, error) {
	s := t.seat.server
	for {
		known := t.seat.holder(t.from).name != ""
		end := t.began.Add(loginTimeout)
		if known {
			end = s.now().Add(idleTimeout)
		}
		_ = t.conn.SetReadDeadline(end)
		n, err := t.message(b)
		if err == nil {
			answer, ok := t.seat.admit(b[:n], t.from)
			if ok {
				return n, t.conn.RemoteAddr(), nil
			}
			if answer != nil {
				_, err = t.conn.Write(answer)
			} else {
				err = errFrame
			}
		} else if errors.Is(err, errFrame) {
			s.meter.badFrame.Inc()
		}
		if err != nil {
			_ = t.Close()
			return 0, nil, err
		}
	}
}

// message reads one message into b.
func (t *stream) message(b []byte) (int, error) {
	head, err := t.in.Peek(4)
	if err != nil {
		return 0, err
	}
	n, err := frameLength(head)
	if err != nil {
		return 0, err
	}
	if n > len(b) {
		return 0, errFrame
	}
	return io.ReadFull(t.in, b[:n])
}

// WriteTo implements net.PacketConn.
func (t *stream) WriteTo(b []byte, _ net.Addr) (int, error) {
	if isRefusal(b) {
		t.seat.server.meter.badRequest.Inc()
	}
	n, err := t.conn.Write(b)
	if errors.Is(err, tcp.ErrCongested) {
		return len(b), nil // the client asks for what it misses
	}
	return n, err
}

// Close implements net.PacketConn.
func (t *stream) Close() error {
	err := t.conn.Close()
	t.once.Do(func() { t.seat.server.gone(t) })
	return err
}

func (t *stream) LocalAddr() net.Addr                { return t.conn.LocalAddr() }
func (t *stream) SetDeadline(d time.Time) error      { return t.conn.SetDeadline(d) }
func (t *stream) SetReadDeadline(d time.Time) error  { return t.conn.SetReadDeadline(d) }
func (t *stream) SetWriteDeadline(d time.Time) error { return t.conn.SetWriteDeadline(d) }
