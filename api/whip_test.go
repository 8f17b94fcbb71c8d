package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"mixdown/mixer"
)

const sdp = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n"

func (b *bench) offer(path, token, body string, headers ...string) *result {
	headers = append([]string{"Content-Type", "application/sdp"}, headers...)
	return &result{b, b.do(http.MethodPost, path, token, body, headers...)}
}

func TestWHIPPublish(t *testing.T) {
	b := newBench(t, func(c *Config) {
		c.ICEServers = []ICEServer{
			{URLs: []string{"stun:stun.example.net"}},
			{URLs: []string{"turn:turn.example.net?transport=udp", "turns:turn.example.net"}, Username: "u", Credential: `p"w`},
		}
	})
	b.room()
	w := b.offer("/whip/demo?return=mix&tier=360p", b.token("ada", mixer.Participant, "demo"), sdp).is(http.StatusCreated)
	for k, want := range map[string]string{
		"Content-Type": "application/sdp", "Location": "/whip/demo/s0", "ETag": `"e1"`, "Access-Control-Allow-Origin": "*",
	} {
		if got := w.Header().Get(k); got != want {
			t.Errorf("%s: %q, want %q", k, got, want)
		}
	}
	links := w.Header().Values("Link")
	if len(links) != 3 || links[0] != `<stun:stun.example.net>; rel="ice-server"` ||
		links[1] != `<turn:turn.example.net?transport=udp>; rel="ice-server"; username="u"; credential="p\"w"; credential-type="password"` {
		t.Errorf("links %q", links)
	}
	if w.Body.String() != "v=0 answer" || b.signaler.offers[0] != sdp {
		t.Error("SDP did not pass unchanged")
	}
	want := mixer.Session{Room: "demo", Identity: mixer.Identity{ID: "ada", Name: "ada", Role: mixer.Participant}, Publish: true, Receive: true, Want: mixer.Want{Tier: "360p"}}
	if got := b.signaler.sessions["s0"]; got != want {
		t.Errorf("session %+v", got)
	}

	b.offer("/whip/demo", b.token("ada", mixer.Participant, "demo"), sdp, "Content-Type", "Application/SDP; charset=utf-8").is(http.StatusCreated)
	if got := b.signaler.sessions["s1"]; !got.Publish || got.Receive {
		t.Errorf("plain WHIP: %+v", got)
	}
	w = b.offer("/whep/demo", b.token("eve", mixer.Viewer, "demo"), sdp).is(http.StatusCreated)
	if got := b.signaler.sessions["s2"]; got.Publish || !got.Receive || w.Header().Get("Location") != "/whep/demo/s2" {
		t.Errorf("WHEP: %+v at %s", got, w.Header().Get("Location"))
	}
}

