package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"mixdown/mixer"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// fakeRooms is a mixer without media.
type fakeRooms struct {
	mu     sync.Mutex
	rooms  map[string]*fakeRoom
	calls  []string
	full   bool
	locked bool
	failed error
}

type fakeRoom struct {
	state    mixer.State
	watchers map[chan mixer.State]bool
}

func newFakeRooms() *fakeRooms { return &fakeRooms{rooms: map[string]*fakeRoom{}} }

func (f *fakeRooms) CreateRoom(cfg mixer.RoomConfig) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed != nil {
		return false, f.failed
	}
	if f.rooms[cfg.Name] != nil {
		return false, nil
	}
	if f.full {
		return false, mixer.ErrFull
	}
	f.rooms[cfg.Name] = &fakeRoom{
		state:    mixer.State{Room: cfg.Name, Participants: []mixer.Member{}, Layouts: []mixer.CanvasState{}},
		watchers: map[chan mixer.State]bool{},
	}
	return true, nil
}

func (f *fakeRooms) DeleteRoom(room string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.rooms[room]
	if r == nil {
		return mixer.ErrNoRoom
	}
	for ch := range r.watchers {
		close(ch)
	}
	delete(f.rooms, room)
	return nil
}

func (f *fakeRooms) Rooms() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for name := range f.rooms {
		out = append(out, name)
	}
	return out
}

func (f *fakeRooms) Admit(room string, who mixer.Identity) error {
	if who.ID == "too much work" {
		return fmt.Errorf("room %q: %w", room, mixer.ErrBusy)
	}
	if who.ID == "one too many" {
		return fmt.Errorf("room %q: %w", room, mixer.ErrFull)
	}
	if who.ID == "locked out" {
		return fmt.Errorf("room %q: %w", room, mixer.ErrLocked)
	}
	return nil
}

func (f *fakeRooms) State(room string) (mixer.State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.rooms[room]
	if r == nil {
		return mixer.State{}, mixer.ErrNoRoom
	}
	return r.state, nil
}

func (f *fakeRooms) Watch(ctx context.Context, room string) (<-chan mixer.State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.rooms[room]
	if r == nil {
		return nil, mixer.ErrNoRoom
	}
	ch := make(chan mixer.State, 1)
	ch <- r.state
	r.watchers[ch] = true
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if r.watchers[ch] && f.rooms[room] == r {
			close(ch)
		}
		delete(r.watchers, ch)
	})
	return ch, nil
}

// set changes a room and tells its watchers, the newest only.
func (f *fakeRooms) set(room string, change func(*mixer.State)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.rooms[room]
	r.state.Participants = slices.Clone(r.state.Participants)
	change(&r.state)
	r.state.Version++
	for ch := range r.watchers {
		select {
		case <-ch:
		default:
		}
		ch <- r.state
	}
}

func (f *fakeRooms) on(call, room, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, call)
	r := f.rooms[room]
	if r == nil {
		return mixer.ErrNoRoom
	}
	if id != "" && !slices.ContainsFunc(r.state.Participants, func(m mixer.Member) bool { return m.ID == id }) {
		return mixer.ErrNoParticipant
	}
	return nil
}

func (f *fakeRooms) log() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

func tell(b *bool) string {
	if b == nil {
		return "-"
	}
	return fmt.Sprint(*b)
}

func (f *fakeRooms) Mute(room, id string, audio, video *bool) error {
	return f.on(fmt.Sprintf("mute %s %s %s %s", room, id, tell(audio), tell(video)), room, id)
}

func (f *fakeRooms) SetMedia(room, id string, audio, video *bool) error {
	return f.on(fmt.Sprintf("media %s %s %s %s", room, id, tell(audio), tell(video)), room, id)
}

func (f *fakeRooms) SetScreen(room, id string, on bool) error {
	return f.on(fmt.Sprintf("screen %s %s %v", room, id, on), room, id)
}

func (f *fakeRooms) SetHand(room, id string, up bool) error {
	return f.on(fmt.Sprintf("hand %s %s %v", room, id, up), room, id)
}

