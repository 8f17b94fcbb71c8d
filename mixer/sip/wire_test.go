package sip

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
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

func (l *starved) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 9), Port: 5060} }

// TestAcceptGoesOn: sipgo never serves again after an error of Accept. What is
// survived is counted, and in the log.
func TestAcceptGoesOn(t *testing.T) {
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	c := from{here, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5060}}
	var log bytes.Buffer
	e := &Endpoint{log: slog.New(slog.NewTextHandler(&log, nil)), count: newCounters(), crowd: newCrowd(1, 1)}
	l := e.streams(&starved{fails: 2, conns: []net.Conn{c}}, "TCP")
	if got, err := l.Accept(); err != nil || got.RemoteAddr() != c.addr {
		t.Fatalf("%v, %v", got, err)
	}
	if n := testutil.ToFloat64(e.count.dropped.WithLabelValues("accept")); n != 2 {
		t.Errorf("%v of 2 errors counted", n)
	}
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "transport=TCP") || !strings.Contains(text, "192.0.2.9:5060") {
		t.Errorf("the log is to have one line of it:\n%s", text)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("closed: %v", err)
	}
}
