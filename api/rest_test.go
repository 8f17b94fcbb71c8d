package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"mixdown/mixer"
)

func TestRooms(t *testing.T) {
	b := newBench(t)
	admin := b.token("op", mixer.Host, AnyRoom)
	w := b.want(b.do("POST", "/api/v1/rooms", admin, map[string]any{"name": "demo"}), http.StatusCreated)
	made := decode[RoomView](b, w)
	if len(made.JoinKey) < 16 || len(made.HostKey) < 16 || made.JoinKey == made.HostKey ||
		made.Links.Join != "http://example.com/r/demo#"+made.JoinKey || made.Links.Host != "http://example.com/r/demo#"+made.HostKey {
		t.Fatalf("made %s", w.Body)
	}
	if !slices.Contains(b.rooms.Rooms(), "demo") {
		t.Fatal("the mixer does not know the room")
	}
	b.want(b.do("POST", "/api/v1/rooms", admin, map[string]any{"name": "demo"}), http.StatusConflict)
	w = b.want(b.do("POST", "/api/v1/rooms", admin, map[string]any{"name": "own", "join_key": "12345678", "host_key": "87654321"}), http.StatusCreated)
	if own := decode[RoomView](b, w); own.JoinKey != "12345678" || own.HostKey != "87654321" {
		t.Fatalf("own keys: %s", w.Body)
	}
	for body, status := range map[string]int{
		`{"name":"a b"}`:                  http.StatusUnprocessableEntity,
		`{"name":""}`:                     http.StatusUnprocessableEntity,
		`{}`:                              http.StatusUnprocessableEntity,
		`{"name":"x","color":"red"}`:      http.StatusUnprocessableEntity,
		`{"name":"x","join_key":"short"}`: http.StatusUnprocessableEntity,
		`{"name":"x"`:                     http.StatusBadRequest,
		`{"name":"x","join_key":"samesame","host_key":"samesame"}`: http.StatusUnprocessableEntity,
		`"` + strings.Repeat("a", maxBody) + `"`:                   http.StatusRequestEntityTooLarge,
	} {
		b.want(b.do("POST", "/api/v1/rooms", admin, body, "Content-Type", "application/json"), status)
	}
	b.want(b.do("POST", "/api/v1/rooms", admin, "name: x", "Content-Type", "application/yaml"), http.StatusUnsupportedMediaType)
	for _, token := range []string{b.token("ada", mixer.Host, "demo"), b.token("ada", mixer.Participant, AnyRoom)} {
		b.want(b.do("POST", "/api/v1/rooms", token, map[string]any{"name": "more"}), http.StatusForbidden)
		b.want(b.do("GET", "/api/v1/rooms", token, nil), http.StatusForbidden)
	}
	b.want(b.do("GET", "/api/v1/rooms", "", nil), http.StatusUnauthorized)

	list := decode[[]RoomView](b, b.want(b.do("GET", "/api/v1/rooms", admin, nil), http.StatusOK))
	if len(list) != 2 || list[0].Name != "demo" || list[1].Name != "own" {
		t.Fatalf("list %+v", list)
	}
	get := func(token string) RoomView {
		return decode[RoomView](b, b.want(b.do("GET", "/api/v1/rooms/demo", token, nil), http.StatusOK))
	}
	if v := get(b.token("ada", mixer.Participant, "demo")); v.JoinKey != "" || v.HostKey != "" || v.Links != nil || len(v.Tiers) != 2 {
		t.Errorf("a participant sees %+v", v)
	}
	if v := get(b.token("ada", mixer.Host, "demo")); v.JoinKey != made.JoinKey || v.Links == nil {
		t.Errorf("a host sees %+v", v)
	}
	b.want(b.do("GET", "/api/v1/rooms/none", admin, nil), http.StatusNotFound)

	b.want(b.do("DELETE", "/api/v1/rooms/demo", b.token("ada", mixer.Participant, "demo"), nil), http.StatusForbidden)
	b.want(b.do("DELETE", "/api/v1/rooms/demo", b.token("ada", mixer.Host, "own"), nil), http.StatusForbidden)
	b.want(b.do("DELETE", "/api/v1/rooms/demo", b.token("ada", mixer.Host, "demo"), nil), http.StatusNoContent)
	b.want(b.do("DELETE", "/api/v1/rooms/demo", admin, nil), http.StatusNotFound)
	if slices.Contains(b.rooms.Rooms(), "demo") {
		t.Error("the mixer still has the room")
	}
}

