package api

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"testing"

	"mixdown/mixer"
)

// apply does what a client does with changes.
func apply(t *testing.T, st mixer.State, c changes) mixer.State {
	t.Helper()
	merge := func(into any, from any, patch json.RawMessage) {
		var a, b map[string]json.RawMessage
		if err := json.Unmarshal(encode(from), &a); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(patch, &b); err != nil {
			t.Fatal(err)
		}
		maps.Copy(a, b)
		maps.DeleteFunc(a, func(_ string, v json.RawMessage) bool { return string(v) == "null" })
		if err := json.Unmarshal(encode(a), into); err != nil {
			t.Fatal(err)
		}
	}
	was := map[string]mixer.Member{}
	order := c.Order
	for _, m := range st.Participants {
		was[m.ID] = m
		if c.Order == nil {
			order = append(order, m.ID)
		}
	}
	var out mixer.State
	merge(&out, st, c.State)
	out.Participants = nil
	for _, id := range order {
		m := was[id]
		if p := c.Participants[id]; p != nil {
			m = mixer.Member{}
			merge(&m, was[id], p)
		}
		out.Participants = append(out.Participants, m)
	}
	return out
}

// TestChanges: what a client makes of them is the new state, they say whether they
// can wait, and they are small.
func TestChanges(t *testing.T) {
	first := mixer.State{Room: "r", Version: 1, Layouts: []mixer.CanvasState{{Canvas: "gallery", Tiles: []mixer.Tile{{ID: "a", W: 1000, H: 1000}}}}}
	for _, id := range []string{"a", "b", "c"} {
		first.Participants = append(first.Participants, mixer.Member{ID: id, Name: "Name of " + id, Tier: "720p", Ask: &mixer.Ask{Width: 640}})
	}
	speaks := func(st *mixer.State) { st.Participants[1].Open, st.Participants[1].Level, st.Speaker = true, -20, "b" }
	for name, c := range map[string]struct {
		change      func(st *mixer.State)
		some, waits bool
	}{
		"nothing":       {func(*mixer.State) {}, false, true},
		"level":         {func(st *mixer.State) { st.Participants[0].Level = -30 }, false, true},
		"somebody says": {speaks, true, true},
		"tier":          {func(st *mixer.State) { st.Participants[2].Tier = "" }, true, true},
		"muted":         {func(st *mixer.State) { speaks(st); st.Participants[2].Muted = true }, true, false},
		"asked":         {func(st *mixer.State) { st.Participants[2].Ask = &mixer.Ask{Width: 320} }, true, false},
		"asked nothing": {func(st *mixer.State) { st.Participants[2].Ask = nil }, true, false},
		"came":          {func(st *mixer.State) { st.Participants = append(st.Participants, mixer.Member{ID: "d"}) }, true, false},
		"went":          {func(st *mixer.State) { st.Participants = st.Participants[1:]; st.Layouts = nil }, true, false},
		"order":         {func(st *mixer.State) { slices.Reverse(st.Participants) }, true, false},
		"savings":       {func(st *mixer.State) { st.Savings = []mixer.Saving{{Step: mixer.Converge}} }, true, false},
		"other layout":  {func(st *mixer.State) { st.Layouts = []mixer.CanvasState{{Canvas: "gallery"}} }, true, false},
	} {
		next := first
		next.Version++
		next.Participants = slices.Clone(first.Participants)
		c.change(&next)
		got, some, waits := diff(first, next)
		if some != c.some || waits != c.waits {
			t.Errorf("%s: some %v, waits %v, want %v, %v", name, some, waits, c.some, c.waits)
		}
		if name == "level" {
			continue // it comes with the next change
		}
		if made := apply(t, first, got); !reflect.DeepEqual(made, next) {
			t.Errorf("%s: a client has %s, want %s", name, encode(made), encode(next))
		}
		if n := len(encode(got)); name == "somebody says" && n > 120 {
			t.Errorf("%s: %d bytes", name, n)
		}
	}
}

// TestChangesWithoutPicture: who gets none is told who speaks and who is there, in
// little more than the names of it, and all the rest again once there is one.
func TestChangesWithoutPicture(t *testing.T) {
	first := mixer.State{Room: "r", Version: 1, Layouts: []mixer.CanvasState{{Canvas: "gallery", Tiles: []mixer.Tile{{ID: "a", W: 1000, H: 1000}}}}}
	for _, id := range []string{"a", "b", "c", "d"} {
		first.Participants = append(first.Participants, mixer.Member{ID: id, Receives: true, Tier: "720p", Codec: "VP8", Canvas: "gallery"})
	}
	first.Participants[0].Tier = ""
	next := first
	next.Version, next.Speaker = 2, "b"
	next.Layouts = []mixer.CanvasState{{Canvas: "gallery"}}
	next.Participants = slices.Clone(first.Participants)
	next.Participants[1].Open, next.Participants[2].Open, next.Participants[3].Tier = true, true, "180p"

	was, is := brief(first, "a", false), brief(next, "a", false)
	c, some, waits := diff(was, is)
	if !some || !waits {
		t.Errorf("some %v, waits %v, want both", some, waits)
	}
	if n := len(encode(changesMessage{"changes", c})); n > 80 {
		t.Errorf("%d bytes: %s", n, encode(c))
	}
	if made := apply(t, was, c); !reflect.DeepEqual(made, is) {
		t.Errorf("a client has %s, want %s", encode(made), encode(is))
	}
	next.Participants[2].Muted = true
	if _, _, waits := diff(is, brief(next, "a", false)); waits {
		t.Error("that somebody is muted waits")
	}
	seen := brief(next, "a", true)
	c, _, _ = diff(is, seen)
	if n := len(encode(changesMessage{"changes", c})); n > 110 {
		t.Errorf("%d bytes come with the first picture: %s", n, encode(c))
	}
	if made := apply(t, is, c); !reflect.DeepEqual(made, seen) || !made.Participants[1].Open {
		t.Errorf("with a picture a client has %s, want %s", encode(made), encode(seen))
	}
}
