package cast

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"mixdown/codec"
	"mixdown/mixer"
	"mixdown/mixer/outside"
)

// patience is how long a target may take nothing before it counts as dead.
const patience = 8 * time.Second

// line is one connection to a target.
type line struct {
	codec.Muxer
	sdp   func() (string, error) // nil: there is none
	cause func() error           // what went wrong below the muxer; nil: unknown
	close func()
}

// target is one kind of them: a row.
type target struct {
	schemes []string
	format  string // as clients see it
	port    string // if the address names none; empty: it must
	open    func(ctx context.Context, o *Outputs, u *url.URL, tracks []codec.Track) (*line, error)
}

func targets() []target {
	return []target{
		{[]string{"rtmp"}, "flv", "1935", openRTMP},
		{[]string{"rtmps"}, "flv", "443", openRTMP},
		{[]string{"srt"}, "mpegts", "", openSRT},
		{[]string{"rtp"}, "rtp", "", openRTP},
		{[]string{"rtsp"}, "rtsp", "554", openRTSP},
		{[]string{"rtsps"}, "rtsp", "322", openRTSP},
		{[]string{"http"}, "mpegts", "80", openPush},
		{[]string{"https"}, "mpegts", "443", openPush},
	}
}

// address reads where an output is to go.
func address(q mixer.OutputRequest) (*url.URL, target, error) {
	bad := func(format string, args ...any) (*url.URL, target, error) {
		return nil, target{}, fmt.Errorf("%w: "+format, append([]any{mixer.ErrBadInput}, args...)...)
	}
	text := q.URL
	if q.Key != "" {
		if u, err := url.Parse(text); err != nil || u.Host == "" {
			return bad("the address names no host") // or else the key would be it, and be shown
		}
		text = strings.TrimSuffix(text, "/") + "/" + q.Key
	}
	if len(text) > 2048 {
		return bad("the address has over 2048 bytes")
	}
	u, err := url.Parse(text)
	if err != nil {
		return bad("the address is not a URL") // its error repeats keys
	}
	u.Scheme = strings.ToLower(u.Scheme)
	all := targets()
	i := slices.IndexFunc(all, func(t target) bool { return slices.Contains(t.schemes, u.Scheme) })
	if i < 0 {
		return bad("nothing can be sent to %.20q addresses; use rtmp, rtmps, srt, rtp, rtsp, rtsps, http or https", u.Scheme)
	}
	listens := u.Scheme == "srt" && u.Query().Get("mode") == "listener"
	switch {
	case u.Opaque != "" || u.Hostname() == "" && !listens:
		return bad("the address names no host")
	case u.Port() == "" && all[i].port == "":
		return bad("the address names no port")
	case strings.ContainsFunc(u.Host+u.Path+u.RawQuery, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return bad("the address has control characters")
	}
	return u, all[i], nil
}

// shown is an address as clients and logs may see it: of a stream's name, which
// is a key with most services, and of parameters, nothing.
func shown(u *url.URL, t target) string {
	s := *u
	s.User, s.RawQuery, s.Fragment, s.RawPath = nil, "", "", ""
	if t.format == "flv" {
		if i := strings.LastIndex(s.Path, "/"); i >= 0 && len(s.Path) > 1 {
			s.Path = s.Path[:i] + "/…"
		}
	}
	text, err := url.PathUnescape(s.String())
	if err != nil {
		return s.Scheme + "://" + s.Host
	}
	return text
}

// dialer connects to an address that was judged; secure ones speak TLS with the
// server's name verified.
func (o *Outputs) dialer(u *url.URL, port string, secure bool) func(context.Context) (net.Conn, error) {
	if p := u.Port(); p != "" {
		port = p
	}
	return func(ctx context.Context) (net.Conn, error) {
		conn, err := o.cfg.Rules.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
		if err != nil || !secure {
			return conn, err
		}
		c := tls.Client(conn, &tls.Config{ServerName: u.Hostname(), RootCAs: o.cfg.Roots})
		if err := c.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, err
		}
		return c, nil
	}
}