func TestParticipants(t *testing.T) {
	b := newBench(t)
	b.room("ada", "b/o b")
	host, ada, eve := b.token("boss", mixer.Host, "demo"), b.token("ada", mixer.Participant, "demo"), b.token("eve", mixer.Viewer, "demo")
	const all = "/api/v1/rooms/demo/participants"
	if list := decode[[]mixer.Member](b, b.want(b.do("GET", all, eve, nil), http.StatusOK)); len(list) != 2 {
		t.Fatalf("list %+v", list)
	}
	if m := decode[mixer.Member](b, b.want(b.do("GET", all+"/b%2Fo%20b", eve, nil), http.StatusOK)); m.ID != "b/o b" {
		t.Fatalf("got %+v", m)
	}
	b.want(b.do("GET", all+"/none", eve, nil), http.StatusNotFound)
	b.want(b.do("GET", all, "", nil), http.StatusUnauthorized)
	b.want(b.do("GET", all, b.token("ada", mixer.Host, "other"), nil), http.StatusForbidden)
	if s := decode[mixer.State](b, b.want(b.do("GET", "/api/v1/rooms/demo/state", eve, nil), http.StatusOK)); len(s.Participants) != 2 || s.Room != "demo" {
		t.Fatalf("state %+v", s)
	}

	mute := map[string]any{"audio_muted": true}
	b.want(b.do("PATCH", all+"/ada", eve, mute), http.StatusForbidden)
	b.want(b.do("PATCH", all+"/ada", ada, mute), http.StatusOK)
	b.want(b.do("PATCH", all+"/ada", host, map[string]any{"audio_muted": false, "video_muted": true}), http.StatusOK)
	b.want(b.do("PATCH", all+"/none", host, mute), http.StatusNotFound)
	b.want(b.do("PATCH", all+"/ada", host, map[string]any{"audio": true}), http.StatusUnprocessableEntity)
	b.want(b.do("PUT", all+"/ada/tier", ada, map[string]any{"tier": "360p"}), http.StatusOK)
	b.want(b.do("PATCH", all+"/ada/tier", host, map[string]any{"tier": "720p"}), http.StatusOK)
	b.want(b.do("PUT", all+"/ada/tier", ada, map[string]any{"tier": "sound"}), http.StatusOK)
	w := b.want(b.do("PUT", all+"/ada/tier", ada, map[string]any{"tier": "8k"}), http.StatusBadRequest)
	if !strings.Contains(w.Body.String(), "720p") {
		t.Errorf("the problem does not name the tiers: %s", w.Body)
	}
	b.want(b.do("PUT", all+"/ada/tier", eve, map[string]any{"tier": "360p"}), http.StatusForbidden)
	b.want(b.do("PUT", all+"/none/tier", host, map[string]any{"tier": "360p"}), http.StatusNotFound)
	b.want(b.do("DELETE", all+"/ada", eve, nil), http.StatusForbidden)
	want := []string{
		"mute demo ada true -", "mute demo ada false true", "mute demo none true -",
		"tier demo ada 360p", "tier demo ada 720p", "tier demo ada sound", "tier demo none 360p",
	}
	if got := b.rooms.log(); !slices.Equal(got, want) {
		t.Errorf("calls %q", got)
	}
}

