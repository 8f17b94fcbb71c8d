package api

import (
	"net/http"
	"sync"
)

// maxControls bounds the control connections of one identity in a room; a
// reload may hold two for a while.
const maxControls = 8

// hub knows the control connections that live.
type hub struct {
	mu     sync.Mutex
	closed bool
	live   map[*control]struct{}
	wg     sync.WaitGroup
}

func newHub() *hub { return &hub{live: map[*control]struct{}{}} }

// add takes a connection in; drop must follow.
func (h *hub) add(s *control) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return newProblem(http.StatusServiceUnavailable, "%v", errStopping).with("Retry-After", "5")
	}
	n := 0
	for o := range h.live {
		if o.room == s.room && o.who.ID == s.who.ID {
			n++
		}
	}
	if n >= maxControls {
		return newProblem(http.StatusTooManyRequests, "%q has %d control connections to room %q already; close one", s.who.ID, n, s.room).with("Retry-After", "10")
	}
	h.live[s] = struct{}{}
	h.wg.Add(1)
	return nil
}

func (h *hub) drop(s *control) {
	h.mu.Lock()
	delete(h.live, s)
	h.mu.Unlock()
	h.wg.Done()
}

// busy reports whether a room has connections.
func (h *hub) busy(room string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.live {
		if s.room == room {
			return true
		}
	}
	return false
}

// end ends the connections of one identity in a room.
func (h *hub) end(room, id string, reason error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.live {
		if s.room == room && s.who.ID == id {
			s.end(reason)
		}
	}
}

// close ends all connections and waits for them.
func (h *hub) close() {
	h.mu.Lock()
	h.closed = true
	for s := range h.live {
		s.end(errStopping)
	}
	h.mu.Unlock()
	h.wg.Wait()
}
