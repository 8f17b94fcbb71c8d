package mixer

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// since returns the timestamps of the pictures after the first n.
func (s *screen) since(n int) []uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.stamps[n:])
}

func TestFitMovesAReceiver(t *testing.T) {
	inRoom(t, nil, func(t *testing.T, s *Server) {
		p := join(t, s, "r", red, 500, "")
		other := join(t, s, "g", green, 0, "360p")
		time.Sleep(5 * time.Second)
		slower := 25.
		for _, c := range []struct {
			name  string
			fit   Fit
			width int
			pps   float64 // pictures a second
		}{
			{"what was asked for", Fit{}, 1280, 25},
			{"540p", Fit{Tier: 1}, 960, 25},
			{"270p", Fit{Tier: 3}, 480, 15},
			{"240p", Fit{Tier: 4}, 426, 10},
			{"180p", Fit{Tier: 5}, 320, 6},
			{"slides", Fit{Tier: 6}, 320, 1.5},
			{"the last one", Fit{Tier: 9}, 320, 1.5},
			{"up again", Fit{Tier: 2}, 640, 15},
		} {
			p.sub.Fit(c.fit)
			_, _, before := p.size()
			time.Sleep(2 * time.Second)
			w, _, moved := p.size()
			if w != c.width {
				t.Errorf("%s: %d wide 2 s later, want %d", c.name, w, c.width)
			}
			time.Sleep(8 * time.Second)
			_, _, after := p.size()
			if got, want := float64(after-moved)/8, c.pps; got < want*.95-.13 || got > want*1.05+.13 {
				t.Errorf("%s: %.2f pictures a second, want %.1f", c.name, got, want)
			}
			// While it moves it has the slower one of both.
			most := uint32(90_000 * 2.1 / min(slower, c.pps))
			slower = c.pps
			stamps := p.since(max(0, before-1))
			for i := 1; i < len(stamps); i++ {
				if d := stamps[i] - stamps[i-1]; d > most {
					t.Errorf("%s: a picture comes %d ticks after the one before, %d are the most", c.name, d, most)
				}
			}
		}

		_, _, before := p.size()
		p.screen.mu.Lock()
		heard := len(p.pcm)
		p.screen.mu.Unlock()
		p.sub.Fit(Fit{Tier: -1})
		time.Sleep(5 * time.Second)
		if _, _, after := p.size(); after > before+1 {
			t.Errorf("%d pictures on a link for none", after-before)
		}
		p.screen.mu.Lock()
		if n := len(p.pcm) - heard; n < 48_000*49/10 {
			t.Errorf("%d samples of sound in 5 s", n)
		}
		p.screen.mu.Unlock()
		if st, err := s.State("a"); err != nil || st.Participants[0].Tier != "" {
			t.Errorf("its tier is %q: %v", st.Participants[0].Tier, err)
		}

		p.sub.Fit(Fit{})
		if err := p.sub.SetTier("360p"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if w, _, _ := p.size(); w != 640 {
			t.Errorf("%d wide, want 640: what was asked for bounds what fits", w)
		}
		if w, _, _ := other.size(); w != 640 {
			t.Errorf("the other one gets %d", w)
		}
		p.leave()
		other.leave()
	})
}

// Who moves, comes back from sound alone or loses packets gets keyframes, all
// together one in 4 s from each tier; who stays on its tier goes on.
func TestFitKeepsKeyframesFew(t *testing.T) {
	inRoom(t, nil, func(t *testing.T, s *Server) {
		steady := join(t, s, "r", red, 0, "360p")
		var movers []*person
		for i := range 5 {
			movers = append(movers, join(t, s, fmt.Sprint(i), green, 0, ""))
		}
		time.Sleep(5 * time.Second)
		made := func() map[string]uint64 {
			n := map[string]uint64{}
			r, _ := s.room("a")
			r.do(func() {
				for key, t := range r.tiers {
					n[key.spec.Name] += t.count.keyframes.Load()
				}
			})
			return n
		}
		before := made()["360p"]
		_, _, pictures := steady.size()
		for i := range 200 { // 20 s
			for k, p := range movers {
				p.sub.Fit(Fit{Tier: []int{2, 3, -1, 2}[(i+k)/3%4]})
				p.sub.RequestKeyframe()
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := made()["360p"] - before; n < 4 || n > 6 {
			t.Errorf("%d keyframes of 360p in 20 s, want one in 4 s", n)
		}
		if _, _, n := steady.size(); n-pictures < 290 {
			t.Errorf("who stays gets %d pictures in 20 s, want 300", n-pictures)
		}
		steady.leave()
		for _, p := range movers {
			p.leave()
		}
	})
}

func TestFitNeverBlocks(t *testing.T) {
	inRoom(t, nil, func(t *testing.T, s *Server) {
		p := join(t, s, "r", red, 0, "")
		time.Sleep(time.Second)
		r, _ := s.room("a")
		held := make(chan struct{})
		go r.do(func() { <-held }) // the room is busy
		synctest.Wait()
		began := time.Now()
		for i := range 100 {
			p.sub.Fit(Fit{Tier: i % 3})
		}
		p.sub.Fit(Fit{Tier: 3})
		if d := time.Since(began); d != 0 {
			t.Errorf("it took %v", d)
		}
		close(held)
		time.Sleep(2 * time.Second)
		if w, _, _ := p.size(); w != 480 {
			t.Errorf("%d wide, want 480 of the last call", w)
		}
		p.leave()
		p.sub.Fit(Fit{}) // is of no use, and no harm
	})
}

func TestRungs(t *testing.T) {
	inRoom(t, nil, func(t *testing.T, s *Server) {
		r := s.Rungs()
		if len(r.Tiers) != 7 || len(r.Tones) != 4 || r.Tiers[6].FPS != 1.5 || r.Tones[3].Packet != 60*time.Millisecond {
			t.Errorf("%+v", r)
		}
		r.Tiers[0].Name = "mine"
		if s.Tiers()[0] != "720p" {
			t.Error("the ladder can be written to")
		}
	})
}
