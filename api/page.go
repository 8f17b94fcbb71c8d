package api

import (
	"errors"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"

	"github.com/gin-gonic/gin"
)

// notBuilt stands in for a page that was not embedded.
const notBuilt = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>mixdown</title>
<h1>The join page was not built</h1>
<p>This server was compiled without it. Run <code>make build</code> and start it again.</p>
</html>
`

// policy lets the page load from this server only. It reaches its control
// channel by ws: or wss: on any host, for browsers where 'self' does not
// cover WebSockets.
var policy = strings.Join([]string{
	"default-src 'self'",
	"connect-src 'self' ws: wss:",
	"img-src 'self' data: blob:",
	"media-src 'self' blob: mediastream:",
	"worker-src 'self' blob:",
	"object-src 'none'",
	"base-uri 'none'",
	"form-action 'self'",
	"frame-ancestors 'self'",
}, "; ")

// page is the built join page.
type page struct {
	files fs.FS
	index []byte
}

func newPage(files fs.FS) (page, error) {
	index, err := fs.ReadFile(files, "index.html")
	if errors.Is(err, fs.ErrNotExist) {
		return page{files: files}, nil
	}
	return page{files, index}, err
}

func (a *API) pageRoutes() {
	for _, m := range []string{http.MethodGet, http.MethodHead} {
		a.engine.Handle(m, "/", a.serveIndex)
		a.engine.Handle(m, "/r/:room", a.serveIndex)
		a.engine.Handle(m, "/assets/*file", func(c *gin.Context) { a.serveFile(c, "assets"+c.Param("file")) })
	}
}

// serveIndex serves the one document, which reads its room from its address.
func (a *API) serveIndex(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Permissions-Policy", "camera=(self), microphone=(self), display-capture=(self), autoplay=(self), fullscreen=(self), screen-wake-lock=(self), geolocation=(), payment=(), usb=()")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache") // its assets' names change with every build
	if a.page.index == nil {
		c.Data(http.StatusServiceUnavailable, "text/html; charset=utf-8", []byte(notBuilt))
		return
	}
	c.Data(http.StatusOK, "text/html; charset=utf-8", a.page.index)
}

// serveFile serves a file of the page; those in assets have a hash in their
// name and never change.
func (a *API) serveFile(c *gin.Context, name string) {
	if !fs.ValidPath(name) || strings.HasPrefix(path.Base(name), ".") {
		a.notFound(c)
		return
	}
	if info, err := fs.Stat(a.page.files, name); err != nil || info.IsDir() {
		a.notFound(c)
		return
	}
	if strings.HasPrefix(name, "assets/") {
		c.Header("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		c.Header("Cache-Control", "no-cache")
	}
	c.Header("Vary", "Accept-Encoding")
	if _, err := fs.Stat(a.page.files, name+".br"); err == nil && takes(c.Request, "br") {
		c.Header("Content-Type", mime.TypeByExtension(path.Ext(name)))
		c.Header("Content-Encoding", "br")
		name += ".br"
	}
	http.ServeFileFS(c.Writer, c.Request, a.page.files, name)
}

// takes reports whether a client accepts a content coding by name (RFC 9110,
// section 12.5.3).
func takes(r *http.Request, coding string) bool {
	for _, line := range r.Header.Values("Accept-Encoding") {
		for item := range strings.SplitSeq(line, ",") {
			name, weight, _ := strings.Cut(item, ";")
			if strings.EqualFold(strings.TrimSpace(name), coding) {
				return strings.Trim(strings.ReplaceAll(weight, " ", ""), "0.") != "q="
			}
		}
	}
	return false
}

// fallback serves what has no route of its own: files beside index.html, such
// as its icon.
func (a *API) fallback(c *gin.Context) {
	name := strings.TrimPrefix(c.Request.URL.Path, "/")
	if (c.Request.Method == http.MethodGet || c.Request.Method == http.MethodHead) && name != "index.html" && !strings.Contains(name, "/") {
		a.serveFile(c, name)
		return
	}
	a.notFound(c)
}

func (a *API) notFound(c *gin.Context) {
	a.fail(c, newProblem(http.StatusNotFound, "nothing is served at %.200s; %s lists what is", c.Request.URL.Path, prefix+"/openapi.json"))
}
