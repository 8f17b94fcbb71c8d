// Package front shares one TCP port, 443 as a rule, among what a hostile
// network may let through it: HTTPS, TURN over TLS or TCP, and ICE-TCP. The
// first bytes of a connection say which it is.
//
//	            ┌ TLS ┬ HTTP ─▶ HTTPS
//	connection ─┤     └ TURN ─▶ TURN
//	            ├ HTTP ───────▶ Plain, which redirects
//	            ├ TURN ───────▶ TURN
//	            └ ICE-TCP ────▶ ICE
package front

import (
	"bufio"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mixdown/mixer/accept"
)

const (
	firstWords = 10 * time.Second // for TLS, with a certificate that may have to be asked for, and the first bytes in it
	maxUnknown = 512              // connections that have not said what they are
)

// ALPN names that a client may negotiate (RFC 7301, RFC 7443).
const (
	alpnHTTP2 = "h2"
	alpnHTTP1 = "http/1.1"
	alpnTURN  = "stun.turn"
	alpnACME  = "acme-tls/1" // RFC 8737: over when the handshake is
)

// Routes are where connections go; nil is nowhere. None of them may block.
type Routes struct {
	HTTPS func(net.Conn) // TLS is open
	Plain func(net.Conn) // HTTP without TLS
	TURN  func(net.Conn)
	ICE   func(net.Conn)
}

// Front serves one port. It implements prometheus.Collector.
type Front struct {
	l      net.Listener
	tls    *tls.Config
	routes Routes
	count  *prometheus.CounterVec
	wg     sync.WaitGroup

	mu      sync.Mutex
	unknown map[net.Conn]struct{}
	closed  bool
}

// New takes over a listener and serves it until Close. config needs a
// certificate only.
func New(l net.Listener, config *tls.Config, routes Routes, log *slog.Logger) *Front {
	config = config.Clone()
	for _, name := range []string{alpnHTTP2, alpnHTTP1, alpnTURN} {
		if !slices.Contains(config.NextProtos, name) {
			config.NextProtos = append(config.NextProtos, name)
		}
	}
	f := &Front{
		tls: config, routes: routes, unknown: make(map[net.Conn]struct{}),
		count: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mixdown_front_connections_total", Help: "Connections to the HTTPS port, by what they were: https, http, turn, turns, ice, acme; none: nothing known, or too late; busy: too many at once; failed: not accepted, see the log.",
		}, []string{"protocol"}),
	}
	f.l = accept.Patient(l, log, f.count.WithLabelValues("failed").Inc)
	f.wg.Go(f.run)
	return f
}

func (f *Front) run() {
	for {
		c, err := f.l.Accept()
		switch {
		case err != nil:
			return
		case !f.enter(c):
			f.count.WithLabelValues("busy").Inc()
			_ = c.Close()
		default:
			f.wg.Go(func() { f.direct(c) })
		}
	}
}

func (f *Front) enter(c net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || len(f.unknown) >= maxUnknown {
		return false
	}
	f.unknown[c] = struct{}{}
	return true
}

// direct finds out what a connection is and hands it on.
func (f *Front) direct(raw net.Conn) {
	_ = raw.SetDeadline(time.Now().Add(firstWords))
	c, name, to := f.ask(raw)
	f.mu.Lock()
	delete(f.unknown, raw)
	if f.closed {
		to = nil
	}
	f.mu.Unlock()
	f.count.WithLabelValues(name).Inc()
	if to == nil || raw.SetDeadline(time.Time{}) != nil {
		_ = raw.Close()
		return
	}
	to(c)
}

// ask returns the connection to go on with, what it is, and where it goes.
func (f *Front) ask(raw net.Conn) (c net.Conn, name string, to func(net.Conn)) {
	p := &peeked{Conn: raw, r: bufio.NewReaderSize(raw, 512)}
	switch p.tell() {
	case TLS:
	case HTTP:
		return p, "http", f.routes.Plain
	case TURN:
		return p, "turn", f.routes.TURN
	case ICETCP:
		return p, "ice", f.routes.ICE
	default:
		return p, "none", nil
	}
	t := tls.Server(p, f.tls)
	if t.Handshake() != nil {
		return p, "none", nil
	}
	switch t.ConnectionState().NegotiatedProtocol {
	case alpnHTTP1, alpnHTTP2: // as it is: net/http asks the connection itself
		return t, "https", f.routes.HTTPS
	case alpnTURN:
		return t, "turns", f.routes.TURN
	case alpnACME:
		return t, "acme", nil
	}
	inside := &peeked{Conn: t, r: bufio.NewReaderSize(t, 512)}
	switch inside.tell() {
	case HTTP:
		return inside, "https", f.routes.HTTPS
	case TURN:
		return inside, "turns", f.routes.TURN
	}
	return p, "none", nil
}

// Close closes the port, and the connections that have not said what they are;
// the others belong to whom they were handed to. It may be called twice.
func (f *Front) Close() error {
	f.mu.Lock()
	was := f.closed
	f.closed = true
	for c := range f.unknown {
		_ = c.Close()
	}
	f.mu.Unlock()
	if was {
		return nil
	}
	err := f.l.Close()
	f.wg.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Describe implements prometheus.Collector.
func (f *Front) Describe(ch chan<- *prometheus.Desc) { f.count.Describe(ch) }

// Collect implements prometheus.Collector.
func (f *Front) Collect(ch chan<- prometheus.Metric) { f.count.Collect(ch) }

// peeked is a connection whose first bytes were looked at.
type peeked struct {
	net.Conn
	r *bufio.Reader
}

// tell looks at as many bytes as it takes.
func (p *peeked) tell() Protocol {
	for n := 1; ; n++ {
		if _, err := p.r.Peek(n); err != nil {
			return Unknown
		}
		b, _ := p.r.Peek(min(p.r.Buffered(), enough)) // all that has come
		what, more := Tell(b)
		if !more {
			return what
		}
		n = len(b)
	}
}

func (p *peeked) Read(b []byte) (int, error) { return p.r.Read(b) }

// NetConn returns the connection below.
func (p *peeked) NetConn() net.Conn { return p.Conn }

// ConnectionState returns that of TLS, nil if there is none.
func (p *peeked) ConnectionState() *tls.ConnectionState {
	if t, ok := p.Conn.(*tls.Conn); ok {
		s := t.ConnectionState()
		return &s
	}
	return nil
}
