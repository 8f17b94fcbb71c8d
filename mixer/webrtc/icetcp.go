package webrtc

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"

	"mixdown/mixer/accept"
	"mixdown/mixer/webrtc/tcp"
)

const maxTCP = 4096 // connections of ICE-TCP at once

// listener brings ICE-TCP connections (RFC 6544) to pion: its own and those
// that another listener hands over. It remembers them, so that its end reaches
// those that pion has not assigned yet.
type listener struct {
	net.Listener
	opt   tcp.Options
	left  farewells
	ready chan net.Conn
	done  chan struct{}
	wg    sync.WaitGroup

	mu    sync.Mutex
	conns map[*tcpConn]struct{}
	ended bool
}

func newListener(l net.Listener, left farewells, opt tcp.Options, log *slog.Logger) *listener {
	t := &listener{
		Listener: accept.Patient(l, log, nil), opt: opt, left: left,
		ready: make(chan net.Conn), done: make(chan struct{}), conns: make(map[*tcpConn]struct{}),
	}
	t.wg.Go(t.run)
	return t
}

// run accepts from the port until that is closed.
func (l *listener) run() {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return
		}
		l.hand(c)
	}
}

// hand gives a connection to pion, whose first packet is still to be read.
func (l *listener) hand(c net.Conn) {
	conn := &tcpConn{owner: l}
	l.mu.Lock()
	if l.ended || len(l.conns) >= maxTCP {
		l.mu.Unlock()
		_ = c.Close()
		return
	}
	conn.Conn = tcp.New(c, l.opt)
	l.conns[conn] = struct{}{}
	l.mu.Unlock()
	select {
	case l.ready <- conn:
	case <-l.done:
		_ = conn.Close()
	}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *listener) Close() error {
	err := l.end()
	l.wg.Wait()
	return err
}

// end closes the port and all connections.
func (l *listener) end() error {
	l.mu.Lock()
	conns := l.conns
	l.conns = nil
	was := l.ended
	l.ended = true
	l.mu.Unlock()
	if was {
		return nil
	}
	close(l.done)
	for c := range conns {
		_ = c.Conn.Close()
	}
	return l.Listener.Close()
}

// tcpConn tells of a client that closed its connection.
type tcpConn struct {
	*tcp.Conn
	owner *listener
}

func (c *tcpConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	// A connection that broke is no goodbye: the client may come back on another.
	if errors.Is(err, io.EOF) {
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
	return c.Conn.Close()
}
