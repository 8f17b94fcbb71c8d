package outside

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"mixdown/mixer/accept"
)

// Inspector sees what comes from outside before it is passed on; an error ends
// the connection.
type Inspector interface {
	Inspect(p []byte) error
}

// Wire lets a library that connects by itself talk to an outside host over a
// connection that was dialled, judged and encrypted here. The library gets an
// address on loopback, and no name to look up:
//
//	library ─ loopback ─▶ Wire ─ checked, TLS ─▶ host
type Wire struct {
	listener net.Listener
	cancel   context.CancelFunc
	dial     func(context.Context) (net.Conn, error)
	inspect  func() Inspector
	wg       sync.WaitGroup

	mu    sync.Mutex
	first net.Conn // dialled before anybody asked
	err   error
}

// maxWires bounds the connections of one Wire: a library may connect again to
// log in.
const maxWires = 8

// NewWire dials at once, so that what is wrong shows, and listens. ctx or Close
// ends it. log is told while connections on loopback cannot be accepted.
func NewWire(ctx context.Context, dial func(context.Context) (net.Conn, error), inspect func() Inspector, log *slog.Logger) (*Wire, error) {
	bound, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := dial(bound)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		conn.Close()
		return nil, err
	}
	return wire(ctx, l, conn, dial, inspect, log), nil
}

func wire(ctx context.Context, l net.Listener, first net.Conn, dial func(context.Context) (net.Conn, error), inspect func() Inspector, log *slog.Logger) *Wire {
	w := &Wire{listener: accept.Patient(l, log, nil), dial: dial, inspect: inspect, first: first}
	ctx, w.cancel = context.WithCancel(ctx)
	context.AfterFunc(ctx, func() { l.Close() })
	w.wg.Go(func() { w.run(ctx) })
	return w
}

// Addr is where the library connects to.
func (w *Wire) Addr() string { return w.listener.Addr().String() }

// Err is what went wrong outside, nil if nothing did.
func (w *Wire) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Close ends all connections and waits for them. It may be called twice.
func (w *Wire) Close() {
	w.cancel()
	w.wg.Wait()
}

func (w *Wire) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
}

func (w *Wire) run(ctx context.Context) {
	defer func() {
		if w.first != nil {
			w.first.Close()
		}
	}()
	for range maxWires {
		near, err := w.listener.Accept()
		if err != nil {
			return
		}
		far := w.first
		w.first = nil
		if far == nil {
			if far, err = w.dial(ctx); err != nil {
				w.fail(err)
				near.Close()
				continue
			}
		}
		w.wg.Go(func() { w.join(ctx, near, far) })
	}
}

// join copies both ways until one side ends.
func (w *Wire) join(ctx context.Context, near, far net.Conn) {
	stop := context.AfterFunc(ctx, func() { near.Close(); far.Close() })
	defer stop()
	var both sync.WaitGroup
	both.Go(func() {
		defer func() { near.Close(); far.Close() }()
		pass(far, near, nil)
	})
	var in Inspector
	if w.inspect != nil {
		in = w.inspect()
	}
	if err := pass(near, far, in); err != nil {
		w.fail(err)
	}
	near.Close()
	far.Close()
	both.Wait()
}

// pass copies, and returns what the Inspector objects to.
func pass(dst, src net.Conn, in Inspector) error {
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			if in != nil {
				if bad := in.Inspect(buf[:n]); bad != nil {
					return bad
				}
			}
			if _, err := dst.Write(buf[:n]); err != nil {
				return nil
			}
		}
		if err != nil {
			return nil
		}
	}
}

// RTMP returns the address on a Wire for an rtmp: or rtmps: one, and the options
// by which libavformat tells the server the true one. The stream's name is what
// stands behind the last slash, with its query.
func RTMP(u *url.URL, near string) (string, map[string]string) {
	app, stream := path.Split(strings.TrimPrefix(u.EscapedPath(), "/"))
	app = strings.TrimSuffix(app, "/")
	if u.RawQuery != "" {
		stream += "?" + u.RawQuery
	}
	to := url.URL{Scheme: "rtmp", Host: near, User: u.User, Path: "/" + app}
	truth := url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/" + app}
	return to.String() + "/" + stream, map[string]string{
		"rtmp_app": app, "rtmp_playpath": stream, "rtmp_tcurl": truth.String(), "rtmp_live": "live",
	}
}

// SRT returns an srt: address whose host was looked up and judged, and the
// options that its parameters are. Only those named are let through, and of modes
// only caller.
func SRT(ctx context.Context, rules Rules, u *url.URL, allowed []string) (near string, options map[string]string, err error) {
	if u.Port() == "" {
		return "", nil, errors.New("an srt: address needs a port")
	}
	options = map[string]string{}
	for key, values := range u.Query() {
		if !slices.Contains(allowed, key) {
			return "", nil, fmt.Errorf("srt: parameter %.40q is none of %s", key, strings.Join(allowed, ", "))
		}
		if len(values[0]) > 512 {
			return "", nil, fmt.Errorf("srt: parameter %q is too long", key)
		}
		options[key] = values[0]
	}
	if mode := options["mode"]; mode != "" && mode != "caller" {
		return "", nil, fmt.Errorf("srt: mode %.20q is not caller", mode)
	}
	if ms, err := strconv.Atoi(cmp.Or(options["latency"], "120")); err != nil || ms < 0 || ms > 10_000 {
		return "", nil, fmt.Errorf("srt: latency %.20q is not 0 to 10000 ms", options["latency"])
	} else {
		options["latency"] = strconv.Itoa(ms * 1000) // libavformat's are µs
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	addr, err := rules.Resolve(ctx, u.Hostname())
	if err != nil {
		return "", nil, err
	}
	options["mode"], options["connect_timeout"] = "caller", "5000"
	options["timeout"] = strconv.FormatInt(dialTimeout.Microseconds(), 10)
	to := url.URL{Scheme: "srt", Host: net.JoinHostPort(addr.String(), u.Port())}
	return to.String(), options, nil
}
