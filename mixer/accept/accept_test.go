package accept

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// starved is a listener of a process that is out of file descriptors for a while.
type starved struct {
	fails int
	conn  net.Conn
}

func (l *starved) Accept() (net.Conn, error) {
	if l.fails > 0 {
		l.fails--
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	return nil, &net.OpError{Op: "accept", Err: net.ErrClosed}
}

func (l *starved) Close() error   { return nil }
func (l *starved) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5060} }

// TestPatient: errors are survived, each is counted, and the log says now and
// then what to do.
func TestPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer here.Close()
		defer there.Close()
		var log bytes.Buffer
		fails, failed := int(2*sayEvery/pause), 0 // 20 s of them
		l := Patient(&starved{fails, here}, slog.New(slog.NewTextHandler(&log, nil)), func() { failed++ })
		if c, err := l.Accept(); err != nil || c != here {
			t.Fatalf("%v, %v", c, err)
		}
		if failed != fails {
			t.Errorf("%d of %d errors counted", failed, fails)
		}
		if n := strings.Count(log.String(), "\n"); n != 2 {
			t.Errorf("%d lines in the log, want one every %v of 20 s:\n%s", n, sayEvery, &log)
		}
		for _, want := range []string{"192.0.2.1:5060", syscall.EMFILE.Error(), "LimitNOFILE"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log does not say %s:\n%s", want, &log)
			}
		}
		before := time.Now()
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("closed: %v", err)
		}
		if waited := time.Since(before); waited != 0 || failed != fails {
			t.Errorf("closing took %v and was counted %d times", waited, failed-fails)
		}
	})
}
