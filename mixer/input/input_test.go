package input

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mixdown/mixer"
)

func playing(st mixer.InputState) bool { return st.State == mixer.InputPlaying && st.Position > 0.3 }

func yes(b bool) *bool { return &b }

// TestFile plays a film to its end, with all that can be done to it on the way.
func TestFile(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	s.film("film.mp4", "red")
	e := s.listen()
	st := s.play(mixer.InputRequest{File: "film.mp4", Loop: true, Name: "Film"})
	if st.Duration < 1.9 || st.Duration > 2.1 || st.Pictures != "h264" || st.Sound != "aac" || st.Width != 320 || st.Height != 180 {
		t.Errorf("opened as %+v", st)
	}
	s.until(st.ID, 5*time.Second, func(st mixer.InputState) bool { return st.Repetitions > 0 && st.Position > 0.8 })
	if r, g, b := s.colour(); r < 200 || g > 60 || b > 60 {
		t.Errorf("the tile is %d,%d,%d and not red", r, g, b)
	}
	// sine's amplitude is 1/8, by 0.8: -20 dB, RMS -23.
	if level := e.tone(1000, 600*time.Millisecond); math.Abs(level+23) > 1.5 {
		t.Errorf("the tone has %.1f dBov", level)
	}
	state, err := s.rooms.State("a")
	if err != nil || len(state.Participants) != 2 || len(state.Inputs) != 1 {
		t.Fatalf("state %+v %v", state, err)
	}
	if m := state.Participants[1]; m.Name != "Film" || m.Kind != "input" || !m.Video || !m.Audio || !m.Open {
		t.Errorf("the participant is %+v", m)
	}

	volume := 0.25
	if _, err := s.inputs.ChangeInput("a", st.ID, mixer.InputChange{Volume: &volume}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(700 * time.Millisecond)
	// Not where the loop closes.
	s.until(st.ID, 3*time.Second, func(st mixer.InputState) bool { return st.Position > 0.8 && st.Position < 1.4 })
	if level := e.tone(1000, 300*time.Millisecond); math.Abs(level+35) > 1.5 {
		t.Errorf("at a quarter the tone has %.1f dBov", level)
	}
	if _, err := s.inputs.ChangeInput("a", st.ID, mixer.InputChange{Paused: yes(true)}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(700 * time.Millisecond)
	held := s.until(st.ID, time.Second, func(st mixer.InputState) bool { return st.State == mixer.InputPaused })
	if level := e.tone(1000, 300*time.Millisecond); level > -70 {
		t.Errorf("paused, the tone has %.1f dBov", level)
	}
	time.Sleep(300 * time.Millisecond)
	if now, _ := s.inputs.Input("a", st.ID); now.Position != held.Position {
		t.Errorf("paused, the position went from %v to %v", held.Position, now.Position)
	}
	if r, _, _ := s.colour(); r < 200 {
		t.Errorf("paused, the tile is no longer red: %d", r)
	}
	// On again from 1.2 s to the end.
	to := 1200 * time.Millisecond
	volume = 1
	change := mixer.InputChange{Paused: yes(false), Loop: yes(false), Position: &to, Volume: &volume}
	if _, err := s.inputs.ChangeInput("a", st.ID, change); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	ended := s.until(st.ID, 3*time.Second, func(st mixer.InputState) bool { return st.State == mixer.InputEnded })
	if took := time.Since(began); took < 600*time.Millisecond || took > 1800*time.Millisecond {
		t.Errorf("from 1.2 s to the end of 2 s took %v", took)
	}
	if ended.Stalls > 1 || ended.Error != "" {
		t.Errorf("ended as %+v", ended)
	}
	if state, _ := s.rooms.State("a"); len(state.Participants) != 1 || state.Inputs[0].State != mixer.InputEnded {
		t.Errorf("after the end: %+v", state)
	}
	if _, err := s.inputs.ChangeInput("a", st.ID, mixer.InputChange{Paused: yes(true)}); !errors.Is(err, mixer.ErrNotNow) {
		t.Errorf("pausing what ended: %v", err)
	}
}

func TestPicture(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	s.make("card.png", "-f", "lavfi", "-i", "color=blue:s=2000x1500", "-frames:v", "1")
	s.make("card.jpg", "-f", "lavfi", "-i", "color=lime:s=640x480", "-frames:v", "1")
	for name, want := range map[string][3]bool{"card.png": {false, false, true}, "card.jpg": {false, true, false}} {
		st := s.play(mixer.InputRequest{File: name})
		time.Sleep(300 * time.Millisecond)
		r, g, b := s.colour()
		if got := [3]bool{r > 180, g > 180, b > 180}; got != want {
			t.Errorf("%s is %d,%d,%d", name, r, g, b)
		}
		if err := s.inputs.RemoveInput("a", st.ID); err != nil {
			t.Fatal(err)
		}
		if state, _ := s.rooms.State("a"); len(state.Participants) != 0 {
			t.Errorf("%s stays: %+v", name, state.Participants)
		}
	}
}

// TestToldLast changes two inputs at once, over and over: what the room knows of them
// in the end is what holds.
func TestToldLast(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	s.make("card.png", "-f", "lavfi", "-i", "color=blue:s=320x180", "-frames:v", "1")
	var ids [2]string
	for i := range ids {
		ids[i] = s.play(mixer.InputRequest{File: "card.png"}).ID
		s.until(ids[i], time.Minute, func(st mixer.InputState) bool { return st.State == mixer.InputPlaying })
	}
	for n := range 1000 {
		volume := float64(n) / 1000
		var both sync.WaitGroup
		for _, id := range ids {
			both.Go(func() {
				if _, err := s.inputs.ChangeInput("a", id, mixer.InputChange{Volume: &volume}); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		state, err := s.rooms.State("a")
		if err != nil {
			t.Fatal(err)
		}
		for _, st := range state.Inputs {
			if st.Volume != volume {
				t.Fatalf("change %d: the room was told last of a volume of %v, it is %v", n, st.Volume, volume)
			}
		}
	}
}

// TestAnnouncement speaks over a tone.
func TestAnnouncement(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	s.film("film.mp4", "red")
	s.make("gong.wav", "-f", "lavfi", "-i", "sine=400:d=1.2")
	e := s.listen()
	film := s.play(mixer.InputRequest{File: "film.mp4", Loop: true})
	s.until(film.ID, 5*time.Second, playing)
	st, err := s.inputs.Announce(t.Context(), "a", mixer.InputRequest{File: "gong.wav", Volume: 1})
	if err != nil {
		t.Fatal(err)
	}
	s.until(st.ID, 5*time.Second, func(st mixer.InputState) bool { return st.Position > 0.9 })
	if gong, tone := e.tone(400, 300*time.Millisecond), e.tone(1000, 300*time.Millisecond); math.Abs(gong+21) > 1.5 || math.Abs(tone+32) > 1.5 {
		t.Errorf("gong at %.1f dBov, tone at %.1f", gong, tone)
	}
	state, _ := s.rooms.State("a")
	if len(state.Layouts[0].Tiles) != 1 {
		t.Errorf("%d tiles", len(state.Layouts[0].Tiles))
	}
	s.until(st.ID, 3*time.Second, func(st mixer.InputState) bool { return st.State == mixer.InputEnded })
	time.Sleep(900 * time.Millisecond)
	if tone := e.tone(1000, 300*time.Millisecond); math.Abs(tone+23) > 1.5 {
		t.Errorf("afterwards the tone is at %.1f dBov", tone)
	}
	words, err := s.inputs.Announce(t.Context(), "a", mixer.InputRequest{Text: "Five minutes.", Voice: "en", Volume: 1})
	if err != nil || words.Duration < 0.3 {
		t.Errorf("words: %+v %v", words, err)
	}
	if _, err := s.inputs.Announce(t.Context(), "a", mixer.InputRequest{Text: "x", Voice: "-x/../y", Volume: 1}); !errors.Is(err, mixer.ErrBadInput) {
		t.Errorf("a bad voice: %v", err)
	}
}

// TestFilesStayInside tries to lead out of the folder.
func TestFilesStayInside(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	outsideFile := filepath.Join(t.TempDir(), "secret.mp4")
	os.Rename(s.film("x.mp4", "red"), outsideFile)
	os.Symlink(outsideFile, filepath.Join(s.folder, "link.mp4"))
	os.Mkdir(filepath.Join(s.folder, "dir"), 0o700)
	syscall.Mkfifo(filepath.Join(s.folder, "pipe"), 0o600)
	s.write("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://"+outsideFile+"\n#EXT-X-ENDLIST\n")
	s.write("list.ffconcat", "ffconcat version 1.0\nfile '"+outsideFile+"'\n")
	s.write("session.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9999 RTP/AVP 0\n")
	s.write("text.mp4", "this is no film")
	rel, _ := filepath.Rel(s.folder, outsideFile)
	for name, want := range map[string]error{
		rel: mixer.ErrRefused, "../secret.mp4": mixer.ErrRefused, "a/../../secret.mp4": mixer.ErrRefused, outsideFile: mixer.ErrRefused,
		"/etc/passwd": mixer.ErrRefused, "link.mp4": mixer.ErrRefused, "..": mixer.ErrRefused,
		"dir": mixer.ErrBadInput, "pipe": mixer.ErrBadInput, "gone.mp4": mixer.ErrBadInput, "text.mp4": mixer.ErrBadInput,
		"list.m3u8": mixer.ErrBadInput, "list.ffconcat": mixer.ErrBadInput, "session.sdp": mixer.ErrBadInput, "link.mp4\x00.png": mixer.ErrRefused,
	} {
		began := time.Now()
		_, err := s.inputs.PlayIn(t.Context(), "a", mixer.InputRequest{File: name})
		if !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", name, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "root:") {
			t.Errorf("%q: the error repeats what is in the file: %v", name, err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%q took %v", name, took)
		}
	}
	bare := newStage(t, func(c *Config) { c.Folder = "" })
	if _, err := bare.inputs.PlayIn(t.Context(), "a", mixer.InputRequest{File: "x.mp4"}); !errors.Is(err, mixer.ErrRefused) {
		t.Errorf("without a folder: %v", err)
	}
}

// TestAddressesRefused has URLs lead where the configuration does not let them.
func TestAddressesRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil, "*")
	hit := make(chan string, 64)
	secret := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { hit <- r.URL.Path }))
	defer secret.Close()
	_, port, _ := net.SplitHostPort(secret.Listener.Addr().String())
	for _, u := range []string{
		"http://127.0.0.1:" + port + "/a", "http://localhost:" + port + "/b", "http://[::1]:" + port + "/", "http://[::ffff:127.0.0.1]:" + port + "/c",
		"http://0.0.0.0:" + port + "/d", "http://169.254.169.254/latest/meta-data", "http://10.0.0.1/", "http://192.168.0.1/x.mp4",
		"rtmp://127.0.0.1:" + port + "/live/x", "rtmps://localhost:" + port + "/live/x", "rtsp://127.0.0.1:" + port + "/e", "srt://127.0.0.1:" + port,
		"srt://localhost:" + port + "?mode=caller",
	} {
		if _, err := s.inputs.PlayIn(t.Context(), "a", mixer.InputRequest{URL: u}); !errors.Is(err, mixer.ErrRefused) {
			t.Errorf("%s: %v", u, err)
		}
	}
	for _, u := range []string{
		"file:///etc/passwd", "/etc/passwd", "concat:/etc/passwd|x", "concat:http://x/", "data:image/png;base64,AA", "pipe:0", "udp://127.0.0.1:9", "tcp://127.0.0.1:22",
		"ftp://127.0.0.1/", "gopher://127.0.0.1/", "subfile,,start,0,end,9,,:/etc/passwd", "crypto+file:/etc/passwd", "hls+file:///etc/passwd", "unix:/run/x",
		"http:///x", "http://", "http://a b/", "rtp://127.0.0.1:5004", "sdp:x", "srt://9.9.9.9:9?mode=listener", "srt://9.9.9.9:9?localaddr=127.0.0.1", "srt://9.9.9.9",
	} {
		if _, err := s.inputs.PlayIn(t.Context(), "a", mixer.InputRequest{URL: u}); !errors.Is(err, mixer.ErrBadInput) {
			t.Errorf("%s: %v", u, err)
		}
	}
	select {
	case path := <-hit:
		t.Errorf("%s was fetched", path)
	default:
	}
}

// TestNothingLeadsOn has a server that may be reached send on to ones that may not.
func TestNothingLeadsOn(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil, "127.0.0.1")
	hit := make(chan string, 64)
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	secret := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { hit <- r.URL.Path }))
	secret.Listener.Close()
	secret.Listener = l
	secret.Start()
	defer secret.Close()
	rtsp := rtspRedirect(t, "rtsp://"+l.Addr().String()+"/rtsp")
	playlist := func(line string) string {
		return "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n" + line + "\n#EXT-X-ENDLIST\n"
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, secret.URL+"/redirected", http.StatusFound)
		case "/scheme":
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		case "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		case "/list.m3u8":
			io.WriteString(w, playlist(secret.URL+"/segment.ts"))
		case "/file.m3u8":
			io.WriteString(w, playlist("file:///etc/passwd"))
		case "/concat.m3u8":
			io.WriteString(w, playlist("concat:/etc/passwd|/etc/hosts"))
		case "/key.m3u8":
			io.WriteString(w, strings.Replace(playlist("x.ts"), "#EXTINF", "#EXT-X-KEY:METHOD=AES-128,URI=\""+secret.URL+"/key\"\n#EXTINF", 1))
		case "/map.m3u8":
			io.WriteString(w, strings.Replace(playlist("x.mp4"), "#EXTINF", "#EXT-X-MAP:URI=\""+secret.URL+"/map\"\n#EXTINF", 1))
		case "/dash.mpd":
			fmt.Fprintf(w, `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT2S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>%s/dash</BaseURL></Representation></AdaptationSet></Period></MPD>`, secret.URL)
		case "/session.sdp":
			io.WriteString(w, "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9999 RTP/AVP 0\n")
		default:
			http.NotFound(w, r)
		}
	}))
	defer front.Close()
	for _, u := range []string{
		front.URL + "/redirect", front.URL + "/scheme", front.URL + "/round", front.URL + "/list.m3u8", front.URL + "/file.m3u8", front.URL + "/concat.m3u8",
		front.URL + "/key.m3u8", front.URL + "/map.m3u8", front.URL + "/dash.mpd", front.URL + "/session.sdp", front.URL + "/404", rtsp,
	} {
		_, err := s.inputs.PlayIn(t.Context(), "a", mixer.InputRequest{URL: u})
		if err == nil {
			t.Errorf("%s was played", u)
		}
		t.Logf("%s: %v", u[strings.LastIndex(u, "/"):], err)
	}
	select {
	case path := <-hit:
		t.Errorf("%s was fetched", path)
	default:
	}
}

