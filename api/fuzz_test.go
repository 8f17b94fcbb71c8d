package api

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"mixdown/mixer"
)

// FuzzREST sends any body to each route that takes one, with a token that may
// do all: no answer is the server's fault, and each error is a problem (RFC
// 9457).
func FuzzREST(f *testing.F) {
	b := newBench(f, func(c *Config) { c.Open = true })
	b.room("ada")
	routes := []struct{ method, path, kind string }{
		{http.MethodPost, "/api/v1/rooms", "application/json"},
		{http.MethodPatch, "/api/v1/rooms/demo/participants/ada", "application/json"},
		{http.MethodPut, "/api/v1/rooms/demo/participants/ada/tier", "application/json"},
		{http.MethodPatch, "/api/v1/rooms/demo/participants/ada/tier", "application/json"},
		{http.MethodPut, "/api/v1/rooms/demo/sound", "application/json"},
		{http.MethodPut, "/api/v1/rooms/demo/layout", "application/json"},
		{http.MethodPut, "/api/v1/rooms/demo/lock", "application/json"},
		{http.MethodPut, "/api/v1/rooms/demo/participants/ada/hand", "application/json"},
		{http.MethodPut, "/api/v1/rooms/demo/tiers/360p", "application/json"},
		{http.MethodPost, "/whip/demo", "application/sdp"},
		{http.MethodPost, "/whep/demo", "application/sdp"},
	}
	token := b.token("op", mixer.Host, AnyRoom)
	for i, body := range []string{
		`{"name":"other"}`, `{"audio":true,"video":false}`, `{"tier":"360p"}`, `{"tier":null}`, `{"level":true,"denoise":1}`,
		`{"bitrate":300000}`, "v=0\r\n", `{"bitrate":1e400}`, `[]`, `{"name":"` + strings.Repeat("x", 300) + `"}`, "\x00", `{"name":{"name":{}}}`,
	} {
		f.Add(uint8(i), []byte(body))
	}
	f.Fuzz(func(t *testing.T, route uint8, body []byte) {
		b := *b
		b.t = t
		r := routes[int(route)%len(routes)]
		w := b.do(r.method, r.path, token, string(body), "Content-Type", r.kind)
		if w.Code >= 500 {
			t.Fatalf("%s %s: %d: %s", r.method, r.path, w.Code, w.Body)
		}
		var made struct{ Name string }
		if w.Code == http.StatusCreated && json.Unmarshal(w.Body.Bytes(), &made) == nil && made.Name != "" {
			b.do(http.MethodDelete, "/api/v1/rooms/"+url.PathEscape(made.Name), token, nil) // each has its clocks
		}
		if kind := w.Header().Get("Content-Type"); w.Code >= 400 && !strings.HasPrefix(kind, "application/problem+json") {
			t.Fatalf("%s %s: %d as %q: %s", r.method, r.path, w.Code, kind, w.Body)
		}
	})
}