// wired has libavformat send over a connection of ours.
func (o *Outputs) wired(ctx context.Context, u *url.URL, port string, mux func(near string) (string, codec.MuxConfig)) (*line, error) {
	w, err := outside.NewWire(ctx, o.dialer(u, port, strings.HasSuffix(u.Scheme, "s")), nil, o.cfg.Log)
	if err != nil {
		return nil, err
	}
	near, cfg := mux(w.Addr())
	m, err := o.cfg.Dial(near, patience, cfg)
	if err != nil {
		w.Close()
		return nil, err
	}
	return &line{Muxer: m, cause: w.Err, close: w.Close}, nil
}

func openRTMP(ctx context.Context, o *Outputs, u *url.URL, tracks []codec.Track) (*line, error) {
	port := "1935"
	if u.Scheme == "rtmps" {
		port = "443"
	}
	return o.wired(ctx, u, port, func(near string) (string, codec.MuxConfig) {
		address, options := outside.RTMP(u, near)
		delete(options, "rtmp_live") // of who plays
		options["flvflags"] = "no_duration_filesize"
		return address, codec.MuxConfig{Format: "flv", Options: options, Tracks: tracks}
	})
}

func openRTSP(ctx context.Context, o *Outputs, u *url.URL, tracks []codec.Track) (*line, error) {
	port := "554"
	if u.Scheme == "rtsps" {
		port = "322"
	}
	return o.wired(ctx, u, port, func(near string) (string, codec.MuxConfig) {
		to := *u
		to.Scheme, to.Host = "rtsp", near
		return to.String(), codec.MuxConfig{Format: "rtsp", Options: map[string]string{"rtsp_transport": "tcp"}, Tracks: tracks}
	})
}

// srtOptions are the parameters of an srt: address that are passed on.
var srtOptions = []string{"streamid", "passphrase", "pbkeylen", "latency", "mode", "maxbw"}

func openSRT(ctx context.Context, o *Outputs, u *url.URL, tracks []codec.Track) (*line, error) {
	var (
		near    string
		options map[string]string
		err     error
	)
	if u.Query().Get("mode") == "listener" {
		near, options, err = o.listener(u)
	} else {
		near, options, err = outside.SRT(ctx, o.cfg.Rules, u, srtOptions)
	}
	if err != nil {
		return nil, err
	}
	m, err := o.cfg.Dial(near, patience, codec.MuxConfig{Format: "mpegts", Options: options, Tracks: tracks})
	if err != nil {
		return nil, err
	}
	return &line{Muxer: m}, nil
}

// listener is the address and the options of an output that waits to be called, at
// a port that the configuration sets aside.
func (o *Outputs) listener(u *url.URL) (string, map[string]string, error) {
	port, err := strconv.Atoi(u.Port())
	if err != nil || port < o.cfg.Ports[0] || port > o.cfg.Ports[1] || port == 0 {
		return "", nil, fmt.Errorf("%w: SRT listens at ports of outputs.srt_ports only, here %s", mixer.ErrRefused, o.cfg.ports())
	}
	options := map[string]string{"mode": "listener", "listen_timeout": strconv.FormatInt(patience.Microseconds(), 10)}
	for key, values := range u.Query() {
		if !slices.Contains([]string{"passphrase", "pbkeylen", "latency", "mode"}, key) {
			return "", nil, fmt.Errorf("%w: srt: parameter %.40q is none of a listener's passphrase, pbkeylen, latency", mixer.ErrBadInput, key)
		}
		if key != "mode" {
			options[key] = values[0]
		}
	}
	if ms, err := strconv.Atoi(options["latency"]); err == nil {
		options["latency"] = strconv.Itoa(ms * 1000)
	}
	return "srt://0.0.0.0:" + u.Port(), options, nil
}

