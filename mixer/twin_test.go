package mixer

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// watcher is a receiver of pictures without a camera.
type watcher struct {
	*screen
	sub *Subscription
}

func watch(t *testing.T, s *Server, id, tier string) watcher {
	t.Helper()
	v := newScreen(t)
	sub, err := s.Subscribe(t.Context(), "a", Identity{ID: id, Role: Viewer}, v, Want{Tier: tier})
	if err != nil {
		t.Fatal(err)
	}
	return watcher{v, sub}
}

// encoders is how many have made its pictures.
func (w watcher) encoders() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.streams)
}

func (w watcher) leave() {
	w.sub.Close()
	w.release()
}

// made counts the keyframes of all tiers that there are, by their names.
func made(s *Server) map[string]uint64 {
	n := map[string]uint64{}
	r, _ := s.room("a")
	r.do(func() {
		for key, t := range r.tiers {
			n[key.name()] += t.count.keyframes.Load()
		}
	})
	return n
}

// tiersOf tells which tier each receiver's pictures are of.
func tiersOf(s *Server) map[string]string {
	out := map[string]string{}
	st, _ := s.State("a")
	for _, m := range st.Participants {
		out[m.ID] = m.Tier
	}
	return out
}

// TestTwin: three who lose much ask for a keyframe every second, and two others on
// their tier have none of them.
func TestTwin(t *testing.T) {
	inRoom(t, nil, func(t *testing.T, s *Server) {
		var lossy, calm []watcher
		for i := range 3 {
			lossy = append(lossy, watch(t, s, fmt.Sprint("lossy", i), "360p"))
		}
		for i := range 2 {
			calm = append(calm, watch(t, s, fmt.Sprint("calm", i), "360p"))
		}
		time.Sleep(5 * time.Second)
		for _, w := range lossy {
			w.sub.Fit(Fit{Loss: .2, Lossy: true})
		}
		before := made(s)
		time.Sleep(10 * time.Second)
		if n := made(s); len(n) != 1 || n["360p"] != before["360p"] {
			t.Errorf("losses that are repaired cost an encoder or keyframes: %v, before %v", n, before)
		}

		// One need of a keyframe, told again and again until it is there.
		for range 8 {
			lossy[0].sub.RequestKeyframe()
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(5 * time.Second) // what was asked for after it has come, too
		if n := made(s); len(n) != 1 || n["360p"] != before["360p"]+2 {
			t.Errorf("the first one is missed: %v, before %v", n, before)
		}
		streams := lossy[0].encoders()
		lossy[0].sub.RequestKeyframe()
		time.Sleep(150 * time.Millisecond)
		if n := lossy[0].encoders(); n != streams+1 {
			t.Errorf("it waits for the keyframe that it asked for: %d streams, before %d", n, streams)
		}

		before = made(s)
		_, _, pictures := calm[0].size()
		for range 12 {
			for _, w := range lossy {
				w.sub.RequestKeyframe()
			}
			time.Sleep(time.Second)
			if n := made(s); len(n) != 2 {
				t.Fatalf("the room's encoders are %v", n)
			}
		}
		after := made(s)
		if after["360p"] != before["360p"] {
			t.Errorf("who loses nothing had %d keyframes in 12 s", after["360p"]-before["360p"])
		}
		if n := after["360p twin"] - before["360p twin"]; n < 2 || n > 4 {
			t.Errorf("who loses much had %d keyframes in 12 s, want one in 4 s", n)
		}
		if _, _, n := calm[0].size(); n-pictures < 175 {
			t.Errorf("%d pictures in 12 s, want 180", n-pictures)
		}
		if got := tiersOf(s); got["lossy0"] != "360p twin" || got["lossy2"] != "360p twin" || got["calm1"] != "360p" {
			t.Errorf("the tiers are %v", got)
		}
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(s)
		if _, err := registry.Gather(); err != nil {
			t.Errorf("metrics: %v", err)
		}

		// Those that lose as much as before stay, whoever else there is.
		lossy[0].sub.Fit(Fit{})
		for _, w := range calm {
			w.sub.Fit(Fit{Lossy: true})
		}
		time.Sleep(10 * time.Second)
		if got := tiersOf(s); got["lossy0"] != "360p" || got["lossy1"] != "360p twin" || got["calm0"] != "360p" {
			t.Errorf("one is calm again: %v", got)
		}
		for _, w := range lossy {
			w.sub.Fit(Fit{})
		}
		time.Sleep(s.cfg.KeyframeHold + s.cfg.TierLinger + time.Second)
		if n := made(s); len(n) != 1 || tiersOf(s)["lossy1"] != "360p" {
			t.Errorf("all are calm again: %v, encoders %v", tiersOf(s), n)
		}
		for _, w := range append(lossy, calm...) {
			w.leave()
		}
	})
}

// TestNoTwinAlone: nobody else is spared anything.
func TestNoTwinAlone(t *testing.T) {
	inRoom(t, nil, func(t *testing.T, s *Server) {
		var all []watcher
		for i := range 3 {
			w := watch(t, s, fmt.Sprint(i), "360p")
			w.sub.Fit(Fit{Lossy: true})
			all = append(all, w)
		}
		for range 12 {
			for _, w := range all {
				w.sub.RequestKeyframe()
			}
			time.Sleep(time.Second)
			if n := made(s); len(n) != 1 {
				t.Fatalf("the room's encoders are %v", n)
			}
		}
		if n := made(s)["360p"]; n < 3 || n > 5 {
			t.Errorf("%d keyframes in 12 s, want one in 4 s", n)
		}
		for _, w := range all {
			w.leave()
		}
	})
}

// TestBudgetSavesTwins: it is the first thing that a room does without, none is
// opened before all is given back, and then it comes again.
func TestBudgetSavesTwins(t *testing.T) {
	change := func(c *Config) {
		c.Ladder = []TierSpec{
			{Name: "high", Width: 640, Height: 360, FPS: 20, Bitrate: 300_000, MTU: 1160},
			{Name: "low", Width: 320, Height: 180, FPS: 12, Bitrate: 100_000, MTU: 1160},
		}
		c.Budget = time.Hour
	}
	inRoom(t, change, func(t *testing.T, s *Server) {
		ctx, cancel := context.WithCancel(t.Context())
		states, err := s.Watch(ctx, "a")
		if err != nil {
			t.Fatal(err)
		}
		var seen []Saving // in the order that members are told of them
		var watching sync.WaitGroup
		watching.Go(func() {
			for st := range states {
				for _, saving := range st.Savings {
					if !slices.Contains(seen, saving) {
						seen = append(seen, saving)
					}
				}
			}
		})
		lossy, calm, low := watch(t, s, "lossy", "high"), watch(t, s, "calm", "high"), watch(t, s, "low", "low")
		late := watch(t, s, "late", "low")
		ask := func(seconds int, each func()) {
			for range seconds {
				lossy.sub.RequestKeyframe()
				late.sub.RequestKeyframe()
				time.Sleep(time.Second)
				each()
			}
		}
		time.Sleep(5 * time.Second)
		lossy.sub.Fit(Fit{Lossy: true})
		ask(8, func() {})
		if got := tiersOf(s); got["lossy"] != "high twin" || got["calm"] != "high" {
			t.Fatalf("the tiers are %v", got)
		}

		s.load.limit.Store(s.load.demand.Load() / 20)
		time.Sleep(10 * time.Second)
		late.sub.Fit(Fit{Lossy: true})
		ask(20, func() {
			if got := tiersOf(s); got["lossy"] != "low" || got["late"] != "low" {
				t.Errorf("while all is saved the tiers are %v", got)
			}
		})
		twin := Saving{Merge, "high twin", "high"}
		if st, _ := s.State("a"); len(made(s)) != 1 || !slices.Contains(st.Savings, twin) {
			t.Errorf("while all is saved, which is %v, the encoders are %v", st.Savings, made(s))
		}

		s.load.limit.Store(int64(time.Hour))
		time.Sleep(20 * time.Second)
		if st, _ := s.State("a"); len(st.Savings) > 0 || tiersOf(s)["lossy"] != "high twin" || tiersOf(s)["calm"] != "high" {
			t.Errorf("20 s after relief %v is saved, the tiers are %v", st.Savings, tiersOf(s))
		}
		cancel()
		watching.Wait()
		opened := func(s Saving) bool { return s.Tier == "low twin" } // it was saved at once, then
		if len(seen) < 3 || seen[0] != twin || seen[1] != (Saving{Merge, "high", "low"}) || slices.ContainsFunc(seen, opened) {
			t.Errorf("members were told of %v", seen)
		}
		for _, w := range []watcher{lossy, calm, low, late} {
			w.leave()
		}
	})
}