func (f *fakeRooms) SetLayout(room, layout string) error {
	if !slices.Contains(mixer.Layouts(), layout) {
		return mixer.ErrNoLayout
	}
	return f.on(fmt.Sprintf("layout %s %s", room, layout), room, "")
}

func (f *fakeRooms) SetLocked(room string, locked bool) error {
	return f.on(fmt.Sprintf("lock %s %v", room, locked), room, "")
}

func (f *fakeRooms) LockedOut(room string, who mixer.Identity) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.locked && who.Role != mixer.Host {
		return fmt.Errorf("room %q: %w", room, mixer.ErrLocked)
	}
	return nil
}

func (f *fakeRooms) Remove(room, id string) error {
	return f.on(fmt.Sprintf("remove %s %s", room, id), room, id)
}

func (f *fakeRooms) SetTier(room, id, tier string) error {
	return f.on(fmt.Sprintf("tier %s %s %s", room, id, tier), room, id)
}

func (f *fakeRooms) SetSound(room string, level, denoise *bool) error {
	if denoise != nil && *denoise {
		return mixer.ErrNoDenoiser
	}
	return f.on(fmt.Sprintf("sound %s %s", room, tell(level)), room, "")
}

func (f *fakeRooms) SetBitrate(room, tier string, bps int) error {
	switch {
	case tier != "360p":
		return fmt.Errorf("tier %q: %w", tier, mixer.ErrNoTier)
	case bps > 0 && bps < 10_000:
		return fmt.Errorf("%d: %w", bps, mixer.ErrBadRate)
	}
	return f.on(fmt.Sprintf("bitrate %s %s %d", room, tier, bps), room, "")
}

func (f *fakeRooms) LowData() string { return "360p" }

func (f *fakeRooms) Tiers() []string { return []string{"720p", "360p"} }

func (f *fakeRooms) Snapshot(ctx context.Context, room string) (image.Image, error) {
	m := image.NewYCbCr(image.Rect(0, 0, 64, 36), image.YCbCrSubsampleRatio420)
	y, cb, cr := color.RGBToYCbCr(200, 40, 40)
	for i := range m.Y {
		m.Y[i] = y
	}
	for i := range m.Cb {
		m.Cb[i], m.Cr[i] = cb, cr
	}
	return m, nil
}

// fakeSignaler answers every offer.
type fakeSignaler struct {
	mu       sync.Mutex
	sessions map[string]mixer.Session
	offers   []string
	next     error // what the next call fails with
	patched  []string
	answer   string
	carries  []string
}

func newFakeSignaler() *fakeSignaler {
	return &fakeSignaler{sessions: map[string]mixer.Session{}, answer: "v=0 answer"}
}

func (f *fakeSignaler) take() error {
	err := f.next
	f.next = nil
	return err
}

func (f *fakeSignaler) Offer(ctx context.Context, s mixer.Session, sdp string) (mixer.Answer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.take(); err != nil {
		return mixer.Answer{}, err
	}
	id := fmt.Sprintf("s%d", len(f.offers))
	f.offers = append(f.offers, sdp)
	f.sessions[id] = s
	return mixer.Answer{ID: id, SDP: f.answer, ETag: "e1"}, nil
}

func (f *fakeSignaler) Patch(ctx context.Context, id, ifMatch, fragment string) (string, string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.take(); err != nil {
		return "", "", err
	}
	f.patched = append(f.patched, ifMatch+" "+fragment)
	switch ifMatch {
	case "*":
		return "a=ice-ufrag:new", "e2", nil
	case `"e1"`, "":
		return "", "", nil
	}
	return "", "", mixer.ErrStale
}

func (f *fakeSignaler) Hangup(ctx context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.sessions[id]; !ok {
		return mixer.ErrNoSession
	}
	delete(f.sessions, id)
	return nil
}

func (f *fakeSignaler) Session(id string) (mixer.Session, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok := f.sessions[id]
	return s, ok
}

func (f *fakeSignaler) Carries(room, id string, bps int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.carries = append(f.carries, fmt.Sprintf("%s %s %d", room, id, bps))
}