// openRTP sends pictures to the port and sound to the second next.
func openRTP(ctx context.Context, o *Outputs, u *url.URL, tracks []codec.Track) (*line, error) {
	addr, err := o.cfg.Rules.Resolve(ctx, u.Hostname())
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil || port == 0 || port%2 == 1 || port > 65532 {
		return nil, fmt.Errorf("%w: rtp: port %s is not even, from 2 to 65532", mixer.ErrBadInput, u.Port())
	}
	two := &pair{}
	for i, t := range tracks {
		to := netip.AddrPortFrom(addr, uint16(port)+uint16(2*i))
		m, err := o.cfg.Dial("rtp://"+to.String(), patience, codec.MuxConfig{
			Format: "rtp", Tracks: []codec.Track{t}, Options: map[string]string{"pkt_size": "1200"},
		})
		if err != nil {
			return nil, errors.Join(err, two.Close())
		}
		two.muxers = append(two.muxers, m)
	}
	return &line{Muxer: two, sdp: two.sdp}, nil
}

// pair is a muxer for each track.
type pair struct{ muxers []codec.Muxer }

func (p *pair) Write(track int, u codec.Unit, pts, duration time.Duration) error {
	return p.muxers[track].Write(0, u, pts, duration)
}

func (p *pair) Flush() error { return nil }

func (p *pair) Close() (err error) {
	for _, m := range p.muxers {
		err = errors.Join(err, m.Close())
	}
	return err
}

// Interrupt ends what blocks.
func (p *pair) Interrupt() {
	for _, m := range p.muxers {
		interrupt(m)
	}
}

// sdp is one description of both (RFC 8866): the first whole, of the second what is
// about its media.
func (p *pair) sdp() (string, error) {
	var whole strings.Builder
	for i, m := range p.muxers {
		d, ok := m.(interface{ SDP() (string, error) })
		if !ok {
			return "", errors.New("this muxer describes nothing")
		}
		text, err := d.SDP()
		if err != nil {
			return "", err
		}
		if at := strings.Index(text, "m="); i > 0 && at >= 0 {
			text = text[at:]
		}
		whole.WriteString(text)
	}
	return whole.String(), nil
}

func interrupt(m codec.Muxer) {
	if m, ok := m.(interface{ Interrupt() }); ok {
		m.Interrupt()
	}
}

// atOnce has libavformat hold nothing back.
var atOnce = map[string]string{"flush_packets": "1"}

// openPush sends MPEG-TS as the body of one PUT without an end.
func openPush(ctx context.Context, o *Outputs, u *url.URL, tracks []codec.Track) (*line, error) {
	ctx, cancel := context.WithCancel(ctx)
	body, in := io.Pipe()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, u.String(), body)
	if err != nil {
		cancel()
		return nil, err
	}
	req.Header.Set("Content-Type", "video/mp2t")
	w := &pushed{in: in}
	m, err := o.cfg.Mux(w, codec.MuxConfig{Format: "mpegts", Options: atOnce, Tracks: tracks})
	if err != nil {
		cancel()
		return nil, err
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		res, err := o.client.Do(req)
		if err == nil {
			res.Body.Close()
			err = fmt.Errorf("the server answers %.60q and ends it", res.Status)
		}
		var of *url.Error
		if errors.As(err, &of) {
			err = of.Err // without the address
		}
		w.fail(err)
		body.CloseWithError(err)
	})
	return &line{Muxer: m, cause: w.failed, close: func() { cancel(); in.Close(); wg.Wait() }}, nil
}

// pushed is the writing end of a request's body; what is not taken in time ends it.
type pushed struct {
	in *io.PipeWriter

	mu  sync.Mutex
	err error
}

func (p *pushed) Write(b []byte) (int, error) {
	t := time.AfterFunc(patience, func() {
		err := fmt.Errorf("the server took nothing for %v", patience)
		p.fail(err)
		p.in.CloseWithError(err)
	})
	defer t.Stop()
	return p.in.Write(b)
}

func (p *pushed) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
}

func (p *pushed) failed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}
