package load

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"mixdown/codec"
	"mixdown/codec/catalog"
)

func smallClips() ClipConfig {
	set := catalog.Default()
	return ClipConfig{Width: 320, Height: 180, FPS: 10, Bitrate: 150_000, Video: set.Find("VP8"), Audio: set.Find("opus")}
}

func TestClipIsTheSameEachTime(t *testing.T) {
	c := smallClips()
	a, err := c.Make(context.Background(), 5)
	if err != nil {
		t.Fatal(err)
	}
	b, err := c.Make(context.Background(), 5)
	if err != nil {
		t.Fatal(err)
	}
	if !a.whole(c, 5) || a.whole(c, 6) {
		t.Error("a clip is not what it says it is")
	}
	bytesOf := func(clip *Clip) (n int, sum []byte) {
		for _, p := range append(append([]Picture{}, clip.Idle...), clip.Talk...) {
			sum = append(sum, p.Data...)
			n += len(p.Data)
		}
		for _, p := range clip.Said {
			sum = append(append(sum, p.Data...), p.Level)
		}
		return n, sum
	}
	n, first := bytesOf(a)
	if _, second := bytesOf(b); !bytes.Equal(first, second) {
		t.Error("two clips of one bot differ")
	}
	if want := 2 * loopSeconds * c.Bitrate / 8; n < want*7/10 || n > want*13/10 {
		t.Errorf("pictures take %d bytes, asked for %d", n, want)
	}
}

// TestClipPlaysRoundAndRound decodes three loops of it, from each of its keyframes.
func TestClipPlaysRoundAndRound(t *testing.T) {
	c := smallClips()
	clip, err := c.Make(context.Background(), 9)
	if err != nil {
		t.Fatal(err)
	}
	dec, err := c.Video.NewVideoDecoder()
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	s := Schedule{FPS: c.FPS}
	for n := s.KeyOffset(9); n < 3*s.Loop(); n++ {
		index := s.Index(int64(n))
		pictures := clip.Idle
		if n/50%2 == 1 && n%c.FPS == s.KeyOffset(9) {
			pictures = clip.Talk
		}
		p := pictures[index]
		if p.Keyframe != (n%c.FPS == s.KeyOffset(9)) {
			t.Fatalf("frame %d: keyframe %v", n, p.Keyframe)
		}
		f, err := dec.Decode(codec.Unit{Data: clip.Idle[index].Data, Keyframe: p.Keyframe})
		if err != nil || f == nil {
			t.Fatalf("frame %d: %v %v", n, f, err)
		}
		id, got, ok := readCode(f, Area{0, 0, 320, 180}, 320.0/180)
		f.Release()
		if !ok || id != 9 || got != index {
			t.Fatalf("frame %d says %d %d %v", n, id, got, ok)
		}
	}
}

func TestClipsAreKept(t *testing.T) {
	c, dir := smallClips(), t.TempDir()
	path := filepath.Join(dir, c.key(2)+".clip")
	first, err := c.Load(context.Background(), dir, 2)
	if err != nil {
		t.Fatal(err)
	}
	made, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.Load(context.Background(), dir, 2)
	if err != nil || !bytes.Equal(again.Idle[3].Data, first.Idle[3].Data) {
		t.Fatal("the file holds another clip", err)
	}
	if kept, err := os.Stat(path); err != nil || !kept.ModTime().Equal(made.ModTime()) {
		t.Error("a clip was made twice", err)
	}
	// A broken file is made anew.
	if err := os.WriteFile(path, []byte("broken"), 0o644); err != nil {
		t.Fatal(err)
	}
	if clip, err := c.Load(context.Background(), dir, 2); err != nil || !clip.whole(c, 2) {
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 1 {
		t.Error("left behind", left, err)
	}
	if _, err := c.Load(context.Background(), filepath.Join(path, "below a file"), 2); err == nil {
		t.Error("a directory that cannot be is no error")
	}
}

func TestPeopleAreDistinctAndMove(t *testing.T) {
	distance := func(a, b *codec.Frame) (sum int) {
		for i := range a.Y {
			d := int(a.Y[i]) - int(b.Y[i])
			sum += d * d
		}
		for i := range a.U {
			d, e := int(a.U[i])-int(b.U[i]), int(a.V[i])-int(b.V[i])
			sum += d*d + e*e
		}
		return sum / len(a.Y)
	}
	live := codec.LiveFrames()
	var frames []*codec.Frame
	for id := range 12 {
		p := NewPerson(id, 320, 180)
		f, g, wide := codec.NewFrame(320, 180), codec.NewFrame(320, 180), codec.NewFrame(320, 180)
		p.Draw(f, 0, 200, 0, false)
		p.Draw(g, 50, 200, 0, false)
		p.Draw(wide, 50, 200, 1, false)
		if d := distance(f, g); d < 10 {
			t.Errorf("bot %d hardly moves: %d", id, d)
		}
		if distance(g, wide) == 0 {
			t.Errorf("bot %d does not open the mouth", id)
		}
		g.Release()
		wide.Release()
		frames = append(frames, f)
		p.Close()
		p.Close()
	}
	for i, f := range frames {
		for j := range i {
			if d := distance(f, frames[j]); d < 200 {
				t.Errorf("bots %d and %d look alike: %d", i, j, d)
			}
		}
	}
	for _, f := range frames {
		f.Release()
	}
	if n := codec.LiveFrames() - live; n != 0 {
		t.Errorf("%d frames are still held", n)
	}
}
