package webhook

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// TestWaitsOverARestart has a server that is down while the first process lives:
// the next one tells all events, in order, under their first names, and what was
// told is told once.
func TestWaitsOverARestart(t *testing.T) {
	var up atomic.Bool
	var mu sync.Mutex
	var refused, taken []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		id := r.Header.Get("webhook-id")
		if !up.Load() {
			refused = append(refused, id)
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		taken = append(taken, id)
	}))
	defer server.Close()
	count := func(of *[]string) int {
		mu.Lock()
		defer mu.Unlock()
		return len(*of)
	}
	cfg := Config{URLs: []string{server.URL}, Rules: rules(t, "127.0.0.0/8"), Folder: t.TempDir()}
	files := func() int {
		all, _ := filepath.Glob(filepath.Join(cfg.Folder, "*", "*"+suffix))
		return len(all)
	}

	s := sender(t, cfg)
	for _, kind := range []string{"recording.started", "recording.paused", "recording.done"} {
		s.Send(event(kind))
	}
	// All are in the folder while the process lives: it may be killed.
	until(t, "kept", func() bool { return files() == 3 && count(&refused) == 1 })
	s.Close()
	if n := files(); n != 3 {
		t.Fatalf("%d messages are left by the first process, want 3", n)
	}
	folders, _ := os.ReadDir(cfg.Folder)
	half := filepath.Join(cfg.Folder, folders[0].Name(), "00000000000000000001-msg_0.json.new")
	if err := os.WriteFile(half, []byte(`{"type"`), 0o600); err != nil { // killed within a write
		t.Fatal(err)
	}

	up.Store(true)
	s = sender(t, cfg)
	until(t, "told", func() bool { return count(&taken) == 3 })
	until(t, "forgotten", func() bool { return files() == 0 })
	s.Close()
	if taken[0] != refused[0] || len(slices.Compact(slices.Sorted(slices.Values(taken)))) != 3 {
		t.Errorf("refused was %q, taken are %q", refused, taken)
	}
	if _, err := os.Stat(half); err == nil {
		t.Error("half a message is still there")
	}

	s = sender(t, cfg)
	s.Send(event("room.closed"))
	until(t, "told once more", func() bool { return count(&taken) >= 4 && files() == 0 })
	if count(&taken) != 4 {
		t.Errorf("%q were taken", taken)
	}
}

// TestCutOff: a message that a loss of power left without its bytes is not told.
func TestCutOff(t *testing.T) {
	folder := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	w := newWaiting(folder, "https://example.org/hook", log)
	for name, body := range map[string]string{"1-msg_a": "", "2-msg_b": `{"type":`, "3-msg_c": `{"type":"room.closed"}`} {
		if err := os.WriteFile(filepath.Join(w.dir, name+suffix), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w = newWaiting(folder, "https://example.org/hook", log)
	if len(w.all) != 1 || w.all[0].id != "msg_c" {
		t.Errorf("%d wait: %+v", len(w.all), w.all)
	}
	if left, _ := os.ReadDir(w.dir); len(left) != 1 {
		t.Errorf("left are %v", left)
	}
}
