package mixer_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mixdown/codec"
	"mixdown/codec/catalog"
	"mixdown/codec/ffmpeg"
	"mixdown/mixer"
	"mixdown/mixer/cast"
	"mixdown/mixer/outside"
	"mixdown/mixer/record"
)

// card is a Source of one grey picture, without sound.
type card struct {
	unit  codec.Unit
	start time.Time
}

func newCard(t *testing.T, y byte) *card {
	t.Helper()
	vp8 := catalog.Default().Find("VP8")
	enc, err := vp8.NewVideoEncoder(codec.VideoConfig{Width: 64, Height: 36, FPS: 25, Bitrate: 200_000})
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	frame := codec.NewFrame(64, 36)
	defer frame.Release()
	frame.Fill(y, 128, 128)
	u, err := enc.Encode(frame, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	return &card{unit: codec.Unit{Codec: vp8, Data: slices.Clone(u.Data), Keyframe: true}, start: time.Now()}
}

func (c *card) play(ctx context.Context, p *mixer.Publication) {
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for {
		u, now := c.unit, time.Now()
		u.Captured, u.Arrived, u.Timestamp = now, now, uint32(now.Sub(c.start)*9/100_000)
		p.WriteUnit(u)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (c *card) Voice() mixer.Voice { return nil }
func (c *card) RequestKeyframe()   {}
func (c *card) Ask(mixer.Ask)      {}
func (c *card) Close(error)        {}

// grey returns the brightness of the film's picture at a time, at points in
// thousandths of its size.
func grey(t *testing.T, path string, at float64, points ...[2]int) (out []byte) {
	t.Helper()
	const w, h = 320, 180
	raw, err := exec.Command("ffmpeg", "-v", "error", "-ss", strconv.FormatFloat(at, 'f', 3, 64), "-i", path,
		"-frames:v", "1", "-vf", "extractplanes=y", "-f", "rawvideo", "-").Output()
	if err != nil || len(raw) < w*h {
		t.Fatalf("%s at %v s: %v, %d bytes", filepath.Base(path), at, err, len(raw))
	}
	for _, p := range points {
		out = append(out, raw[p[1]*h/1000*w+p[0]*w/1000])
	}
	return out
}

// alike reports whether all of got are close to what they should be.
func alike(got, want []byte) bool {
	for i := range want {
		if d := int(got[i]) - int(want[i]); d < -8 || d > 8 {
			return false
		}
	}
	return len(got) == len(want)
}

// TestLayouts records a room screen first, while somebody shows a screen in
// between, and then by who speaks, without names. What leaves the layout open, or
// asks for the same, shares the encoder, outputs too; what asks for another one is
// refused.
func TestLayouts(t *testing.T) {
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	var first, second mixer.Recording
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t, dir, 0, nil) // "f" is who speaks
		defer s.close()
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		for i, id := range []string{"ada", "boris"} {
			c := newCard(t, []byte{80, 160}[i])
			p, err := s.rooms.Publish(ctx, "a", mixer.Identity{ID: id, Name: strings.ToUpper(id), Role: mixer.Participant}, c)
			if err != nil {
				t.Fatal(err)
			}
			s.playing.Go(func() { c.play(ctx, p) })
		}
		outputs := cast.New(cast.Config{
			Rooms: s.rooms, Sound: ffmpeg.AACRow(), Rules: outside.Rules{}, Max: 9, PerRoom: 9, Width: 1280, Height: 720, FPS: 25, Bitrate: 2_000_000,
			SoundBitrate: 64_000, Channels: 1, Log: slog.New(slog.DiscardHandler),
		})
		defer outputs.Close()
		time.Sleep(2500 * time.Millisecond)
		start := func(spec mixer.RecordingSpec) (mixer.Recording, error) {
			return s.recorder.Start(t.Context(), "a", "", spec)
		}
		var err error
		if first, err = start(mixer.RecordingSpec{Layout: "screen"}); err != nil {
			t.Fatal(err)
		}
		open, err := start(mixer.RecordingSpec{Format: "mkv"})
		if err != nil || open.Spec.Layout != "screen" {
			t.Errorf("a recording that leaves its layout open: %v, %q", err, open.Spec.Layout)
		}
		out, err := outputs.StartOutput(t.Context(), "a", mixer.OutputRequest{Format: "mpegts"})
		if err != nil || out.Layout != "screen" || out.Width != 320 || !out.Names {
			t.Errorf("an output that leaves its shape open: %v, %s %d", err, out.Layout, out.Width)
		}
		no := false
		s.rooms.SetProgrammes(1)
		for _, spec := range []mixer.RecordingSpec{{Layout: "speaker"}, {Width: 640, Height: 360}, {Names: &no}, {Format: "webm"}} {
			if _, err := start(spec); !errors.Is(err, mixer.ErrProgramme) {
				t.Errorf("%+v beside the room's programme: %v", spec, err)
			}
		}
		if _, err := outputs.StartOutput(t.Context(), "a", mixer.OutputRequest{Format: "hls", Layout: "gallery"}); !errors.Is(err, mixer.ErrProgramme) {
			t.Errorf("an output of another layout: %v", err)
		}
		if _, err := start(mixer.RecordingSpec{Layout: "mosaic"}); !errors.Is(err, mixer.ErrBadRequest) {
			t.Errorf("an unknown layout: %v", err)
		}
		if _, err := start(mixer.RecordingSpec{Format: "ogg"}); err != nil {
			t.Errorf("sound alone: %v", err)
		}
		time.Sleep(3 * time.Second)
		if n := s.encoders(t); n != 1 {
			t.Errorf("%v encoders, want 1", n)
		}
		if err := s.rooms.SetScreen("a", "boris", true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(12 * time.Second)
		if err := s.rooms.SetScreen("a", "boris", false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		for _, rec := range s.recorder.List("a") {
			if _, err := s.recorder.Stop("a", rec.ID); err != nil {
				t.Error(err)
			}
		}
		if err := outputs.RemoveOutput("a", out.ID); err != nil {
			t.Error(err)
		}
		time.Sleep(5 * time.Second)
		if second, err = start(mixer.RecordingSpec{Layout: "speaker", Names: &no}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		if _, err := s.recorder.Stop("a", second.ID); err != nil {
			t.Error(err)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
	})
	film := filepath.Join(dir, "a", first.ID, "programme.mp4")
	// Of three in a gallery ada is on the right, boris in the middle below; on a
	// stage the one has all of the left, and the others are a column.
	middle, right := [2]int{500, 700}, [2]int{750, 150}
	stage := [][2]int{{100, 500}, {400, 500}, {700, 500}}
	for _, at := range []float64{2, 17} {
		if got, want := grey(t, film, at, right, middle), []byte{80, 160}; !alike(got, want) {
			t.Errorf("a gallery at %v s: %v, want %v", at, got, want)
		}
	}
	if got, want := grey(t, film, 10, stage...), []byte{160, 160, 160}; !alike(got, want) {
		t.Errorf("a screen at 10 s: %v, want %v", got, want)
	}
	// "f" is black but while it flashes, and has the stage when it has spoken.
	film = filepath.Join(dir, "a", second.ID, "programme.mp4")
	if got := grey(t, film, 1, stage...); !alike(got, []byte{16, 16, 16}) && !alike(got, []byte{235, 235, 235}) {
		t.Errorf("who speaks: %v, want all as one", got)
	}
	vtt, err := os.ReadFile(filepath.Join(dir, "a", first.ID, "chapters.vtt"))
	if err != nil || strings.Count(string(vtt), "-->") != 3 || !strings.Contains(string(vtt), "Screen: BORIS") {
		t.Errorf("chapters.vtt: %v %s", err, vtt)
	}
	t.Logf("chapters.vtt: %s", vtt)
	var _ record.Rooms = (*mixer.Server)(nil)
}
