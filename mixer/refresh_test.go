package mixer

import (
	"slices"
	"testing"
	"time"
)

func TestRefresh(t *testing.T) {
	crowd := make([]Face, 25)
	for i := range crowd {
		crowd[i] = Face{Speaks: i == 3, Share: 1. / 25}
	}
	crowd[0].Share = .5 // one large place
	policy := Refresh{Silent: 4, Small: 8}
	drawn := make([]int, len(crowd))
	var out []bool
	fewest, most := len(crowd), 0
	for n := range uint64(80) {
		out = policy.Due(out, n, crowd)
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
	if all := (Refresh{}).Due(nil, 7, crowd); slices.Contains(all, false) {
		t.Error("no policy leaves tiles out")
	}
}

// Who begins to speak is drawn at once, and who stops goes on in turn.
func TestRefreshFollowsSpeech(t *testing.T) {
	policy := sparse(15)
	if policy.Silent != 5 || policy.Small != 10 {
		t.Fatalf("%+v", policy)
	}
	faces := []Face{{Share: .25}, {Share: .25}}
	missed, longest := 0, 0
	for n := range uint64(100) {
		faces[1].Speaks = n%20 < 10
		due := policy.Due(nil, n, faces)
		if faces[1].Speaks && !due[1] {
			t.Fatalf("picture %d does not draw the speaker", n)
		}
		if missed++; due[1] {
			missed = 0
		}
		longest = max(longest, missed)
	}
	if longest >= policy.Silent {
		t.Errorf("a tile stands for %d pictures, want under %d", longest, policy.Silent)
	}
}

// In every tier and room somebody silent is seen anew within 4 s, and the tiles
// of one turn are spread over it.
func TestAttentionIsShared(t *testing.T) {
	for _, spec := range append(DefaultConfig().Ladder,
		TierSpec{Name: "60k", FPS: 15, Bitrate: 60_000}, TierSpec{Name: "slow", FPS: 5, Bitrate: 1_000_000, Silent: minSilent}) {
		policy := spec.Refresh(spec.FPS, spec.Bitrate)
		for _, n := range []int{2, 4, 9, 16, 49} {
			faces := make([]Face, n)
			for i := range faces {
				faces[i] = Face{Speaks: i == 0, Share: 1 / float64(n)}
			}
			last := make([]int, n)
			longest, most := 0, 0
			for number := range 400 {
				drawn := 0
				for i, due := range policy.Due(nil, uint64(number), faces) {
					switch {
					case due:
						longest = max(longest, number-last[i])
						last[i] = number
						drawn++
					case i == 0:
						t.Fatalf("%s: picture %d does not draw the speaker", spec.Name, number)
					}
				}
				most = max(most, drawn)
			}
			if age := time.Duration(float64(longest) / spec.FPS * float64(time.Second)); age > 4*time.Second {
				t.Errorf("%s: of %d tiles one stands for %v", spec.Name, n, age)
			}
			if every := max(1, policy.Silent); most > 2+(n-1)/every+1 {
				t.Errorf("%s: %d of %d tiles are drawn at once, each every %d pictures", spec.Name, most, n, every)
			}
		}
		if alone := policy.Due(nil, 1, []Face{{Share: 1}}); !alone[0] {
			t.Errorf("%s: who is alone is left out", spec.Name)
		}
	}
}

func TestTiersHaveTheirRefresh(t *testing.T) {
	for _, c := range []struct {
		bitrate int
		silent  float64
		every   int // of 15 pictures a second
	}{
		{1_500_000, 0, 0}, {700_000, 0, 0}, {300_000, 0, 5}, {150_000, 0, 15}, {100_000, 0, 15}, {50_000, 0, 25},
		{50_000, 15, 0}, {50_000, 7.5, 2}, {1_500_000, 1, 15}, {50_000, .25, 60},
	} {
		got := TierSpec{FPS: 15, Silent: c.silent}.Refresh(15, c.bitrate)
		if got != (Refresh{c.every, c.every}) {
			t.Errorf("%d bit/s, silent %v: %+v, want every %d", c.bitrate, c.silent, got, c.every)
		}
	}
}

// In a room of nine on 150 kb/s the one who speaks has all pictures and the
// others one a second; who comes is there at once.
func TestAttentionInARoom(t *testing.T) {
	inRoom(t, nil, func(t *testing.T, s *Server) {
		_, stop := cameras(t, s, 9)
		viewer := subscribe(t, s, "viewer", "270p", "VP8")
		time.Sleep(5 * time.Second)
		_, tiles, pictures := encoders(s)
		time.Sleep(10 * time.Second)
		names, after, more := encoders(s)
		if rate := float64(after-tiles) / float64(more-pictures); rate < 1+7./15 || rate > 1+9./15 {
			t.Errorf("%v: %.2f of 9 tiles drawn for each picture, want the speaker's and 8 in 15 pictures", names, rate)
		}
		watch := newScreen(t)
		if _, err := s.Subscribe(t.Context(), "a", Identity{ID: "watch"}, watch, Want{Tier: "270p"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		before := keyframes(t, s)
		newcomer := join(t, s, "new", green, 0, "720p")
		time.Sleep(400 * time.Millisecond)
		if got := watch.at(layout(t, s, gallery)["new"]); !got.near(green) || keyframes(t, s) != before+1 { // one of its own tier
			t.Errorf("the newcomer's tile is %v after 0.4 s and %d keyframes", got, keyframes(t, s)-before)
		}
		newcomer.leave()
		stop()
		s.DeleteRoom("a")
		viewer.release()
		watch.release()
	})
}
