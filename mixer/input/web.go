package input

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"mixdown/codec"
	"mixdown/mixer"
	"mixdown/mixer/outside"
)

const (
	// webPause is how long a server may send nothing.
	webPause = 10 * time.Second
	// webTries is how often a broken download is taken up again without progress.
	webTries = 4
	// maxRedirects bounds how far an address is followed.
	maxRedirects = 5
)

// newClient returns a client that reaches what the rules allow and nothing else:
// every connection is judged by its address, those that redirects lead to as well.
func newClient(rules outside.Rules, cfg Config) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            rules.DialContext, // and no proxy of the environment's
			TLSClientConfig:        cfg.tls(),
			TLSHandshakeTimeout:    10 * time.Second,
			ResponseHeaderTimeout:  webPause,
			MaxIdleConnsPerHost:    2,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true,
		},
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return fmt.Errorf("more than %d redirects", maxRedirects)
			}
			return webScheme(next.URL)
		},
	}
}

func webScheme(u *url.URL) error {
	if u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%w: %.20q addresses are not followed from the web", mixer.ErrRefused, u.Scheme)
	}
	return nil
}

// openWeb fetches with Go's own client; libavformat gets the bytes, and asks here
// for what a playlist names.
func openWeb(ctx context.Context, in *Inputs, u *url.URL) (codec.MediaSource, func() error, func(), error) {
	f, err := in.fetch(ctx, u.String(), 0, 0)
	if err != nil {
		return codec.MediaSource{}, nil, nil, unreachable(err)
	}
	src := codec.MediaSource{
		Reader: f, Name: f.url, Timeout: 20 * time.Second,
		Open: func(address string, offset, end int64) (io.ReadCloser, error) {
			g, err := in.fetch(ctx, address, offset, end)
			if err != nil {
				f.fail(err)
				return nil, err
			}
			return g, nil
		},
	}
	if f.size > 0 && f.ranges {
		src.Reader = &seekable{f}
	}
	return src, f.failed, nil, nil
}

// unreachable words what a connection failed with.
func unreachable(err error) error {
	if errors.Is(err, mixer.ErrRefused) || errors.Is(err, mixer.ErrBadInput) {
		return err
	}
	if errors.Is(err, outside.ErrRefused) {
		return fmt.Errorf("%w: %w", mixer.ErrRefused, plain(err))
	}
	return fmt.Errorf("%w: %w", mixer.ErrBadInput, plain(err))
}

// plain takes the address off an error of net/http: it may hold keys.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// fetch is one download. A broken one goes on where it was, if the server sends
// parts of it.
type fetch struct {
	in     *Inputs
	ctx    context.Context
	url    string // after redirects
	at     int64  // of the next byte
	end    int64  // 0: the whole
	size   int64  // of the whole, 0: unknown
	ranges bool   // the server sends parts
	body   io.ReadCloser
	cancel context.CancelFunc
	tries  int

	mu  sync.Mutex
	err error // the last thing that went wrong
}

func (in *Inputs) fetch(ctx context.Context, address string, offset, end int64) (*fetch, error) {
	f := &fetch{in: in, ctx: ctx, url: address, at: offset, end: end}
	if err := f.connect(); err != nil {
		return nil, err
	}
	return f, nil
}

// connect asks for the bytes from at on.
func (f *fetch) connect() error {
	u, err := url.Parse(f.url)
	if err != nil {
		return fmt.Errorf("%w: an address in it is not a URL", mixer.ErrBadInput)
	}
	if err := webScheme(u); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(f.ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url, nil)
	if err != nil {
		cancel()
		return err
	}
	want := "bytes=" + strconv.FormatInt(f.at, 10) + "-"
	if f.end > 0 {
		want += strconv.FormatInt(f.end-1, 10)
	}
	req.Header.Set("Range", want)
	req.Header.Set("User-Agent", "mixdown")
	res, err := f.in.client.Do(req)
	if err != nil {
		cancel()
		return err
	}
	f.size, f.ranges = 0, false
	switch {
	case res.StatusCode == http.StatusPartialContent:
		f.ranges = true
		if _, total, ok := strings.Cut(res.Header.Get("Content-Range"), "/"); ok {
			f.size, _ = strconv.ParseInt(total, 10, 64)
		}
	case res.StatusCode == http.StatusOK && f.at == 0:
	default:
		res.Body.Close()
		cancel()
		return fmt.Errorf("the server answers %.60q", res.Status)
	}
	f.url, f.body, f.cancel = res.Request.URL.String(), res.Body, cancel
	return nil
}

// Read implements io.Reader.
func (f *fetch) Read(p []byte) (int, error) {
	for {
		if f.body == nil {
			if err := f.connect(); err != nil {
				f.fail(err)
				return 0, err
			}
		}
		timer := time.AfterFunc(webPause, f.cancel)
		n, err := f.body.Read(p)
		late := !timer.Stop()
		f.at += int64(n)
		switch {
		case n > 0:
			f.tries = 0
			return n, nil
		case err == nil:
			continue
		case errors.Is(err, io.EOF):
			return 0, io.EOF
		}
		f.drop()
		if late {
			err = fmt.Errorf("the server sent nothing for %v", webPause)
		}
		f.tries++
		if !f.ranges || f.ctx.Err() != nil || f.tries > webTries {
			err = fmt.Errorf("the connection broke: %w", plain(err))
			f.fail(err)
			return 0, err
		}
		select {
		case <-f.ctx.Done():
			return 0, f.ctx.Err()
		case <-time.After(time.Duration(f.tries) * 500 * time.Millisecond):
		}
	}
}

func (f *fetch) drop() {
	if f.body != nil {
		f.cancel()
		f.body.Close()
		f.body = nil
	}
}

// Close implements io.Closer.
func (f *fetch) Close() error {
	f.drop()
	return nil
}

func (f *fetch) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *fetch) failed() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// seekable is a download of known size whose parts can be had.
type seekable struct{ *fetch }

// Seek implements io.Seeker. The next Read connects anew.
func (s *seekable) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.at
	case io.SeekEnd:
		offset += s.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning")
	}
	if offset != s.at {
		s.drop()
		s.at = offset
	}
	return offset, nil
}

// Read implements io.Reader: past the end there is nothing to ask for.
func (s *seekable) Read(p []byte) (int, error) {
	if s.at >= s.size {
		return 0, io.EOF
	}
	return s.fetch.Read(p)
}
