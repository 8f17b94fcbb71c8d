package cast

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"sync"
	"time"

	"mixdown/codec"
	"mixdown/mixer"
	"mixdown/mixer/output"
)

// gop is how far keyframes of a programme are apart: what players and live
// services want at most.
const gop = 2 * time.Second

// trunkKey tells trunks apart: outputs that ask for the same share all of it.
type trunkKey struct {
	room          string
	layout        string
	nameless      bool
	width, height int
	fps           float64
	bitrate       int
}

// trunk is a room's programme, coded once, for any number of outputs:
//
//	Tier, sound clock ─▶ output.Film ─▶ trunk ─┬▶ branch ─▶ output
//	                     (encodes AAC)         └▶ branch ─▶ output
//
// To the Film it is a codec.Muxer.
type trunk struct {
	film  *output.Film
	sub   *mixer.Subscription
	done  chan struct{}
	begun chan struct{} // closed once the room has let it in, or has not
	err   error         // why not
	users int           // the Outputs' mu guards it

	mu       sync.Mutex
	tracks   []codec.Track
	ready    chan struct{} // closed once tracks are known
	branches map[*branch]struct{}
}

// newTrunk is a programme that has yet to begin.
func newTrunk() *trunk {
	return &trunk{done: make(chan struct{}), begun: make(chan struct{}), ready: make(chan struct{}), branches: map[*branch]struct{}{}}
}

// run begins the programme. It ends with close, or with its room.
func (t *trunk) run(ctx context.Context, o *Outputs, key trunkKey) {
	defer close(t.begun)
	t.film = output.New(output.Config{
		Pictures: []string{"H264"}, Width: key.width, Height: key.height,
		Frame: time.Duration(float64(time.Second) / key.fps),
		Sound: o.cfg.Sound, Takes: []string{"opus"}, Bitrate: o.cfg.SoundBitrate,
		Format: codec.AudioFormat{Rate: 48_000, Channels: o.cfg.Channels},
		Flush:  time.Hour,
		Open: func(_ int, tracks []codec.Track) (codec.Muxer, error) {
			t.begin(tracks)
			return t, nil
		},
	})
	id := make([]byte, 6)
	rand.Read(id)
	who := mixer.Identity{ID: "stream-" + hex.EncodeToString(id), Name: "stream", Role: mixer.Streamer}
	t.sub, t.err = o.cfg.Rooms.Subscribe(ctx, key.room, who, t.film, mixer.Want{Programme: &mixer.TierSpec{
		Width: key.width, Height: key.height, FPS: key.fps, Bitrate: key.bitrate, GOP: gop,
		Layout: key.layout, Nameless: key.nameless,
	}})
	if t.err != nil {
		return
	}
	go func() {
		defer close(t.done)
		if err := t.film.Run(); err != nil {
			o.cfg.Log.Warn("programme ended", "room", key.room, "error", err)
		}
	}()
}

func (t *trunk) close() {
	t.sub.Close()
	t.film.End()
	<-t.done
}

func (t *trunk) begin(tracks []codec.Track) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tracks == nil {
		close(t.ready)
	}
	t.tracks = tracks
}

// attach opens a branch and asks for a keyframe to begin with.
func (t *trunk) attach(b *branch) {
	b.open()
	t.mu.Lock()
	t.branches[b] = struct{}{}
	t.mu.Unlock()
	t.sub.Resume()
}

func (t *trunk) detach(b *branch) {
	t.mu.Lock()
	delete(t.branches, b)
	t.mu.Unlock()
	b.close()
}

// Write implements codec.Muxer.
func (t *trunk) Write(track int, u codec.Unit, pts, duration time.Duration) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.branches) == 0 {
		return nil
	}
	u.Data = bytes.Clone(u.Data)
	for b := range t.branches {
		b.put(piece{u, track, pts, duration})
	}
	return nil
}

// Flush implements codec.Muxer.
func (t *trunk) Flush() error { return nil }

// Close implements codec.Muxer.
func (t *trunk) Close() error { return nil }
