package cast

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"mixdown/mixer"
)

// stuck is a Source that does not let the room go when it is closed.
type stuck struct{ asked, free chan struct{} }

func (s stuck) Voice() mixer.Voice { return nil }
func (s stuck) RequestKeyframe()   {}
func (s stuck) Ask(mixer.Ask)      {}
func (s stuck) Close(error) {
	close(s.asked)
	<-s.free
}

// TestBesideHeldRoom: while a room does not take its programme in, outputs of others
// begin, are asked for, and end. What begins counts as one that is, and Close waits for it.
func TestBesideHeldRoom(t *testing.T) {
	s := newStage(t, func(c *Config) { c.Max, c.PerRoom = 3, 2 })
	if _, err := s.rooms.CreateRoom(mixer.RoomConfig{Name: "held"}); err != nil {
		t.Fatal(err)
	}
	holds := stuck{make(chan struct{}), make(chan struct{})}
	if _, err := s.rooms.Publish(t.Context(), "held", mixer.Identity{ID: "s", Name: "S", Role: mixer.Participant}, holds); err != nil {
		t.Fatal(err)
	}
	removed := make(chan error, 1)
	go func() { removed <- s.rooms.Remove("held", "s") }()
	<-holds.asked
	begun := make(chan error, 2)
	for i := range 2 { // of one programme, which StartOutput has asked the room for
		c := s.outputs.cfg
		held := &sender{
			o: s.outputs, room: "held", branch: newBranch(), done: make(chan struct{}), log: c.Log,
			key:   trunkKey{room: "held", layout: mixer.Layouts()[0], width: c.Width, height: c.Height, fps: c.FPS, bitrate: c.Bitrate},
			state: mixer.OutputState{ID: fmt.Sprint("held-output-", i), Format: "mpegts"},
		}
		go func() {
			_, err := s.outputs.start(t.Context(), held)
			begun <- err
		}()
	}
	others := make(chan error, 1)
	go func() {
		others <- func() error {
			for counted := 0; counted < 2; time.Sleep(time.Millisecond) {
				s.outputs.mu.Lock()
				counted = s.outputs.beginning["held"]
				s.outputs.mu.Unlock()
			}
			st, err := s.outputs.StartOutput(t.Context(), "a", mixer.OutputRequest{Format: "mpegts"})
			if err != nil {
				return err
			}
			if _, err := s.outputs.StartOutput(t.Context(), "a", mixer.OutputRequest{Format: "hls"}); !errors.Is(err, mixer.ErrTooMany) {
				return errors.Join(errors.New("a fourth output of three"), err)
			}
			if n := len(s.outputs.Outputs("a")); n != 1 {
				t.Errorf("%d outputs are told of", n)
			}
			return s.outputs.RemoveOutput("a", st.ID)
		}()
	}()
	select { // the bound is only for a test that hangs
	case err := <-others:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("another room's output waits for the room that is held")
	}
	closed := make(chan struct{})
	go func() { defer close(closed); s.outputs.Close() }()
	for stopping := false; !stopping; time.Sleep(time.Millisecond) {
		s.outputs.mu.Lock()
		stopping = s.outputs.closed
		s.outputs.mu.Unlock()
	}
	close(holds.free)
	<-closed
	for range 2 {
		if err := <-begun; !errors.Is(err, mixer.ErrRoomClosed) {
			t.Errorf("an output that began while the server stopped: %v", err)
		}
	}
	if err := <-removed; err != nil {
		t.Error(err)
	}
	if n := len(s.outputs.trunks) + len(s.outputs.beginning); n != 0 {
		t.Errorf("%d are left", n)
	}
}