// TestRules changes what a room's hosts decide, and raises hands.
func TestRules(t *testing.T) {
	b := newBench(t)
	b.room("ada", "bob")
	host, ada := b.token("boss", mixer.Host, "demo"), b.token("ada", mixer.Participant, "demo")
	const room = "/api/v1/rooms/demo"
	raise := func(up any) map[string]any { return map[string]any{"raised": up} }
	b.want(b.do("PUT", room+"/participants/ada/hand", ada, raise(true)), http.StatusOK)
	b.want(b.do("PUT", room+"/participants/ada/hand", host, raise(false)), http.StatusOK)
	b.want(b.do("PUT", room+"/participants/bob/hand", ada, raise(false)), http.StatusForbidden)
	b.want(b.do("PUT", room+"/participants/none/hand", host, raise(false)), http.StatusNotFound)
	b.want(b.do("PUT", room+"/participants/ada/hand", ada, raise("high")), http.StatusUnprocessableEntity)
	b.want(b.do("PUT", room+"/layout", host, map[string]any{"layout": "speaker"}), http.StatusNoContent)
	b.want(b.do("PUT", room+"/layout", ada, map[string]any{"layout": "speaker"}), http.StatusForbidden)
	b.want(b.do("PUT", room+"/layout", host, map[string]any{"layout": "mosaic"}), http.StatusUnprocessableEntity)
	b.want(b.do("PUT", room+"/lock", host, map[string]any{"locked": true}), http.StatusNoContent)
	b.want(b.do("PUT", room+"/lock", ada, map[string]any{"locked": false}), http.StatusForbidden)
	b.want(b.do("PUT", room+"/lock", host, map[string]any{}), http.StatusUnprocessableEntity)
	b.want(b.do("PUT", room+"/lock", "", map[string]any{"locked": true}), http.StatusUnauthorized)
	want := []string{"hand demo ada true", "hand demo ada false", "hand demo none false", "layout demo speaker", "lock demo true"}
	if got := b.rooms.log(); !slices.Equal(got, want) {
		t.Errorf("calls %q", got)
	}
}

// TestLocked has newcomers refused: they get no token, and see nothing with one
// from before.
func TestLocked(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Open = true })
	b.room("ada")
	b.rooms.locked = true
	const room = "/api/v1/rooms/demo"
	w := b.want(b.do("POST", "/api/v1/rooms/open/join", "", map[string]any{"name": "Eve"}), http.StatusLocked)
	if p := decode[Problem](b, w); p.Status != http.StatusLocked || p.Title != "Locked" || !strings.Contains(p.Detail, "locked") || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("the refusal: %s", w.Body)
	}
	b.want(b.do("GET", room+"/snapshot.png", b.token("eve", mixer.Participant, "demo"), nil), http.StatusLocked)
	b.want(b.do("GET", room+"/snapshot.png", b.token("op", mixer.Host, AnyRoom), nil), http.StatusOK)
	b.want(b.do("POST", "/whip/demo", b.token("locked out", mixer.Participant, "demo"), "v=0\r\n", "Content-Type", "application/sdp"), http.StatusLocked)
}

func TestBitrate(t *testing.T) {
	b := newBench(t)
	b.room("ada")
	host, ada := b.token("boss", mixer.Host, "demo"), b.token("ada", mixer.Participant, "demo")
	const tier = "/api/v1/rooms/demo/tiers/360p"
	b.want(b.do("PUT", tier, host, map[string]any{"bitrate": 120_000}), http.StatusNoContent)
	b.want(b.do("PUT", tier, ada, map[string]any{"bitrate": 120_000}), http.StatusForbidden)
	b.want(b.do("PUT", tier, host, map[string]any{"bitrate": 5}), http.StatusBadRequest)
	b.want(b.do("PUT", tier, host, map[string]any{"bitrate": -5}), http.StatusUnprocessableEntity)
	b.want(b.do("PUT", "/api/v1/rooms/demo/tiers/8k", host, map[string]any{"bitrate": 120_000}), http.StatusBadRequest)
	if got := b.rooms.log(); !slices.Equal(got, []string{"bitrate demo 360p 120000"}) {
		t.Errorf("calls %q", got)
	}
}

func TestSound(t *testing.T) {
	b := newBench(t)
	b.room("ada")
	host, ada := b.token("boss", mixer.Host, "demo"), b.token("ada", mixer.Participant, "demo")
	const sound = "/api/v1/rooms/demo/sound"
	b.want(b.do("PUT", sound, host, map[string]any{"level": false}), http.StatusNoContent)
	b.want(b.do("PUT", sound, ada, map[string]any{"level": false}), http.StatusForbidden)
	b.want(b.do("PUT", sound, host, map[string]any{"denoise": true}), http.StatusBadRequest)
	b.want(b.do("PUT", sound, host, map[string]any{"bass": 1}), http.StatusUnprocessableEntity)
	if got := b.rooms.log(); !slices.Equal(got, []string{"sound demo false"}) {
		t.Errorf("calls %q", got)
	}
}

