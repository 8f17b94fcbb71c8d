package mixer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"mixdown/codec"
	"mixdown/codec/codectest"
)

var (
	red   = colour{90, 100, 200}
	green = colour{120, 80, 80}
	blue  = colour{70, 190, 110}
)

// person is a camera and a screen of one identity.
type person struct {
	*camera
	*screen
	pub  *Publication
	sub  *Subscription
	stop context.CancelFunc
}

func (p *person) leave() {
	p.stop()
	p.pub.Close()
	p.sub.Close()
	p.release()
}

func join(t *testing.T, s *Server, id string, c colour, hz float64, tier string, names ...string) *person {
	t.Helper()
	p := &person{camera: newCamera(t, c, hz), screen: newScreen(t, names...)}
	who := Identity{ID: id, Name: id, Role: Participant}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	var err error
	if p.pub, err = s.Publish(ctx, "a", who, p.camera); err != nil {
		t.Fatal(err)
	}
	if p.sub, err = s.Subscribe(ctx, "a", who, p.screen, Want{Tier: tier}); err != nil {
		t.Fatal(err)
	}
	go p.play(ctx, p.pub)
	return p
}

// inRoom runs a test in virtual time and checks that nothing is left behind.
func inRoom(t *testing.T, change func(*Config), test func(t *testing.T, s *Server)) {
	t.Helper()
	before := codec.LiveFrames()
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t, change)
		test(t, s)
		s.Close()
		s.Close()
	})
	if n := codec.LiveFrames(); n != before {
		t.Errorf("%d frames are still held", n-before)
	}
}

func layout(t *testing.T, s *Server, canvas string) map[string]Tile {
	t.Helper()
	st, err := s.State("a")
	if err != nil {
		t.Fatal(err)
	}
	tiles := map[string]Tile{}
	for _, l := range st.Layouts {
		if l.Canvas == canvas {
			for _, tile := range l.Tiles {
				tiles[tile.ID] = tile
			}
		}
	}
	return tiles
}

func TestGallery(t *testing.T) {
	inRoom(t, nil, func(t *testing.T, s *Server) {
		colours := map[string]colour{"r": red, "g": green, "b": blue}
		tones := map[string]float64{"r": 500, "g": 1100, "b": 1700}
		people := map[string]*person{}
		for id, c := range colours {
			people[id] = join(t, s, id, c, tones[id], "360p")
		}
		time.Sleep(3 * time.Second)
		tiles := layout(t, s, gallery)
		if len(tiles) != 3 {
			t.Fatalf("%d tiles, want 3", len(tiles))
		}
		for id, p := range people {
			if w, h, n := p.size(); w != 640 || h != 360 || n < 40 || n > 46 {
				t.Errorf("%s: %d pictures of %dx%d in 3 s, want 45 of 640x360", id, n, w, h)
			}
			for other, c := range colours {
				if got := p.at(tiles[other]); !got.near(c) {
					t.Errorf("%s sees %v for %s, want %v", id, got, other, c)
				}
			}
			own := codectest.ToneLevel(p.heard(9600), soundRate, tones[id])
			for other, hz := range tones {
				if level := codectest.ToneLevel(p.heard(9600), soundRate, hz); other != id && level-own < 40 {
					t.Errorf("%s hears itself at %.1f dB and %s at %.1f dB", id, own, other, level)
				}
			}
		}
		st, _ := s.State("a")
		if len(st.Participants) != 3 || !st.Participants[0].Open || st.Speaker == "" {
			t.Errorf("state: %+v", st)
		}
		for _, p := range people {
			p.leave()
		}
		if st, _ := s.State("a"); len(st.Participants) != 0 || len(layout(t, s, gallery)) != 0 {
			t.Errorf("after all left: %+v", st)
		}
	})
}

