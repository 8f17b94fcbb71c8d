package ffmpeg

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"mixdown/codec"
)

// TestMedia decodes files of several kinds whole: every picture must come, in order
// and at its time, and as much sound as there is.
func TestMedia(t *testing.T) {
	dir := t.TempDir()
	source := []string{"-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=2", "-f", "lavfi", "-i", "sine=1000:r=44100:d=2"}
	for _, c := range []struct {
		name          string
		width, height int
		args          []string
	}{
		{"order.mp4", 320, 180, []string{"-c:v", "libx264", "-bf", "3", "-pix_fmt", "yuv420p", "-c:a", "aac"}},
		{"deep.mkv", 320, 180, []string{"-c:v", "libx264", "-pix_fmt", "yuv422p10le", "-c:a", "flac"}},
		{"mpeg2.ts", 320, 180, []string{"-c:v", "mpeg2video", "-c:a", "mp2"}},
		{"vp9.webm", 320, 180, []string{"-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus"}},
		{"wide.mp4", 426, 180, []string{"-vf", "setsar=4/3", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac"}},
		{"turned.mp4", 180, 320, []string{"-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(dir, c.name)
			args := append(append(append([]string{"-v", "error"}, source...), c.args...), file)
			if out, err := exec.Command("ffmpeg", args...).CombinedOutput(); err != nil {
				t.Fatalf("ffmpeg: %v\n%s", err, out)
			}
			if c.width < c.height { // only a copy is marked as turned
				flat := filepath.Join(dir, "flat.mp4")
				os.Rename(file, flat)
				if out, err := exec.Command("ffmpeg", "-v", "error", "-i", flat, "-c", "copy", "-metadata:s:v", "rotate=90", file).CombinedOutput(); err != nil {
					t.Fatalf("ffmpeg: %v\n%s", err, out)
				}
			}
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			m, err := OpenMedia(codec.MediaSource{Reader: f, Name: c.name}, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			pictures, samples := drain(t, m, c.width, c.height)
			if pictures != 50 {
				t.Errorf("%d pictures of 50", pictures)
			}
			if samples < 94_000 || samples > 100_000 {
				t.Errorf("%d samples of 96000", samples)
			}
			if err := m.Seek(time.Second); err != nil {
				t.Error(err)
			}
			if p, err := m.Read(); err != nil || p.Time() > time.Second {
				t.Errorf("after a seek to 1 s: %v", err)
			} else {
				p.Free()
			}
		})
	}
	if n := codec.LiveFrames(); n != 0 {
		t.Errorf("%d frames were not released", n)
	}
}

func drain(t *testing.T, m codec.Media, width, height int) (pictures, samples int) {
	t.Helper()
	dec, err := m.NewPictures(1280 * 720)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	ear, err := m.NewSound(codec.AudioFormat{Rate: 48000, Channels: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer ear.Close()
	take := func(got []codec.MediaPicture, err error) {
		if err != nil {
			t.Error(err)
		}
		for _, p := range got {
			if off := p.At - time.Duration(pictures)*40*time.Millisecond; off.Abs() > 90*time.Millisecond {
				t.Errorf("picture %d is of %v", pictures, p.At)
			}
			if p.Width != width || p.Height != height {
				t.Errorf("picture %d has %dx%d", pictures, p.Width, p.Height)
			}
			pictures++
			p.Release()
		}
	}
	for {
		p, err := m.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if p.Kind() == codec.Video {
			take(dec.Decode(p, nil))
		} else {
			pcm, _, err := ear.Decode(p, nil)
			if err != nil {
				t.Error(err)
			}
			samples += len(pcm)
		}
		p.Free()
	}
	take(dec.Decode(nil, nil))
	pcm, _, _ := ear.Decode(nil, nil)
	return pictures, samples + len(pcm)
}

func TestTurn(t *testing.T) {
	// 1 2 3
	// 4 5 6
	src := []byte{1, 2, 3, 0, 4, 5, 6, 0}
	for quarters, want := range map[int]string{1: "\x04\x01\x05\x02\x06\x03", 2: "\x06\x05\x04\x03\x02\x01", 3: "\x03\x06\x02\x05\x01\x04"} {
		dst := make([]byte, 6)
		stride := 3
		if quarters%2 == 1 {
			stride = 2
		}
		turnPlane(dst, stride, src, 4, 3, 2, quarters)
		if string(dst) != want {
			t.Errorf("%d quarters: %v", quarters, dst)
		}
	}
}
