package input

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"mixdown/codec"
	"mixdown/mixer"
	"mixdown/mixer/outside"
)

// streamTimeout is how long a live stream may pause before it counts as dead.
const streamTimeout = 10 * time.Second

// dialer returns what connects to where u leads; secure schemes speak TLS, with
// the server's name verified.
func (in *Inputs) dialer(u *url.URL, port string, secure bool) func(context.Context) (net.Conn, error) {
	to := hostPort(u, port)
	return func(ctx context.Context) (net.Conn, error) {
		conn, err := in.cfg.Rules.DialContext(ctx, "tcp", to)
		if err != nil || !secure {
			return conn, err
		}
		c := tls.Client(conn, &tls.Config{ServerName: u.Hostname(), RootCAs: in.cfg.Roots})
		if err := c.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, err
		}
		return c, nil
	}
}

// openRTMP has libavformat speak RTMP over a connection of ours.
func openRTMP(ctx context.Context, in *Inputs, u *url.URL) (codec.MediaSource, func() error, func(), error) {
	secure, port := u.Scheme == "rtmps", "1935"
	if secure {
		port = "443"
	}
	w, err := outside.NewWire(ctx, in.dialer(u, port, secure), nil, in.cfg.Log)
	if err != nil {
		return codec.MediaSource{}, nil, nil, unreachable(err)
	}
	near, options := outside.RTMP(u, w.Addr())
	options["protocol_whitelist"], options["format_whitelist"] = "rtmp,tcp", "flv,live_flv"
	// Servers begin with sound, and pictures follow at the next keyframe, which
	// encoders left to themselves make every 250 pictures.
	options["analyzeduration"] = "12000000"
	return codec.MediaSource{URL: near, Options: options, Live: true, Timeout: streamTimeout}, w.Err, w.Close, nil
}

// openRTSP likewise, with all media inside of that connection: RTSP over UDP would
// have the server choose addresses. A redirect ends it.
func openRTSP(ctx context.Context, in *Inputs, u *url.URL) (codec.MediaSource, func() error, func(), error) {
	secure, port := u.Scheme == "rtsps", "554"
	if secure {
		port = "322"
	}
	w, err := outside.NewWire(ctx, in.dialer(u, port, secure), func() outside.Inspector { return new(redirects) }, in.cfg.Log)
	if err != nil {
		return codec.MediaSource{}, nil, nil, unreachable(err)
	}
	near := *u
	near.Scheme, near.Host = "rtsp", w.Addr()
	return codec.MediaSource{URL: near.String(), Live: true, Timeout: streamTimeout, Options: map[string]string{
		"rtsp_transport": "tcp", "protocol_whitelist": "tcp,rtp", "format_whitelist": "rtsp",
	}}, w.Err, w.Close, nil
}

// srtOptions are the parameters of an srt: address that are passed on.
var srtOptions = []string{"streamid", "passphrase", "pbkeylen", "latency", "mode", "transtype"}

// openSRT has libavformat call an address that was looked up and judged here: it
// gets no name to look up again.
func openSRT(ctx context.Context, in *Inputs, u *url.URL) (codec.MediaSource, func() error, func(), error) {
	near, options, err := outside.SRT(ctx, in.cfg.Rules, u, srtOptions)
	if err != nil {
		return codec.MediaSource{}, nil, nil, unreachable(err)
	}
	options["protocol_whitelist"], options["format_whitelist"] = "srt", "mpegts"
	return codec.MediaSource{URL: near, Live: true, Timeout: streamTimeout, Options: options}, nil, nil, nil
}

// redirects looks for an RTSP answer that sends the client elsewhere (RFC 2326,
// section 7.1.1): libavformat would go there by itself. It sees the lines between
// the packets of media; of those it knows the length (section 10.12).
type redirects struct {
	line []byte
	skip int // bytes of an interleaved packet
	head int // of its header, still to come
	size int
	body bool // a line is too long to be a status line
}

// Inspect implements outside.Inspector.
func (r *redirects) Inspect(p []byte) error {
	for _, b := range p {
		switch {
		case r.skip > 0:
			r.skip--
		case r.head > 0:
			r.head--
			if r.head < 2 {
				r.size = r.size<<8 | int(b)
			}
			if r.head == 0 {
				r.skip = r.size
			}
		case b == '$' && len(r.line) == 0 && !r.body:
			r.head, r.size = 3, 0
		case b == '\n' || b == '\r':
			if err := status(string(r.line)); err != nil {
				return err
			}
			r.line, r.body = r.line[:0], false
		case len(r.line) < 64:
			r.line = append(r.line, b)
		default:
			r.body = true
		}
	}
	return nil
}

// status refuses a status line that is none of an answer libavformat stays with.
func status(line string) error {
	line = strings.TrimLeft(line, " \t")
	if !strings.HasPrefix(strings.ToUpper(line), "RTSP") {
		return nil
	}
	fields := strings.Fields(line)
	if len(fields) >= 2 && len(fields[1]) == 3 && slices.Contains([]byte("1245"), fields[1][0]) && fields[0] == "RTSP/1.0" {
		return nil
	}
	return fmt.Errorf("%w: the RTSP server answers %.40q: redirects are not followed", mixer.ErrRefused, line)
}
