package front

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
)

// Inlet is a net.Listener whose connections are handed in.
type Inlet struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

// NewInlet returns one that says it listens on addr.
func NewInlet(addr net.Addr) *Inlet {
	return &Inlet{addr: addr, conns: make(chan net.Conn, 64), done: make(chan struct{})}
}

// Put hands a connection in; it does not block.
func (l *Inlet) Put(c net.Conn) {
	select {
	case <-l.done:
		_ = c.Close()
		return
	default:
	}
	select {
	case l.conns <- c:
	default:
		_ = c.Close()
	}
}

// Accept implements net.Listener.
func (l *Inlet) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. It may be called twice.
func (l *Inlet) Close() error {
	l.once.Do(func() {
		close(l.done)
		for {
			select {
			case c := <-l.conns:
				_ = c.Close()
			default:
				return
			}
		}
	})
	return nil
}

// Addr implements net.Listener.
func (l *Inlet) Addr() net.Addr { return l.addr }

type tlsKey struct{}

// ConnContext and WithTLS tell a request of the TLS that it came by, which
// net/http sees only where no bytes were looked at before.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if p, ok := c.(*peeked); ok {
		if s := p.ConnectionState(); s != nil {
			return context.WithValue(ctx, tlsKey{}, s)
		}
	}
	return ctx
}

// WithTLS belongs to ConnContext.
func WithTLS(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s, ok := r.Context().Value(tlsKey{}).(*tls.ConnectionState); ok && r.TLS == nil {
			r.TLS = s
		}
		h.ServeHTTP(w, r)
	})
}