func (f *fakeSignaler) carried() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.carries)
}

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// bench is an API on fakes.
type bench struct {
	t        testing.TB
	api      *API
	rooms    *fakeRooms
	signaler *fakeSignaler
	clock    *clock
	keys     Keys
	registry *Registry
}

var testKeys = Keys{ID: "key-test", Secret: strings.Repeat("secret", 8)}

func newBench(t testing.TB, change ...func(*Config)) *bench {
	t.Helper()
	registry, err := OpenRegistry("")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{
		t: t, rooms: newFakeRooms(), signaler: newFakeSignaler(), keys: testKeys, registry: registry,
		clock: &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC)},
	}
	reg := prometheus.NewRegistry()
	cfg := Config{
		Keys: testKeys, Signaler: b.signaler, Rooms: b.rooms, Registry: registry, Gatherer: reg,
		Page: fstest.MapFS{
			"index.html":        {Data: []byte("<!doctype html><title>page</title>")},
			"icon.svg":          {Data: []byte("<svg/>")},
			".gitkeep":          {},
			"assets/main-1a.js": {Data: []byte("let a = 1")},
		},
		Version: "test",
		Now:     b.clock.Now,
	}
	for _, f := range change {
		f(&cfg)
	}
	b.api, err = New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	reg.MustRegister(b.api)
	b.api.SetReady(true)
	t.Cleanup(func() { b.api.Close() })
	return b
}

// room makes room "demo" with keys joinkey1 and hostkey1 and members in it.
func (b *bench) room(ids ...string) {
	b.t.Helper()
	if _, err := b.registry.Create("demo", "joinkey1", "hostkey1", b.clock.Now()); err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.rooms.CreateRoom(mixer.RoomConfig{Name: "demo"}); err != nil {
		b.t.Fatal(err)
	}
	b.rooms.set("demo", func(s *mixer.State) {
		for _, id := range ids {
			s.Participants = append(s.Participants, mixer.Member{ID: id, Name: id, Role: mixer.Participant})
		}
	})
}

func (b *bench) token(id string, role mixer.Role, room string) string {
	b.t.Helper()
	token, err := b.keys.Mint(mixer.Identity{ID: id, Name: id, Role: role}, room, b.clock.Now(), time.Hour)
	if err != nil {
		b.t.Fatal(err)
	}
	return token
}

// do sends one request. body is text, or is sent as JSON.
func (b *bench) do(method, path, token string, body any, headers ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	var r io.Reader
	contentType := ""
	switch v := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(v)
	default:
		raw, err := json.Marshal(v)
		if err != nil {
			b.t.Fatal(err)
		}
		r, contentType = bytes.NewReader(raw), "application/json"
	}
	req := httptest.NewRequest(method, path, r)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	b.api.ServeHTTP(w, req)
	return w
}

// want checks a status; an error must be a problem that says something.
func (b *bench) want(w *httptest.ResponseRecorder, status int) *httptest.ResponseRecorder {
	b.t.Helper()
	if w.Code != status {
		b.t.Fatalf("status %d, want %d: %s", w.Code, status, w.Body)
	}
	if status < 400 {
		return w
	}
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		b.t.Fatalf("error has content type %q", got)
	}
	var p struct {
		Title, Detail string
		Status        int
	}
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != status || p.Title == "" || p.Detail == "" {
		b.t.Fatalf("problem %s: %v", w.Body, err)
	}
	if status == http.StatusUnauthorized && !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer ") {
		b.t.Fatalf("401 without a challenge: %v", w.Header())
	}
	if (status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests) && w.Header().Get("Retry-After") == "" {
		b.t.Fatalf("%d without Retry-After", status)
	}
	return w
}

func decode[T any](b *bench, w *httptest.ResponseRecorder) T {
	b.t.Helper()
	var v T
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		b.t.Fatalf("%v: %s", err, w.Body)
	}
	return v
}

// result is an answer that is about to be checked.
type result struct {
	b *bench
	w *httptest.ResponseRecorder
}

func (r *result) is(status int) *httptest.ResponseRecorder {
	r.b.t.Helper()
	return r.b.want(r.w, status)
}
