package mixer_test

import (
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mixdown/codec"
	"mixdown/codec/ffmpeg"
	"mixdown/mixer"
	"mixdown/mixer/record"
)

// total reads a metric without labels.
func (s *studio) total(t *testing.T, name string) float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(s.rooms, s.recorder)
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == name {
			return f.Metric[0].GetCounter().GetValue() + f.Metric[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// tiny mounts a file system of that many bytes.
func tiny(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount a small disk")
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("no small disk to be had: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// TestDiskFull fills the disk under two recordings: at the threshold they
// pause and say so, and go on when there is space again; where there is no threshold,
// writing fails, and what there is plays. The room notices nothing of either.
func TestDiskFull(t *testing.T) {
	dir := tiny(t, "12m")
	var paused, broken mixer.Recording
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t, dir, 0, func(c *record.Config) { c.MinFree = 4 << 20 })
		defer s.close()
		var err error
		if paused, err = s.recorder.Start(t.Context(), "a", "", mixer.RecordingSpec{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Second)
		ballast := filepath.Join(dir, "ballast")
		if err := os.WriteFile(ballast, make([]byte, 9<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		rec, _ := s.recorder.Get("a", paused.ID)
		if rec.State != mixer.RecordingPaused || !strings.HasPrefix(rec.Reason, "disk: ") || !slices.Contains(s.types(), "paused") {
			t.Errorf("at the threshold: %s (%s), events %v", rec.State, rec.Reason, s.types())
		}
		if _, err := s.recorder.Start(t.Context(), "a", "", mixer.RecordingSpec{}); !errors.Is(err, mixer.ErrNoSpace) {
			t.Errorf("another one: %v, want %v", err, mixer.ErrNoSpace)
		}
		if st, _ := s.rooms.State("a"); st.Recording {
			t.Error("the mark shows while all is paused")
		}
		os.Remove(ballast)
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if rec, _ := s.recorder.Get("a", paused.ID); rec.State != mixer.RecordingRuns || !slices.Contains(s.types(), "resumed") {
			t.Errorf("with space again: %s, events %v", rec.State, s.types())
		}
		if _, err := s.recorder.Stop("a", paused.ID); err != nil {
			t.Error(err)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		paused, _ = s.recorder.Get("a", paused.ID)
	})
	if paused.State != mixer.RecordingDone || math.Abs(paused.Length-8) > 2.5 {
		t.Errorf("afterwards: %s, %v s", paused.State, paused.Length)
	}
	watch(t, filepath.Join(dir, "a", paused.ID, "programme.mp4"))

	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t, dir, 0, func(c *record.Config) { c.MinFree = 0 })
		defer s.close()
		var err error
		if broken, err = s.recorder.Start(t.Context(), "a", "", mixer.RecordingSpec{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Second)
		ballast, err := os.Create(filepath.Join(dir, "ballast"))
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = ballast.Write(make([]byte, 64<<10))
		}
		pictures := s.total(t, "mixdown_tier_pictures_total")
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if !slices.Contains(s.types(), "failed") {
			t.Errorf("events on a full disk: %v", s.types())
		}
		if _, err := s.rooms.Subscribe(t.Context(), "a", mixer.Identity{ID: "v", Role: mixer.Viewer}, blind{}, mixer.Want{}); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if late := s.total(t, "mixdown_sound_ticks_skipped_total"); late != 0 {
			t.Errorf("%v ticks of sound were left out", late)
		}
		if n := s.total(t, "mixdown_tier_pictures_total"); n < pictures+20 {
			t.Errorf("the room makes no pictures any more: %v, then %v", pictures, n)
		}
		ballast.Close()
		os.Remove(ballast.Name())
		broken, _ = s.recorder.Get("a", broken.ID)
	})
	if broken.State != mixer.RecordingFailed || !strings.Contains(broken.Reason, "no space") {
		t.Errorf("on a full disk: %s (%s)", broken.State, broken.Reason)
	}
	if f := watchCut(t, filepath.Join(dir, "a", broken.ID, "programme.mp4")); f < 3 {
		t.Errorf("%v s play of 4 before the disk was full", f)
	}
}

// blind is a Sink that looks at nothing.
type blind struct{}

func (blind) Codecs() []string           { return []string{"VP8", "opus"} }
func (blind) WriteVideo([]*mixer.Packet) {}
func (blind) WriteAudio(*mixer.Packet)   {}
func (blind) Close(error)                {}

// watchCut is how much of a file plays that has no end.
func watchCut(t *testing.T, path string) float64 {
	t.Helper()
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		t.Errorf("%v %v", info, err)
	}
	whole := filepath.Join(t.TempDir(), "whole.mp4")
	d, err := ffmpeg.Remux(path, whole, codec.MuxConfig{Format: "mp4"})
	if err != nil {
		t.Error(err)
		return 0
	}
	watch(t, whole)
	return d.Seconds()
}

// slowFile takes its time for each write while it is told to.
type slowFile struct {
	io.Writer
	io.WriterAt
	slow *atomic.Bool
}

func (f slowFile) WriteAt(b []byte, at int64) (int, error) {
	if f.slow.Load() {
		time.Sleep(4 * time.Second)
	}
	return f.WriterAt.WriteAt(b, at)
}

// TestSlowDisk has a disk that takes four seconds for each write, for a minute:
// pictures are left out from keyframe to keyframe, which is told; the room goes on,
// and the file is whole.
func TestSlowDisk(t *testing.T) {
	dir := t.TempDir()
	var rec mixer.Recording
	synctest.Test(t, func(t *testing.T) {
		var slow atomic.Bool
		s := newStudio(t, dir, 0, func(c *record.Config) {
			c.NewMuxer = func(out io.Writer, cfg codec.MuxConfig) (codec.Muxer, error) {
				return ffmpeg.NewMuxer(slowFile{out, out.(io.WriterAt), &slow}, cfg)
			}
		})
		defer s.close()
		var err error
		if rec, err = s.recorder.Start(t.Context(), "a", "", mixer.RecordingSpec{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		slow.Store(true)
		time.Sleep(time.Minute)
		slow.Store(false)
		time.Sleep(10 * time.Second)
		if n := s.total(t, "mixdown_sound_ticks_skipped_total") + s.total(t, "mixdown_tier_pictures_late_total"); n != 0 {
			t.Errorf("the room was %v ticks late", n)
		}
		if n := s.total(t, "mixdown_recordings_dropped_total"); n == 0 {
			t.Error("nothing is said to be left out")
		}
		if !slices.Contains(s.types(), "dropping") {
			t.Errorf("events: %v", s.types())
		}
		if _, err := s.recorder.Stop("a", rec.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		rec, _ = s.recorder.Get("a", rec.ID)
	})
	f := watch(t, filepath.Join(dir, "a", rec.ID, "programme.mp4"))
	if rec.State != mixer.RecordingDone || math.Abs(f.length-75) > 2 || math.Abs(f.length-rec.Length) > .1 {
		t.Errorf("%s, %v s, said to be %v, want 75", rec.State, f.length, rec.Length)
	}
	if mean, worst := f.offset(t); worst > .04 {
		t.Errorf("after the holes sound is behind pictures by %v s, at most %v", mean, worst)
	}
	t.Logf("%d left out, %d flashes, %d beeps, longest picture %.1f s", rec.Dropped, len(f.flashes), len(f.beeps), f.gap)
}
