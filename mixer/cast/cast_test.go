package cast

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"mixdown/codec"
	"mixdown/codec/catalog"
	"mixdown/codec/ffmpeg"
	"mixdown/mixer"
	"mixdown/mixer/input"
	"mixdown/mixer/outside"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stage is a room with a red film and a tone of 1 kHz in it, and outputs.
type stage struct {
	t       *testing.T
	dir     string
	rooms   *mixer.Server
	outputs *Outputs
}

func newStage(t *testing.T, change func(*Config), allow ...string) *stage {
	t.Helper()
	cfg := mixer.DefaultConfig()
	cfg.Log = slog.New(slog.DiscardHandler)
	rooms, err := mixer.NewServer(cfg, catalog.Default())
	if err != nil {
		t.Fatal(err)
	}
	rooms.CreateRoom(mixer.RoomConfig{Name: "a"})
	rules, err := outside.Parse(allow)
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, dir: t.TempDir(), rooms: rooms}
	c := Config{
		Rooms: rooms, Mux: ffmpeg.NewMuxer, Sound: ffmpeg.AACRow(), Rules: rules, Max: 20, PerRoom: 20, Clients: 2, Ports: [2]int{1024, 65000}, Pause: 200 * time.Millisecond,
		Dial: func(address string, limit time.Duration, cfg codec.MuxConfig) (codec.Muxer, error) {
			return ffmpeg.Dial(address, limit, cfg)
		},
		Width: 320, Height: 180, FPS: 25, Bitrate: 400_000, SoundBitrate: 64_000, Channels: 1, Log: cfg.Log,
	}
	if change != nil {
		change(&c)
	}
	s.outputs = New(c)
	t.Cleanup(func() { s.outputs.Close(); rooms.Close() })
	return s
}

