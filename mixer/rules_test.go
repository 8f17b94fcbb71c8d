package mixer

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

// notes keeps what a room tells of. In virtual time nothing waits for it.
func notes(c *Config) *[]string {
	var told []string
	c.Notify = func(e Event) { told = append(told, e.Room+" "+e.Type+" "+e.Participant+" "+e.Detail) }
	return &told
}

func TestHands(t *testing.T) {
	var told *[]string
	inRoom(t, func(c *Config) { told = notes(c) }, func(t *testing.T, s *Server) {
		people := []*person{join(t, s, "r", red, 0, "360p"), join(t, s, "g", green, 0, "360p"), join(t, s, "b", blue, 0, "360p")}
		hands := func() (up []string) {
			st, _ := s.State("a")
			for _, m := range st.Participants {
				if !m.Hand.IsZero() {
					up = append(up, m.ID)
				}
			}
			return up
		}
		time.Sleep(2 * time.Second)
		// The mark is yellow, as nothing else is here.
		marked := func(id string) bool {
			tile := layout(t, s, gallery)[id]
			for y := tile.Y + tile.H - 150; y < tile.Y+tile.H; y += 4 {
				for x := tile.X; x < tile.X+100; x += 2 {
					if c := people[0].at(Tile{X: x, Y: y}); c.y > 140 && c.u < 90 {
						return true
					}
				}
			}
			return false
		}
		if marked("g") {
			t.Error("its tile is marked before")
		}
		if err := s.SetHand("a", "g", true); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		time.Sleep(time.Second)
		if err := s.SetHand("a", "g", true); err != nil { // is raised since when it was first
			t.Fatal(err)
		}
		if st, _ := s.State("a"); !slices.Equal(hands(), []string{"g"}) || !st.Participants[1].Hand.Equal(began) {
			t.Errorf("raised: %v", hands())
		}
		if !marked("g") || marked("r") || marked("b") {
			t.Errorf("marked tiles: g %v, r %v, b %v", marked("g"), marked("r"), marked("b"))
		}
		// A second session of the same person keeps it, who leaves does not.
		cam := newCamera(t, green, 0)
		if _, err := s.Publish(t.Context(), "a", Identity{ID: "g", Name: "g", Role: Participant}, cam); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(hands(), []string{"g"}) {
			t.Errorf("after its publisher was replaced: %v", hands())
		}
		if err := s.SetHand("a", "g", false); err != nil {
			t.Fatal(err)
		}
		if err := s.SetHand("a", "nobody", true); !errors.Is(err, ErrNoParticipant) {
			t.Errorf("nobody's hand: %v", err)
		}
		if len(hands()) != 0 {
			t.Errorf("lowered: %v", hands())
		}
		if err := s.SetHand("a", "r", true); err != nil {
			t.Fatal(err)
		}
		people[0].leave()
		people[0] = join(t, s, "r", red, 0, "360p")
		if len(hands()) != 0 {
			t.Errorf("after it was away: %v", hands())
		}
		if want := []string{"a hand.raised g g", "a hand.lowered g g", "a hand.raised r r"}; !slices.Equal(*told, want) {
			t.Errorf("told: %q", *told)
		}
		for _, p := range people {
			p.leave()
		}
	})
}