func TestWHIPRefuses(t *testing.T) {
	b := newBench(t)
	b.room()
	good := b.token("ada", mixer.Participant, "demo")
	now := b.clock.Now()
	unsigned := sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claims(func(c *Claims) {
		c.ExpiresAt = jwt.NewNumericDate(now.Add(time.Hour))
		c.NotBefore, c.IssuedAt = nil, nil
	}))
	expired, err := testKeys.Mint(mixer.Identity{ID: "ada", Role: mixer.Participant}, "demo", now.Add(-2*time.Hour), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := Keys{"key-test", strings.Repeat("z", 40)}.Mint(mixer.Identity{ID: "ada", Role: mixer.Participant}, "demo", now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	b.offer("/whip/demo", "", sdp).is(http.StatusUnauthorized)
	b.offer("/whip/demo", "", sdp, "Authorization", "Basic YTpi").is(http.StatusUnauthorized)
	b.offer("/whip/demo", expired, sdp).is(http.StatusUnauthorized)
	b.offer("/whip/demo", foreign, sdp).is(http.StatusUnauthorized)
	b.offer("/whip/demo", unsigned, sdp).is(http.StatusUnauthorized)
	b.offer("/whip/demo", b.token("eve", mixer.Viewer, "demo"), sdp).is(http.StatusForbidden)
	if w := b.offer("/whip/demo", b.token("one too many", mixer.Participant, "demo"), sdp).is(http.StatusServiceUnavailable); w.Header().Get("Retry-After") == "" {
		t.Error("a full room does not say when to try again")
	}
	for _, kind := range []string{"whip", "whep"} {
		w := b.offer("/"+kind+"/demo", b.token("too much work", mixer.Participant, "demo"), sdp).is(http.StatusServiceUnavailable)
		if w.Header().Get("Retry-After") != "10" || w.Header().Get("Content-Type") != "application/problem+json" || !strings.Contains(w.Body.String(), mixer.ErrBusy.Error()) {
			t.Errorf("%s beyond the budget: %v %s", kind, w.Header(), w.Body)
		}
	}
	b.offer("/whip/demo", b.token("ada", mixer.Participant, "other"), sdp).is(http.StatusForbidden)
	b.offer("/whip/demo?return=all", good, sdp).is(http.StatusBadRequest)
	b.offer("/whip/demo?tier=8k", good, sdp).is(http.StatusBadRequest)
	b.offer("/whip/demo", good, "").is(http.StatusBadRequest)
	b.offer("/whip/demo", good, sdp, "Content-Type", "application/json").is(http.StatusUnsupportedMediaType)
	b.offer("/whip/demo", good, sdp, "Content-Type", "").is(http.StatusUnsupportedMediaType)
	b.offer("/whip/demo", good, strings.Repeat("a", 1<<20)).is(http.StatusRequestEntityTooLarge)
	b.offer("/whip/demo", good, strings.Repeat("a", maxBody+1)).is(http.StatusRequestEntityTooLarge)
	b.offer("/whip/nowhere", b.token("ada", mixer.Participant, "nowhere"), sdp).is(http.StatusNotFound)
	b.offer("/whip/%2e%2e", b.token("ada", mixer.Host, AnyRoom), sdp).is(http.StatusBadRequest)
	if len(b.signaler.offers) != 0 {
		t.Fatalf("%d offers came through", len(b.signaler.offers))
	}
	for err, status := range map[error]int{
		fmt.Errorf("%w: no ice-ufrag", mixer.ErrBadOffer):  http.StatusBadRequest,
		fmt.Errorf("video: %w", mixer.ErrNoCodec):          http.StatusBadRequest,
		fmt.Errorf("room %q: %w", "demo", mixer.ErrNoRoom): http.StatusNotFound,
		mixer.ErrForbidden:                 http.StatusForbidden,
		mixer.ErrFull:                      http.StatusServiceUnavailable,
		mixer.ErrRoomClosed:                http.StatusConflict,
		mixer.ErrReplaced:                  http.StatusConflict,
		errors.New("secret inner failure"): http.StatusInternalServerError,
	} {
		b.signaler.next = err
		w := b.offer("/whip/demo", good, sdp).is(status)
		if status == http.StatusInternalServerError && strings.Contains(w.Body.String(), "secret") {
			t.Error("an internal error's text went out")
		}
	}
	b.api.SetReady(false)
	b.offer("/whip/demo", good, sdp).is(http.StatusServiceUnavailable)
}

func TestWHIPOpenRooms(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Open = true })
	b.offer("/whip/fresh", b.token("ada", mixer.Participant, "fresh"), sdp).is(http.StatusCreated)
	if !slices.Contains(b.rooms.Rooms(), "fresh") {
		t.Fatal("the room did not come into being")
	}
	b.rooms.full = true
	b.offer("/whip/fresh2", b.token("ada", mixer.Participant, "fresh2"), sdp).is(http.StatusServiceUnavailable)
}

// Open rooms are bounded, and go when nobody has been there for a while.
func TestOpenRoomsGo(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Open, c.MaxOpen = true, 2 })
	b.room()
	ask := func(room string) *result {
		return &result{b, b.do("POST", "/api/v1/rooms/"+room+"/join", "", map[string]any{"name": "Ada", "key": "joinkey1"})}
	}
	ask("one").is(http.StatusOK)
	ask("two").is(http.StatusOK)
	ask("three").is(http.StatusServiceUnavailable)
	ask("demo").is(http.StatusOK) // was made by REST
	ask("one").is(http.StatusOK)
	b.rooms.set("one", func(s *mixer.State) { s.Participants = append(s.Participants, mixer.Member{ID: "ada"}) })
	b.clock.add(openLinger)
	ask("three").is(http.StatusOK)
	if got := b.rooms.Rooms(); slices.Contains(got, "two") || !slices.Contains(got, "one") || !slices.Contains(got, "demo") {
		t.Errorf("rooms %q", got)
	}
	ask("two").is(http.StatusServiceUnavailable)
	b.want(b.do("DELETE", "/api/v1/rooms/one", b.token("op", mixer.Host, AnyRoom), nil), http.StatusNoContent)
	b.clock.add(openLinger)
	ask("two").is(http.StatusOK)
}

