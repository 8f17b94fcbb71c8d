package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mixdown/api"
	"mixdown/mixer"
)

var nextPort atomic.Int32

// freePort returns a port that was free a moment ago, for UDP and TCP, and so is the
// one behind it; each only once. The kernel gives these to nobody who asks for any
// port, so no other connection takes one before it is used.
func freePort(t *testing.T) int {
	t.Helper()
	free := func(port int) bool {
		at := fmt.Sprintf(":%d", port)
		u, err := net.ListenPacket("udp", at)
		if err != nil {
			return false
		}
		defer u.Close()
		c, err := net.Listen("tcp", at)
		if err != nil {
			return false
		}
		return c.Close() == nil
	}
	nextPort.CompareAndSwap(0, rand.Int32N(5000)) // another process may do the same
	for range 100 {
		if port := 22_000 + 2*int(nextPort.Add(1)%5000); free(port) && free(port+1) {
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// sine writes a WAVE file, mono.
func sine(t *testing.T, path string, rate int, hz float64, length time.Duration) {
	t.Helper()
	n := int(length.Seconds() * float64(rate))
	var b bytes.Buffer
	b.WriteString("RIFF")
	for _, v := range []any{uint32(36 + 2*n), []byte("WAVEfmt "), uint32(16), uint16(1), uint16(1), uint32(rate), uint32(2 * rate), uint16(2), uint16(16), []byte("data"), uint32(2 * n)} {
		_ = binary.Write(&b, binary.LittleEndian, v) // a buffer takes all
	}
	for i := range n {
		_ = binary.Write(&b, binary.LittleEndian, int16(8000*math.Sin(2*math.Pi*hz*float64(i)/float64(rate))))
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// tone is the level of a frequency in the loudest second of a file that
// baresip's sndfile wrote (16 bit, mono or stereo), in dB of full scale.
func tone(t *testing.T, path string, hz float64) float64 {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil || len(raw) < 44 {
		t.Fatalf("%s: %d bytes: %v", path, len(raw), err)
	}
	channels, rate := int(binary.LittleEndian.Uint16(raw[22:])), int(binary.LittleEndian.Uint32(raw[24:]))
	body := raw[44:]
	best := -120.0
	for at := 0; at+2*channels*rate <= len(body); at += channels * rate { // half a second on
		at &^= 2*channels - 1
		var re, im float64
		for i := range rate {
			x := float64(int16(binary.LittleEndian.Uint16(body[at+2*channels*i:]))) / 32768
			w := 2 * math.Pi * hz * float64(i) / float64(rate)
			re, im = re+x*math.Cos(w), im+x*math.Sin(w)
		}
		best = max(best, 20*math.Log10(2*math.Hypot(re, im)/float64(rate)+1e-6))
	}
	return best
}

// bare is a baresip that is told what to do.
type bare struct {
	t    *testing.T
	dir  string
	port int
	ctrl int
	cmd  *exec.Cmd
	log  safeBuffer
}

// safeBuffer is written by a process and read by the test.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *bare) said() string { return b.log.String() }

// startBare runs a telephone that speaks with a tone, and writes down what it
// hears. account is added to its address, such as ";audio_codecs=PCMU".
func startBare(t *testing.T, hz float64, rate int, account string, video bool) *bare {
	t.Helper()
	return phone{hz: hz, rate: rate, video: video, account: "<sip:bob@HERE;transport=udp>;regint=0" + account}.start(t)
}

// phone is how a baresip is set up.
type phone struct {
	hz      float64 // the tone that it speaks with
	rate    int     // of its sound, in Hz
	video   bool
	camera  string // a file that it sends; empty: whatever fakevideo has
	host    string // an address of this machine; empty: 127.0.0.1
	account string // HERE in it is host:port
	more    string // lines for its configuration
}

func (p phone) start(t *testing.T) *bare {
	t.Helper()
	b := &bare{t: t, dir: t.TempDir(), port: freePort(t), ctrl: freePort(t)}
	if p.host == "" {
		p.host = "127.0.0.1"
	}
	here := net.JoinHostPort(p.host, strconv.Itoa(b.port))
	wav := filepath.Join(b.dir, "tone.wav")
	sine(t, wav, p.rate, p.hz, time.Minute)
	config := fmt.Sprintf(`poll_method epoll
sip_listen %s
audio_player aubridge,out
audio_source aufile,%s
audio_alert aubridge,alert
ausrc_srate %d
auplay_srate %d
ausrc_channels 1
auplay_channels 1
module_path /usr/lib/baresip/modules
module opus.so
module g711.so
module g722.so
module aufile.so
module aubridge.so
module sndfile.so
module srtp.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
module ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:%d
snd_path %s
`, here, wav, p.rate, p.rate, b.ctrl, b.dir) + p.more
	if p.video {
		source := "fakevideo,nil"
		if p.camera != "" {
			source = "avformat," + p.camera
		}
		config = strings.Replace(config, "module opus.so\n", "module stdio.so\nmodule opus.so\nmodule fakevideo.so\nmodule avformat.so\nmodule vp8.so\nmodule avcodec.so\n", 1) +
			"video_source " + source + "\nvideo_display fakevideo,nil\nvideo_size 640x360\nvideo_bitrate 500000\nvideo_fps 25.00\n"
	}
	for name, text := range map[string]string{
		"config": config, "contacts": "", "accounts": strings.ReplaceAll(p.account, "HERE", here) + "\n",
	} {
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"-f", b.dir}
	if strings.Contains(p.host, ":") {
		args = append(args, "-6") // or else its SDP says IPv4
	}
	b.cmd = exec.Command("baresip", args...)
	b.cmd.Stdout, b.cmd.Stderr = &b.log, &b.log
	keys, err := b.cmd.StdinPipe() // or else it counts no pictures
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keys.Close() })
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.stop)
	eventually(t, "baresip is up", func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", b.ctrl))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return b
}

// stop ends it, so that its files are whole.
func (b *bare) stop() {
	if b.cmd.ProcessState != nil {
		return
	}
	_ = b.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(5*time.Second, func() { _ = b.cmd.Process.Kill() })
	defer kill.Stop()
	_ = b.cmd.Wait() // it was told to end
	if b.t.Failed() {
		b.t.Logf("baresip:\n%s", tail(regexp.MustCompile(`(?s)\[[0-9:]+\] audio=.*?\r`).ReplaceAllString(b.said(), ""), 4000))
	}
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// tell sends a command by ctrl_tcp's netstrings of JSON.
func (b *bare) tell(command, params string) {
	b.t.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", b.ctrl))
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.Close()
	raw, _ := json.Marshal(map[string]string{"command": command, "params": params, "token": "t"})
	if _, err := fmt.Fprintf(c, "%d:%s,", len(raw), raw); err != nil {
		b.t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
	_, _ = c.Read(make([]byte, 4096)) // its answer says little
}

// heard returns the file of what it heard.
func (b *bare) heard() string {
	b.t.Helper()
	files, _ := filepath.Glob(filepath.Join(b.dir, "dump-*-dec.wav"))
	if len(files) == 0 {
		b.t.Fatalf("baresip heard nothing:\n%s", tail(b.said(), 2000))
	}
	return files[len(files)-1]
}

// frames is how many pictures a second came in, in the best second.
func (b *bare) frames() float64 {
	best := 0.0
	for _, found := range regexp.MustCompile(`efps=[0-9.]+/([0-9.]+)`).FindAllStringSubmatch(b.said(), -1) {
		f, _ := strconv.ParseFloat(found[1], 64)
		best = max(best, f)
	}
	return best
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("not in time: %s", what)
}

// TestTelephones has Debian's baresip call rooms, be called, be put on hold, and
// be asked for a PIN.
func TestTelephones(t *testing.T) {
	if _, err := exec.LookPath("baresip"); err != nil {
		t.Skip("no baresip; scripts/setup.sh test installs it")
	}
	port := freePort(t)
	dir := t.TempDir()
	records := filepath.Join(dir, "calls.jsonl")
	r := start(t, map[string]any{
		"data_dir": dir, "rooms.open": true, "rtc.address": "127.0.0.1", "sip.addr": fmt.Sprintf("127.0.0.1:%d", port),
		"sip.lobby": []string{"8000"}, "sip.dial_out.allow": []string{"*@127.0.0.1"}, "sip.records.file": records,
	})
	base := regexp.MustCompile(`http://[^/\s]+`).FindString(r.out)
	pair, _, err := api.LoadKeys(filepath.Join(dir, "keys.json"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := pair.Mint(mixer.Identity{ID: "host", Name: "host", Role: mixer.Host}, api.AnyRoom, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string, into any) {
		t.Helper()
		res, body := r.do("GET", base+"/api/v1/rooms/"+path, token, "")
		if res.StatusCode == 404 {
			return // not yet
		}
		if res.StatusCode != 200 {
			t.Fatalf("GET %s: %d %s", path, res.StatusCode, body)
		}
		if err := json.Unmarshal([]byte(body), into); err != nil {
			t.Fatal(err)
		}
	}
	first := func() (c mixer.Call) {
		var all []mixer.Call
		if get("tea/calls", &all); len(all) > 0 {
			c = all[0]
		}
		return c
	}
	member := func(room string, n int) mixer.Member {
		var s mixer.State
		get(room+"/state", &s)
		if len(s.Participants) <= n {
			return mixer.Member{}
		}
		return s.Participants[n]
	}
	number := fmt.Sprintf("@127.0.0.1:%d", port)

	// One with a camera and Opus, one with G.722 and none.
	anna := startBare(t, 440, 48000, ";audio_codecs=opus/48000/2;video_codecs=VP8", true)
	anna.tell("dial", "sip:tea"+number)
	eventually(t, "Anna's picture", func() bool { m := member("tea", 0); return m.Video && m.Width == 640 && m.Audio })
	bert := startBare(t, 880, 16000, ";audio_codecs=G722/16000/1", false)
	bert.tell("dial", "sip:tea"+number)
	eventually(t, "Bert is there", func() bool { return member("tea", 1).Audio })
	if m := member("tea", 1); m.Video || m.Name != "bob" {
		t.Errorf("Bert: %+v", m)
	}
	// One is called: G.711.
	carl := startBare(t, 1320, 8000, ";audio_codecs=PCMU/8000/1;answermode=auto", false)
	res, body := r.do("POST", base+"/api/v1/rooms/tea/calls", token, fmt.Sprintf(`{"to":"sip:bob@127.0.0.1:%d","name":"Carl"}`, carl.port))
	if res.StatusCode != 201 {
		t.Fatalf("calling: %d %s", res.StatusCode, body)
	}
	var placed mixer.Call
	if err := json.Unmarshal([]byte(body), &placed); err != nil {
		t.Fatal(err)
	}
	eventually(t, "Carl is there", func() bool { m := member("tea", 2); return m.Audio && m.Name == "Carl" })
	time.Sleep(3 * time.Second)
	if res, body := r.do("POST", base+"/api/v1/rooms/tea/calls", token, `{"to":"sip:carl@elsewhere.example"}`); res.StatusCode != 403 {
		t.Errorf("a call that is not allowed: %d %s", res.StatusCode, body)
	}
	if res, body := r.do("DELETE", base+"/api/v1/rooms/tea/calls/"+placed.ID, token, ""); res.StatusCode != 204 {
		t.Errorf("hanging up: %d %s", res.StatusCode, body)
	}
	eventually(t, "Carl is gone", func() bool { return member("tea", 2).ID == "" })
	eventually(t, "Anna sees pictures", func() bool { return anna.frames() >= 5 })
	// Hold, and back; baresip writes down no more sound then.
	anna.tell("hold", "")
	eventually(t, "held", func() bool { return first().State == mixer.CallHeld })
	anna.tell("resume", "")
	eventually(t, "resumed", func() bool { return first().State == mixer.CallConnected })

	// A host takes Bert out.
	if res, body := r.do("DELETE", base+"/api/v1/rooms/tea/participants/"+member("tea", 1).ID, token, ""); res.StatusCode != 204 {
		t.Errorf("removing: %d %s", res.StatusCode, body)
	}
	eventually(t, "Bert heard it", func() bool {
		return strings.Contains(bert.said(), "session closed") || strings.Contains(bert.said(), "terminated")
	})

	for _, b := range []*bare{anna, bert, carl} {
		b.stop()
	}
	for _, h := range []struct {
		who         string
		b           *bare
		own, others []float64
	}{
		{"Anna", anna, []float64{440}, []float64{880, 1320}},
		{"Bert", bert, []float64{880}, []float64{440, 1320}},
		{"Carl", carl, []float64{1320}, []float64{440, 880}},
	} {
		file := h.b.heard()
		for _, hz := range h.others {
			if db := tone(t, file, hz); db < -40 {
				t.Errorf("%s hears %v Hz at %.0f dB only", h.who, hz, db)
			}
		}
		for _, hz := range h.own {
			if db := tone(t, file, hz); db > -55 {
				t.Errorf("%s hears the own tone at %.0f dB", h.who, db)
			}
		}
	}
	eventually(t, "three are written down", func() bool { raw, _ := os.ReadFile(records); return bytes.Count(raw, []byte("\n")) == 3 })
	r.stop()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
}