// rtspRedirect is an RTSP server that sends everybody on.
func rtspRedirect(t *testing.T, to string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 4096)
			n, _ := c.Read(buf)
			seq := "1"
			if _, rest, ok := strings.Cut(string(buf[:n]), "CSeq: "); ok {
				seq, _, _ = strings.Cut(rest, "\r\n")
			}
			fmt.Fprintf(c, "RTSP/1.0 302 Moved\r\nCSeq: %s\r\nLocation: %s\r\n\r\n", seq, to)
			time.Sleep(100 * time.Millisecond)
			c.Close()
		}
	}()
	return "rtsp://" + l.Addr().String() + "/x"
}

// TestBrokenDownload cuts a film's connections: with parts to be had it goes on as
// if nothing had been, without it fails by name.
func TestBrokenDownload(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil, "127.0.0.1")
	file := s.film("film.mp4", "red")
	ts := s.make("film.ts", "-i", file, "-c", "copy")
	cuts := 0
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/film.mp4":
			cuts++
			http.ServeFile(&cutter{ResponseWriter: w, left: 6000}, r, file)
		case "/whole.ts":
			data, _ := os.ReadFile(ts)
			w.Write(data[:len(data)/2])
			w.(http.Flusher).Flush()
			time.Sleep(700 * time.Millisecond)
			panic(http.ErrAbortHandler)
		}
	}))
	defer web.Close()
	st := s.play(mixer.InputRequest{URL: web.URL + "/film.mp4?key=secret", Start: 500 * time.Millisecond})
	if strings.Contains(fmt.Sprint(st), "secret") {
		t.Errorf("the state tells the query: %+v", st)
	}
	end := s.until(st.ID, 10*time.Second, func(st mixer.InputState) bool { return st.State == mixer.InputEnded || st.State == mixer.InputFailed })
	if end.State != mixer.InputEnded || cuts < 3 {
		t.Errorf("after %d connections: %+v", cuts, end)
	}
	live := s.play(mixer.InputRequest{URL: web.URL + "/whole.ts"})
	s.until(live.ID, 10*time.Second, func(st mixer.InputState) bool { return st.State == mixer.InputReconnecting && st.Error != "" })
}

