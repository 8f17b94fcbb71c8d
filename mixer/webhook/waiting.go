package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// waiting is what one server has still to be told, oldest first. With a folder,
// each message is a file in it until it is told or given up, so that what waits
// outlives the process.
type waiting struct {
	dir string // empty: in memory alone
	log *slog.Logger

	mu   sync.Mutex
	all  []message
	wake chan struct{} // has one when there may be something
}

// message is one event as a server gets it, at each try the same.
type message struct {
	id   string
	body []byte
	file string // in the folder
}

// suffix ends the names of messages; a file without it was never complete.
const suffix = ".json"

// newWaiting takes over what an earlier process left in the folder of a server.
func newWaiting(folder, url string, log *slog.Logger) *waiting {
	w := &waiting{log: log, wake: make(chan struct{}, 1)}
	if folder == "" {
		return w
	}
	sum := sha256.Sum256([]byte(url)) // an address is no file name, and may hold a secret
	w.dir = filepath.Join(folder, hex.EncodeToString(sum[:8]))
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		log.Error("webhooks are not kept over a restart", "error", err)
		w.dir = ""
		return w
	}
	files, err := os.ReadDir(w.dir) // sorted by name, which is by time
	if err != nil {
		log.Error("webhooks that waited are not read", "error", err)
	}
	for _, f := range files {
		_, rest, ok := strings.Cut(f.Name(), "-")
		id, whole := strings.CutSuffix(rest, suffix)
		if !ok || !whole {
			_ = os.Remove(filepath.Join(w.dir, f.Name())) // killed within a write
			continue
		}
		body, err := os.ReadFile(filepath.Join(w.dir, f.Name()))
		if err != nil {
			log.Error("a webhook that waited is not read", "error", err)
			continue // the next start may be luckier
		}
		if !json.Valid(body) {
			log.Error("a webhook that waited is lost: its file is empty or cut off, as after a loss of power", "file", filepath.Join(w.dir, f.Name()))
			_ = os.Remove(filepath.Join(w.dir, f.Name()))
			continue
		}
		w.all = append(w.all, message{id, body, f.Name()})
	}
	if len(w.all) > 0 {
		log.Info("webhooks waited", "count", len(w.all))
		w.wake <- struct{}{}
	}
	return w
}

// add puts a message behind all others and reports whether there was room.
func (w *waiting) add(m message) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.all) >= maxWaiting {
		return false
	}
	if w.dir != "" {
		m.file = fmt.Sprintf("%020d-%s%s", time.Now().UnixNano(), m.id, suffix)
		name := filepath.Join(w.dir, m.file)
		err := os.WriteFile(name+".new", m.body, 0o600)
		if err == nil {
			err = os.Rename(name+".new", name)
		}
		if err != nil {
			w.log.Error("webhook is not kept over a restart", "id", m.id, "error", err)
		}
	}
	w.all = append(w.all, m)
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return true
}

// first returns the oldest message, if there is one.
func (w *waiting) first() (message, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.all) == 0 {
		return message{}, false
	}
	return w.all[0], true
}

// drop forgets the oldest message.
func (w *waiting) drop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m := w.all[0]; m.file != "" {
		_ = os.Remove(filepath.Join(w.dir, m.file))
	}
	w.all = slices.Delete(w.all, 0, 1)
}
