package outside

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"
)

// starved is a listener of a process that is out of file descriptors once.
type starved struct {
	net.Listener
	once sync.Once
}

func (l *starved) Accept() (net.Conn, error) {
	var err error
	l.once.Do(func() { err = &net.OpError{Op: "accept", Err: syscall.EMFILE} })
	if err != nil {
		return nil, err
	}
	return l.Listener.Accept()
}

// TestWireGoesOn: a library gets through although its connection could not be accepted at once.
func TestWireGoesOn(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	far, host := net.Pipe()
	defer host.Close()
	again := func(context.Context) (net.Conn, error) { return nil, errors.New("dialled twice") }
	w := wire(t.Context(), &starved{Listener: l}, far, again, nil, slog.New(slog.DiscardHandler))
	defer w.Close()
	go func() { _, _ = io.WriteString(host, "hello") }()

	library, err := net.Dial("tcp", w.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer library.Close()
	_ = library.SetReadDeadline(time.Now().Add(10 * time.Second)) // that nobody would ever answer
	said := make([]byte, len("hello"))
	if _, err := io.ReadFull(library, said); err != nil || string(said) != "hello" {
		t.Fatalf("the library hears %q, %v", said, err)
	}
	if err := w.Err(); err != nil {
		t.Errorf("outside went wrong: %v", err)
	}
}
