package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mixdown/api"
	"mixdown/mixer"
)

// tape is a server of its own process that can be killed, with bots in a room.
type tape struct {
	t       *testing.T
	bin     string
	dir     string
	base    string
	keys    api.Keys
	cmd     *exec.Cmd
	rtc     int
	httpNum int
}

func newTape(t *testing.T) *tape {
	t.Helper()
	bin := os.Getenv("MIXDOWN_BIN")
	if bin == "" {
		t.Skip("MIXDOWN_BIN is not set: make test sets it")
	}
	return &tape{t: t, bin: bin, dir: t.TempDir(), keys: api.Keys{ID: "tape", Secret: strings.Repeat("t", 32)}, rtc: port(t, "udp"), httpNum: port(t, "tcp")}
}

// port finds one that is free.
func port(t *testing.T, network string) int {
	t.Helper()
	if network == "udp" {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.LocalAddr().(*net.UDPAddr).Port
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (p *tape) start() {
	p.t.Helper()
	p.base = fmt.Sprintf("http://127.0.0.1:%d", p.httpNum)
	p.cmd = exec.Command(p.bin, "serve", "--http-addr", fmt.Sprintf("127.0.0.1:%d", p.httpNum), "--rtc-port", strconv.Itoa(p.rtc),
		"--rtc-address", "127.0.0.1", "--data-dir", p.dir, "--rooms-open")
	p.cmd.Env = append(os.Environ(), "MIXDOWN_API_KEY="+p.keys.ID, "MIXDOWN_API_SECRET="+p.keys.Secret, "MIXDOWN_RECORDINGS_MIN_FREE=0")
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var log bytes.Buffer
	p.cmd.Stderr = &log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		if p.t.Failed() {
			p.t.Logf("server:\n%s", log.String())
		}
	})
	for range 200 {
		if res, err := http.Get(p.base + "/readyz"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.t.Fatalf("the server does not come up: %s", log.String())
}

func (p *tape) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// bots sends people into the room until stop.
func (p *tape) bots(n int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, p.bin, "load", "--url", p.base, "--room", "a", "--bots", strconv.Itoa(n), "--duration", "60s")
	cmd.Env = append(os.Environ(), "MIXDOWN_API_KEY="+p.keys.ID, "MIXDOWN_API_SECRET="+p.keys.Secret)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	return func() { cancel(); _ = cmd.Wait() }
}

// call makes a request with a token for room and role; out may be nil.
func (p *tape) call(method, path string, room string, role mixer.Role, body string, out any) (status int) {
	p.t.Helper()
	token, err := p.keys.Mint(mixer.Identity{ID: "test", Name: "test", Role: role}, room, time.Now(), time.Hour)
	if err != nil {
		p.t.Fatal(err)
	}
	req, err := http.NewRequest(method, p.base+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, _ := io.ReadAll(res.Body)
	if out != nil {
		if err := json.Unmarshal(raw, out); err != nil {
			p.t.Fatalf("%s %s: %s: %v %s", method, path, res.Status, err, raw)
		}
	}
	return res.StatusCode
}

// plays decodes a file whole and returns its length in seconds.
func plays(t *testing.T, path string) float64 {
	t.Helper()
	out, err := exec.Command("ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", path).CombinedOutput()
	if err != nil {
		t.Errorf("ffprobe %s: %v %s", path, err, out)
	}
	complaints, err := exec.Command("ffmpeg", "-v", "warning", "-xerror", "-i", path, "-f", "null", "-").CombinedOutput()
	if err != nil || len(complaints) > 0 {
		t.Errorf("ffmpeg decodes %s: %v %s", path, err, complaints)
	}
	d, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	if err != nil {
		t.Errorf("length of %s: %v", path, err)
	}
	return d
}

// TestRecordingSurvivesKill kills a server that records, at random moments:
// twice, or MIXDOWN_KILLS times. The next process finishes the recordings, of
// which two seconds may be missing. On the way it asks for what is not to be had.
func TestRecordingSurvivesKill(t *testing.T) {
	p := newTape(t)
	kills := 2
	if v := os.Getenv("MIXDOWN_KILLS"); v != "" {
		kills, _ = strconv.Atoi(v)
	}
	const all = "/api/v1/rooms/a/recordings"
	p.start()
	defer func() { p.kill() }()
	worst := 0.
	for round := range kills {
		stop := p.bots(1)
		ids := map[string]string{}
		time.Sleep(500 * time.Millisecond)
		for _, format := range []string{"mp4", "mkv"} {
			var rec mixer.Recording
			if status := p.call("POST", all, "a", mixer.Host, `{"format":"`+format+`","width":640,"height":360,"bitrate":500000,"participants":`+strconv.FormatBool(format == "mkv")+`}`, &rec); status != http.StatusCreated {
				t.Fatalf("start: %d", status)
			}
			ids[format] = rec.ID
		}
		if round == 0 {
			p.refusals(t, ids["mp4"])
		}
		time.Sleep(1500*time.Millisecond + rand.N(2*time.Second))
		before := map[string]float64{}
		asked := time.Now()
		for format, id := range ids {
			var rec mixer.Recording
			p.call("GET", all+"/"+id, "a", mixer.Host, "", &rec)
			before[format] = rec.Length
		}
		p.kill()
		late := time.Since(asked).Seconds()
		stop()
		p.start()
		for format, id := range ids {
			var rec mixer.Recording
			for range 200 {
				p.call("GET", all+"/"+id, "a", mixer.Host, "", &rec)
				if rec.State == mixer.RecordingDone || rec.State == mixer.RecordingFailed {
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
			if rec.State != mixer.RecordingDone || !rec.Recovered {
				t.Errorf("kill %d: %s: state %s (%s), recovered %v", round, format, rec.State, rec.Reason, rec.Recovered)
				continue
			}
			lost := before[format] + late - rec.Length
			worst = max(worst, lost)
			t.Logf("kill %d: %s: %.2f s when asked %.2f s before the end, %.2f s afterwards", round, format, before[format], late, rec.Length)
			if lost > 2 {
				t.Errorf("kill %d: %s: %.2f s lost", round, format, lost)
			}
			for _, f := range rec.Files {
				path := filepath.Join(p.dir, "recordings", "a", id, f.Name)
				if f.Kind != "programme" && f.Kind != "participant" {
					continue
				}
				if d := plays(t, path); d < f.Length-.1 || d > f.Length+.1 || len(f.SHA256) != 64 {
					t.Errorf("kill %d: %s: %.2f s long, said to be %.2f, sum %q", round, f.Name, d, f.Length, f.SHA256)
				}
			}
			if status := p.call("DELETE", all+"/"+id, "a", mixer.Host, "", nil); status != http.StatusNoContent {
				t.Errorf("delete: %d", status)
			}
		}
		if left, _ := filepath.Glob(filepath.Join(p.dir, "recordings", "a", "*")); len(left) > 0 {
			t.Errorf("left after deleting all: %v", left)
		}
	}
	t.Logf("%d kills, at most %.2f s lost", kills, worst)
}

// refusals asks for what only hosts may, and for files that are none.
func (p *tape) refusals(t *testing.T, id string) {
	t.Helper()
	const all = "/api/v1/rooms/a/recordings"
	one := all + "/" + id
	p.answers(t, []asked{
		{"POST", all, "a", mixer.Participant, "{}", 403},
		{"POST", all, "a", mixer.Viewer, "{}", 403},
		{"POST", all, "b", mixer.Host, "{}", 403},
		{"GET", all, "b", mixer.Host, "", 403},
		{"GET", one, "a", mixer.Participant, "", 403},
		{"POST", one + "/stop", "a", mixer.Participant, "", 403},
		{"POST", one + "/pause", "b", mixer.Host, "", 403},
		{"DELETE", one, "a", mixer.Viewer, "", 403},
		{"DELETE", one, "a", mixer.Host, "", 409}, // it runs
		{"GET", one + "/files/programme.mp4", "a", mixer.Participant, "", 403},
		{"GET", one + "/files/programme.mp4", "b", mixer.Host, "", 403},
		{"GET", "/api/v1/rooms/b/recordings/" + id, "b", mixer.Host, "", 404}, // another room's
		{"GET", one + "/files/recording.json", "a", mixer.Host, "", 404},
		{"GET", one + "/files/..%2f..%2f..%2f..%2frooms.json", "a", mixer.Host, "", 404},
		{"GET", one + "/files/%2e%2e", "a", mixer.Host, "", 404},
		{"GET", one + "/files/%2fetc%2fpasswd", "a", mixer.Host, "", 404},
		{"GET", all + "/..", "a", mixer.Host, "", 404},
		{"GET", all + "/%2e%2e%2f%2e%2e", "a", mixer.Host, "", 404},
		{"DELETE", all + "/%2e%2e%2f%2e%2e", "a", mixer.Host, "", 404},
		{"DELETE", all + "/.", "a", mixer.Host, "", 404},
		{"POST", all, "a", mixer.Host, `{"format":"avi"}`, 400},
		{"POST", all, "a", mixer.Host, `{"format":"mp4","video":"VP8"}`, 400},
		{"POST", all, "a", mixer.Host, `{"format":"../../x"}`, 400},
		{"POST", all, "a", mixer.Host, `{"width":641}`, 400},
		{"POST", all, "a", mixer.Host, `{"split":1}`, 400},
		{"POST", all, "a", mixer.Host, `{"bitrate":-1}`, 400},
	})
}

// asked is a request, by whom of which room, and the status that answers it.
type asked struct {
	method, path, room string
	role               mixer.Role
	body               string
	want               int
}

// answers makes requests one by one.
func (p *tape) answers(t *testing.T, all []asked) {
	t.Helper()
	for _, c := range all {
		if got := p.call(c.method, c.path, c.room, c.role, c.body, nil); got != c.want {
			t.Errorf("%s %s by %s of %s %s: %d, want %d", c.method, c.path, c.role, c.room, c.body, got, c.want)
		}
	}
}

// TestInputsAndOutputsRefused asks for what only hosts may, and for addresses that
// nobody may.
func TestInputsAndOutputsRefused(t *testing.T) {
	p := newTape(t)
	p.start()
	defer func() { p.kill() }()
	const inputs, outputs, speech = "/api/v1/rooms/a/inputs", "/api/v1/rooms/a/outputs", "/api/v1/rooms/a/announcements"
	var out mixer.OutputState
	if got := p.call("POST", outputs, "a", mixer.Host, `{"format":"hls"}`, &out); got != 201 {
		t.Fatalf("an output by a host: %d", got)
	}
	one := outputs + "/" + out.ID
	var all []asked
	for _, who := range []asked{{room: "a", role: mixer.Participant}, {room: "a", role: mixer.Viewer}, {room: "b", role: mixer.Host}} {
		for _, q := range []asked{
			{method: "POST", path: inputs, body: `{"url":"https://example.org/film.mp4"}`},
			{method: "GET", path: inputs},
			{method: "PATCH", path: inputs + "/x", body: `{"paused":true}`},
			{method: "DELETE", path: inputs + "/x"},
			{method: "POST", path: speech, body: `{"text":"hello"}`},
			{method: "POST", path: outputs, body: `{"format":"hls"}`},
			{method: "GET", path: outputs},
			{method: "GET", path: one},
			{method: "DELETE", path: one},
		} {
			q.room, q.role, q.want = who.room, who.role, 403
			if q.method == "GET" && q.path == inputs && who.room == "a" {
				continue // what is played is in the state that all have
			}
			all = append(all, q)
		}
	}
	// Another room's host finds nothing of this one under its own.
	all = append(all, asked{"DELETE", "/api/v1/rooms/b/outputs/" + out.ID, "b", mixer.Host, "", 404})
	for _, to := range []string{
		"http://127.0.0.1:" + strconv.Itoa(p.httpNum) + "/metrics", "http://localhost/", "http://[::1]/", "http://0.0.0.0/",
		"http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/", "http://[::ffff:127.0.0.1]/",
		"rtmp://127.0.0.1/live", "rtsp://127.0.0.1/x", "srt://127.0.0.1:9000", "https://192.168.1.1/x.m3u8",
	} {
		all = append(all, asked{"POST", inputs, "a", mixer.Host, `{"url":"` + to + `"}`, 403})
	}
	for _, body := range []string{`{"url":"file:///etc/passwd"}`, `{"url":"concat:a|b"}`, `{"url":"gopher://example.org/"}`, `{"url":"http://2130706433/"}`, `{}`} {
		all = append(all, asked{"POST", inputs, "a", mixer.Host, body, 422})
	}
	p.answers(t, all)
	if got := p.call("GET", one, "a", mixer.Host, "", nil); got != 200 {
		t.Errorf("the output after all that: %d", got)
	}
}
