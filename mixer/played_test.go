package mixer_test

import (
	"log/slog"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"mixdown/codec/ffmpeg"
	"mixdown/mixer"
	"mixdown/mixer/input"
)

// TestPlayedTogether plays a file with a flash and a beep each second into a room in
// virtual time, and compares where both are in what the room makes of it.
func TestPlayedTogether(t *testing.T) {
	folder, dir := t.TempDir(), t.TempDir()
	if out, err := exec.Command("ffmpeg", "-v", "error",
		"-f", "lavfi", "-i", "color=black:s=320x180:r=25:d=6,drawbox=c=white:t=fill:enable='lt(mod(t+0.001,1),0.2)'",
		"-f", "lavfi", "-i", "sine=1000:r=48000:d=6,volume=4:enable='lt(mod(t,1),0.2)',volume=0:enable='gte(mod(t,1),0.2)'",
		"-c:v", "libx264", "-bf", "2", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "libopus", filepath.Join(folder, "sync.mkv"),
	).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var rec mixer.Recording
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t, dir, 0, nil)
		defer s.close()
		if _, err := s.rooms.CreateRoom(mixer.RoomConfig{Name: "b"}); err != nil {
			t.Fatal(err)
		}
		inputs, err := input.New(input.Config{
			Rooms: s.rooms, Open: ffmpeg.OpenMedia, Folder: folder, Max: 1, PerRoom: 1, Channels: 1, Pixels: 320 * 180,
			Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer inputs.Close()
		if rec, err = s.recorder.Start(t.Context(), "b", "", mixer.RecordingSpec{Format: "mkv"}); err != nil {
			t.Fatal(err)
		}
		st, err := inputs.PlayIn(t.Context(), "b", mixer.InputRequest{File: "sync.mkv", Volume: 1})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if st, err = inputs.Input("b", st.ID); err != nil || st.State != mixer.InputEnded || st.Dropped > 0 || st.Stalls > 0 {
			t.Errorf("after 10 s: %+v, %v", st, err)
		}
		if _, err := s.recorder.Stop("b", rec.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
	})
	f := watch(t, filepath.Join(dir, "b", rec.ID, "programme.mkv"))
	mean, worst := f.offset(t)
	t.Logf("%d flashes, %d beeps, sound behind pictures by %.1f ms, at most %.1f", len(f.flashes), len(f.beeps), 1000*mean, 1000*worst)
	// The first is on show as soon as the tile is there, or not seen to begin.
	if len(f.flashes) < 5 || len(f.beeps) < 5 || worst > .040 {
		t.Errorf("flashes %v, beeps %v", f.flashes, f.beeps)
	}
}
