// Package accept is for listeners that go on whatever Accept says: a process that
// is out of file descriptors for a moment is not to be deaf from then on.
package accept

import (
	"errors"
	"log/slog"
	"net"
	"syscall"
	"time"

	"golang.org/x/time/rate"
)

const (
	pause    = 50 * time.Millisecond // after an error
	sayEvery = 10 * time.Second      // in the log, of errors that go on
)

// Listener is one whose Accept fails only once it is closed.
type Listener struct {
	net.Listener
	log    *slog.Logger
	failed func()
	said   rate.Sometimes
}

// Patient makes a listener go on. failed is called for each error, to count it;
// nil does nothing.
func Patient(l net.Listener, log *slog.Logger, failed func()) *Listener {
	return &Listener{Listener: l, log: log, failed: failed, said: rate.Sometimes{Interval: sayEvery}}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err == nil || errors.Is(err, net.ErrClosed) {
			return c, err
		}
		if l.failed != nil {
			l.failed()
		}
		l.said.Do(func() {
			args := []any{"address", l.Addr().String(), "error", err}
			if what := remedy(err); what != "" {
				args = append(args, "remedy", what)
			}
			l.log.Error("connections are not accepted, trying on", args...)
		})
		time.Sleep(pause)
	}
}

// remedy is what an operator can do about an error, "" if that is not known.
func remedy(err error) string {
	switch {
	case errors.Is(err, syscall.EMFILE):
		return "the process may open no more files: raise its limit (LimitNOFILE= in systemd's unit, ulimit -n in a shell)"
	case errors.Is(err, syscall.ENFILE):
		return "the machine may open no more files: raise sysctl fs.file-max"
	case errors.Is(err, syscall.ENOBUFS), errors.Is(err, syscall.ENOMEM):
		return "the kernel has no memory for connections: see free -m and sysctl net.ipv4.tcp_mem"
	}
	return ""
}