func TestTwoSeeEachOther(t *testing.T) {
	inRoom(t, nil, func(t *testing.T, s *Server) {
		a, b := join(t, s, "r", red, 0, "360p"), join(t, s, "g", green, 0, "360p")
		viewer := newScreen(t)
		sub, err := s.Subscribe(t.Context(), "a", Identity{ID: "v", Role: Viewer}, viewer, Want{Tier: "360p"})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		full := Tile{W: 1000, H: 1000}
		if got := a.at(full); !got.near(green) {
			t.Errorf("the red one sees %v", got)
		}
		if got := b.at(full); !got.near(red) {
			t.Errorf("the green one sees %v", got)
		}
		tiles := layout(t, s, gallery)
		if got := viewer.at(tiles["r"]); !got.near(red) {
			t.Errorf("the viewer sees %v for red", got)
		}
		if got := viewer.at(tiles["g"]); !got.near(green) {
			t.Errorf("the viewer sees %v for green", got)
		}
		c := join(t, s, "b", blue, 0, "360p")
		time.Sleep(2 * time.Second)
		tiles = layout(t, s, gallery)
		if got := a.at(tiles["b"]); !got.near(blue) {
			t.Errorf("of three, the red one sees %v for blue", got)
		}
		for _, p := range []*person{a, b, c} {
			p.leave()
		}
		sub.Close()
		viewer.release()
	})
}

func TestEncodersDoNotGrowWithListeners(t *testing.T) {
	inRoom(t, nil, func(t *testing.T, s *Server) {
		people := []*person{join(t, s, "r", red, 500, ""), join(t, s, "g", green, 0, ""), join(t, s, "b", blue, 0, "")}
		var screens []*screen
		for i := range 30 {
			v := newScreen(t)
			if _, err := s.Subscribe(t.Context(), "a", Identity{ID: fmt.Sprint("v", i), Role: Viewer}, v, Want{}); err != nil {
				t.Fatal(err)
			}
			screens = append(screens, v)
		}
		time.Sleep(5 * time.Second)
		r, _ := s.room("a")
		r.do(func() {
			if len(r.tiers) != 1 {
				t.Errorf("%d video encoders, want 1", len(r.tiers))
			}
			if n := r.sound.encoders.Load(); n != 2 {
				t.Errorf("%d sound encoders, want 1 shared and 1 for the open source", n)
			}
		})
		for i, v := range screens {
			if _, _, n := v.size(); n < 40 {
				t.Errorf("viewer %d got %d pictures in 2 s", i, n)
			}
			if len(v.heard(soundRate)) == 0 {
				t.Errorf("viewer %d got under 1 s of sound", i)
			}
		}
		s.DeleteRoom("a")
		for _, p := range people {
			if !errors.Is(p.camera.closed(), ErrRoomClosed) || !errors.Is(p.screen.closed(), ErrRoomClosed) {
				t.Errorf("closed with %v, %v", p.camera.closed(), p.screen.closed())
			}
			p.leave()
		}
		for _, v := range screens {
			v.release()
		}
	})
}