// play has the film in the room.
func (s *stage) play() {
	s.t.Helper()
	s.run("ffmpeg", "-y", "-v", "error", "-f", "lavfi", "-i", "testsrc=s=320x180:r=25:d=4", "-f", "lavfi", "-i", "sine=1000:r=48000:d=4",
		"-vf", "drawbox=c=red:t=fill", "-af", "volume=0.8", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", s.file("film.mp4"))
	in, err := input.New(input.Config{
		Rooms: s.rooms, Open: ffmpeg.OpenMedia, Folder: s.dir, Max: 1, PerRoom: 1, Channels: 1, Pixels: 1 << 20, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { in.Close() })
	if _, err := in.PlayIn(s.t.Context(), "a", mixer.InputRequest{File: "film.mp4", Loop: true, Volume: 1}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) file(name string) string { return filepath.Join(s.dir, name) }

func (s *stage) run(name string, args ...string) string {
	s.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// spawn starts a program that the test stops at its end, or stop does.
func (s *stage) spawn(name string, args ...string) (stop func()) {
	s.t.Helper()
	cmd := exec.Command(name, args...)
	var said bytes.Buffer
	cmd.Stderr = &said
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
			if said.Len() > 0 {
				s.t.Logf("%s: %.600s", name, said.String())
			}
		})
	}
	s.t.Cleanup(stop)
	return stop
}

func (s *stage) start(q mixer.OutputRequest) string {
	s.t.Helper()
	st, err := s.outputs.StartOutput(s.t.Context(), "a", q)
	if err != nil {
		s.t.Fatal(err)
	}
	return st.ID
}

func (s *stage) until(id string, bound time.Duration, ok func(mixer.OutputState) bool) mixer.OutputState {
	s.t.Helper()
	for end := time.Now().Add(bound); ; time.Sleep(20 * time.Millisecond) {
		st, err := s.outputs.Output("a", id)
		if err != nil {
			s.t.Fatal(err)
		}
		if ok(st) {
			return st
		}
		if time.Now().After(end) {
			s.t.Fatalf("after %v the output is %+v", bound, st)
		}
	}
}

func live(st mixer.OutputState) bool { return st.State == mixer.OutputLive }

var (
	rms      = regexp.MustCompile(`RMS level dB: (-?[0-9.]+)`)
	duration = regexp.MustCompile(`Duration: 00:00:([0-9.]+)`)
)

// good decodes a file whole: its tone must be there, its pictures red,
// and it as long as it should.
func (s *stage) good(file string, least time.Duration) {
	s.t.Helper()
	if out := s.run("ffmpeg", "-v", "error", "-i", file, "-f", "null", "-"); out != "" {
		s.t.Errorf("%s does not decode clean: %.400s", filepath.Base(file), out)
	}
	out := s.run("ffmpeg", "-hide_banner", "-i", file, "-af", "atrim=0.5,astats=measure_perchannel=none", "-f", "null", "-")
	m := rms.FindAllStringSubmatch(out, -1)
	if len(m) == 0 {
		s.t.Errorf("%s has no sound:\n%.800s", filepath.Base(file), out)
		return
	}
	if level, _ := strconv.ParseFloat(m[len(m)-1][1], 64); level < -25 || level > -21 {
		s.t.Errorf("%s: its sound is at %v dB", filepath.Base(file), level)
	}
	if at := strings.Index(out, "frame="); at < 0 {
		s.t.Errorf("%s has no pictures", filepath.Base(file))
	}
	raw := s.run("ffmpeg", "-v", "error", "-i", file, "-frames:v", "20", "-vf", "crop=2:2:160:60,select=eq(n\\,19)", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
	if len(raw) < 3 || raw[0] < 200 || raw[1] > 60 || raw[2] > 60 {
		s.t.Errorf("%s: its picture is %v", filepath.Base(file), []byte(raw[:min(3, len(raw))]))
	}
	if d := duration.FindStringSubmatch(out); d != nil {
		if length, _ := strconv.ParseFloat(d[1], 64); length < least.Seconds() {
			s.t.Errorf("%s is only %v s long", filepath.Base(file), length)
		}
	}
}

func freePort(t *testing.T, network string) int {
	t.Helper()
	if network == "udp" {
		for {
			c, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if port := c.LocalAddr().(*net.UDPAddr).Port; port%2 == 0 && port < 60000 {
				return port
			}
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// rtmpModule is where Debian's libnginx-mod-rtmp is.
const rtmpModule = "/usr/lib/nginx/modules/ngx_rtmp_module.so"

// nginx starts a real RTMP server that keeps what it gets in its own folder.
func (s *stage) nginx(port int) (stop func()) {
	s.t.Helper()
	conf := fmt.Sprintf(`load_module %s; daemon off; master_process off; pid %[2]s/nginx.pid; error_log %[2]s/nginx.log; events {}
		rtmp { server { listen 127.0.0.1:%[3]d; application live { live on; record all; record_path %[2]s; record_unique on; } } }`, rtmpModule, s.dir, port)
	if err := os.WriteFile(s.file("nginx.conf"), []byte(conf), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return s.spawn("nginx", "-p", s.dir, "-c", s.file("nginx.conf"))
}

// secured has TLS before servers of this machine, as a provider's balancer has: it
// returns a port for each of theirs. It ends with the test.
func secured(t *testing.T, cert tls.Certificate, ports ...int) (secure []int) {
	t.Helper()
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait) // runs after the listeners' ends
	for _, port := range ports {
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		secure = append(secure, l.Addr().(*net.TCPAddr).Port)
		wg.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				wg.Go(func() { join(c, port) })
			}
		})
	}
	return secure
}

// join passes on what a client and the server at a port say, until one hangs up.
func join(c net.Conn, port int) {
	defer c.Close()
	d, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return // the server is down
	}
	defer d.Close()
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{c, d}, {d, c}} {
		go func() {
			io.Copy(way[0], way[1])
			way[0].Close()
			done <- struct{}{}
		}()
	}
	<-done
	<-done
}

