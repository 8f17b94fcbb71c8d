package sip

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

// starved is a listener of a process that is out of file descriptors for a while.
type starved struct {
	net.Listener
	fails int
	conns []net.Conn
}

func (l *starved) Accept() (net.Conn, error) {
	if l.fails > 0 {
		l.fails--
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	if len(l.conns) == 0 {
		return nil, &net.OpError{Op: "accept", Err: net.ErrClosed}
	}
	c := l.conns[0]
	l.conns = l.conns[1:]
	return c, nil
}

// from is a connection of that address.
type from struct {
	net.Conn
	addr net.Addr
}

func (c from) RemoteAddr() net.Addr { return c.addr }

// TestAcceptGoesOn: sipgo never serves again after an error of Accept.
func TestAcceptGoesOn(t *testing.T) {
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	c := from{here, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5060}}
	l := &streams{Listener: &starved{fails: 2, conns: []net.Conn{c}}, network: "TCP", bound: newCrowd(1, 1)}
	if got, err := l.Accept(); err != nil || got.RemoteAddr() != c.addr {
		t.Fatalf("%v, %v", got, err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("closed: %v", err)
	}
}
