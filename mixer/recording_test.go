package mixer_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mixdown/codec"
	"mixdown/codec/catalog"
	"mixdown/codec/ffmpeg"
	"mixdown/mixer"
	"mixdown/mixer/record"
)

// flasher is a Source whose picture is white, and whose sound a tone, for the
// first 200 ms of each two seconds, by its own clock.
type flasher struct {
	units [2]codec.Unit // black, white; keyframes
	pulls int
	start time.Time
	drift float64 // share by which its clock is fast
}

const (
	flashEvery = 2 * time.Second
	flashFor   = 200 * time.Millisecond
)

func newFlasher(t *testing.T, set codec.Set, drift float64) *flasher {
	t.Helper()
	f := &flasher{start: time.Now(), drift: drift}
	vp8 := set.Find("VP8")
	for i, y := range []byte{16, 235} {
		enc, err := vp8.NewVideoEncoder(codec.VideoConfig{Width: 64, Height: 36, FPS: 25, Bitrate: 200_000})
		if err != nil {
			t.Fatal(err)
		}
		frame := codec.NewFrame(64, 36)
		frame.Fill(y, 128, 128)
		u, err := enc.Encode(frame, 0, true)
		if err != nil {
			t.Fatal(err)
		}
		f.units[i] = codec.Unit{Codec: vp8, Data: slices.Clone(u.Data), Keyframe: true}
		frame.Release()
		enc.Close()
	}
	return f
}

// lit is constant from one picture to the next, so that the tone begins with
// one and the camera's rate adds nothing to what is measured.
func (f *flasher) lit(at time.Time) bool {
	since := time.Duration(float64(at.Sub(f.start).Truncate(40*time.Millisecond)) * (1 + f.drift))
	return since%flashEvery < flashFor
}

func (f *flasher) play(ctx context.Context, p *mixer.Publication) {
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for {
		now := time.Now()
		u := f.units[0]
		if f.lit(now) {
			u = f.units[1]
		}
		u.Captured, u.Arrived = now, now
		u.Timestamp = uint32(now.Sub(f.start) * 9 / 100_000)
		p.WriteUnit(u)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (f *flasher) Voice() mixer.Voice { return f }
func (f *flasher) RequestKeyframe()   {}
func (f *flasher) Ask(mixer.Ask)      {}
func (f *flasher) Close(error)        {}
func (f *flasher) Pull(pcm []int16) mixer.Heard {
	now := time.Now()
	for i := range pcm {
		at := now.Add(time.Duration(i) * time.Second / 48_000)
		pcm[i] = 0
		if f.lit(at) {
			pcm[i] = int16(8000 * math.Sin(2*math.Pi*1000*float64(f.pulls*len(pcm)+i)/48_000))
		}
	}
	f.pulls++
	return mixer.Heard{Ahead: -127, Playing: now}
}

// studio is a room with a flasher, and a recorder.
type studio struct {
	rooms    *mixer.Server
	recorder *record.Recorder
	dir      string
	mu       sync.Mutex
	events   []mixer.Event
	stop     context.CancelFunc
	playing  sync.WaitGroup
}

func newStudio(t *testing.T, dir string, drift float64, change func(*record.Config)) *studio {
	t.Helper()
	set := catalog.Default()
	cfg := mixer.DefaultConfig()
	cfg.DecodeWorkers = 1
	cfg.Programmes = 2 // for one in VP8 beside one in H.264
	cfg.Log = slog.New(slog.DiscardHandler)
	rooms, err := mixer.NewServer(cfg, set)
	if err != nil {
		t.Fatal(err)
	}
	rooms.SetVirtual()
	if _, err := rooms.CreateRoom(mixer.RoomConfig{Name: "a"}); err != nil {
		t.Fatal(err)
	}
	s := &studio{rooms: rooms, dir: dir}
	rc := record.Config{
		Dir: dir, Rooms: rooms, Sound: codec.AudioFormat{Rate: 48_000, Channels: 1}, Log: cfg.Log,
		Spec:   mixer.RecordingSpec{Format: "mp4", Width: 320, Height: 180, FPS: 25, Bitrate: 300_000},
		Codecs: codec.Set{set.Find("opus"), ffmpeg.AACRow()}, NewMuxer: ffmpeg.NewMuxer, Remux: ffmpeg.Remux, KeepLocal: true,
		Notify: func(e mixer.Event) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.events = append(s.events, e)
		},
	}
	if change != nil {
		change(&rc)
	}
	if s.recorder, err = record.Open(rc); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	f := newFlasher(t, set, drift)
	p, err := rooms.Publish(ctx, "a", mixer.Identity{ID: "f", Name: "Flash <Ä>", Role: mixer.Participant}, f)
	if err != nil {
		t.Fatal(err)
	}
	s.playing.Go(func() { f.play(ctx, p) })
	return s
}

func (s *studio) close() {
	s.recorder.Close()
	s.stop()
	s.playing.Wait()
	s.rooms.Close()
}

// types are the kinds of events so far.
func (s *studio) types() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		out = append(out, strings.TrimPrefix(e.Type, "recording."))
	}
	return out
}