// TestOutputs sends one programme to all kinds of targets, kills each and starts it
// again, and looks at what arrived.
func TestOutputs(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(rtmpModule); err != nil {
		t.Skip("no RTMP server here: ", err)
	}
	known := httptest.NewTLSServer(nil) // for its certificate
	known.Close()
	roots := x509.NewCertPool()
	roots.AddCert(known.Certificate())
	s := newStage(t, func(c *Config) { c.Roots = roots }, "127.0.0.1")
	s.play()
	rtmpPort, srtPort, rtpPort, callPort, rtspPort := freePort(t, "tcp"), freePort(t, "udp"), freePort(t, "udp"), freePort(t, "udp"), freePort(t, "tcp")
	behindPort := freePort(t, "tcp")
	secure := secured(t, known.TLS.Certificates[0], rtmpPort, behindPort)
	receive := func(name string, args ...string) func() {
		return s.spawn("ffmpeg", append(append([]string{"-y", "-v", "error", "-analyzeduration", "500000"}, args...), "-c", "copy", s.file(name))...)
	}
	rtmp := s.start(mixer.OutputRequest{URL: fmt.Sprintf("rtmp://127.0.0.1:%d/live", rtmpPort), Key: "sekret"})
	srt := s.start(mixer.OutputRequest{URL: fmt.Sprintf("srt://127.0.0.1:%d?passphrase=0123456789ab&latency=60", srtPort)})
	call := s.start(mixer.OutputRequest{URL: fmt.Sprintf("srt://:%d?mode=listener", callPort)})
	rtp := s.start(mixer.OutputRequest{URL: fmt.Sprintf("rtp://127.0.0.1:%d", rtpPort)})
	rtsp := s.start(mixer.OutputRequest{URL: fmt.Sprintf("rtsp://127.0.0.1:%d/x", rtspPort)})
	rtmps := s.start(mixer.OutputRequest{URL: fmt.Sprintf("rtmps://127.0.0.1:%d/live", secure[0]), Key: "secured"})
	rtsps := s.start(mixer.OutputRequest{URL: fmt.Sprintf("rtsps://127.0.0.1:%d/x", secure[1])})
	hls := s.start(mixer.OutputRequest{Format: "hls"})
	ts := s.start(mixer.OutputRequest{Format: "mpegts"})

	s.until(rtp, 10*time.Second, live)
	sdp, err := s.outputs.SDP("a", rtp)
	if err != nil || strings.Count(sdp, "m=") != 2 {
		t.Fatalf("sdp %q %v", sdp, err)
	}
	os.WriteFile(s.file("x.sdp"), []byte(sdp), 0o600)
	var fetched bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.outputs.Fetch(ctx, "a", ts, &fetched); err != nil {
			t.Errorf("fetch: %v", err)
		}
	})
	for _, round := range []string{"1", "2"} {
		stops := []func(){
			s.nginx(rtmpPort),
			receive("srt"+round+".ts", "-i", fmt.Sprintf("srt://127.0.0.1:%d?mode=listener&passphrase=0123456789ab", srtPort)),
			receive("call"+round+".ts", "-i", fmt.Sprintf("srt://127.0.0.1:%d?mode=caller", callPort)),
			receive("rtp"+round+".mkv", "-protocol_whitelist", "file,rtp,udp", "-i", s.file("x.sdp")),
			receive("rtsp"+round+".ts", "-rtsp_flags", "listen", "-i", fmt.Sprintf("rtsp://127.0.0.1:%d/x", rtspPort)),
			receive("rtsps"+round+".ts", "-rtsp_flags", "listen", "-i", fmt.Sprintf("rtsp://127.0.0.1:%d/x", behindPort)),
		}
		for _, id := range []string{rtmp, srt, call, rtsp, rtmps, rtsps} {
			st := s.until(id, 15*time.Second, live)
			if strings.Contains(fmt.Sprint(st), "sekret") || strings.Contains(fmt.Sprint(st), "0123456789ab") {
				t.Errorf("the state tells a key: %+v", st)
			}
		}
		time.Sleep(2500 * time.Millisecond)
		for _, stop := range stops {
			stop()
		}
		for _, id := range []string{rtmp, srt, rtsp, rtmps, rtsps} {
			s.until(id, 15*time.Second, func(st mixer.OutputState) bool { return st.State == mixer.OutputReconnecting })
		}
	}
	cancel()
	wg.Wait()
	os.WriteFile(s.file("fetched.ts"), fetched.Bytes(), 0o600)
	for _, file := range []string{"srt1.ts", "srt2.ts", "call1.ts", "call2.ts", "rtsp1.ts", "rtsp2.ts", "rtsps1.ts", "rtsps2.ts", "fetched.ts"} {
		s.good(s.file(file), 2*time.Second)
	}
	for _, key := range []string{"sekret", "secured"} {
		recorded, _ := filepath.Glob(s.file(key + "-*.flv"))
		if len(recorded) != 2 {
			t.Errorf("the RTMP server has %q", recorded)
		}
		for _, file := range recorded {
			s.good(file, 2*time.Second)
		}
	}
	for _, file := range []string{"rtp1.mkv", "rtp2.mkv"} {
		if out := s.run("ffprobe", "-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", s.file(file)); out != "h264\naac\n" {
			t.Errorf("%s has %q", file, out)
		}
	}
	s.watch(hls)
	if n := s.encoders(); n != 1 {
		t.Errorf("%v encoders for %d outputs", n, len(s.outputs.Outputs("a")))
	}
	for _, o := range s.outputs.Outputs("a") {
		if err := s.outputs.RemoveOutput("a", o.ID); err != nil {
			t.Error(err)
		}
	}
	if state, _ := s.rooms.State("a"); state.Streaming {
		t.Error("the room is still streamed")
	}
}