func TestTierMovesWithoutStall(t *testing.T) {
	inRoom(t, nil, func(t *testing.T, s *Server) {
		p := join(t, s, "r", red, 0, "")
		time.Sleep(2 * time.Second)
		if w, _, _ := p.size(); w != 1280 {
			t.Fatalf("width %d, want 1280", w)
		}
		if err := s.SetTier("a", "r", "360p"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if w, _, _ := p.size(); w != 640 {
			t.Errorf("width %d after the move, want 640", w)
		}
		p.screen.mu.Lock()
		stamps := slices.Clone(p.stamps)
		p.screen.mu.Unlock()
		for i := 1; i < len(stamps); i++ {
			// Both lines are one: time goes forward, never further than a picture of the slower tier.
			if d := int32(stamps[i] - stamps[i-1]); d <= 0 || d > 2*90000/15 {
				t.Errorf("picture %d comes %d ticks after the one before", i, d)
			}
		}
		time.Sleep(5 * time.Second)
		r, _ := s.room("a")
		r.do(func() {
			if len(r.tiers) != 1 {
				t.Errorf("%d tiers are open, the one that was left should be closed", len(r.tiers))
			}
		})
		if err := s.SetTier("a", "r", "8k"); !errors.Is(err, ErrNoTier) {
			t.Errorf("unknown tier: %v", err)
		}
		p.leave()
	})
}

// TestSoundOnly: who asks for no pictures gets none and goes on hearing, and has them
// back as soon as a newcomer would.
func TestSoundOnly(t *testing.T) {
	inRoom(t, nil, func(t *testing.T, s *Server) {
		p, other := join(t, s, "r", red, 0, ""), join(t, s, "g", green, 440, "")
		time.Sleep(2 * time.Second)
		if err := s.SetTier("a", "r", SoundOnly); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		_, _, before := p.size()
		time.Sleep(2 * time.Second)
		if _, _, n := p.size(); n != before {
			t.Errorf("%d pictures of no tier", n-before)
		}
		if len(p.heard(soundRate)) == 0 {
			t.Error("under 1 s of sound")
		}
		if best := p.sub.Best(); best != len(s.cfg.Ladder)-1 {
			t.Errorf("tier %d is looked for on its link", best)
		}
		if err := p.sub.SetTier("360p"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(s.cfg.JoinHold + 200*time.Millisecond)
		if w, _, n := p.size(); n == before || w != 640 {
			t.Errorf("%d pictures %d wide, want some of 640", n-before, w)
		}
		if err := s.SetBitrate("a", SoundOnly, 100_000); !errors.Is(err, ErrNoTier) {
			t.Errorf("a bit rate of no pictures: %v", err)
		}
		p.leave()
		other.leave()
	})
}

func TestBitrateChangesLive(t *testing.T) {
	inRoom(t, nil, func(t *testing.T, s *Server) {
		p := join(t, s, "r", red, 0, "360p")
		time.Sleep(time.Second)
		r, _ := s.room("a")
		noise := func(seconds int) (bits uint64) {
			var tier *Tier
			r.do(func() {
				for _, tier = range r.tiers {
				}
			})
			before := tier.count.bytes.Load()
			p.pub.want(false) // the camera's flat colour makes way for a picture that costs bits
			for i := range seconds * 25 {
				p.pub.slot.put(codectest.MovingPicture(640, 360, 7*i), 640, 360, time.Now())
				time.Sleep(40 * time.Millisecond)
			}
			return (tier.count.bytes.Load() - before) * 8 / uint64(seconds)
		}
		high := noise(8)
		if err := s.SetBitrate("a", "360p", 100_000); err != nil {
			t.Fatal(err)
		}
		noise(4)
		low := noise(8)
		if high < 240_000 || high > 360_000 || low > 130_000 {
			t.Errorf("%d bit/s at 300000, %d at 100000", high, low)
		}
		if err := s.SetBitrate("a", "360p", 5); !errors.Is(err, ErrBadRate) {
			t.Errorf("5 bit/s: %v", err)
		}
		if err := s.SetBitrate("a", "8k", 0); !errors.Is(err, ErrNoTier) {
			t.Errorf("unknown tier: %v", err)
		}
		p.leave()
	})
}

func TestTakeover(t *testing.T) {
	inRoom(t, nil, func(t *testing.T, s *Server) {
		old := join(t, s, "r", red, 0, "360p")
		time.Sleep(time.Second)
		again := join(t, s, "r", green, 0, "360p")
		time.Sleep(time.Second)
		if !errors.Is(old.camera.closed(), ErrReplaced) || !errors.Is(old.screen.closed(), ErrReplaced) {
			t.Errorf("the former sessions were closed with %v, %v", old.camera.closed(), old.screen.closed())
		}
		old.leave() // late, as a transport does
		time.Sleep(time.Second)
		st, _ := s.State("a")
		if len(st.Participants) != 1 || len(layout(t, s, gallery)) != 1 {
			t.Errorf("a ghost: %+v", st)
		}
		if got := again.at(layout(t, s, gallery)["r"]); !got.near(green) {
			t.Errorf("sees %v, want the new camera", got)
		}
		again.leave()
	})
}

func TestUnseenIsNotDecoded(t *testing.T) {
	inRoom(t, nil, func(t *testing.T, s *Server) {
		cam := newCamera(t, red, 0)
		ctx, stop := context.WithCancel(t.Context())
		pub, err := s.Publish(ctx, "a", Identity{ID: "r"}, cam)
		if err != nil {
			t.Fatal(err)
		}
		go cam.play(ctx, pub)
		time.Sleep(time.Second)
		if n := pub.count.decoded.Load(); n != 0 {
			t.Errorf("%d units decoded for nobody", n)
		}
		img, err := s.Snapshot(ctx, "a")
		if err != nil {
			t.Fatal(err)
		}
		if b := img.Bounds(); b.Dx() != 1280 || b.Dy() != 720 {
			t.Errorf("snapshot of %v", b)
		}
		if n := pub.count.decoded.Load(); n == 0 {
			t.Error("a snapshot decodes nobody")
		}
		viewer := newScreen(t)
		sub, err := s.Subscribe(ctx, "a", Identity{ID: "v", Role: Viewer}, viewer, Want{})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if ask := cam.lastAsk(); !ask.Active || ask.Width != 1280 || ask.FPS != 25 {
			t.Errorf("asked for %+v", ask)
		}
		if got := viewer.at(layout(t, s, gallery)["r"]); !got.near(red) {
			t.Errorf("the viewer sees %v", got)
		}
		stop()
		time.Sleep(time.Second)
		lively := viewer.at(Tile{W: 1000, H: 1000})
		time.Sleep(6 * time.Second)
		if dim := viewer.at(Tile{W: 1000, H: 1000}); dim.y > lively.y-20 {
			t.Errorf("7 s without a picture: luma %d, was %d", dim.y, lively.y)
		}
		sub.Close()
		viewer.release()
	})
}

func TestMuteAndRemove(t *testing.T) {
	inRoom(t, nil, func(t *testing.T, s *Server) {
		a, b := join(t, s, "r", red, 500, "360p"), join(t, s, "g", green, 1100, "360p")
		time.Sleep(time.Second)
		yes := true
		if err := s.Mute("a", "r", &yes, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if level := codectest.ToneLevel(b.heard(9600), soundRate, 500); level > -70 {
			t.Errorf("a muted voice is heard at %.1f dB", level)
		}
		if err := s.Remove("a", "r"); err != nil {
			t.Fatal(err)
		}
		if !errors.Is(a.camera.closed(), ErrRemoved) {
			t.Errorf("removed with %v", a.camera.closed())
		}
		if err := s.Remove("a", "r"); !errors.Is(err, ErrNoParticipant) {
			t.Errorf("removed twice: %v", err)
		}
		a.leave()
		b.leave()
	})
}

func TestWatch(t *testing.T) {
	inRoom(t, nil, func(t *testing.T, s *Server) {
		ctx, cancel := context.WithCancel(t.Context())
		w, err := s.Watch(ctx, "a")
		if err != nil {
			t.Fatal(err)
		}
		if st := <-w; len(st.Participants) != 0 {
			t.Errorf("first state: %+v", st)
		}
		p := join(t, s, "r", red, 500, "360p")
		time.Sleep(time.Second)
		if st := <-w; len(st.Participants) != 1 || !st.Participants[0].Open || !st.Participants[0].Video {
			t.Errorf("newest state: %+v", st)
		}
		cancel()
		synctest.Wait()
		if _, open := <-w; open {
			if _, open = <-w; open {
				t.Error("the channel stays open")
			}
		}
		p.leave()
	})
}
