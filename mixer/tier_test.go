package mixer

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestKeyframeAtOnce: what is asked for before the first keyframe, and at once, is
// not forgotten.
func TestKeyframeAtOnce(t *testing.T) {
	var tier Tier
	tier.requestKey(time.Second)
	tier.requestKey(0)
	if !tier.keyWanted(time.Now()) {
		t.Error("the request is gone")
	}
}

func keyframes(t *testing.T, s *Server) (n uint64) {
	t.Helper()
	r, err := s.room("a")
	if err != nil {
		t.Fatal(err)
	}
	r.do(func() {
		for _, t := range r.tiers {
			n += t.count.keyframes.Load()
		}
	})
	return n
}

func TestKeyframeRequestsAreFolded(t *testing.T) {
	inRoom(t, nil, func(t *testing.T, s *Server) {
		var subs []*Subscription
		var screens []*screen
		for i := range 10 {
			v := newScreen(t)
			sub, err := s.Subscribe(t.Context(), "a", Identity{ID: fmt.Sprint(i)}, v, Want{Tier: "360p"})
			if err != nil {
				t.Fatal(err)
			}
			subs, screens = append(subs, sub), append(screens, v)
		}
		time.Sleep(2 * time.Second)
		if n := keyframes(t, s); n > 2 {
			t.Errorf("%d keyframes for ten who join at once", n)
		}
		before := keyframes(t, s)
		for range 200 { // 20 s of losses all over
			for _, sub := range subs {
				sub.RequestKeyframe()
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := keyframes(t, s) - before; n < 4 || n > 6 {
			t.Errorf("%d keyframes in 20 s of requests, want one in 4 s", n)
		}
		for i, v := range screens {
			subs[i].Close()
			v.release()
		}
	})
}

// A clock that gets to no deadline in half a second is not in time.
func TestStarvedTierIsLate(t *testing.T) {
	tier := &Tier{key: tierKey{spec: DefaultConfig().Ladder[0]}} // 40 ms
	for _, c := range []struct {
		deadlines uint64
		lateness  time.Duration
		n         int
		late      float64
	}{
		{0, 0, 0, 0}, // it has just been opened
		{10, 40 * time.Millisecond, 10, 1},
		{10, 40 * time.Millisecond, 1, 11.5},
		{11, 520 * time.Millisecond, 1, 12},
		{22, 520 * time.Millisecond, 11, 0},
	} {
		tier.count.deadlines.Store(c.deadlines)
		tier.count.lateness.Store(int64(c.lateness))
		if n, late := tier.measure(500 * time.Millisecond); n != c.n || late != c.late {
			t.Errorf("at %d deadlines: %d more, late by %v, want %d, %v", c.deadlines, n, late, c.n, c.late)
		}
	}
}

func TestBadUnitsCostOneTile(t *testing.T) {
	inRoom(t, nil, func(t *testing.T, s *Server) {
		good, bad := join(t, s, "g", green, 0, "360p"), join(t, s, "r", red, 0, "360p")
		other := join(t, s, "b", blue, 0, "360p")
		time.Sleep(time.Second)
		bad.stop()
		for range 100 {
			u := bad.units[0]
			u.Data = append(slices.Clone(u.Data[:20]), 1, 2, 3)
			bad.pub.WriteUnit(u)
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(6 * time.Second)
		if n := bad.pub.count.errors.Load() + bad.pub.count.dropped.Load(); n == 0 {
			t.Error("bad units are not counted")
		}
		if got := other.at(layout(t, s, gallery)["g"]); !got.near(green) {
			t.Errorf("the good one's tile is %v", got)
		}
		if _, _, n := other.size(); n < 100 {
			t.Errorf("%d pictures in 8 s", n)
		}
		for _, p := range []*person{good, bad, other} {
			p.leave()
		}
	})
}

func TestSlowDecoderDropsUpToAKeyframe(t *testing.T) {
	inRoom(t, nil, func(t *testing.T, s *Server) {
		p := join(t, s, "r", red, 0, "360p")
		time.Sleep(time.Second)
		p.stop()
		synctest.Wait()
		p.pub.mu.Lock()
		p.pub.inLine = true // as if a thread were busy with it
		p.pub.mu.Unlock()
		asked := p.keys
		for range 3 * maxUnits {
			p.pub.WriteUnit(p.units[1])
		}
		if len(p.pub.units) > maxUnits || p.pub.count.dropped.Load() < maxUnits || p.keys == asked {
			t.Errorf("%d units wait, %d dropped, %d keyframes asked for",
				len(p.pub.units), p.pub.count.dropped.Load(), p.keys-asked)
		}
		if p.pub.decodeNext() { // the thread comes back to an empty queue
			t.Error("there is nothing to decode")
		}
		p.pub.WriteUnit(p.units[0])
		synctest.Wait()
		if p.pub.waitKey || len(p.pub.units) != 0 {
			t.Error("a keyframe does not start it again")
		}
		p.leave()
	})
}

func TestSeventyPeople(t *testing.T) {
	inRoom(t, nil, func(t *testing.T, s *Server) {
		var pubs []*Publication
		for i := range 70 {
			cam := newCamera(t, red, 0)
			p, err := s.Publish(t.Context(), "a", Identity{ID: fmt.Sprintf("p%02d", i)}, cam)
			if err != nil {
				t.Fatal(err)
			}
			pubs = append(pubs, p)
		}
		st, err := s.State("a")
		if err != nil {
			t.Fatal(err)
		}
		tiles := st.Layouts[0].Tiles
		if len(tiles) != 49 || tiles[48].More != 22 {
			t.Errorf("%d tiles, the last one %+v, want 48 and +22", len(tiles), tiles[len(tiles)-1])
		}
		for _, p := range pubs {
			p.Close()
		}
	})
}

func TestRoomIsFull(t *testing.T) {
	inRoom(t, func(c *Config) { c.MaxParticipants = 1 }, func(t *testing.T, s *Server) {
		p := join(t, s, "r", red, 0, "360p")
		if _, err := s.Publish(t.Context(), "a", Identity{ID: "g"}, newCamera(t, green, 0)); err == nil {
			t.Error("a second one gets in")
		}
		if err := s.Admit("a", Identity{ID: "g"}); !errors.Is(err, ErrFull) {
			t.Errorf("a second one is told %v", err)
		}
		if err := s.Admit("a", Identity{ID: "r"}); err != nil {
			t.Errorf("the first one may not come again: %v", err)
		}
		p.leave()
	})
}

func TestConfigNamesTheKey(t *testing.T) {
	for key, change := range map[string]func(*Config){
		"ladder":            func(c *Config) { c.Ladder = nil },
		"ladder[1].name":    func(c *Config) { c.Ladder[1].Name = c.Ladder[0].Name },
		"ladder[2].name":    func(c *Config) { c.Ladder[2].Name = "540p twin" },
		"ladder[0]":         func(c *Config) { c.Ladder[0].Width = 641 },
		"ladder[1].bitrate": func(c *Config) { c.Ladder[1].Bitrate = c.Ladder[0].Bitrate + 1 },
		"sound.tones[1]":    func(c *Config) { c.Sound.Tones[1].Bitrate = c.Sound.Tones[0].Bitrate + 1 },
		"sound.tones[3]":    func(c *Config) { c.Sound.Tones[3].Packet = soundTick },
		"sound.max_open":    func(c *Config) { c.Sound.MaxOpen = 0 },
		"decode_workers":    func(c *Config) { c.DecodeWorkers = 0 },
		"max_participants":  func(c *Config) { c.MaxParticipants = 0 },
	} {
		cfg := DefaultConfig()
		change(&cfg)
		if err := cfg.Validate(); err == nil || len(err.Error()) < len(key) || err.Error()[:len(key)] != key {
			t.Errorf("%s: %v", key, err)
		}
	}
}
