package api

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"mixdown/mixer"
)

// Open rooms come into being when somebody asks for them, and go when nobody
// has been there for a while: a room costs two clocks.
const (
	openLinger = 10 * time.Minute // that an empty one stays after it was last asked for
	openSweep  = time.Minute      // between two looks
)

// openRooms are the rooms that came into being by themselves.
type openRooms struct {
	rooms Rooms
	max   int
	busy  func(room string) bool // somebody watches it without being in it

	mu    sync.Mutex
	asked map[string]time.Time
	swept time.Time
}

// ensure makes the room, or finds it.
func (o *openRooms) ensure(room string, now time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, known := o.asked[room]
	if known {
		o.asked[room] = now // it is not one to go
	}
	if now.Sub(o.swept) >= openSweep || !known && len(o.asked) >= o.max {
		o.sweep(now)
	}
	if !known && len(o.asked) >= o.max {
		return newProblem(http.StatusServiceUnavailable, "there are %d rooms already that came into being by themselves; try again later, or make the room with POST /api/v1/rooms", o.max).with("Retry-After", "60")
	}
	if _, err := o.rooms.CreateRoom(mixer.RoomConfig{Name: room}); err != nil {
		return fmt.Errorf("room %q: %w", room, err)
	}
	o.asked[room] = now
	return nil
}

// sweep closes rooms that nobody has asked for in a while and nobody is in.
func (o *openRooms) sweep(now time.Time) {
	o.swept = now
	for room, asked := range o.asked {
		if now.Sub(asked) < openLinger || o.busy(room) {
			continue
		}
		if s, err := o.rooms.State(room); err == nil && len(s.Participants) > 0 {
			continue
		}
		delete(o.asked, room)
		_ = o.rooms.DeleteRoom(room) // it may be gone already
	}
}
