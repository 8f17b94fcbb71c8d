package ffmpeg_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"mixdown/codec"
	"mixdown/codec/catalog"
	"mixdown/codec/ffmpeg"
)

// program is two seconds of pictures at 25 a second and of a tone.
type program struct {
	tracks []codec.Track
	write  []func(m codec.Muxer) error // in order of time
}

const programLength = 2 * time.Second

func newProgram(t *testing.T, video, sound string) *program {
	t.Helper()
	p := &program{}
	set := catalog.Default()
	type event struct {
		at time.Duration
		do func(codec.Muxer) error
	}
	var events []event
	if video != "" {
		c := set.Find(video)
		enc, err := c.NewVideoEncoder(codec.VideoConfig{Width: 320, Height: 180, FPS: 25, Bitrate: 300_000})
		if err != nil {
			t.Fatal(err)
		}
		defer enc.Close()
		track := len(p.tracks)
		p.tracks = append(p.tracks, codec.Track{Codec: c, Width: 320, Height: 180})
		f := codec.NewFrame(320, 180)
		defer f.Release()
		for i := range 50 {
			f.Fill(byte(40+i*3), 100, byte(200-i))
			at := time.Duration(i) * 40 * time.Millisecond
			u, err := enc.Encode(f, at, i%25 == 0)
			if err != nil {
				t.Fatal(err)
			}
			u.Data = bytes.Clone(u.Data)
			events = append(events, event{at, func(m codec.Muxer) error { return m.Write(track, u, at, 40*time.Millisecond) }})
		}
	}
	if sound != "" {
		format := codec.AudioFormat{Rate: 48_000, Channels: 1}
		c := set.Find(sound)
		if sound == "AAC" {
			c = ffmpeg.AACRow()
		}
		enc, err := c.NewAudioEncoder(codec.AudioConfig{AudioFormat: format, Bitrate: 64_000, Frame: 20 * time.Millisecond, Complexity: 5})
		if err != nil {
			t.Fatal(err)
		}
		defer enc.Close()
		n := 960
		if f, ok := enc.(codec.Framer); ok {
			n = f.FrameSamples()
		}
		track := codec.Track{Codec: c, Format: format}
		if h, ok := enc.(codec.Header); ok {
			track.Header = h.Header()
		}
		index, padded := len(p.tracks), sound == "AAC"
		p.tracks = append(p.tracks, track)
		for i := 0; i*n < 96_000; i++ {
			pcm := make([]int16, n)
			for j := range pcm {
				pcm[j] = int16(8000 * math.Sin(2*math.Pi*440*float64(i*n+j)/48_000))
			}
			data, err := enc.Encode(pcm)
			if err != nil {
				t.Fatal(err)
			}
			u := codec.Unit{Data: bytes.Clone(data)}
			first := i * n
			if padded {
				first -= n // it is of the frame before, and the muxer knows of its padding
				first += 1024
			}
			at := time.Duration(first) * time.Second / 48_000
			events = append(events, event{at, func(m codec.Muxer) error {
				return m.Write(index, u, at, time.Duration(n)*time.Second/48_000)
			}})
		}
	}
	for len(events) > 0 {
		first := 0
		for i := range events {
			if events[i].at < events[first].at {
				first = i
			}
		}
		p.write = append(p.write, events[first].do)
		events = append(events[:first], events[first+1:]...)
	}
	return p
}

// probed is what ffprobe says of a file.
type probed struct {
	Format  struct{ Duration string }
	Streams []struct {
		CodecName string `json:"codec_name"`
		StartTime string `json:"start_time"`
		Frames    string `json:"nb_read_frames"`
	}
	Chapters []struct {
		Tags struct{ Title string }
	}
}

func probe(t *testing.T, path string) (p probed) {
	t.Helper()
	level := "warning"
	if filepath.Ext(path) == ".adts" {
		level = "error" // it warns of guessing how long that is
	}
	out, err := exec.Command("ffprobe", "-v", "error", "-count_frames", "-show_format", "-show_streams", "-show_chapters", "-of", "json", path).Output()
	if err != nil {
		t.Fatalf("ffprobe %s: %v", path, err)
	}
	if err := json.Unmarshal(out, &p); err != nil {
		t.Fatal(err)
	}
	complaints, err := exec.Command("ffmpeg", "-v", level, "-xerror", "-i", path, "-f", "null", "-").CombinedOutput()
	if err != nil || len(complaints) > 0 {
		t.Errorf("ffmpeg decodes %s: %v %s", filepath.Base(path), err, complaints)
	}
	return p
}

