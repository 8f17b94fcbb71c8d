package input

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"mixdown/codec"
	"mixdown/mixer"
	"mixdown/mixer/outside"
)

// opened is media and what else must end with it.
type opened struct {
	codec.Media
	live   bool
	failed func() error // what went wrong below the container, if anything did
	close  func()
}

func (o *opened) end() {
	o.Media.Close()
	if o.close != nil {
		o.close()
	}
}

// schemes are the addresses that can be played, and how each is opened.
var schemes = map[string]func(context.Context, *Inputs, *url.URL) (codec.MediaSource, func() error, func(), error){
	"http": openWeb, "https": openWeb,
	"rtmp": openRTMP, "rtmps": openRTMP,
	"rtsp": openRTSP, "rtsps": openRTSP,
	"srt": openSRT,
}

// open opens what a request names. ctx ends all that it makes.
func (in *Inputs) open(ctx context.Context, q mixer.InputRequest, at time.Duration) (*opened, error) {
	var src codec.MediaSource
	var failed func() error
	var end func()
	var err error
	switch {
	case q.Text != "":
		src.Reader, err = in.speak(ctx, q.Text, q.Voice)
	case q.File != "":
		src.Name = q.File
		src.Reader, err = in.file(q.File)
	default:
		var u *url.URL
		if u, err = address(q.URL); err == nil {
			src, failed, end, err = schemes[u.Scheme](ctx, in, u)
		}
	}
	if err != nil {
		return nil, err
	}
	media, err := in.cfg.Open(src, ctx.Done())
	if err != nil {
		if end != nil {
			end()
		}
		if failed != nil {
			if below := failed(); below != nil {
				err = below
			}
		}
		if errors.Is(err, outside.ErrRefused) {
			return nil, fmt.Errorf("%w: %w", mixer.ErrRefused, err)
		}
		return nil, fmt.Errorf("%w: %w", mixer.ErrBadInput, err)
	}
	o := &opened{Media: media, live: src.Live, failed: failed, close: end}
	if at > 0 {
		if !o.Info().Seekable {
			o.end()
			return nil, fmt.Errorf("%w: it cannot be played from %v on: it has no known length, or its server sends no parts of it", mixer.ErrBadInput, at)
		}
		if err := o.Seek(at); err != nil {
			o.end()
			return nil, fmt.Errorf("%w: %w", mixer.ErrBadInput, err)
		}
	}
	return o, nil
}

// maxURL bounds an address, in bytes.
const maxURL = 2048

// address reads a URL that is to be played.
func address(text string) (*url.URL, error) {
	if len(text) > maxURL {
		return nil, fmt.Errorf("%w: the address has over %d bytes", mixer.ErrBadInput, maxURL)
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: the address is not a URL", mixer.ErrBadInput) // its error repeats credentials
	}
	u.Scheme = strings.ToLower(u.Scheme)
	if schemes[u.Scheme] == nil {
		return nil, fmt.Errorf("%w: %q addresses cannot be played; use http, https (files and HLS), rtmp, rtmps, rtsp, rtsps or srt", mixer.ErrBadInput, u.Scheme)
	}
	if u.Hostname() == "" || u.Opaque != "" {
		return nil, fmt.Errorf("%w: the address names no host", mixer.ErrBadInput)
	}
	if strings.ContainsFunc(u.Host+u.Path+u.RawQuery, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return nil, fmt.Errorf("%w: the address has control characters", mixer.ErrBadInput)
	}
	return u, nil
}

// shown is an address as clients may see it: without password and query, which
// may hold keys.
func shown(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// hostPort is where an address leads.
func hostPort(u *url.URL, port string) string {
	if p := u.Port(); p != "" {
		port = p
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// file opens a file of the folder. os.Root lets no name and no symbolic link
// lead out of it.
func (in *Inputs) file(name string) (io.ReadSeekCloser, error) {
	if in.root == nil {
		return nil, fmt.Errorf("%w: this server plays no files; set inputs.folder", mixer.ErrRefused)
	}
	clean := path.Clean(name)
	if strings.Contains(name, "\x00") || path.IsAbs(name) || clean == ".." || strings.HasPrefix(clean, "../") {
		return nil, fmt.Errorf("%w: file %.80q leads out of the folder of media", mixer.ErrRefused, name)
	}
	// Opening a pipe would wait for who writes to it.
	f, err := in.root.OpenFile(clean, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%w: there is no file %.80q in the folder of media", mixer.ErrBadInput, name)
	case err != nil:
		return nil, fmt.Errorf("%w: file %.80q cannot be opened", mixer.ErrRefused, name)
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, fmt.Errorf("%w: %.80q is not a file", mixer.ErrBadInput, name)
	}
	return f, nil
}
