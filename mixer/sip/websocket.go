package sip

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// pingEvery keeps a browser's connection open through proxies.
const pingEvery = 25 * time.Second

// ServeHTTP takes SIP over WebSocket (RFC 7118). To sipgo the connection is
// one more TCP connection: it accepts WebSockets one after the other and waits
// for each one's handshake, and HTTP has a server already.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	offered := false
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		offered = offered || slices.ContainsFunc(strings.Split(line, ","), func(p string) bool { return strings.TrimSpace(p) == "sip" })
	}
	if !offered {
		http.Error(w, "this is SIP over WebSocket (RFC 7118): offer the subprotocol sip", http.StatusBadRequest)
		return
	}
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		http.Error(w, "no address", http.StatusInternalServerError)
		return
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols:       []string{"sip"},
		InsecureSkipVerify: true, // any origin may ask: logins guard, there are no cookies
	})
	if err != nil {
		return // Accept has answered
	}
	conn.SetReadLimit(maxMessage)
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	ws := &socket{conn: conn, ctx: ctx, cancel: cancel, remote: net.TCPAddrFromAddrPort(remote), local: e.webAddr}
	placed, ok := e.crowd.take(ws)
	if !ok {
		e.count.dropped.WithLabelValues("connections").Inc()
		conn.Close(websocket.StatusTryAgainLater, "too many connections")
		return
	}
	s := &stream{Conn: placed, network: "TCP", door: e.door, frames: ws}
	e.sockets.add(remote, r.TLS != nil)
	defer e.sockets.drop(remote)
	select {
	case e.web.conns <- s:
	case <-e.web.closed:
		placed.Close()
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pingEvery):
			within, done := context.WithTimeout(ctx, pingEvery)
			err := conn.Ping(within)
			done()
			if err != nil {
				placed.Close()
				return
			}
		}
	}
}

// socket is a WebSocket as a connection whose reads and writes are messages.
type socket struct {
	conn          *websocket.Conn
	ctx           context.Context
	cancel        context.CancelFunc
	remote, local net.Addr
}

func (s *socket) next() ([]byte, error) {
	for {
		_, message, err := s.conn.Read(s.ctx)
		if err != nil {
			return nil, err
		}
		if len(bytes.Trim(message, "\r\n")) == 0 {
			continue // a keep-alive
		}
		head, body, ok := bytes.Cut(message, []byte("\r\n\r\n"))
		if !ok {
			return nil, io.ErrUnexpectedEOF
		}
		switch n, ok := bodyLength(head); {
		case !ok:
			return nil, errFrame
		case n < 0:
			return withLength(head, body), nil
		case n < len(body): // what follows would be read as a message that nobody judged
			return message[:len(message)-len(body)+n], nil
		}
		return message, nil
	}
}

func (s *socket) Read([]byte) (int, error) { return 0, io.EOF } // it is read by next
func (s *socket) Write(b []byte) (int, error) {
	ctx, cancel := context.WithTimeout(s.ctx, writeTimeout)
	defer cancel()
	return len(b), s.conn.Write(ctx, websocket.MessageText, b)
}
func (s *socket) Close() error {
	s.cancel()
	return s.conn.CloseNow()
}
func (s *socket) LocalAddr() net.Addr              { return s.local }
func (s *socket) RemoteAddr() net.Addr             { return s.remote }
func (s *socket) SetDeadline(time.Time) error      { return nil }
func (s *socket) SetReadDeadline(time.Time) error  { return nil }
func (s *socket) SetWriteDeadline(time.Time) error { return nil }

// inlet is a listener that connections are put into.
type inlet struct {
	addr   net.Addr
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newInlet(addr net.Addr) *inlet {
	return &inlet{addr: addr, conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *inlet) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *inlet) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *inlet) Addr() net.Addr { return l.addr }

// sockets knows which connections are WebSockets, and which of them came over
// TLS: peers there are named so.
type sockets struct {
	mu sync.Mutex
	by map[netip.AddrPort]bool
}

func (s *sockets) add(a netip.AddrPort, secure bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.by[a] = secure
}

func (s *sockets) drop(a netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.by, a)
}

// name is what a connection's transport is called in messages, by sipgo's name
// for it.
func (s *sockets) name(network string, peer string) string {
	a, err := netip.ParseAddrPort(peer)
	if err != nil {
		return network
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	secure, ok := s.by[a]
	switch {
	case ok && secure:
		return "WSS"
	case ok:
		return "WS"
	}
	return network
}
