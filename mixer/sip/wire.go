package sip

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"mixdown/mixer/accept"
)

// Bounds of what comes in.
const (
	maxMessage   = 64 << 10
	firstMessage = 10 * time.Second // a connection that says nothing for so long is closed
	nextMessage  = time.Hour        // between two; a call is refreshed more often
	writeTimeout = 10 * time.Second
)

// datagrams is a UDP socket with the door in front of it: sipgo reads what
// passed and nothing else.
type datagrams struct {
	net.PacketConn
	door  *door
	ready func() // sipgo reads, and therefore knows the socket to send by
}

// ReadFrom returns the next message that passed.
func (c *datagrams) ReadFrom(b []byte) (int, net.Addr, error) {
	c.ready()
	for {
		n, addr, err := c.PacketConn.ReadFrom(b)
		if err != nil {
			return n, addr, err
		}
		from, ok := addrPort(addr)
		if !ok || len(bytes.Trim(b[:n], "\r\n\x00")) == 0 {
			continue // a keep-alive
		}
		v := c.door.judge(b[:n], from, "UDP")
		if v.answer != nil {
			_, _ = c.WriteTo(v.answer, net.UDPAddrFromAddrPort(v.to)) // like any datagram
		}
		if v.pass {
			return n, addr, nil
		}
	}
}

func addrPort(a net.Addr) (netip.AddrPort, bool) {
	var from netip.AddrPort
	switch a := a.(type) {
	case *net.UDPAddr:
		from = a.AddrPort()
	case *net.TCPAddr:
		from = a.AddrPort()
	default:
		var err error
		if from, err = netip.ParseAddrPort(a.String()); err != nil {
			return from, false
		}
	}
	return netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), from.IsValid()
}

// streams is a listener with the door behind it, and bounds on how many
// connections there are.
type streams struct {
	net.Listener
	network string
	door    *door
	bound   *crowd
}

// streams puts the door behind a listener. sipgo serves no more after an error of
// Accept, so all but closing is survived.
func (e *Endpoint) streams(l net.Listener, network string) *streams {
	patient := accept.Patient(l, e.log.With("transport", network), e.count.dropped.WithLabelValues("accept").Inc)
	return &streams{patient, network, e.door, e.crowd}
}

// Accept returns the next connection that there is a place for.
func (l *streams) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c, ok := l.bound.take(conn); ok {
			return &stream{Conn: c, network: l.network, door: l.door, frames: &frames{r: bufio.NewReaderSize(c, 8<<10), conn: c}}, nil
		}
		l.door.count.dropped.WithLabelValues("connections").Inc()
		conn.Close()
	}
}

// stream is a connection with the door in front of it.
type stream struct {
	net.Conn
	network string
	door    *door
	frames  interface{ next() ([]byte, error) }
	pending []byte // of a message that passed
	spoken  bool
}

// Read returns bytes of messages that passed, whole ones in the end.
func (c *stream) Read(b []byte) (int, error) {
	for len(c.pending) == 0 {
		wait := firstMessage
		if c.spoken {
			wait = nextMessage
		}
		if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return 0, err
		}
		message, err := c.frames.next()
		if err != nil {
			return 0, io.EOF // sipgo logs all other errors
		}
		c.spoken = true
		from, ok := addrPort(c.RemoteAddr())
		if !ok {
			return 0, io.EOF
		}
		v := c.door.judge(message, from, c.network)
		if v.answer != nil {
			if _, err := c.Write(v.answer); err != nil {
				return 0, io.EOF
			}
		}
		if v.pass {
			c.pending = message
		}
	}
	n := copy(b, c.pending)
	c.pending = c.pending[n:]
	return n, nil
}

// Write gives up on a peer that does not read.
func (c *stream) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// frames cuts a stream into messages (RFC 3261, section 18.3).
type frames struct {
	r    *bufio.Reader
	conn io.Writer
}

var errFrame = errors.New("no SIP message")

// next returns one message with a Content-Length.
func (f *frames) next() ([]byte, error) {
	blank := 0
	var message []byte
	for {
		line, err := f.r.ReadSlice('\n')
		if err != nil {
			return nil, err // too long a line, too
		}
		if len(message) == 0 && len(bytes.TrimRight(line, "\r\n")) == 0 {
			if blank++; blank == 2 { // a ping (RFC 5626, section 3.5.1)
				if _, err := f.conn.Write([]byte("\r\n")); err != nil {
					return nil, err
				}
				blank = 0
			}
			continue
		}
		message = append(message, line...)
		if len(message) > maxMessage {
			return nil, errFrame
		}
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			break
		}
	}
	n, ok := bodyLength(message)
	if !ok {
		return nil, errFrame // where the next one begins is anybody's guess
	}
	if n < 0 {
		return withLength(message, nil), nil
	}
	if len(message)+n > maxMessage {
		return nil, errFrame
	}
	head := len(message)
	message = append(message, make([]byte, n)...)
	_, err := io.ReadFull(f.r, message[head:])
	return message, err
}

// bodyLength reads Content-Length; -1 if there is none.
func bodyLength(head []byte) (n int, ok bool) {
	n = -1
	for line := range bytes.SplitSeq(head, []byte("\n")) {
		name, value, has := strings.Cut(string(line), ":")
		name = strings.ToLower(strings.TrimSpace(name))
		if !has || name != "content-length" && name != "l" {
			continue
		}
		v, err := strconv.ParseUint(strings.TrimSpace(value), 10, 31)
		if err != nil || n >= 0 && n != int(v) {
			return 0, false
		}
		n = int(v)
	}
	return n, true
}

// withLength puts a Content-Length into a head that has none.
func withLength(head, body []byte) []byte {
	head = bytes.TrimRight(head, "\r\n")
	return append(fmt.Appendf(nil, "%s\r\nContent-Length: %d\r\n\r\n", head, len(body)), body...)
}

// crowd bounds connections, in all and from one address.
type crowd struct {
	all, each int

	mu   sync.Mutex
	conn map[net.Conn]bool
	from map[netip.Addr]int
}

func newCrowd(all, each int) *crowd {
	return &crowd{all: all, each: each, conn: map[net.Conn]bool{}, from: map[netip.Addr]int{}}
}

// take returns the connection with its place, which closing gives back.
func (c *crowd) take(conn net.Conn) (net.Conn, bool) {
	from, ok := addrPort(conn.RemoteAddr())
	if !ok {
		return nil, false
	}
	key := host(from.Addr())
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.conn) >= c.all || c.from[key] >= c.each {
		return nil, false
	}
	placed := &placed{Conn: conn}
	placed.free = sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.conn, placed)
		if c.from[key]--; c.from[key] <= 0 {
			delete(c.from, key)
		}
	})
	c.conn[placed] = true
	c.from[key]++
	return placed, true
}

// closeAll ends every connection.
func (c *crowd) closeAll() {
	c.mu.Lock()
	open := make([]net.Conn, 0, len(c.conn))
	for conn := range c.conn {
		open = append(open, conn)
	}
	c.mu.Unlock()
	for _, conn := range open {
		conn.Close()
	}
}

// placed is a connection that has a place in a crowd.
type placed struct {
	net.Conn
	free func()
}

func (p *placed) Close() error {
	p.free()
	return p.Conn.Close()
}
