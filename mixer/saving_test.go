package mixer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mixdown/codec"
)

// receiver is a Sink that decodes whatever it is sent and notes gaps.
type receiver struct {
	t     *testing.T
	names []string

	mu       sync.Mutex
	released bool
	stream   uint32
	decoder  codec.VideoDecoder
	depack   codec.Depacketizer
	codecs   []string // each change
	pictures int
	width    int // of the newest picture
	last     uint32
	gap      time.Duration // longest between two pictures
	sounds   int
	sound    uint32 // timestamp of the newest
	holes    int    // in sound
}

func newReceiver(t *testing.T, names ...string) *receiver {
	return &receiver{t: t, names: append(names, "opus")}
}

func (r *receiver) Codecs() []string { return r.names }

func (r *receiver) WriteVideo(picture []*Packet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.released {
		return
	}
	first := picture[0]
	if first.Stream != r.stream {
		if !first.Keyframe {
			r.t.Error("a stream begins without a keyframe")
		}
		r.free()
		var err error
		if r.decoder, err = first.Codec.NewVideoDecoder(); err != nil {
			r.t.Error(err)
			return
		}
		r.stream, r.depack = first.Stream, first.Codec.Payload.NewDepacketizer()
		if n := len(r.codecs); n == 0 || r.codecs[n-1] != first.Codec.Name {
			r.codecs = append(r.codecs, first.Codec.Name)
		}
	}
	var unit []byte
	for _, p := range picture {
		unit, _ = r.depack.Append(unit, p.Payload)
	}
	f, err := r.decoder.Decode(codec.Unit{Codec: first.Codec, Data: append(unit, make([]byte, 64)...)[:len(unit)], Keyframe: first.Keyframe})
	if err != nil || f == nil {
		r.t.Errorf("picture %d: %v", r.pictures, err)
		return
	}
	r.width = f.Width
	f.Release()
	if r.pictures++; r.pictures > 1 {
		r.gap = max(r.gap, time.Duration(first.Timestamp-r.last)*time.Second/90_000)
	}
	r.last = first.Timestamp
}

func (r *receiver) WriteAudio(p *Packet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sounds++; r.sounds > 1 && p.Timestamp-r.sound != soundRate/50 {
		r.holes++
	}
	r.sound = p.Timestamp
}

func (r *receiver) Close(error) {}

// release ends it; what still comes is not looked at.
func (r *receiver) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free()
	r.released = true
}

// free frees the decoder. The caller holds mu.
func (r *receiver) free() {
	if r.decoder != nil {
		r.decoder.Close()
		r.decoder = nil
	}
}

// told returns what is known now and begins to count anew.
func (r *receiver) told() (pictures int, gap time.Duration, width int, codecs []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pictures, gap, width, codecs = r.pictures, r.gap, r.width, r.codecs
	r.pictures, r.gap = 0, 0
	return pictures, gap, width, slices.Clone(codecs)
}

// heard returns how many packets of sound came, and how many did not.
func (r *receiver) heard() (sounds, holes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sounds, r.holes
}

// cameras publishes n cameras, the first of which speaks.
func cameras(t *testing.T, s *Server, n int) (pubs []*Publication, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	look := newCamera(t, red, 0)
	var playing sync.WaitGroup
	for i := range n {
		cam := &camera{t: t, units: look.units}
		if i == 0 {
			cam.hz = 500
		}
		p, err := s.Publish(ctx, "a", Identity{ID: fmt.Sprintf("p%02d", i)}, cam)
		if err != nil {
			t.Fatal(err)
		}
		pubs = append(pubs, p)
		playing.Go(func() { cam.play(ctx, p) })
	}
	return pubs, func() {
		cancel()
		playing.Wait()
		for _, p := range pubs {
			p.Close()
		}
	}
}

func subscribe(t *testing.T, s *Server, id, tier string, names ...string) *receiver {
	t.Helper()
	r := newReceiver(t, names...)
	if _, err := s.Subscribe(t.Context(), "a", Identity{ID: id, Role: Viewer}, r, Want{Tier: tier}); err != nil {
		t.Fatal(err)
	}
	return r
}

// encoders lists the tiers that somebody listens to.
func encoders(s *Server) (out []string, tilesDrawn, pictures uint64) {
	r, err := s.room("a")
	if err != nil {
		return nil, 0, 0
	}
	r.do(func() {
		for key, t := range r.tiers {
			if !t.empty() {
				out = append(out, key.spec.Name+" "+key.codec)
			}
			tilesDrawn, pictures = tilesDrawn+t.count.tiles.Load(), pictures+t.count.pictures.Load()
		}
	})
	slices.Sort(out)
	return out, tilesDrawn, pictures
}

