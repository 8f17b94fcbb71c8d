package api

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"

	"mixdown/mixer"
)

// TestTextsAreCompressed: texts go out in the coding that a client takes, and as
// they are to whom takes none; what that is does not change.
func TestTextsAreCompressed(t *testing.T) {
	script := strings.Repeat("let a = 1;\n", 500)
	b := newBench(t, func(c *Config) {
		c.Page = fstest.MapFS{
			"index.html":           {Data: []byte("<!doctype html>")},
			"assets/main-1a.js":    {Data: []byte(script)},
			"assets/main-1a.js.br": {Data: []byte("in Brotli")},
		}
	})
	b.room("ada")
	b.signaler.answer = "v=0\r\n" + strings.Repeat("a=extmap\r\n", 300)
	token := b.token("ada", mixer.Participant, "demo")
	for _, c := range []struct {
		accept, coding, body string
	}{
		{"gzip, deflate, br, zstd", "br", "in Brotli"},
		{"br;q=1.0, gzip", "br", "in Brotli"},
		{"gzip, br; q=0", "gzip", script},
		{"gzip", "gzip", script},
		{"identity", "", script},
		{"", "", script},
	} {
		w := b.want(b.do("GET", "/assets/main-1a.js", "", nil, "Accept-Encoding", c.accept), http.StatusOK)
		h := w.Header()
		if h.Get("Content-Encoding") != c.coding || !strings.Contains(h.Get("Content-Type"), "javascript") || !strings.Contains(strings.Join(h.Values("Vary"), ","), "Accept-Encoding") {
			t.Errorf("accepts %q: %v", c.accept, h)
		}
		if got := plain(t, c.coding, w.Body); got != c.body {
			t.Errorf("accepts %q: %.40q of %d bytes", c.accept, got, len(got))
		}
	}
	for coding, least := range map[string]int{"gzip": 10, "": 0} {
		w := b.want(b.do("POST", "/whip/demo?return=mix", token, sdp, "Content-Type", typeSDP, "Accept-Encoding", coding), http.StatusCreated)
		size := w.Body.Len()
		if got := plain(t, coding, w.Body); got != b.signaler.answer || size*least > len(got) || w.Header().Get("Content-Encoding") != coding || w.Header().Get("ETag") == "" {
			t.Errorf("answer in %q: %d bytes for %d, %v", coding, size, len(got), w.Header())
		}
	}
}

// TestCompressedOffer: an offer may come in gzip; what is too large unpacked, or
// packed otherwise, gets a clear error.
func TestCompressedOffer(t *testing.T) {
	b := newBench(t)
	b.room("ada")
	token := b.token("ada", mixer.Participant, "demo")
	packed := func(text string) string {
		var out strings.Builder
		z := gzip.NewWriter(&out)
		if _, err := io.WriteString(z, text); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	send := func(body, coding string, status int) http.Header {
		t.Helper()
		return b.want(b.do("POST", "/whip/demo", token, body, "Content-Type", typeSDP, "Content-Encoding", coding), status).Header()
	}
	if h := send(packed(sdp), "gzip", http.StatusCreated); !strings.HasPrefix(h.Get("Server-Timing"), "answer;dur=") || b.signaler.offers[0] != sdp {
		t.Errorf("%q, %v", b.signaler.offers[0], h)
	}
	send(sdp, "identity", http.StatusCreated)
	bomb := packed(strings.Repeat("a", 50*maxBody))
	if len(bomb) > maxBody/10 {
		t.Fatalf("a bomb of %d bytes", len(bomb))
	}
	send(bomb, "gzip", http.StatusRequestEntityTooLarge)
	send(strings.Repeat(packed(""), maxBody/10), "gzip", http.StatusRequestEntityTooLarge) // and nothing in it
	send(sdp, "gzip", http.StatusBadRequest)
	send(packed(sdp)[:20], "gzip", http.StatusBadRequest)
	if h := send(sdp, "br", http.StatusUnsupportedMediaType); h.Get("Accept-Encoding") != "gzip" {
		t.Errorf("%v", h)
	}
}

// plain undoes a content coding.
func plain(t *testing.T, coding string, r io.Reader) string {
	t.Helper()
	if coding == "gzip" {
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		r = z
	}
	body, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