// encoders reads the metric of a room.
func (s *studio) encoders(t *testing.T) (n float64) {
	t.Helper()
	reg := prometheus.NewRegistry()
	if err := reg.Register(s.rooms); err != nil {
		t.Fatal(err)
	}
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == "mixdown_room_video_encoders" {
			n += f.Metric[0].GetGauge().GetValue()
		}
	}
	return n
}

// film is what a file turned out to be.
type film struct {
	length  float64 // s
	flashes []float64
	beeps   []float64
	gap     float64 // the longest between two pictures
	onset   float64 // of sound
}

// watch decodes a file whole, and finds flashes and beeps in it.
func watch(t *testing.T, path string) (f film) {
	t.Helper()
	run := func(name string, args ...string) []byte {
		cmd := exec.Command(name, args...)
		var complaints strings.Builder
		cmd.Stderr = &complaints
		out, err := cmd.Output()
		if err != nil || complaints.Len() > 0 {
			t.Errorf("%s %s: %v %s", name, filepath.Base(path), err, complaints.String())
		}
		return out
	}
	var p struct {
		Format struct{ Duration string }
		Frames []struct {
			Type string `json:"media_type"`
			Time string `json:"best_effort_timestamp_time"`
		}
	}
	if err := json.Unmarshal(run("ffprobe", "-v", "error", "-show_frames", "-show_entries", "format=duration:frame=media_type,best_effort_timestamp_time", "-of", "json", path), &p); err != nil {
		t.Fatal(err)
	}
	f.length, _ = strconv.ParseFloat(p.Format.Duration, 64)
	var times []float64
	f.onset = math.NaN()
	for _, fr := range p.Frames {
		at, _ := strconv.ParseFloat(fr.Time, 64)
		if fr.Type == "video" {
			if n := len(times); n > 0 {
				f.gap = max(f.gap, at-times[n-1])
			}
			times = append(times, at)
		} else if math.IsNaN(f.onset) {
			f.onset = at
		}
	}
	if len(times) > 0 {
		gray := run("ffmpeg", "-v", "warning", "-i", path, "-an", "-fps_mode", "passthrough", "-vf", "scale=4:4", "-pix_fmt", "gray", "-f", "rawvideo", "-")
		if len(gray) != 16*len(times) {
			t.Errorf("%s: %d pictures decoded, %d probed", filepath.Base(path), len(gray)/16, len(times))
		}
		lit := true
		for i := 0; i+16 <= len(gray) && i/16 < len(times); i += 16 {
			now := gray[i+5] > 128
			if now && !lit {
				f.flashes = append(f.flashes, times[i/16])
			}
			lit = now
		}
	}
	if math.IsNaN(f.onset) {
		return f
	}
	pcm := run("ffmpeg", "-v", "warning", "-i", path, "-vn", "-ac", "1", "-ar", "48000", "-f", "s16le", "-")
	quiet := 0
	for i := 0; i+2 <= len(pcm); i += 2 {
		v := int16(uint16(pcm[i]) | uint16(pcm[i+1])<<8)
		if v > 1500 || v < -1500 {
			if quiet > 24_000 {
				f.beeps = append(f.beeps, f.onset+float64(i/2)/48_000)
			}
			quiet = 0
		} else {
			quiet++
		}
	}
	return f
}