func TestOneCodecForAll(t *testing.T) {
	inRoom(t, nil, func(t *testing.T, s *Server) {
		_, stop := cameras(t, s, 3)
		var all []*receiver
		join := func(id string, names ...string) { all = append(all, subscribe(t, s, id, "360p", names...)) }
		want := func(what string, want ...string) {
			t.Helper()
			time.Sleep(5 * time.Second)
			if got, _, _ := encoders(s); !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
			for i, r := range all {
				if _, gap, _, codecs := r.told(); gap > 150*time.Millisecond {
					t.Errorf("%s: %d waited %v for a picture; its codecs %v", what, i, gap, codecs)
				}
			}
		}
		join("browser", "VP8", "H264", "VP9")
		join("another", "H264", "VP8")
		want("both take VP8", "360p VP8")
		join("gateway", "H264")
		want("a gateway that takes H.264 alone", "360p H264")
		join("old", "VP8")
		want("and one that takes VP8 alone", "360p H264", "360p VP8")
		if err := s.Remove("a", "old"); err != nil {
			t.Fatal(err)
		}
		want("without it", "360p H264")
		if err := s.Remove("a", "gateway"); err != nil {
			t.Fatal(err)
		}
		all[2].told()
		want("as at first", "360p VP8")
		stop()
		for _, r := range all {
			r.release()
		}
	})
}

// TestBudgetSpent gives a room a twentieth of what it needs, and then all of it
// again. Encoders and decoders are real, what they compute is measured; only
// the clock is not.
func TestBudgetSpent(t *testing.T) {
	change := func(c *Config) {
		c.Ladder = []TierSpec{
			{Name: "high", Width: 640, Height: 360, FPS: 20, Bitrate: 300_000, MTU: 1160, Silent: 60},
			{Name: "low", Width: 320, Height: 180, FPS: 12, Bitrate: 100_000, MTU: 1160, Silent: 60},
		}
		c.Budget = time.Hour
	}
	inRoom(t, change, func(t *testing.T, s *Server) {
		pubs, stop := cameras(t, s, 5)
		all := []*receiver{
			subscribe(t, s, "both", "high", "VP8", "H264"), subscribe(t, s, "gateway", "high", "H264"),
			subscribe(t, s, "phone", "low", "VP8"), subscribe(t, s, "old", "low", "VP8"),
		}
		ctx, cancel := context.WithCancel(t.Context())
		states, err := s.Watch(ctx, "a")
		if err != nil {
			t.Fatal(err)
		}
		var seen []Step // in the order that members are told of them
		var watching sync.WaitGroup
		watching.Go(func() {
			for st := range states {
				for _, saving := range st.Savings {
					if !slices.Contains(seen, saving.Step) {
						seen = append(seen, saving.Step)
					}
				}
			}
		})
		time.Sleep(4 * time.Second)
		full := []string{"high H264", "high VP8", "low VP8"}
		if got, _, _ := encoders(s); !slices.Equal(got, full) {
			t.Fatalf("at first %v, want %v", got, full)
		}
		demand := s.load.demand.Load()
		if demand <= 0 {
			t.Fatal("nothing is measured")
		}

		s.load.limit.Store(demand / 20)
		time.Sleep(20 * time.Second)
		st, _ := s.State("a")
		want := []Saving{{Step: Converge}, {Merge, "high", "low"}, {Step: Halve, Tier: "low"}, {Step: Rest, Tier: "low"}, {Step: Stills}}
		if !slices.Equal(st.Savings, want) {
			t.Errorf("saved %v, want %v", st.Savings, want)
		}
		if err := s.Admit("a", Identity{ID: "newcomer"}); !errors.Is(err, ErrBusy) {
			t.Errorf("a newcomer is told %v", err)
		}
		if err := s.Admit("a", Identity{ID: "phone"}); err != nil {
			t.Errorf("who is here is told %v", err)
		}
		for i, r := range all {
			// At 6 pictures a second, a move costs none.
			if n, gap, width, codecs := r.told(); gap > 350*time.Millisecond || width != 320 || n < 100 {
				t.Errorf("%d: %d pictures, longest gap %v, width %d, codecs %v", i, n, gap, width, codecs)
			}
		}
		decoded := make([]uint64, len(pubs))
		for i, p := range pubs {
			decoded[i] = p.count.decoded.Load()
		}
		_, tiles, pictures := encoders(s)
		time.Sleep(6 * time.Second)
		for i, p := range pubs {
			n := p.count.decoded.Load() - decoded[i]
			if i == 0 && n < 140 || i > 0 && (n < 1 || n > 4) {
				t.Errorf("%d: %d pictures decoded in 6 s, want all of the speaker's and stills of the others'", i, n)
			}
		}
		now, after, more := encoders(s)
		if rate := float64(after-tiles) / float64(more-pictures); rate > 2 {
			t.Errorf("%.1f of 5 tiles drawn for each picture", rate)
		}
		if !slices.Equal(now, []string{"low H264", "low VP8"}) {
			t.Errorf("encoders %v", now)
		}
		for _, r := range all {
			r.told()
		}

		s.load.limit.Store(int64(time.Hour))
		time.Sleep(10 * time.Second)
		if st, _ := s.State("a"); len(st.Savings) > 0 {
			t.Errorf("10 s after relief %v is saved", st.Savings)
		}
		if err := s.Admit("a", Identity{ID: "newcomer"}); err != nil {
			t.Errorf("a newcomer is told %v", err)
		}
		for i, r := range all {
			if _, gap, _, _ := r.told(); gap > 350*time.Millisecond {
				t.Errorf("%d: gap of %v on the way back", i, gap)
			}
		}
		time.Sleep(5 * time.Second)
		for i, r := range all {
			want := 100
			if i > 1 {
				want = 60
			}
			if n, _, width, _ := r.told(); n < want-2 || (width == 640) != (i < 2) {
				t.Errorf("%d: %d pictures of width %d in 5 s, want %d", i, n, width, want)
			}
		}
		for i, r := range all {
			if sounds, holes := r.heard(); holes > 0 || sounds < 45*50-5 {
				t.Errorf("%d: %d packets of sound in 45 s, %d holes", i, sounds, holes)
			}
		}
		if late := s.metrics.soundLate.n.Load(); late < 45*50-5 {
			t.Errorf("%d ticks of sound in 45 s", late)
		}
		cancel()
		watching.Wait()
		if order := []Step{Converge, Merge, Halve, Rest, Stills}; !slices.Equal(seen, order) {
			t.Errorf("members were told of %v, want %v", seen, order)
		}
		stop()
		s.DeleteRoom("a")
		for _, r := range all {
			r.release()
		}
	})
}

