package front

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

const (
	stunMessage = "\x00\x03\x00\x00\x21\x12\xa4\x42abcdefghijkl"
	framed      = "\x00\x14\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl"
)

func config(t *testing.T) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// arrival is a connection at the end of a route.
type arrival struct {
	route string
	conn  net.Conn
}

func start(t *testing.T) (f *Front, at string, arrivals chan arrival) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	arrivals = make(chan arrival, 10)
	to := func(route string) func(net.Conn) {
		return func(c net.Conn) { arrivals <- arrival{route, c} }
	}
	f = New(l, config(t), Routes{HTTPS: to("https"), Plain: to("plain"), TURN: to("turn"), ICE: to("ice")}, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { _ = f.Close() })
	return f, l.Addr().String(), arrivals
}

func TestRoutes(t *testing.T) {
	_, at, arrivals := start(t)
	for _, c := range []struct {
		name, first, route string
		tls                bool
		alpn               []string
	}{
		{"HTTP", "GET / HTTP/1.1\r\n\r\n", "plain", false, nil},
		{"HTTPS of a browser", "", "https", true, []string{"h2", "http/1.1"}}, // says nothing yet
		{"HTTPS without ALPN", "GET / HTTP/1.1\r\n\r\n", "https", true, nil},
		{"TURN", stunMessage, "turn", false, nil},
		{"TURN over TLS", stunMessage, "turn", true, nil},
		{"TURN over TLS by name", stunMessage, "turn", true, []string{"stun.turn"}},
		{"ICE-TCP", framed, "ice", false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", at)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if c.tls {
				conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: c.alpn})
				if err := conn.(*tls.Conn).Handshake(); err != nil {
					t.Fatal(err)
				}
			}
			// One byte at a time: nobody promises more.
			for i := range len(c.first) {
				if _, err := io.WriteString(conn, c.first[i:i+1]); err != nil {
					t.Fatal(err)
				}
			}
			var a arrival
			select {
			case a = <-arrivals:
			case <-time.After(5 * time.Second):
				t.Fatal("went nowhere")
			}
			defer a.conn.Close()
			if a.route != c.route {
				t.Fatalf("went to %s, want %s", a.route, c.route)
			}
			got := make([]byte, len(c.first))
			if _, err := io.ReadFull(a.conn, got); err != nil || string(got) != c.first {
				t.Errorf("%q arrived, %v", got, err)
			}
			go io.WriteString(a.conn, "hello")
			answer := make([]byte, 5)
			if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "hello" {
				t.Errorf("%q came back, %v", answer, err)
			}
		})
	}
}

func TestUnknown(t *testing.T) {
	f, at, arrivals := start(t)
	for _, first := range []string{"\x05\x01\x00", "\x16\x03\x01\x00\x05hello", "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", "~"} {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, first); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(4 * time.Second))
		if _, err := io.ReadAll(c); err != nil && err.(net.Error).Timeout() {
			t.Errorf("%q: stays", first)
		}
		_ = c.Close()
	}
	if n := testutil.ToFloat64(f.count.WithLabelValues("none")); n != 4 || len(arrivals) != 0 {
		t.Errorf("%v counted, %d arrived", n, len(arrivals))
	}
}

// TestSilentOnesAreBounded: whoever says nothing takes no more than its place,
// and Close does not wait for it.
func TestSilentOnesAreBounded(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	f, at, _ := start(t)
	var conns []net.Conn
	for range maxUnknown + 50 {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	busy := f.count.WithLabelValues("busy")
	for deadline := time.Now().Add(4 * time.Second); testutil.ToFloat64(busy) < 50; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%v turned away", testutil.ToFloat64(busy))
		}
	}
	f.mu.Lock()
	n := len(f.unknown)
	f.mu.Unlock()
	if n > maxUnknown {
		t.Errorf("%d unknown connections", n)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range conns {
		_ = c.Close()
	}
}

// TestHTTP serves HTTP/1.1 and 2 behind the front, and both know of their TLS.
func TestHTTP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	in := NewInlet(l.Addr())
	f := New(l, config(t), Routes{HTTPS: in.Put}, slog.New(slog.DiscardHandler))
	s := &http.Server{ConnContext: ConnContext, Handler: WithTLS(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %t", r.Proto, r.TLS != nil)
	}))}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(in) }()
	t.Cleanup(func() { _ = f.Close(); _ = s.Close(); <-done })
	for _, c := range []struct {
		alpn []string
		want string
	}{{[]string{"h2", "http/1.1"}, "HTTP/2.0 true"}, {[]string{"http/1.1"}, "HTTP/1.1 true"}, {nil, "HTTP/1.1 true"}} {
		tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, NextProtos: c.alpn}, ForceAttemptHTTP2: len(c.alpn) == 2}
		if c.alpn == nil {
			tr.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
		}
		res, err := (&http.Client{Transport: tr, Timeout: 5 * time.Second}).Get("https://" + l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		tr.CloseIdleConnections()
		if string(b) != c.want {
			t.Errorf("ALPN %v: %q, want %q", c.alpn, b, c.want)
		}
	}
}

func FuzzTell(f *testing.F) {
	for _, s := range []string{stunMessage, framed, "GET /", "\x16\x03\x01", ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		what, more := Tell(b)
		if more && (len(b) >= enough || what != Unknown) {
			t.Fatalf("wants more than %d bytes", len(b))
		}
		// More bytes never change what was said.
		if !more {
			if again, _ := Tell(append(b[:len(b):len(b)], b...)); again != what {
				t.Fatalf("%d, then %d", what, again)
			}
		}
	})
}

// starved is a listener of a process that is out of file descriptors once.
type starved struct {
	net.Listener
	once sync.Once
}

func (l *starved) Accept() (c net.Conn, err error) {
	l.once.Do(func() { err = &net.OpError{Op: "accept", Err: syscall.EMFILE} })
	if err == nil {
		c, err = l.Listener.Accept()
	}
	return c, err
}

// TestStarved: the port is served after an error of Accept, which is counted and
// in the log.
func TestStarved(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	arrived := make(chan net.Conn, 1)
	f := New(&starved{Listener: l}, config(t), Routes{TURN: func(c net.Conn) { arrived <- c }}, slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(func() { _ = f.Close() })
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, stunMessage); err != nil {
		t.Fatal(err)
	}
	defer (<-arrived).Close()
	if n := testutil.ToFloat64(f.count.WithLabelValues("failed")); n != 1 {
		t.Errorf("%v of 1 error counted", n)
	}
	if !strings.Contains(log.String(), "LimitNOFILE") {
		t.Errorf("not in the log: %s", &log)
	}
}