func TestRemovedStaysOut(t *testing.T) {
	b := newBench(t)
	b.room("ada")
	ada, host := b.token("ada", mixer.Participant, "demo"), b.token("boss", mixer.Host, "demo")
	b.want(b.do("DELETE", "/api/v1/rooms/demo/participants/ada", ada, nil), http.StatusNoContent)
	b.offer("/whip/demo", ada, sdp).is(http.StatusCreated) // who left may come back
	b.want(b.do("DELETE", "/api/v1/rooms/demo/participants/ada", host, nil), http.StatusNoContent)
	b.offer("/whip/demo", ada, sdp).is(http.StatusForbidden)
	p := decode[Place](b, b.want(b.do("POST", "/api/v1/rooms/demo/join", "", map[string]any{"key": "joinkey1", "name": "Ada", "token": ada}), http.StatusOK))
	if p.Identity == "ada" {
		t.Error("a removed token still gives its identity")
	}
	b.clock.add(time.Second)
	b.offer("/whip/demo", b.token("ada", mixer.Participant, "demo"), sdp).is(http.StatusCreated)
}

func TestSnapshot(t *testing.T) {
	b := newBench(t)
	b.room()
	token := b.token("ada", mixer.Viewer, "demo")
	const path = "/api/v1/rooms/demo/snapshot.png"
	for _, w := range []*result{{b, b.do("GET", path, token, nil)}, {b, b.do("GET", path+"?token="+token, "", nil)}} {
		w := w.is(http.StatusOK)
		m, err := png.Decode(bytes.NewReader(w.Body.Bytes()))
		if err != nil || w.Header().Get("Content-Type") != "image/png" {
			t.Fatal(err, w.Header())
		}
		r, g, _, _ := m.At(10, 10).RGBA()
		if m.Bounds().Dx() != 64 || r>>8 < 190 || g>>8 > 50 {
			t.Errorf("%v, %d %d", m.Bounds(), r>>8, g>>8)
		}
	}
	b.want(b.do("GET", path, "", nil), http.StatusUnauthorized)
	b.want(b.do("GET", path, b.token("ada", mixer.Host, "other"), nil), http.StatusForbidden)
	b.want(b.do("GET", "/api/v1/rooms/none/snapshot.png", b.token("ada", mixer.Host, "none"), nil), http.StatusNotFound)
}

func TestJoin(t *testing.T) {
	b := newBench(t, func(c *Config) { c.ICEServers = []ICEServer{{URLs: []string{"stun:s.example"}}} })
	b.room()
	join := func(body map[string]any) *result {
		return &result{b, b.do("POST", "/api/v1/rooms/demo/join", "", body)}
	}
	p := decode[Place](b, join(map[string]any{"key": "joinkey1", "name": "  Ada\u202e \n L. "}).is(http.StatusOK))
	if p.Name != "Ada L." || p.Role != mixer.Participant || p.Room != "demo" || p.Identity == "" || len(p.Tiers) != 2 ||
		len(p.ICEServers) != 1 || p.WHIP != "/whip/demo?return=mix" || p.Control != "/api/v1/rooms/demo/control" {
		t.Fatalf("place %+v", p)
	}
	who, err := testKeys.Verify(p.Token, b.clock.Now())
	if err != nil || who.ID != p.Identity || who.Role != mixer.Participant || who.Name != "Ada L." || !who.Expires.Equal(p.Expires) {
		t.Fatalf("token %+v, %v", who, err)
	}
	if h := decode[Place](b, join(map[string]any{"key": "hostkey1", "name": "Boss"}).is(http.StatusOK)); h.Role != mixer.Host || h.Identity == p.Identity {
		t.Fatalf("host %+v", h)
	}
	again := decode[Place](b, join(map[string]any{"key": "joinkey1", "name": "Ada", "token": p.Token}).is(http.StatusOK))
	if again.Identity != p.Identity {
		t.Error("a reload got another identity")
	}
	for name, body := range map[string]map[string]any{
		"garbled":      {"key": "joinkey1", "name": "Ada", "token": "x.y.z"},
		"other role":   {"key": "hostkey1", "name": "Ada", "token": p.Token},
		"other claim":  {"key": "joinkey1", "name": "Ada", "token": p.Token, "identity": "p-else"},
		"another room": {"key": "joinkey1", "name": "Ada", "token": b.token(p.Identity, mixer.Participant, "other")},
	} {
		if q := decode[Place](b, join(body).is(http.StatusOK)); q.Identity == p.Identity {
			t.Errorf("%s: kept the identity", name)
		}
	}
	b.clock.add(25 * time.Hour)
	if q := decode[Place](b, join(map[string]any{"key": "joinkey1", "name": "Ada", "token": p.Token}).is(http.StatusOK)); q.Identity == p.Identity {
		t.Error("an expired token kept the identity")
	}
	join(map[string]any{"key": "joinkey1", "name": " \u200b "}).is(http.StatusUnprocessableEntity)
	join(map[string]any{"key": "joinkey1"}).is(http.StatusUnprocessableEntity)
	join(map[string]any{"key": "wrong", "name": "Ada"}).is(http.StatusForbidden)
	join(map[string]any{"name": "Ada"}).is(http.StatusForbidden)
	b.want(b.do("POST", "/api/v1/rooms/none/join", "", map[string]any{"name": "Ada"}), http.StatusNotFound)
	b.api.SetReady(false)
	join(map[string]any{"key": "joinkey1", "name": "Ada"}).is(http.StatusServiceUnavailable)
}