// sequence takes bytes in order only.
type sequence struct{ bytes.Buffer }

func TestMuxer(t *testing.T) {
	for _, c := range []struct {
		format, video, sound string
		options              map[string]string
	}{
		{"mp4", "H264", "AAC", map[string]string{"movflags": "frag_custom+empty_moov+default_base_moof+delay_moov"}},
		{"mp4", "H264", "opus", map[string]string{"movflags": "frag_custom+empty_moov+default_base_moof+delay_moov"}},
		{"mp4", "H264", "AAC", nil},
		{"matroska", "H264", "opus", nil},
		{"webm", "VP8", "opus", nil},
		{"webm", "VP9", "opus", nil},
		{"mpegts", "H264", "AAC", nil},
		{"flv", "H264", "AAC", nil},
		{"ogg", "", "opus", nil},
		{"ipod", "", "AAC", nil},
		{"adts", "", "AAC", nil},
	} {
		for _, seekable := range []bool{true, false} {
			name := c.format + "/" + c.video + c.sound + "/" + strconv.FormatBool(seekable)
			if !seekable && c.options == nil && (c.format == "mp4" || c.format == "ipod") {
				continue // they need to go back
			}
			if !seekable && c.format != "mp4" && c.format != "mpegts" && c.format != "webm" {
				continue // one is as good as another
			}
			t.Run(name, func(t *testing.T) {
				p := newProgram(t, c.video, c.sound)
				path := filepath.Join(t.TempDir(), "a."+c.format)
				file, err := os.Create(path)
				if err != nil {
					t.Fatal(err)
				}
				defer file.Close()
				cfg := codec.MuxConfig{
					Format: c.format, Options: c.options, Tracks: p.tracks, Tags: map[string]string{"title": "Ümläut"},
					Chapters: []codec.Chapter{{To: time.Second, Title: "one"}, {From: time.Second, To: 2 * time.Second, Title: "two"}},
				}
				var line sequence
				var m codec.Muxer
				if seekable {
					m, err = ffmpeg.NewMuxer(file, cfg)
				} else {
					m, err = ffmpeg.NewMuxer(&line, cfg)
				}
				if err != nil {
					t.Fatal(err)
				}
				defer m.Close()
				for i, write := range p.write {
					if err := write(m); err != nil {
						t.Fatalf("unit %d: %v", i, err)
					}
					if i%20 == 19 {
						if err := m.Flush(); err != nil {
							t.Fatal(err)
						}
					}
				}
				if err := m.Close(); err != nil {
					t.Fatal(err)
				}
				if err := m.Close(); err != nil {
					t.Error("second Close:", err)
				}
				if !seekable {
					if _, err := file.Write(line.Bytes()); err != nil {
						t.Fatal(err)
					}
				}
				got := probe(t, path)
				want := len(p.tracks)
				if c.format == "mp4" || c.format == "ipod" {
					want++ // of chapters
				}
				if len(got.Streams) != want {
					t.Fatalf("%d streams, want %d", len(got.Streams), want)
				}
				d, _ := strconv.ParseFloat(got.Format.Duration, 64)
				t.Logf("%v s, %+v, %d chapters", d, got.Streams, len(got.Chapters))
				if c.format == "adts" || (c.format != "ogg" && c.format != "mpegts" && c.format != "mp4") && !seekable {
					return // says no length
				}
				if math.Abs(d-programLength.Seconds()) > .1 {
					t.Errorf("is %v s long, want %v", d, programLength)
				}
			})
		}
	}
}

// growing are formats that play although they have no end, and what makes them so.
var growing = map[string]map[string]string{
	"mp4":      {"movflags": "frag_custom+empty_moov+default_base_moof+delay_moov"},
	"matroska": nil,
}

// grow opens a file of one of them, for a programme of H.264 and Opus.
func grow(t *testing.T, format string) (*os.File, *program, codec.Muxer) {
	t.Helper()
	p := newProgram(t, "H264", "opus")
	file, err := os.Create(filepath.Join(t.TempDir(), "cut."+format))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	m, err := ffmpeg.NewMuxer(file, codec.MuxConfig{Format: format, Options: growing[format], Tracks: p.tracks})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return file, p, m
}

