package compositor

import (
	"fmt"
	"math/rand"
	"slices"
	"testing"
)

func TestSeats(t *testing.T) {
	var s Seats
	for _, c := range []struct {
		name, want string
		here       []string
	}{
		{"first", "[a b c d]", []string{"a", "b", "c", "d"}},
		{"another order moves nobody", "[a b c d]", []string{"d", "c", "b", "a"}},
		{"newcomer at the end", "[a b c d e]", []string{"e", "a", "b", "c", "d"}},
		{"the last fills the hole", "[a e c d]", []string{"a", "c", "d", "e"}},
		{"a newcomer fills the hole", "[a e f d]", []string{"a", "d", "e", "f"}},
		{"the last leaves", "[a e f]", []string{"a", "e", "f"}},
		{"two leave, one comes", "[a g]", []string{"a", "g"}},
		{"twice is once", "[a g b]", []string{"b", "a", "b", "g", "a"}},
		{"nobody", "[]", nil},
		{"again", "[b]", []string{"b"}},
	} {
		if got := fmt.Sprint(s.Update(c.here)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestSeatsProperties(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	var s Seats
	var before []string
	for round := range 5000 {
		var here []string
		for i := range 30 {
			if rnd.Intn(4) != 0 {
				here = append(here, fmt.Sprint(i))
			}
		}
		rnd.Shuffle(len(here), func(i, j int) { here[i], here[j] = here[j], here[i] })
		now := s.Update(here)
		sorted := slices.Sorted(slices.Values(now))
		if want := slices.Sorted(slices.Values(here)); !slices.Equal(sorted, want) {
			t.Fatalf("round %d: %v sit, %v are here", round, sorted, want)
		}
		// Whoever sat within the new size stays; only those beyond it may move.
		for place, id := range before {
			if place < len(now) && slices.Contains(here, id) && now[place] != id {
				t.Fatalf("round %d: %s moved from %d: %v, then %v", round, id, place, before, now)
			}
		}
		before = slices.Clone(now)
	}
}