func TestJoinOpen(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Open = true })
	b.room()
	p := decode[Place](b, b.want(b.do("POST", "/api/v1/rooms/fresh/join", "", map[string]any{"name": "Ada"}), http.StatusOK))
	if p.Role != mixer.Participant || p.ICEServers == nil || !slices.Contains(b.rooms.Rooms(), "fresh") {
		t.Fatalf("place %+v", p)
	}
	b.want(b.do("POST", "/api/v1/rooms/demo/join", "", map[string]any{"name": "Ada"}), http.StatusForbidden) // has keys
	b.rooms.full = true
	b.want(b.do("POST", "/api/v1/rooms/fresh2/join", "", map[string]any{"name": "Ada"}), http.StatusServiceUnavailable)
}

func TestJoinLockout(t *testing.T) {
	b := newBench(t, func(c *Config) { c.TrustedProxies = []string{"192.0.2.1"} }) // where httptest's requests come from
	b.room()
	join := func(key, address string) *result {
		return &result{b, b.do("POST", "/api/v1/rooms/demo/join", "", map[string]any{"key": key, "name": "Ada"}, "X-Forwarded-For", address)}
	}
	for range wrongKeys {
		join("wrong", "198.51.100.7").is(http.StatusForbidden)
	}
	w := join("joinkey1", "198.51.100.7").is(http.StatusTooManyRequests)
	if got := w.Header().Get("Retry-After"); got != "6" {
		t.Errorf("Retry-After %q", got)
	}
	join("joinkey1", "198.51.100.8").is(http.StatusOK)
	b.clock.add(wrongEvery)
	join("joinkey1", "198.51.100.7").is(http.StatusOK)
	join("wrong", "198.51.100.7").is(http.StatusForbidden)
	join("joinkey1", "198.51.100.7").is(http.StatusTooManyRequests)
	for range wrongKeys { // one /64 is one person
		join("wrong", "2001:db8::1").is(http.StatusForbidden)
	}
	join("joinkey1", "2001:db8::2").is(http.StatusTooManyRequests)
	join("joinkey1", "2001:db8:0:1::2").is(http.StatusOK)
}

func TestDoorsAreBounded(t *testing.T) {
	d := newDoors()
	for i := range 3 * maxDoors {
		d.fail("addr"+string(rune('a'+i%26))+time.Duration(i).String(), noon)
	}
	if len(d.by) > maxDoors {
		t.Fatalf("%d addresses remembered", len(d.by))
	}
	r := newRemovals()
	for i := range maxRemovals + 50 {
		r.add("demo", time.Duration(i).String(), noon.Add(time.Duration(i)))
	}
	if len(r.at) != maxRemovals {
		t.Fatalf("%d removals remembered", len(r.at))
	}
}

