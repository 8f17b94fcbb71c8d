package api

import (
	"compress/gzip"
	"io"
	"net/http"

	"github.com/klauspost/compress/gzhttp"
)

// leastCompressed is the size of a body from which it is worth it, in bytes: what
// fits one packet comes in one packet.
const leastCompressed = 1024

// compressed wraps a handler so that texts go out in gzip (RFC 1952) to whom takes
// that: an answer's SDP holds up a thin link for half a second else. Media are
// coded already.
func compressed(h http.Handler) (http.Handler, error) {
	wrap, err := gzhttp.NewWrapper(
		gzhttp.MinSize(leastCompressed),
		gzhttp.ContentTypes([]string{
			"text/html", "text/plain", "text/css", "text/javascript", "image/svg+xml",
			"application/json", "application/problem+json", "application/vnd.apple.mpegurl",
			typeSDP, typeFragment,
		}),
		gzhttp.EnableZstd(false),
	)
	if err != nil {
		return nil, err
	}
	return wrap(h), nil
}

// decoded returns a request's body without its content coding (RFC 9110, section
// 8.4). What comes out may be any size; the caller bounds it.
func decoded(r *http.Request) (io.ReadCloser, error) {
	switch coding := r.Header.Get("Content-Encoding"); coding {
	case "", "identity":
		return r.Body, nil
	case "gzip":
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, newProblem(http.StatusBadRequest, "the body is not gzip, which its Content-Encoding says")
		}
		return z, nil
	default:
		return nil, newProblem(http.StatusUnsupportedMediaType, "the body's Content-Encoding is %.40q; send gzip, or none", coding).with("Accept-Encoding", "gzip")
	}
}
