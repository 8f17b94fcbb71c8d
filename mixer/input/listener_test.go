package input

import (
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mixdown/codec"
	"mixdown/codec/catalog"
	"mixdown/codec/ffmpeg"
	"mixdown/mixer"
	"mixdown/mixer/outside"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(released{m}) }

// released fails the tests if a frame was not given back by any of them.
type released struct{ *testing.M }

func (r released) Run() int {
	code := r.M.Run()
	if n := codec.LiveFrames(); n != 0 && code == 0 {
		fmt.Fprintf(os.Stderr, "%d frames were not released\n", n)
		return 1
	}
	return code
}

// stage is a server with one room and what is played into it.
type stage struct {
	t      *testing.T
	rooms  *mixer.Server
	inputs *Inputs
	folder string
}

func newStage(t *testing.T, change func(*Config), allow ...string) *stage {
	t.Helper()
	cfg := mixer.DefaultConfig()
	cfg.Log = slog.New(slog.DiscardHandler)
	rooms, err := mixer.NewServer(cfg, catalog.Default())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rooms.CreateRoom(mixer.RoomConfig{Name: "a"}); err != nil {
		t.Fatal(err)
	}
	rules, err := outside.Parse(allow)
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, rooms: rooms, folder: t.TempDir()}
	espeak, _ := exec.LookPath("espeak-ng")
	c := Config{
		Rooms: rooms, Open: ffmpeg.OpenMedia, Folder: s.folder, Rules: rules, Max: 10, PerRoom: 10, GiveUp: 3 * time.Second,
		Channels: 1, Pixels: 1280 * 720, Speaker: espeak, Log: cfg.Log,
	}
	if change != nil {
		change(&c)
	}
	if s.inputs, err = New(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.inputs.Close()
		rooms.Close()
	})
	return s
}

// make has ffmpeg make a file of the folder.
func (s *stage) make(name string, args ...string) string {
	s.t.Helper()
	file := filepath.Join(s.folder, name)
	args = append(append([]string{"-y", "-v", "error"}, args...), file)
	if out, err := exec.Command("ffmpeg", args...).CombinedOutput(); err != nil {
		s.t.Fatalf("ffmpeg %v: %v\n%s", args, err, out)
	}
	return file
}

// film is pictures of one colour and a tone of 1 kHz at -20 dBov, 2 s, with pictures
// that are decoded in another order than shown.
func (s *stage) film(name, colour string) string {
	return s.make(name, "-f", "lavfi", "-i", "color="+colour+":s=320x180:r=25:d=2", "-f", "lavfi", "-i", "sine=1000:r=44100:d=2",
		"-af", "volume=0.8", "-c:v", "libx264", "-bf", "2", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac")
}

func (s *stage) play(q mixer.InputRequest) mixer.InputState {
	s.t.Helper()
	if q.Volume == 0 {
		q.Volume = 1
	}
	st, err := s.inputs.PlayIn(s.t.Context(), "a", q)
	if err != nil {
		s.t.Fatal(err)
	}
	return st
}

// until waits for an input to be as it should.
func (s *stage) until(id string, bound time.Duration, ok func(mixer.InputState) bool) mixer.InputState {
	s.t.Helper()
	for end := time.Now().Add(bound); ; time.Sleep(20 * time.Millisecond) {
		st, err := s.inputs.Input("a", id)
		if err != nil {
			s.t.Fatal(err)
		}
		if ok(st) {
			return st
		}
		if time.Now().After(end) {
			s.t.Fatalf("after %v the input is %+v", bound, st)
		}
	}
}

// colour is the snapshot's middle.
func (s *stage) colour() (r, g, b uint32) {
	s.t.Helper()
	img, err := s.rooms.Snapshot(s.t.Context(), "a")
	if err != nil {
		s.t.Fatal(err)
	}
	r, g, b, _ = img.At(img.Bounds().Dx()/2, img.Bounds().Dy()/2).RGBA()
	return r >> 8, g >> 8, b >> 8
}

// ear is somebody in the room who decodes the sound that is sent.
type ear struct {
	mu  sync.Mutex
	dec codec.AudioDecoder
	pcm []int16
}

func (s *stage) listen() *ear {
	s.t.Helper()
	dec, err := catalog.Default().Find("opus").NewAudioDecoder(codec.AudioFormat{Rate: soundRate, Channels: 1})
	if err != nil {
		s.t.Fatal(err)
	}
	e := &ear{dec: dec}
	if _, err := s.rooms.Subscribe(s.t.Context(), "a", mixer.Identity{ID: "ear", Name: "ear", Role: mixer.Viewer}, e, mixer.Want{}); err != nil {
		s.t.Fatal(err)
	}
	return e
}

func (e *ear) Codecs() []string           { return []string{"opus"} }
func (e *ear) WriteVideo([]*mixer.Packet) {}

func (e *ear) WriteAudio(p *mixer.Packet) {
	e.mu.Lock()
	defer e.mu.Unlock()
	pcm := make([]int16, 2880)
	if n, err := e.dec.Decode(p.Payload, pcm); err == nil {
		e.pcm = append(e.pcm, pcm[:n]...)
	}
}

func (e *ear) Close(error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.dec.Close()
}

// tone is the level of a frequency in the last d of what was heard, dBov.
func (e *ear) tone(hz float64, d time.Duration) float64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := int(d * soundRate / time.Second)
	if len(e.pcm) < n {
		return -127
	}
	return goertzel(e.pcm[len(e.pcm)-n:], hz)
}

// goertzel is the level of one frequency, dBov RMS.
func goertzel(pcm []int16, hz float64) float64 {
	w := 2 * math.Pi * hz / soundRate
	var re, im float64
	for i, v := range pcm {
		re += float64(v) * math.Cos(w*float64(i))
		im += float64(v) * math.Sin(w*float64(i))
	}
	amplitude := 2 * math.Hypot(re, im) / float64(len(pcm))
	return 20 * math.Log10(max(amplitude/math.Sqrt2/32768, 1e-6))
}

func (s *stage) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.folder, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// spawn starts a program that stop, or the test's end, interrupts.
func (s *stage) spawn(name string, args ...string) (stop func()) {
	s.t.Helper()
	cmd := exec.Command(name, args...)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cmd.Process.Signal(os.Interrupt)
			t := time.AfterFunc(5*time.Second, func() { cmd.Process.Kill() })
			cmd.Wait()
			t.Stop()
		})
	}
	s.t.Cleanup(stop)
	return stop
}