// TestMuxerCutOff keeps what was flushed when no end was written.
func TestMuxerCutOff(t *testing.T) {
	for format := range growing {
		file, p, m := grow(t, format)
		for _, write := range p.write[:100] {
			if err := write(m); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.Flush(); err != nil {
			t.Fatal(err)
		}
		if got := probe(t, file.Name()); got.Streams[0].Frames != "34" && got.Streams[0].Frames != "33" {
			t.Errorf("%s: %s pictures can be decoded of a file that was cut off after 100 units", format, got.Streams[0].Frames)
		}
	}
}

// TestRemuxCutOff copies files that end anywhere: what was flushed before is there.
func TestRemuxCutOff(t *testing.T) {
	for format := range growing {
		file, p, m := grow(t, format)
		dir := t.TempDir()
		remux := func(size int64) time.Duration {
			t.Helper()
			whole, err := os.ReadFile(file.Name())
			if err != nil {
				t.Fatal(err)
			}
			cut := filepath.Join(dir, "cut")
			if err := os.WriteFile(cut, whole[:size], 0o600); err != nil {
				t.Fatal(err)
			}
			d, err := ffmpeg.Remux(cut, filepath.Join(dir, "new"), codec.MuxConfig{Format: format, Options: growing[format]})
			if err != nil {
				t.Errorf("%s cut off after %d bytes: %v", format, size, err)
			}
			return d
		}
		type flush struct {
			size   int64
			length time.Duration
		}
		var flushes []flush
		for i, write := range p.write {
			if err := write(m); err != nil {
				t.Fatal(err)
			}
			if i%50 != 49 {
				continue
			}
			if err := m.Flush(); err != nil {
				t.Fatal(err)
			}
			info, err := file.Stat()
			if err != nil {
				t.Fatal(err)
			}
			flushes = append(flushes, flush{info.Size(), remux(info.Size())})
		}
		if len(flushes) < 2 {
			t.Fatalf("%s: %d flushes", format, len(flushes))
		}
		for i, f := range flushes[:len(flushes)-1] {
			if f.length < time.Duration(i+1)*200*time.Millisecond {
				t.Fatalf("%s: %v play after %d units", format, f.length, 50*(i+1))
			}
			for size := f.size; size < flushes[i+1].size; size += 61 {
				if d := remux(size); d < f.length {
					t.Fatalf("%s cut off after %d bytes: %v play, and %v were there at %d", format, size, d, f.length, f.size)
				}
			}
		}
	}
}

func TestMuxerRefuses(t *testing.T) {
	p := newProgram(t, "H264", "opus")
	var out sequence
	if _, err := ffmpeg.NewMuxer(&out, codec.MuxConfig{Format: "nosuch", Tracks: p.tracks}); err == nil {
		t.Error("a format that does not exist was opened")
	}
	m, err := ffmpeg.NewMuxer(&out, codec.MuxConfig{Format: "matroska", Tracks: p.tracks})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Write(1, codec.Unit{Data: []byte{1}}, 0, 0); !errors.Is(err, codec.ErrEarly) {
		t.Errorf("sound before the first keyframe: %v, want %v", err, codec.ErrEarly)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if err := p.write[0](m); err == nil {
		t.Error("a closed muxer takes units")
	}
	failing := writerFunc(func([]byte) (int, error) { return 0, errors.New("disk full") })
	m, err = ffmpeg.NewMuxer(failing, codec.MuxConfig{Format: "matroska", Tracks: p.tracks})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := p.write[0](m); err == nil || err.Error() != "disk full" {
		t.Errorf("writing where nothing can be written: %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// TestDialInterrupted ends what waits for a server that says nothing.
func TestDialInterrupted(t *testing.T) {
	p := newProgram(t, "H264", "AAC")
	m, err := ffmpeg.Dial("srt://127.0.0.1:9?mode=listener&listen_timeout=60000000", 0, codec.MuxConfig{Format: "mpegts", Tracks: p.tracks})
	if err != nil {
		t.Skip(err)
	}
	defer m.Close()
	time.AfterFunc(200*time.Millisecond, m.Interrupt)
	done := make(chan error, 1)
	go func() { done <- p.write[0](m) }()
	select {
	case err := <-done:
		if err == nil {
			t.Error("somebody listens at port 9")
		}
	case <-time.After(20 * time.Second):
		t.Fatal("Interrupt does not end a call")
	}
}
