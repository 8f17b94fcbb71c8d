package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a server that serve runs.
type running struct {
	t      *testing.T
	out    string // what it printed before it was ready
	client *http.Client
	stop   context.CancelFunc
	done   chan error
}

// lines collects what is printed until ready says that it is enough.
type lines struct {
	buf   bytes.Buffer
	ready func(string) bool
	found chan string
}

func (l *lines) Write(p []byte) (int, error) {
	l.buf.Write(p)
	if l.ready(l.buf.String()) {
		select {
		case l.found <- l.buf.String():
		default:
		}
	}
	return len(p), nil
}

// start runs a server on free ports.
func start(t *testing.T, flags map[string]any) *running {
	t.Helper()
	all := map[string]any{"http.addr": "127.0.0.1:0", "https.addr": "127.0.0.1:0", "rtc.port": 0, "rooms.demo": "demo"}
	for k, v := range flags {
		all[k] = v
	}
	cfg, _, err := Load("", nil, all)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	r := &running{t: t, client: &http.Client{Transport: transport}, stop: stop, done: make(chan error, 1)}
	want := 1
	if cfg.TLS.Mode != "off" {
		want = 2
	}
	l := &lines{found: make(chan string, 1), ready: func(s string) bool { return strings.Count(s, "as host") == want }}
	go func() { r.done <- serve(ctx, cfg, slog.New(slog.DiscardHandler), l) }()
	t.Cleanup(func() { stop(); transport.CloseIdleConnections() })
	select {
	case r.out = <-l.found:
	case err := <-r.done:
		t.Fatalf("serve ended: %v", err)
	}
	return r
}

func (r *running) do(method, url, token, body string) (*http.Response, string) {
	r.t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res, string(text)
}

func TestServe(t *testing.T) {
	dir := t.TempDir()
	before := runtime.GOMAXPROCS(0)
	r := start(t, map[string]any{"data_dir": dir, "tls.mode": "self"})
	if runtime.GOMAXPROCS(0) <= before {
		t.Errorf("GOMAXPROCS is %d, was %d", runtime.GOMAXPROCS(0), before)
	}
	links := regexp.MustCompile(`(https?://[^/]+)/r/demo#(\S+)`).FindAllStringSubmatch(r.out, -1)
	if len(links) != 4 {
		t.Fatalf("links in %q", r.out)
	}
	for _, link := range [][]string{links[0], links[2]} {
		base, key := link[1], link[2]
		base = strings.Replace(base, "localhost", "127.0.0.1", 1)
		if res, text := r.do("GET", base+"/readyz", "", ""); res.StatusCode != http.StatusOK {
			t.Errorf("readyz: %d %s", res.StatusCode, text)
		}
		res, text := r.do("POST", base+"/api/v1/rooms/demo/join", "", `{"key":"`+key+`","name":"Ada"}`)
		var place struct{ Token string }
		if err := json.Unmarshal([]byte(text), &place); err != nil || place.Token == "" {
			t.Fatalf("join: %d %s", res.StatusCode, text)
		}
		if res, text := r.do("GET", base+"/api/v1/rooms/demo/state", place.Token, ""); res.StatusCode != http.StatusOK {
			t.Errorf("state: %d %s", res.StatusCode, text)
		}
		if res, text := r.do("GET", base+"/metrics", "", ""); !strings.Contains(text, "mixdown_http_requests_total") || !strings.Contains(text, "go_goroutines") {
			t.Errorf("metrics: %d", res.StatusCode)
		}
	}

	var token bytes.Buffer
	if err := run(t.Context(), []string{"token", "--data-dir", dir, "--room", "*", "--identity", "op", "--role", "host"}, &token); err != nil {
		t.Fatal(err)
	}
	base := strings.Replace(links[0][1], "localhost", "127.0.0.1", 1)
	res, text := r.do("GET", base+"/api/v1/rooms/demo", strings.TrimSpace(token.String()), "")
	if res.StatusCode != http.StatusOK || !strings.Contains(text, links[0][2]) {
		t.Errorf("room: %d %s", res.StatusCode, text)
	}

	// A second server on the same port says which flag to change.
	cfg, _, err := Load("", nil, map[string]any{"data_dir": t.TempDir(), "http.addr": strings.TrimPrefix(base, "http://"), "rtc.port": 0})
	if err != nil {
		t.Fatal(err)
	}
	if err := serve(t.Context(), cfg, slog.New(slog.DiscardHandler), io.Discard); err == nil || !strings.Contains(err.Error(), "--http-addr") {
		t.Errorf("port taken: %v", err)
	}

	// Connections that a browser opened in advance hold up no stop.
	ahead, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer ahead.Close()
	r.client.CloseIdleConnections()
	r.stop()
	if err := <-r.done; err != nil {
		t.Errorf("stop: %v", err)
	}
	if runtime.GOMAXPROCS(0) != before {
		t.Errorf("GOMAXPROCS stays %d", runtime.GOMAXPROCS(0))
	}

	// Links outlive a restart.
	again := start(t, map[string]any{"data_dir": dir})
	if !strings.Contains(again.out, links[0][2]) || !strings.Contains(again.out, links[1][2]) {
		t.Errorf("after a restart %q, before %q", again.out, r.out)
	}
	again.stop()
	if err := <-again.done; err != nil {
		t.Error(err)
	}
}