// encoders counts the tiers that code pictures for somebody.
func (s *stage) encoders() (n float64) {
	s.t.Helper()
	registry := prometheus.NewRegistry()
	if err := errors.Join(registry.Register(s.rooms), registry.Register(s.outputs)); err != nil {
		s.t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range families {
		switch f.GetName() {
		case "mixdown_tier_listeners":
			for _, m := range f.GetMetric() {
				if m.GetGauge().GetValue() > 0 {
					n++
				}
			}
		case "mixdown_output_programmes":
			if got := f.GetMetric()[0].GetGauge().GetValue(); got != 1 {
				s.t.Errorf("%v programmes", got)
			}
		}
	}
	return n
}

// watch fetches an HLS output as a player does.
func (s *stage) watch(id string) {
	s.t.Helper()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, err := s.outputs.HLS("a", id, strings.TrimPrefix(r.URL.Path, "/"))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		w.Write(data)
	}))
	defer web.Close()
	s.run("ffmpeg", "-y", "-v", "error", "-i", web.URL+"/index.m3u8", "-t", "5", "-c", "copy", s.file("hls.mp4"))
	s.good(s.file("hls.mp4"), 4*time.Second)
	for _, name := range []string{"../index.m3u8", "init0.mp4", "init99.mp4", "99.m4s", "-1.m4s", "01.m4s", "1.m4s ", ""} {
		if _, err := s.outputs.HLS("a", id, name); !errors.Is(err, mixer.ErrNoOutput) {
			s.t.Errorf("%q: %v", name, err)
		}
	}
}

// TestSlowTarget has a target that takes nothing: the others and the room do not
// notice, and it is given up and tried again.
func TestSlowTarget(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil, "127.0.0.1")
	s.play()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close() // and never reads
		}
	}()
	stuck := s.start(mixer.OutputRequest{URL: "rtmp://" + l.Addr().String() + "/live", Key: "x"})
	put := s.start(mixer.OutputRequest{URL: "http://" + l.Addr().String() + "/x.ts"})
	ts := s.start(mixer.OutputRequest{Format: "mpegts"})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	var got bytes.Buffer
	if err := s.outputs.Fetch(ctx, "a", ts, &got); err != nil || got.Len() < 50_000 {
		t.Errorf("beside a target that is stuck: %d bytes, %v", got.Len(), err)
	}
	st := s.until(stuck, 12*time.Second, func(st mixer.OutputState) bool { return st.Reconnects > 0 })
	if st.Error == "" {
		t.Errorf("%+v", st)
	}
	began := time.Now()
	for _, id := range []string{stuck, put} {
		if err := s.outputs.RemoveOutput("a", id); err != nil {
			t.Error(err)
		}
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("ending them took %v", took)
	}
}

func TestTargetsRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(c *Config) { c.Ports = [2]int{29000, 29009} }, "*")
	for _, u := range []string{"", "file:///tmp/x", "/tmp/x", "udp://1.2.3.4:5", "rtmp:///x", "srt://9.9.9.9", "rtp://9.9.9.9", "http://a b/", "tee:x", "pipe:1", "rtmp://9.9.9.9/a\nb"} {
		if _, err := s.outputs.StartOutput(t.Context(), "a", mixer.OutputRequest{URL: u}); !errors.Is(err, mixer.ErrBadInput) {
			t.Errorf("%q: %v", u, err)
		}
	}
	for _, u := range []string{"srt://:22?mode=listener", "srt://:28999?mode=listener"} {
		if _, err := s.outputs.StartOutput(t.Context(), "a", mixer.OutputRequest{URL: u}); !errors.Is(err, mixer.ErrRefused) {
			t.Errorf("%q: %v", u, err)
		}
	}
	for _, u := range []string{"rtmp://127.0.0.1/live/x", "rtsp://localhost/x", "srt://10.0.0.1:9", "rtp://192.168.0.1:5004", "http://169.254.169.254/x", "https://[::1]/x"} {
		id := s.start(mixer.OutputRequest{URL: u})
		s.until(id, 5*time.Second, func(st mixer.OutputState) bool {
			return st.State == mixer.OutputFailed && strings.Contains(st.Error, "not allowed")
		})
	}
	if _, err := s.outputs.StartOutput(t.Context(), "b", mixer.OutputRequest{Format: "hls"}); !errors.Is(err, mixer.ErrNoRoom) {
		t.Errorf("a room that is not there: %v", err)
	}
	if _, err := s.outputs.StartOutput(t.Context(), "a", mixer.OutputRequest{Format: "hls", Width: 17}); !errors.Is(err, mixer.ErrBadProgramme) {
		t.Errorf("a bad size: %v", err)
	}
	if err := s.rooms.DeleteRoom("a"); err != nil {
		t.Fatal(err)
	}
	for _, o := range s.outputs.all {
		<-o.done
	}
}

func TestShown(t *testing.T) {
	for text, want := range map[string]string{
		"rtmp://live.example.org/app/KEY?x=SECRET":      "rtmp://live.example.org/app/…",
		"rtmps://u:SECRET@live.example.org:443/rtmp/K":  "rtmps://live.example.org:443/rtmp/…",
		"rtmp://live.example.org/KEY":                   "rtmp://live.example.org/…",
		"srt://9.9.9.9:9000?passphrase=SECRET":          "srt://9.9.9.9:9000",
		"https://u:SECRET@example.org/in.ts?key=SECRET": "https://example.org/in.ts",
	} {
		u, kind, err := address(mixer.OutputRequest{URL: text})
		if err != nil {
			t.Fatal(err)
		}
		if got := shown(u, kind); got != want {
			t.Errorf("%s is shown as %s", text, got)
		}
	}
}

func FuzzAddress(f *testing.F) {
	for _, s := range []string{"rtmp://a/b/c", "srt://:9000?mode=listener", "rtp://[::1]:5004", "http://%41/%zz"} {
		f.Add(s, "key")
	}
	f.Fuzz(func(t *testing.T, text, key string) {
		u, kind, err := address(mixer.OutputRequest{URL: text, Key: "K3Y" + key})
		if err != nil {
			if strings.Contains(err.Error(), "K3Y") {
				t.Errorf("the error tells the key: %v", err)
			}
			return
		}
		if kind.format == "flv" && strings.Contains(shown(u, kind), "K3Y") && !strings.Contains(key, "/") && !strings.Contains(text, "K3Y") {
			t.Errorf("%q is shown as %q", text, shown(u, kind))
		}
	})
}

func FuzzSplitInit(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x08ftyp\x00\x00\x00\x08moov\x00\x00\x00\x08moof"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, err := splitInit(data); err == nil && (n < 8 || n > len(data)) {
			t.Errorf("%d of %d", n, len(data))
		}
	})
}
