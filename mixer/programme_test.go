package mixer

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// reel is a Sink that keeps what it gets, as one that muxes would.
type reel struct {
	names []string

	mu       sync.Mutex
	pictures []*Packet
	sounds   []*Packet
	parts    int // the most packets that one picture came in
	reason   error
}

func (r *reel) Codecs() []string { return r.names }

func (r *reel) WriteVideo(picture []*Packet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pictures = append(r.pictures, picture[0])
	r.parts = max(r.parts, len(picture))
}

func (r *reel) WriteAudio(p *Packet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sounds = append(r.sounds, p)
}

func (r *reel) Close(reason error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reason = reason
}

// take returns what came since the last call.
func (r *reel) take() (pictures, sounds []*Packet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pictures, sounds = r.pictures, r.sounds
	r.pictures, r.sounds = nil, nil
	return pictures, sounds
}

// TestProgramme has two people, one who looks on, and four who record: they
// share one more encoder, whose keyframes come by time, and nobody sees them.
func TestProgramme(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t, func(c *Config) { c.MaxParticipants = 3 })
		defer s.Close()
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i, c := range []colour{{100, 60, 200}, {150, 200, 60}} {
			cam := newCamera(t, c, 300*float64(i+1))
			p, err := s.Publish(ctx, "a", Identity{ID: string(rune('x' + i)), Role: Participant}, cam)
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() { cam.play(ctx, p) })
		}
		viewer := newScreen(t)
		defer viewer.release()
		if _, err := s.Subscribe(ctx, "a", Identity{ID: "v", Role: Viewer}, viewer, Want{}); err != nil {
			t.Fatal(err)
		}
		spec := TierSpec{Width: 640, Height: 360, FPS: 25, Bitrate: 800_000, GOP: 2 * time.Second}
		var reels []*reel
		var subs []*Subscription
		for i := range 4 { // more than would find a place as people
			r := &reel{names: []string{"H264", "VP8", "opus"}}
			role := []Role{Recorder, Streamer}[i%2]
			spec.Name = string(rune('a' + i)) // does not matter
			sub, err := s.Subscribe(ctx, "a", Identity{ID: "record-" + spec.Name, Role: role}, r, Want{Programme: &spec})
			if err != nil {
				t.Fatal(err)
			}
			reels, subs = append(reels, r), append(subs, sub)
		}
		time.Sleep(9 * time.Second)
		synctest.Wait()

		st, err := s.State("a")
		if err != nil {
			t.Fatal(err)
		}
		if len(st.Participants) != 3 || !st.Recording || !st.Streaming {
			t.Errorf("%d participants, recording %v, streaming %v, want 3, true, true", len(st.Participants), st.Recording, st.Streaming)
		}
		for _, m := range st.Participants {
			if m.ID == "v" && (m.Codec != "VP8" || m.Tier != "720p") {
				t.Errorf("the viewer gets %s in tier %s, want VP8 in 720p as without recorders", m.Codec, m.Tier)
			}
		}
		if err := s.Remove("a", "record-a"); err == nil {
			t.Error("a recorder was removed as if it were somebody")
		}
		if err := s.in("a", func(r *Room) error {
			if len(r.tiers) != 2 {
				t.Errorf("%d encoders, want that of the viewer and one more", len(r.tiers))
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		var first *Packet
		for i, r := range reels {
			pictures, sounds := r.take()
			if r.parts != 1 || len(pictures) < 200 || len(sounds) < 440 {
				t.Fatalf("reel %d: %d pictures in up to %d packets, %d packets of sound", i, len(pictures), r.parts, len(sounds))
			}
			if !pictures[0].Keyframe || pictures[0].Codec.Name != "H264" {
				t.Errorf("reel %d begins with %s, keyframe %v", i, pictures[0].Codec.Name, pictures[0].Keyframe)
			}
			var keys []time.Time
			for _, p := range pictures {
				if p.Keyframe {
					keys = append(keys, p.Time)
				}
			}
			for j := 2; j < len(keys); j++ { // the second was made for a newcomer
				if d := keys[j].Sub(keys[j-1]); d != 2*time.Second {
					t.Errorf("reel %d: keyframes %d and %d are %v apart, want 2s", i, j-1, j, d)
				}
			}
			last := pictures[len(pictures)-1]
			if first == nil {
				first = last
			}
			if first != last {
				t.Errorf("reel %d has packets of its own", i)
			}
			if !bytes.HasPrefix(last.Payload, []byte{0, 0, 0, 1}) {
				t.Errorf("reel %d: a picture begins with %x, want a start code", i, last.Payload[:4])
			}
		}

		for _, sub := range subs {
			sub.Close()
		}
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if err := s.in("a", func(r *Room) error {
			if len(r.tiers) != 1 {
				t.Errorf("%d encoders after the last recorder, want 1", len(r.tiers))
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if st, _ := s.State("a"); st.Recording || st.Streaming {
			t.Error("the marks stay when nobody records")
		}
		stop()
		wg.Wait()
	})
}

func TestProgrammeRefused(t *testing.T) {
	s := newTestServer(t, nil)
	defer s.Close()
	good := TierSpec{Width: 640, Height: 360, FPS: 25, Bitrate: 800_000, GOP: time.Second}
	for name, spoil := range map[string]func(*TierSpec){
		"odd width":    func(s *TierSpec) { s.Width = 641 },
		"no pictures":  func(s *TierSpec) { s.FPS = 0 },
		"bit rate":     func(s *TierSpec) { s.Bitrate = 1 },
		"payload size": func(s *TierSpec) { s.MTU = 9000 },
		"gop":          func(s *TierSpec) { s.GOP = -1 },
	} {
		spec := good
		spoil(&spec)
		if _, err := s.Subscribe(t.Context(), "a", Identity{ID: "r", Role: Recorder}, &reel{names: []string{"H264"}}, Want{Programme: &spec}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestProgrammeCodecs: who records in a codec of its own does not make
// the room's people change theirs.
func TestProgrammeCodecs(t *testing.T) {
	s := newTestServer(t, nil)
	defer s.Close()
	r := &reel{names: []string{"VP9", "H264"}}
	sub, err := s.Subscribe(t.Context(), "a", Identity{ID: "r", Role: Recorder}, r, Want{Programme: &TierSpec{Width: 320, Height: 180, FPS: 5, Bitrate: 100_000}})
	if err != nil {
		t.Fatal(err)
	}
	if got := sub.video[0].Name; got != "VP9" {
		t.Errorf("first codec is %s, want the sink's first", got)
	}
}