// TestLowered: a room whose only tier is too dear has the next one of the ladder in
// full motion, unless there is a screen to be read; half of the pictures are left out
// when that is not enough, and no tier is lowered twice.
func TestLowered(t *testing.T) {
	change := func(c *Config) {
		c.Ladder = []TierSpec{
			{Name: "high", Width: 640, Height: 360, FPS: 20, Bitrate: 300_000, MTU: 1160, Silent: 60},
			{Name: "mid", Width: 480, Height: 270, FPS: 20, Bitrate: 200_000, MTU: 1160, Silent: 60},
			{Name: "low", Width: 320, Height: 180, FPS: 20, Bitrate: 100_000, MTU: 1160, Silent: 60},
		}
		c.Budget = time.Hour
	}
	inRoom(t, change, func(t *testing.T, s *Server) {
		_, stop := cameras(t, s, 3)
		all := []*receiver{subscribe(t, s, "one", "high", "VP8"), subscribe(t, s, "two", "high", "VP8")}
		time.Sleep(4 * time.Second)
		r, err := s.room("a")
		if err != nil {
			t.Fatal(err)
		}
		// expect sets the budget to a share of what would be needed without saving, and says
		// what comes of it.
		full := s.load.demand.Load()
		expect := func(what string, share float64, rate, width int, want ...Saving) {
			t.Helper()
			s.load.limit.Store(int64(share * float64(full)))
			time.Sleep(15 * time.Second)
			if st, _ := s.State("a"); !slices.Equal(st.Savings, want) {
				t.Errorf("%s: saved %v, want %v", what, st.Savings, want)
			}
			for _, r := range all {
				r.told()
			}
			time.Sleep(2 * time.Second)
			for i, r := range all {
				if n, _, got, _ := r.told(); n < 2*rate-2 || n > 2*rate+2 || got != width {
					t.Errorf("%s: %d: %d pictures of width %d in 2 s, want %d of %d", what, i, n, got, 2*rate, width)
				}
			}
		}
		lower, halve := Saving{Lower, "high", "mid"}, Saving{Step: Halve, Tier: "mid"}
		expect("enough", 2, 20, 640)
		var tiers, cost time.Duration
		r.do(func() {
			keys := r.wanted(r.publishers(), nil)
			cost = r.cost(keys)
			tiers = r.cost(keys) - r.cost(r.wanted(r.publishers(), []Saving{lower}))
		})
		if saved := float64(tiers) / float64(cost); saved < .4 || saved > .5 {
			t.Errorf("lowering saves %.2f of a tier, which has 0.56 of the pixels afterwards", saved)
		}
		r.do(func() { r.setSavings([]Saving{lower}) })
		expect("lowered", 2, 20, 480, lower)
		expect("far less", .1, 10, 480, lower, halve, Saving{Step: Rest, Tier: "mid"}, Saving{Step: Stills})
		if err := s.SetScreen("a", "p01", true); err != nil {
			t.Fatal(err)
		}
		expect("a screen", .1, 10, 640, Saving{Step: Halve, Tier: "high"}, Saving{Step: Rest, Tier: "high"}, Saving{Step: Stills})
		if err := s.SetScreen("a", "p01", false); err != nil {
			t.Fatal(err)
		}
		expect("enough again", 2, 20, 640)
		expect("far less, with nothing to be read", .1, 10, 480, lower, halve, Saving{Step: Rest, Tier: "mid"}, Saving{Step: Stills})
		expect("enough at last", 2, 20, 640)
		stop()
		s.DeleteRoom("a")
		for _, r := range all {
			r.release()
		}
	})
}