func TestRegistry(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rooms.json")
	r, err := OpenRegistry(path)
	if err != nil {
		t.Fatal(err)
	}
	k, err := r.Create("demo", "", "", noon)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Create("gone", "joinkey1", "hostkey1", noon); err != nil {
		t.Fatal(err)
	}
	if ok, err := r.Delete("gone"); !ok || err != nil {
		t.Fatal(ok, err)
	}
	again, err := OpenRegistry(path)
	if err != nil || !slices.Equal(again.List(), []RoomKeys{k}) {
		t.Fatalf("%+v, %v", again.List(), err)
	}
	if role, ok := k.Role(k.HostKey); role != mixer.Host || !ok {
		t.Error("host key")
	}
	if _, ok := k.Role(""); ok {
		t.Error("no key opens")
	}
	byPIN := func(pin string) mixer.Role {
		room, role, ok := again.ByPIN(pin)
		if ok != (room == "demo") {
			t.Errorf("PIN %q: room %q, %v", pin, room, ok)
		}
		return role
	}
	if byPIN(k.PIN) != mixer.Participant || byPIN(k.HostPIN) != mixer.Host || byPIN("") != "" || byPIN("12345") != "" || len(k.HostPIN) != pinDigits {
		t.Errorf("PINs: %q, %q", k.PIN, k.HostPIN)
	}
	// A file from before there were any.
	before := k
	before.PIN, before.HostPIN = "", ""
	if err := writeJSON(path, []RoomKeys{before}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // they stay
		if again, err = OpenRegistry(path); err != nil {
			t.Fatal(err)
		}
		now, _ := again.Get("demo")
		if before.PIN == "" {
			before = now
		}
		if now != before || now.PIN == "" || now.HostPIN == "" || now.PIN == now.HostPIN {
			t.Errorf("PINs made later: %+v", now)
		}
	}
	left, err := filepath.Glob(path + ".*")
	if err != nil || len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
	for _, bad := range []string{"{", `[{"name":"a b","join_key":"x","host_key":"y"}]`, `[{"name":"a"}]`} {
		if err := writeJSON(path, json.RawMessage(bad)); err == nil {
			if _, err := OpenRegistry(path); err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: %v", bad, err)
			}
		}
	}
}

func TestOpenAPI(t *testing.T) {
	b := newBench(t)
	w := b.want(b.do("GET", "/api/v1/openapi.json", "", nil), http.StatusOK)
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID string
			Responses   map[string]any
			Parameters  []struct{ Name, In string }
			Security    []any
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("version %q", doc.OpenAPI)
	}
	ids := map[string]bool{}
	for _, r := range b.api.engine.Routes() {
		if r.Method == "OPTIONS" || r.Method == "HEAD" || strings.HasPrefix(r.Path, prefix+"/openapi") ||
			r.Path == "/" || strings.HasPrefix(r.Path, "/r/") || strings.HasPrefix(r.Path, "/assets/") {
			continue
		}
		var parts []string
		for _, p := range strings.Split(r.Path, "/") {
			if name, ok := strings.CutPrefix(p, ":"); ok {
				p = "{" + name + "}"
			}
			parts = append(parts, p)
		}
		path := strings.Join(parts, "/")
		op, ok := doc.Paths[path][strings.ToLower(r.Method)]
		if !ok {
			t.Errorf("%s %s is not described", r.Method, path)
			continue
		}
		if op.OperationID == "" || ids[op.OperationID] || len(op.Responses) == 0 {
			t.Errorf("%s %s: operation id %q, responses %v", r.Method, path, op.OperationID, op.Responses)
		}
		ids[op.OperationID] = true
		for _, p := range parts {
			if strings.HasPrefix(p, "{") && !slices.ContainsFunc(op.Parameters, func(q struct{ Name, In string }) bool { return q.In == "path" && "{"+q.Name+"}" == p }) {
				t.Errorf("%s %s: parameter %s is not described", r.Method, path, p)
			}
		}
	}
	// Every reference leads somewhere.
	var all any
	if err := json.Unmarshal(w.Body.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				at := all
				for _, step := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
					m, _ := at.(map[string]any)
					at = m[step]
				}
				if at == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			for _, x := range v {
				walk(x)
			}
		case []any:
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(all)
}