// offset is how far beeps are behind their flashes, the mean and the worst.
// A picture is on show for 40 ms: what is seen at its beginning happened in its
// middle.
func (f film) offset(t *testing.T) (mean, worst float64) {
	t.Helper()
	n := 0
	for _, flash := range f.flashes {
		for _, beep := range f.beeps {
			if d := beep - flash; math.Abs(d) < .5 {
				mean += d
				worst = max(worst, math.Abs(d))
				n++
			}
		}
	}
	if n == 0 {
		t.Fatalf("no flash goes with a beep: %v %v", f.flashes, f.beeps)
	}
	return mean / float64(n), worst
}

// TestRecordings makes five recordings of a room at once, in all formats, one of
// them paused in between and one split. Together they cost two encoders: one for
// each codec of pictures.
func TestRecordings(t *testing.T) {
	if _, err := exec.LookPath("ffprobe"); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	recs := map[string]mixer.Recording{}
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t, dir, 0, nil)
		defer s.close()
		time.Sleep(time.Second)
		start := func(name string, spec mixer.RecordingSpec) {
			rec, err := s.recorder.Start(t.Context(), "a", "h", spec)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			recs[name] = rec
		}
		start("mp4", mixer.RecordingSpec{Title: "Try"})
		time.Sleep(time.Second)
		synctest.Wait()
		if n := s.encoders(t); n != 1 {
			t.Errorf("one recording: %v encoders, want 1", n)
		}
		start("mp4-opus", mixer.RecordingSpec{Audio: "opus", Split: 10})
		start("mkv", mixer.RecordingSpec{Format: "mkv", Participants: true})
		start("ogg", mixer.RecordingSpec{Format: "ogg"})
		start("m4a", mixer.RecordingSpec{Format: "m4a"})
		time.Sleep(time.Second)
		if n := s.encoders(t); n != 1 {
			t.Errorf("five recordings: %v encoders, want 1", n)
		}
		start("webm", mixer.RecordingSpec{Format: "webm"})
		time.Sleep(time.Second)
		if n := s.encoders(t); n != 2 {
			t.Errorf("with one of another codec: %v encoders, want 2", n)
		}
		if st, _ := s.rooms.State("a"); !st.Recording || len(st.Participants) != 1 {
			t.Errorf("state: recording %v, %d participants", st.Recording, len(st.Participants))
		}
		time.Sleep(4 * time.Second)
		if _, err := s.recorder.Pause("a", recs["mp4"].ID); err != nil {
			t.Error(err)
		}
		time.Sleep(3 * time.Second)
		if _, err := s.recorder.Resume("a", recs["mp4"].ID); err != nil {
			t.Error(err)
		}
		time.Sleep(7 * time.Second)
		for name, rec := range recs {
			if _, err := s.recorder.Stop("a", rec.ID); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		for name, rec := range recs {
			got, err := s.recorder.Get("a", rec.ID)
			if err != nil || got.State != mixer.RecordingDone || got.Dropped != 0 {
				t.Errorf("%s: %v, state %s %s, %d dropped", name, err, got.State, got.Reason, got.Dropped)
			}
			recs[name] = got
		}
		if types := s.types(); !slices.Contains(types, "started") || !slices.Contains(types, "paused") || !slices.Contains(types, "resumed") || !slices.Contains(types, "finishing") || !slices.Contains(types, "done") {
			t.Errorf("events: %v", types)
		}
	})
	for name, want := range map[string]float64{"mp4": 14, "mp4-opus": 16, "mkv": 16, "ogg": 16, "m4a": 16, "webm": 15} {
		rec := recs[name]
		if math.Abs(rec.Length-want) > 1 {
			t.Errorf("%s: %v s, want about %v", name, rec.Length, want)
		}
		sum := 0.
		for _, file := range rec.Files {
			path := filepath.Join(dir, "a", rec.ID, file.Name)
			if info, err := os.Stat(path); err != nil || info.Size() != file.Size || len(file.SHA256) != 64 {
				t.Errorf("%s: %s: %v, %d bytes, sum %q", name, file.Name, err, file.Size, file.SHA256)
			}
			if file.Kind != "programme" && file.Kind != "participant" {
				continue
			}
			f := watch(t, path)
			if math.Abs(f.length-file.Length) > .1 {
				t.Errorf("%s: %s is %v s long, said to be %v", name, file.Name, f.length, file.Length)
			}
			if file.Kind == "participant" {
				if len(f.flashes) < 4 || len(f.beeps) > 0 { // its sound is not tapped here
					t.Errorf("%s: %s: flashes %v, beeps %v", name, file.Name, f.flashes, f.beeps)
				}
				continue
			}
			sum += file.Length
			if len(f.beeps) < 2 {
				t.Errorf("%s: %s: %d beeps", name, file.Name, len(f.beeps))
				continue
			}
			if rec.Spec.Video == "" {
				continue
			}
			mean, worst := f.offset(t)
			t.Logf("%s: %s: %.3f s, sound behind pictures by %.1f ms, at most %.1f, longest picture %.1f ms", name, file.Name, f.length, 1000*mean, 1000*worst, 1000*f.gap)
			if worst > .040 {
				t.Errorf("%s: %s: sound and picture are up to %.1f ms apart", name, file.Name, 1000*worst)
			}
			if f.gap > .085 {
				t.Errorf("%s: %s: no picture for %.1f ms", name, file.Name, 1000*f.gap)
			}
		}
		if math.Abs(sum-rec.Length) > .1 {
			t.Errorf("%s: files of %v s, together said to be %v", name, sum, rec.Length)
		}
	}
	if n := len(slices.DeleteFunc(slices.Clone(recs["mp4-opus"].Files), func(f mixer.RecordingFile) bool { return f.Kind != "programme" })); n != 2 {
		t.Errorf("split after 10 s: %d files", n)
	}
	vtt, err := os.ReadFile(filepath.Join(dir, "a", recs["mkv"].ID, "timeline.vtt"))
	if err != nil || !strings.HasPrefix(string(vtt), "WEBVTT\n") || !strings.Contains(string(vtt), "<v Flash &lt;Ä&gt;>") {
		t.Errorf("timeline.vtt: %v %s", err, vtt)
	}
}