func TestLock(t *testing.T) {
	var told *[]string
	inRoom(t, func(c *Config) { told = notes(c) }, func(t *testing.T, s *Server) {
		ada, bob := join(t, s, "ada", red, 0, "360p"), join(t, s, "bob", green, 0, "360p")
		lock := func(on bool) {
			t.Helper()
			if err := s.SetLocked("a", on); err != nil {
				t.Fatal(err)
			}
			if st, _ := s.State("a"); st.Locked != on {
				t.Errorf("the state says locked: %v", st.Locked)
			}
		}
		// tries asks beforehand, then comes in to look, and goes again.
		tries := func(who Identity) error {
			t.Helper()
			first := s.Admit("a", who)
			sink := newScreen(t)
			defer sink.release()
			sub, err := s.Subscribe(context.Background(), "a", who, sink, Want{})
			if (first == nil) != (err == nil) || errors.Is(s.LockedOut("a", who), ErrLocked) != errors.Is(err, ErrLocked) && err != nil {
				t.Errorf("%s: beforehand %v, then %v", who.ID, first, err)
			}
			if err == nil {
				sub.Close()
			}
			return err
		}
		eve := Identity{ID: "eve", Role: Participant}
		lock(true)
		lock(true)
		if err := tries(eve); !errors.Is(err, ErrLocked) {
			t.Errorf("a newcomer: %v", err)
		}
		if err := tries(Identity{ID: "v", Role: Viewer}); !errors.Is(err, ErrLocked) {
			t.Errorf("a viewer: %v", err)
		}
		for _, who := range []Identity{
			{ID: "boss", Role: Host}, {ID: "called", Role: Participant, Invited: true}, {ID: "rec", Role: Recorder},
		} {
			if err := tries(who); err != nil {
				t.Errorf("%s: %v", who.ID, err)
			}
		}
		if err := tries(Identity{ID: "called", Role: Participant}); !errors.Is(err, ErrLocked) {
			t.Errorf("who was invited, and is not any more: %v", err)
		}
		// Their place is kept while they are away; not if a host took it.
		ada.leave()
		if err := tries(Identity{ID: "ada", Role: Participant}); err != nil {
			t.Errorf("coming back: %v", err)
		}
		if err := s.Remove("a", "bob"); err != nil {
			t.Fatal(err)
		}
		bob.leave()
		if err := tries(Identity{ID: "bob", Role: Participant}); !errors.Is(err, ErrLocked) {
			t.Errorf("who was removed: %v", err)
		}
		lock(false)
		if err := tries(eve); err != nil {
			t.Errorf("a newcomer in the open room: %v", err)
		}
		lock(true) // with nobody in it: who was in it before has no place
		if err := tries(Identity{ID: "ada", Role: Participant}); !errors.Is(err, ErrLocked) {
			t.Errorf("who left before: %v", err)
		}
		if want := []string{"a room.locked  ", "a room.unlocked  ", "a room.locked  "}; !slices.Equal(*told, want) {
			t.Errorf("told: %q", *told)
		}
	})
}

func TestRoomLayout(t *testing.T) {
	var told *[]string
	inRoom(t, func(c *Config) { told = notes(c) }, func(t *testing.T, s *Server) {
		// The green one speaks all the time.
		ids := []string{"r", "g", "b"}
		people := map[string]*person{
			"r": join(t, s, "r", red, 0, "360p"), "g": join(t, s, "g", green, 800, "360p"), "b": join(t, s, "b", blue, 0, "180p"),
		}
		large := Tile{W: 500, H: 1000} // the middle of it is the large place on a stage
		all := func(where Tile, want colour) bool {
			return !slices.ContainsFunc(ids, func(id string) bool { return !people[id].at(where).near(want) })
		}
		choose := func(layout string) {
			t.Helper()
			if err := s.SetLayout("a", layout); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
			st, _ := s.State("a")
			if st.Layout != layout {
				t.Errorf("the state says %q", st.Layout)
			}
			for _, m := range st.Participants {
				if m.Canvas != layout {
					t.Errorf("%s is on canvas %q, want %q", m.ID, m.Canvas, layout)
				}
			}
		}
		time.Sleep(3 * time.Second)
		if err := s.SetLayout("a", "mosaic"); !errors.Is(err, ErrNoLayout) {
			t.Errorf("an unknown layout: %v", err)
		}
		choose("speaker")
		if !all(large, green) {
			t.Error("who speaks is not large")
		}
		// Its sender is asked for as much as the large place has.
		if small, big := people["r"].lastAsk(), people["g"].lastAsk(); 2*big.Width < 3*small.Width {
			t.Errorf("asked for %+v of who speaks, %+v of the others", big, small)
		}
		choose("screen")
		if !all(layout(t, s, screens)["r"], red) || len(layout(t, s, screens)) != 3 || all(large, green) {
			t.Error("without a screen it is no gallery")
		}
		if err := s.SetScreen("a", "b", true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if !all(large, blue) {
			t.Error("the screen is not large")
		}
		choose("gallery")
		if !all(layout(t, s, gallery)["r"], red) {
			t.Error("is no gallery")
		}
		// Two see each other in any layout.
		choose("speaker")
		people["b"].leave()
		delete(people, "b")
		ids = ids[:2]
		time.Sleep(6 * time.Second) // keyframes are made when they are due
		if full := (Tile{W: 1000, H: 1000}); !people["r"].at(full).near(green) || !people["g"].at(full).near(red) {
			t.Errorf("two see %v and %v", people["r"].at(full), people["g"].at(full))
		}
		for _, p := range people {
			p.leave()
		}
		if want := []string{"a room.layout  speaker", "a room.layout  screen", "a room.layout  gallery", "a room.layout  speaker"}; !slices.Equal(*told, want) {
			t.Errorf("told: %q", *told)
		}
	})
}