// cutter breaks a connection off after some bytes.
type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	if len(p) > c.left {
		c.ResponseWriter.Write(p[:c.left])
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	c.left -= len(p)
	return c.ResponseWriter.Write(p)
}

func (c *cutter) ReadFrom(r io.Reader) (int64, error) { return io.Copy(struct{ io.Writer }{c}, r) }

func FuzzRedirects(f *testing.F) {
	f.Add([]byte("RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n$\x00\x00\x04abcdRTSP/1.0 302 Found\r\n"))
	f.Add([]byte("rtsp/1.0\t302 x\n"))
	f.Add([]byte("$\x00\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		whole, pieces := new(redirects), new(redirects)
		a := whole.Inspect(data)
		var b error
		for i := range data {
			if b = pieces.Inspect(data[i : i+1]); b != nil {
				break
			}
		}
		if (a == nil) != (b == nil) {
			t.Errorf("whole %v, byte by byte %v", a, b)
		}
	})
}

func TestRedirectsAreSeen(t *testing.T) {
	for text, ok := range map[string]bool{
		"RTSP/1.0 200 OK\r\nLocation: x\r\n\r\n":        true,
		"RTSP/1.0 401 Unauthorized\r\n":                 true,
		"RTSP/1.0 302 Moved\r\n":                        false,
		"RTSP/1.0 200 OK\r\n\r\nRTSP/1.0 301 x\r\n":     false,
		"RTSP/1.0  +302 x\n":                            false,
		"rtsp/2 0303\n":                                 false,
		"$\x00\x00\x13RTSP/1.0 302 x\r\n\r\n\r\n":       true, // media
		"$\x00\x00\x02abRTSP/1.0 302 x\r\n":             false,
		strings.Repeat("a", 100) + "\nRTSP/1.0 302 x\n": false,
	} {
		if err := new(redirects).Inspect([]byte(text)); (err == nil) != ok {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

// rtmpModule is where Debian's libnginx-mod-rtmp is.
const rtmpModule = "/usr/lib/nginx/modules/ngx_rtmp_module.so"

// TestLive plays what comes at its own pace: an RTMP server whose publisher dies and
// comes back, and SRT. The stream is found again by itself, and looked for no
// longer than it should.
func TestLive(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(rtmpModule); err != nil {
		t.Skip("no RTMP server here: ", err)
	}
	var mu sync.Mutex
	var events []string
	s := newStage(t, func(c *Config) {
		c.GiveUp = 4 * time.Second
		c.Notify = func(e mixer.Event) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, e.Type)
		}
	}, "127.0.0.1")
	film := s.make("film.flv", "-f", "lavfi", "-i", "color=lime:s=320x180:r=25:d=60", "-f", "lavfi", "-i", "sine=1000:r=44100:d=60",
		"-af", "volume=0.8", "-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	s.write("nginx.conf", fmt.Sprintf(`load_module %s; daemon off; master_process off; pid %[2]s/nginx.pid; error_log %[2]s/nginx.log; events {}
		rtmp { server { listen 127.0.0.1:%[3]d; drop_idle_publisher 2s; application live { live on; idle_streams off; } } }`, rtmpModule, s.folder, port))
	s.spawn("nginx", "-p", s.folder, "-c", filepath.Join(s.folder, "nginx.conf"))
	address := fmt.Sprintf("rtmp://127.0.0.1:%d/live/x", port)
	publish := func(to string, more ...string) func() {
		return s.spawn("ffmpeg", append(append([]string{"-v", "error", "-re", "-i", film, "-c", "copy"}, more...), to)...)
	}
	stop := publish(address, "-f", "flv")
	srt := fmt.Sprintf("srt://127.0.0.1:%d", port)
	publish(srt+"?mode=listener", "-f", "mpegts")
	e := s.listen()

	var st mixer.InputState
	for end := time.Now().Add(8 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if st, err = s.inputs.PlayIn(t.Context(), "a", mixer.InputRequest{URL: address, Volume: 1}); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	s.until(st.ID, 8*time.Second, func(st mixer.InputState) bool { return st.Live && playing(st) && st.Position > 1 })
	time.Sleep(700 * time.Millisecond) // what it began with is played
	if level := e.tone(1000, 400*time.Millisecond); math.Abs(level+23) > 2 {
		t.Errorf("the tone has %.1f dBov", level)
	}
	if r, g, b := s.colour(); r > 80 || g < 180 || b > 80 {
		t.Errorf("the tile is %d,%d,%d and not green", r, g, b)
	}
	if _, err := s.inputs.ChangeInput("a", st.ID, mixer.InputChange{Paused: yes(true)}); !errors.Is(err, mixer.ErrNotNow) {
		t.Errorf("pausing what is live: %v", err)
	}
	stop()
	s.until(st.ID, 15*time.Second, func(st mixer.InputState) bool { return st.State == mixer.InputReconnecting })
	stop = publish(address, "-f", "flv")
	s.until(st.ID, 10*time.Second, func(st mixer.InputState) bool { return playing(st) && st.Reconnects > 0 })
	second := s.play(mixer.InputRequest{URL: srt + "?latency=80"})
	s.until(second.ID, 8*time.Second, playing)
	stop()
	failed := s.until(st.ID, 25*time.Second, func(st mixer.InputState) bool { return st.State == mixer.InputFailed })
	if failed.Error == "" {
		t.Error("it does not say why it failed")
	}
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(events, " "); !strings.Contains(got, "input.playing input.reconnecting") || !strings.HasSuffix(got, "input.failed") {
		t.Errorf("events: %s", got)
	}
}