// TestRecordingForHours records a sender whose clock is off by 0.02 % for two
// hours of media (MIXDOWN_HOURS=2h), or half a minute of it: the last flash is as
// far from its beep as the first.
func TestRecordingForHours(t *testing.T) {
	length := 30 * time.Second
	if v := os.Getenv("MIXDOWN_HOURS"); v != "" {
		var err error
		if length, err = time.ParseDuration(v); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	var rec mixer.Recording
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t, dir, 0.0002, func(c *record.Config) {
			c.Spec.Width, c.Spec.Height, c.Spec.Bitrate = 64, 36, 50_000
		})
		defer s.close()
		var err error
		if rec, err = s.recorder.Start(t.Context(), "a", "", mixer.RecordingSpec{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(length)
		if _, err := s.recorder.Stop("a", rec.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		rec, _ = s.recorder.Get("a", rec.ID)
	})
	f := watch(t, filepath.Join(dir, "a", rec.ID, "programme.mp4"))
	if math.Abs(f.length-length.Seconds()) > .3 || math.Abs(f.length-rec.Length) > .1 {
		t.Errorf("%v s recorded, said to be %v, want %v", f.length, rec.Length, length)
	}
	n := min(len(f.flashes), len(f.beeps))
	if n < int(length/flashEvery)-2 {
		t.Fatalf("%d flashes, %d beeps", len(f.flashes), len(f.beeps))
	}
	part := n / 4
	first, firstWorst := film{flashes: f.flashes[:part], beeps: f.beeps[:part]}.offset(t)
	last, lastWorst := film{flashes: f.flashes[n-part:], beeps: f.beeps[n-part:]}.offset(t)
	t.Logf("%.3f s: sound behind pictures by %.1f ms at the start (at most %.1f), %.1f ms at the end (%.1f)", f.length, 1000*first, 1000*firstWorst, 1000*last, 1000*lastWorst)
	if firstWorst > .041 || lastWorst > .041 || math.Abs(first-last) > .015 {
		t.Error("sound and picture drift apart")
	}
}
