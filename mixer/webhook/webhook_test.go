package webhook

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"mixdown/mixer"
	"mixdown/mixer/outside"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func rules(t *testing.T, patterns ...string) outside.Rules {
	t.Helper()
	r, err := outside.Parse(patterns)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func sender(t *testing.T, cfg Config) *Sender {
	t.Helper()
	cfg.Secret, cfg.Log = secret, slog.New(slog.DiscardHandler)
	cfg.Pauses = []time.Duration{time.Millisecond, time.Millisecond, time.Millisecond}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func event(kind string) mixer.Event {
	return mixer.Event{Type: kind, Room: "a", Time: time.Now(), Recording: &mixer.Recording{ID: "r", State: mixer.RecordingDone}}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 1500 { // the machine may be busy
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("not in time: %s", what)
}

// TestDelivers has the standard's own library check what arrives, after two
// refusals of the first event; the second comes after it.
func TestDelivers(t *testing.T) {
	check, err := standard.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 10)
	var tries atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := check.Verify(body, r.Header); err != nil {
			t.Error(err)
		}
		if check.Verify(append(body, ' '), r.Header) == nil {
			t.Error("another body has the same signature")
		}
		if tries.Add(1) <= 2 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		var m struct {
			Type string
			Data mixer.Event
		}
		if err := json.Unmarshal(body, &m); err != nil || m.Data.Recording.ID != "r" || m.Data.Room != "a" {
			t.Errorf("%v: %s", err, body)
		}
		got <- m.Type + " " + r.Header.Get("webhook-id")
	}))
	defer server.Close()
	s := sender(t, Config{URLs: []string{server.URL + "/hook"}, Rules: rules(t, "127.0.0.0/8")})
	s.Send(event("recording.started"))
	s.Send(event("recording.done"))
	first, second := <-got, <-got
	if !strings.HasPrefix(first, "recording.started msg_") || !strings.HasPrefix(second, "recording.done msg_") {
		t.Errorf("%s, %s", first, second)
	}
	until(t, "counted", func() bool { return testutil.ToFloat64(s.sent) == 2 })
	if testutil.ToFloat64(s.failed) != 2 {
		t.Errorf("%v tries failed, want 2", testutil.ToFloat64(s.failed))
	}
}

// TestRefusesInside: no address of this machine or its networks is reached
// unless it is allowed, nor by a redirect.
func TestRefusesInside(t *testing.T) {
	var reached atomic.Int64
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer inside.Close()
	port := inside.URL[strings.LastIndex(inside.URL, ":"):]
	urls := []string{inside.URL, "http://localhost" + port, "http://[::1]" + port, "http://127.1" + port, "http://169.254.169.254/latest/meta-data", "http://[::ffff:127.0.0.1]" + port, "http://0.0.0.0" + port}
	s := sender(t, Config{URLs: urls, Rules: rules(t, "*")})
	s.Send(event("recording.started"))
	until(t, "given up", func() bool { return testutil.ToFloat64(s.dropped) == float64(len(urls)) })

	away := httptest.NewServer(http.RedirectHandler(inside.URL, http.StatusTemporaryRedirect))
	defer away.Close()
	s = sender(t, Config{URLs: []string{away.URL}, Rules: rules(t, "127.0.0.0/8")})
	s.Send(event("recording.started"))
	until(t, "given up", func() bool { return testutil.ToFloat64(s.dropped) == 1 })
	if n := reached.Load(); n != 0 {
		t.Errorf("a server inside was reached %d times", n)
	}
}

func TestGoneIsNotAskedAgain(t *testing.T) {
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { n.Add(1); w.WriteHeader(http.StatusGone) }))
	defer server.Close()
	s := sender(t, Config{URLs: []string{server.URL}, Rules: rules(t, "127.0.0.0/8")})
	s.Send(event("recording.started"))
	until(t, "given up", func() bool { return testutil.ToFloat64(s.dropped) == 1 })
	if n.Load() != 1 {
		t.Errorf("asked %d times", n.Load())
	}
}

// TestSlowServerHoldsNobodyUp fills one server's queue.
func TestSlowServerHoldsNobodyUp(t *testing.T) {
	stop := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stop }))
	defer server.Close()
	defer close(stop)
	s := sender(t, Config{URLs: []string{server.URL}, Rules: rules(t, "127.0.0.0/8")})
	for range maxWaiting + 50 {
		s.Send(event("recording.started"))
	}
	until(t, "50 too many are dropped", func() bool { return testutil.ToFloat64(s.dropped) == 50 })
}

func TestRefusesConfig(t *testing.T) {
	for _, c := range []Config{
		{URLs: []string{"ftp://example.org"}, Secret: secret},
		{URLs: []string{"http://user:pass@example.org"}, Secret: secret},
		{URLs: []string{"https://example.org"}, Secret: "whsec_not base64"},
		{URLs: []string{"https://example.org"}},
	} {
		if s, err := New(c); err == nil {
			s.Close()
			t.Errorf("%+v was taken", c)
		}
	}
}