func TestHealth(t *testing.T) {
	b := newBench(t)
	b.want(b.do("GET", "/healthz", "", nil), http.StatusOK)
	b.want(b.do("GET", "/readyz", "", nil), http.StatusOK)
	b.api.SetReady(false)
	b.want(b.do("GET", "/healthz", "", nil), http.StatusOK)
	b.want(b.do("GET", "/readyz", "", nil), http.StatusServiceUnavailable)
	b.do("BREW", "/nowhere", "", nil)
	w := b.want(b.do("GET", "/metrics", "", nil), http.StatusOK)
	for _, want := range []string{
		`mixdown_http_requests_total{method="GET",route="/readyz",status="503"} 1`,
		`mixdown_http_requests_total{method="other",route="other",status="404"} 1`,
		"mixdown_control_connections 0",
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

func TestPage(t *testing.T) {
	b := newBench(t)
	for _, path := range []string{"/", "/r/demo"} {
		w := b.want(b.do("GET", path, "", nil), http.StatusOK)
		csp := w.Header().Get("Content-Security-Policy")
		if !strings.Contains(w.Body.String(), "page") || !strings.Contains(csp, "default-src 'self'") || strings.Contains(csp, "unsafe") ||
			w.Header().Get("Referrer-Policy") != "no-referrer" || !strings.Contains(w.Header().Get("Permissions-Policy"), "camera=(self)") ||
			w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: %v", path, w.Header())
		}
	}
	w := b.want(b.do("GET", "/assets/main-1a.js", "", nil), http.StatusOK)
	if !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || !strings.Contains(w.Header().Get("Content-Type"), "javascript") {
		t.Errorf("asset: %v", w.Header())
	}
	if w := b.want(b.do("GET", "/icon.svg", "", nil), http.StatusOK); strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
		t.Errorf("icon: %v", w.Header())
	}
	for _, path := range []string{"/assets/none.js", "/assets/", "/assets/..%2findex.html", "/.gitkeep", "/assets", "/index.html", "/api/v1/none", "/r/", "//etc/passwd"} {
		b.want(b.do("GET", path, "", nil), http.StatusNotFound)
	}

	b = newBench(t, func(c *Config) { c.Page = fstest.MapFS{".gitkeep": {}} })
	if w := b.do("GET", "/r/demo", "", nil); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "make build") {
		t.Errorf("page that was not built: %d %s", w.Code, w.Body)
	}
}

func TestPublicURL(t *testing.T) {
	b := newBench(t, func(c *Config) { c.PublicURL = "https://meet.example.org/" })
	w := b.want(b.do("POST", "/api/v1/rooms", b.token("op", mixer.Host, AnyRoom), map[string]any{"name": "demo"}), http.StatusCreated)
	if v := decode[RoomView](b, w); !strings.HasPrefix(v.Links.Join, "https://meet.example.org/r/demo#") {
		t.Errorf("link %s", v.Links.Join)
	}
}

func FuzzJoin(f *testing.F) {
	b := newBench(f, func(c *Config) { c.Open = true })
	b.room()
	f.Add("demo", []byte(`{"key":"joinkey1","name":"Ada"}`))
	f.Add("demo", []byte(`{"key":"joinkey1","name":"Ada","token":"a.b.c"}`))
	f.Add("fresh", []byte(`{"name":"\u202e"}`))
	f.Add("..", []byte(`{"name":1}`))
	f.Add("demo", []byte("\xa1\x64name"))
	f.Fuzz(func(t *testing.T, room string, body []byte) {
		b := *b
		b.t = t
		if !validRoom(room) {
			room = "demo"
		}
		w := b.do("POST", "/api/v1/rooms/"+room+"/join", "", string(body), "Content-Type", "application/json")
		if w.Code >= 500 {
			t.Fatalf("%d: %s", w.Code, w.Body)
		}
		if w.Code == http.StatusOK {
			if p := decode[Place](&b, w); p.Token == "" || p.Name == "" || p.Role == mixer.Host && room != "demo" {
				t.Fatalf("place %+v", p)
			}
		}
		b.clock.add(wrongEvery)
	})
}

// choosy is a Recorder that takes no spec of formats it does not know.
type choosy struct{ Recorder }

func (choosy) Check(_ string, spec mixer.RecordingSpec) error {
	if spec.Format != "" && spec.Format != "mp4" {
		return fmt.Errorf("format %q: %w", spec.Format, mixer.ErrBadRequest)
	}
	return nil
}

func (choosy) Auto(string, mixer.RecordingSpec) {}

// TestRoomsRecordingIsChecked: a room whose recording could never begin is not made.
func TestRoomsRecordingIsChecked(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Recorder = choosy{} })
	admin := b.token("operator", mixer.Host, AnyRoom)
	w := b.want(b.do("POST", "/api/v1/rooms", admin, map[string]any{"name": "demo", "record": map[string]any{"format": "avi"}}), http.StatusBadRequest)
	if !strings.Contains(w.Body.String(), "avi") {
		t.Errorf("the answer does not say what is wrong: %s", w.Body)
	}
	b.want(b.do("GET", "/api/v1/rooms/demo", admin, nil), http.StatusNotFound)
	b.want(b.do("POST", "/api/v1/rooms", admin, map[string]any{"name": "demo", "record": map[string]any{"format": "mp4"}}), http.StatusCreated)
}