func TestWHIPSession(t *testing.T) {
	b := newBench(t)
	b.room()
	ada := b.token("ada", mixer.Participant, "demo")
	patch := func(token, path, body string, headers ...string) *result {
		headers = append([]string{"Content-Type", typeFragment}, headers...)
		return &result{b, b.do(http.MethodPatch, path, token, body, headers...)}
	}
	at := b.offer("/whip/demo", ada, sdp).is(http.StatusCreated).Header().Get("Location")

	w := patch(ada, at, "a=candidate", "If-Match", `"e1"`).is(http.StatusNoContent)
	if w.Body.Len() != 0 || b.signaler.patched[0] != `"e1" a=candidate` {
		t.Errorf("trickle: %q %q", w.Body, b.signaler.patched)
	}
	w = patch(ada, at, "a=ice-ufrag:x", "If-Match", "*").is(http.StatusOK)
	if w.Header().Get("ETag") != `"e2"` || w.Header().Get("Content-Type") != typeFragment || w.Body.String() != "a=ice-ufrag:new" {
		t.Errorf("restart: %v %q", w.Header(), w.Body)
	}
	patch(ada, at, "a=candidate", "If-Match", `"old"`).is(http.StatusPreconditionFailed)
	patch(ada, at, "a=candidate").is(http.StatusNoContent) // as clients of old drafts do
	patch(ada, at, "a=candidate", "If-Match", `"e1"`, "Content-Type", typeSDP).is(http.StatusUnsupportedMediaType)
	patch(ada, at, strings.Repeat("a", maxBody+1), "If-Match", `"e1"`).is(http.StatusRequestEntityTooLarge)
	patch(ada, "/whip/demo/none", "a=candidate", "If-Match", `"e1"`).is(http.StatusNotFound)

	bob := b.token("bob", mixer.Participant, "demo")
	other := b.token("ada", mixer.Participant, "other")
	patch("", at, "a=candidate", "If-Match", `"e1"`).is(http.StatusUnauthorized)
	patch(bob, at, "a=candidate", "If-Match", `"e1"`).is(http.StatusForbidden)
	patch(other, at, "a=candidate", "If-Match", `"e1"`).is(http.StatusForbidden)
	patch(other, strings.Replace(at, "demo", "other", 1), "a=candidate", "If-Match", `"e1"`).is(http.StatusNotFound)
	b.want(b.do(http.MethodDelete, at, "", nil), http.StatusUnauthorized)
	b.want(b.do(http.MethodDelete, at, bob, nil), http.StatusForbidden)
	b.want(b.do(http.MethodDelete, at, other, nil), http.StatusForbidden)

	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodPost} {
		w := b.want(b.do(method, at, ada, nil), http.StatusMethodNotAllowed)
		if allow := w.Header().Get("Allow"); !strings.Contains(allow, "PATCH") || !strings.Contains(allow, "DELETE") {
			t.Errorf("%s: Allow %q", method, allow)
		}
	}
	b.want(b.do(http.MethodGet, "/whip/demo", ada, nil), http.StatusMethodNotAllowed)

	b.want(b.do(http.MethodDelete, at, ada, nil), http.StatusOK)
	b.want(b.do(http.MethodDelete, at, ada, nil), http.StatusNotFound)
	at = b.offer("/whep/demo", ada, sdp).is(http.StatusCreated).Header().Get("Location")
	b.want(b.do(http.MethodDelete, at, b.token("boss", mixer.Host, "demo"), nil), http.StatusOK)
	if len(b.signaler.sessions) != 0 {
		t.Errorf("left: %v", b.signaler.sessions)
	}
}

func TestCORS(t *testing.T) {
	b := newBench(t)
	for path, accept := range map[string][2]string{
		"/whip/demo":             {"Accept-Post", typeSDP},
		"/whep/demo":             {"Accept-Post", typeSDP},
		"/whip/demo/s0":          {"Accept-Patch", typeFragment},
		"/api/v1/rooms/demo":     {},
		"/api/v1/rooms/demo/all": {},
	} {
		w := b.do(http.MethodOptions, path, "", nil, "Origin", "https://elsewhere.example", "Access-Control-Request-Method", "POST")
		if w.Code != http.StatusNoContent || w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
		if accept[0] != "" && w.Header().Get(accept[0]) != accept[1] {
			t.Errorf("%s: %s is %q", path, accept[0], w.Header().Get(accept[0]))
		}
		for _, h := range []string{"Authorization", "Content-Type", "If-Match"} {
			if !strings.Contains(w.Header().Get("Access-Control-Allow-Headers"), h) {
				t.Errorf("%s: %s is not allowed", path, h)
			}
		}
		for _, m := range []string{"POST", "PATCH", "DELETE"} {
			if !strings.Contains(w.Header().Get("Access-Control-Allow-Methods"), m) {
				t.Errorf("%s: %s is not allowed", path, m)
			}
		}
	}
	w := b.offer("/whip/demo", "", sdp).is(http.StatusUnauthorized)
	for _, h := range []string{"Location", "ETag", "Link"} {
		if !strings.Contains(w.Header().Get("Access-Control-Expose-Headers"), h) {
			t.Errorf("%s is not exposed", h)
		}
	}
	if w.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Error("an error is not readable from other origins")
	}
}
