package mixer

import (
	"slices"
	"testing"
)

func TestRefresh(t *testing.T) {
	crowd := make([]face, 25)
	for i := range crowd {
		crowd[i] = face{speaks: i == 3, share: 1. / 25}
	}
	crowd[0].share = .5 // one large place
	policy := refresh{silent: 4, small: 8}
	drawn := make([]int, len(crowd))
	var out []bool
	fewest, most := len(crowd), 0
	for n := range uint64(80) {
		out = policy.due(out, n, crowd)
		for i, due := range out {
			if due {
				drawn[i]++
			}
		}
		count := len(slices.DeleteFunc(slices.Clone(out), func(due bool) bool { return !due }))
		fewest, most = min(fewest, count), max(most, count)
	}
	for i, n := range drawn {
		want := 80 / 8
		switch i {
		case 0:
			want = 80 / 4
		case 3:
			want = 80
		}
		if n != want {
			t.Errorf("tile %d is drawn %d times in 80 pictures, want %d", i, n, want)
		}
	}
	// 24 silent ones by 8 is 3 a picture, the large one and the speaker more.
	if fewest < 3 || most > 6 {
		t.Errorf("%d to %d tiles a picture, want them in turn", fewest, most)
	}
	if all := (refresh{}).due(nil, 7, crowd); slices.Contains(all, false) {
		t.Error("no policy leaves tiles out")
	}
}

// Who begins to speak is drawn at once, and who stops goes on in turn.
func TestRefreshFollowsSpeech(t *testing.T) {
	policy := sparse(15)
	if policy.silent != 5 || policy.small != 10 {
		t.Fatalf("%+v", policy)
	}
	faces := []face{{share: .25}, {share: .25}}
	missed, longest := 0, 0
	for n := range uint64(100) {
		faces[1].speaks = n%20 < 10
		due := policy.due(nil, n, faces)
		if faces[1].speaks && !due[1] {
			t.Fatalf("picture %d does not draw the speaker", n)
		}
		if missed++; due[1] {
			missed = 0
		}
		longest = max(longest, missed)
	}
	if longest >= policy.silent {
		t.Errorf("a tile stands for %d pictures, want under %d", longest, policy.silent)
	}
}