func TestStepsHaveNames(t *testing.T) {
	all := []Saving{{Step: Converge}, {Merge, "high", "low"}, {Lower, "high", "low"}, {Step: Halve, Tier: "low"}, {Step: Rest, Tier: "low"}, {Step: Stills}}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"step":"merge","tier":"high","into":"low"}`; !strings.Contains(string(text), want) {
		t.Errorf("%s does not have %s", text, want)
	}
	var back []Saving
	if err := json.Unmarshal(text, &back); err != nil || !slices.Equal(back, all) {
		t.Errorf("%v, %v", back, err)
	}
	for _, wrong := range []string{`[{"step":"give up"}]`, `[{"step":""}]`} {
		if json.Unmarshal([]byte(wrong), &back) == nil {
			t.Errorf("%s is taken", wrong)
		}
	}
}

// Of 52 cameras 48 are on show, and nobody decodes the others.
func TestFiftyTwoCameras(t *testing.T) {
	inRoom(t, nil, func(t *testing.T, s *Server) {
		pubs, stop := cameras(t, s, 52)
		viewer := subscribe(t, s, "viewer", "360p", "VP8")
		time.Sleep(4 * time.Second)
		st, err := s.State("a")
		if err != nil {
			t.Fatal(err)
		}
		tiles := st.Layouts[0].Tiles
		if len(tiles) != 49 || tiles[48].More != 4 {
			t.Errorf("%d tiles, the last one %+v, want 48 and +4", len(tiles), tiles[len(tiles)-1])
		}
		for i, p := range pubs {
			n, missed := p.count.decoded.Load(), p.count.missed.Load()
			if i < 48 && (n < 75 || missed > 0) || i >= 48 && n > 0 {
				t.Errorf("camera %d: %d pictures decoded, %d missed", i, n, missed)
			}
		}
		n, gap, _, _ := viewer.told()
		if _, holes := viewer.heard(); n < 55 || gap > 100*time.Millisecond || holes > 0 {
			t.Errorf("%d pictures, longest gap %v, %d holes in sound", n, gap, holes)
		}
		stop()
		s.DeleteRoom("a")
		viewer.release()
	})
}

// Of a sender with temporal layers the base goes on being decoded.
func TestRestingKeepsTheBaseLayer(t *testing.T) {
	inRoom(t, nil, func(t *testing.T, s *Server) {
		pubs, stop := cameras(t, s, 1)
		viewer := subscribe(t, s, "viewer", "360p", "VP8")
		time.Sleep(time.Second)
		stop()
		p, err := s.Publish(t.Context(), "a", Identity{ID: "layers"}, pubs[0].src)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		p.resting.Store(true)
		units := pubs[0].src.(*camera).units
		for i := range 40 {
			u := units[1+i%4]
			if i == 0 {
				u = units[0]
			}
			u.Layers, u.Temporal = 2, uint8(i%2)
			p.WriteUnit(u)
			synctest.Wait()
		}
		if n, rested := p.count.decoded.Load(), p.count.rested.Load(); n != 20 || rested != 20 {
			t.Errorf("%d decoded, %d left out, want 20 each", n, rested)
		}
		p.Close()
		s.DeleteRoom("a")
		viewer.release()
	})
}