func TestServeRefuses(t *testing.T) {
	tcp, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	for name, c := range map[string]struct {
		flags map[string]any
		want  string
	}{
		"RTC port taken": {map[string]any{"rtc.port": tcp.Addr().(*net.TCPAddr).Port}, "--rtc-port"},
		"no address":     {map[string]any{"rtc.address": []string{"example.org"}}, "--rtc-address"},
		"no certificate": {map[string]any{"tls.mode": "files", "tls.cert": "/nonexistent", "tls.key": "/nonexistent"}, "--tls-cert"},
		"data directory": {map[string]any{"data_dir": "/proc/nowhere"}, "--data-dir"},
	} {
		flags := map[string]any{"data_dir": t.TempDir(), "http.addr": "127.0.0.1:0", "rtc.port": 0}
		for k, v := range c.flags {
			flags[k] = v
		}
		cfg, _, err := Load("", nil, flags)
		if err != nil {
			t.Fatal(err)
		}
		if err := serve(t.Context(), cfg, slog.New(slog.DiscardHandler), io.Discard); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestToken(t *testing.T) {
	t.Setenv("MIXDOWN_API_KEY", "")
	t.Setenv("MIXDOWN_API_SECRET", "")
	var out bytes.Buffer
	err := run(t.Context(), []string{"token", "--data-dir", t.TempDir(), "--room", "demo", "--identity", "ada"}, &out)
	if err == nil || !strings.Contains(err.Error(), "MIXDOWN_API_KEY") || out.Len() != 0 {
		t.Errorf("without keys: %v", err)
	}
	t.Setenv("MIXDOWN_API_KEY", "key")
	t.Setenv("MIXDOWN_API_SECRET", strings.Repeat("s", 32))
	if err := run(t.Context(), []string{"token", "--room", "demo", "--identity", "ada", "--role", "viewer", "--ttl", "5m"}, &out); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := Load("", []string{"MIXDOWN_API_KEY=key", "MIXDOWN_API_SECRET=" + strings.Repeat("s", 32)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := tokenKeys(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b, err := keys.Verify(strings.TrimSpace(out.String()), time.Now())
	if err != nil || b.ID != "ada" || b.Room != "demo" || b.Role != "viewer" {
		t.Fatalf("%+v, %v", b, err)
	}
	for _, args := range [][]string{
		{"token", "--room", "demo"}, {"token", "--room", "demo", "--identity", "a", "--role", "king"},
		{"token", "--room", "a b", "--identity", "a"}, {"serve", "--nonsense"}, {"dance"}, {},
	} {
		if err := run(t.Context(), args, io.Discard); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
	out.Reset()
	if err := run(t.Context(), []string{"version"}, &out); err != nil || !strings.HasPrefix(out.String(), "mixdown ") {
		t.Errorf("version: %q, %v", out.String(), err)
	}
}

func TestStack(t *testing.T) {
	var s stack
	var order []string
	s.push("a", func() error { order = append(order, "a"); return nil })
	s.push("b", func() error { order = append(order, "b"); return errors.New("broken") })
	if err := s.close(time.Minute); err == nil || !strings.Contains(err.Error(), "stop b: broken") || strings.Join(order, "") != "ba" {
		t.Errorf("%v %v", order, err)
	}
	if err := s.close(time.Minute); err != nil || len(order) != 2 {
		t.Errorf("closed again: %v %v", order, err)
	}
	hang := make(chan struct{})
	s.push("c", func() error { <-hang; return nil })
	if err := s.close(0); err == nil || !strings.Contains(err.Error(), "stop c") {
		t.Errorf("what hangs: %v", err)
	}
	close(hang)
}
