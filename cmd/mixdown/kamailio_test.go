package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"mixdown/api"
	"mixdown/mixer"
)

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

// kamailio runs deploy/kamailio.cfg at an address in front of a server.
func kamailio(t *testing.T, at, server string) {
	t.Helper()
	dir, out := t.TempDir(), &safeBuffer{}
	config, err := filepath.Abs("../../deploy/kamailio.cfg")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("kamailio", "-DD", "-E", "-f", config, "-Y", dir, "-w", dir, "-l", "udp:"+at, "-l", "tcp:"+at, "-A", `MIXDOWN="sip:`+server+`"`)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it has children
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(5*time.Second, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		defer kill.Stop()
		_ = cmd.Wait() // it was told to end
		if t.Failed() {
			t.Logf("kamailio:\n%s", tail(out.String(), 4000))
		}
	})
	eventually(t, "kamailio is up", func() bool {
		c, err := net.Dial("tcp", at)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// TestKamailio has Debian's Kamailio between telephones and rooms: telephones and
// the server register there, a telephone calls a room, another one the lobby,
// and a room calls a telephone. Strangers cannot call past it.
func TestKamailio(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("baresip"); err != nil {
		t.Skip("no baresip; scripts/setup.sh test installs it")
	}
	if _, err := exec.LookPath("kamailio"); err != nil {
		t.Skip("no kamailio; scripts/setup.sh test installs it")
	}
	proxy := fmt.Sprintf("127.0.0.2:%d", freePort(t))
	server := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	kamailio(t, proxy, server)
	dir := t.TempDir()
	r := start(t, map[string]any{
		"data_dir": dir, "rooms.open": true, "rtc.address": "127.0.0.1", "sip.addr": server,
		"sip.callers": "known", "sip.trunks": []string{"127.0.0.2"}, "sip.lobby": []string{"8000"},
		"sip.registrar.uri": "sip:" + proxy, "sip.registrar.user": "8000", "sip.registrar.password": "mixdown-secret",
		"sip.dial_out.allow": []string{"*@127.0.0.2"},
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
	people := func(room string) []mixer.Member {
		t.Helper()
		res, body := r.do("GET", base+"/api/v1/rooms/"+room+"/state", token, "")
		if res.StatusCode == 404 {
			return nil // not yet
		}
		var s mixer.State
		if err := json.Unmarshal([]byte(body), &s); err != nil {
			t.Fatalf("%d %s: %v", res.StatusCode, body, err)
		}
		return s.Participants
	}
	account := func(user string) string {
		return fmt.Sprintf(`<sip:%s@%s>;auth_pass=%s-secret;regint=60;answermode=auto;audio_codecs=PCMU/8000/1`, user, proxy, user)
	}
	// The room that the lobby leads to.
	res, body := r.do("POST", base+"/api/v1/rooms", token, `{"name":"meeting"}`)
	var made struct{ PIN string }
	if err := json.Unmarshal([]byte(body), &made); err != nil || res.StatusCode != 201 || made.PIN == "" {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	eventually(t, "the server is registered", func() bool {
		_, text := r.do("GET", base+"/metrics", "", "")
		return regexp.MustCompile(`(?m)^mixdown_sip_registered 1`).MatchString(text)
	})

	anna := phone{hz: 440, rate: 8000, video: true, account: account("anna") + ";video_codecs=VP8"}.start(t)
	bob := phone{hz: 880, rate: 8000, account: account("bob")}.start(t)
	for _, b := range []*bare{anna, bob} {
		eventually(t, "a telephone is registered", func() bool { return regexp.MustCompile(`200 OK .*\[1 binding`).MatchString(b.said()) })
	}
	// By name, with a camera.
	anna.tell("dial", "sip:tea@"+proxy)
	eventually(t, "Anna's picture", func() bool { p := people("tea"); return len(p) == 1 && p[0].Video && p[0].Width == 640 && p[0].Audio })
	// The room calls.
	if res, body := r.do("POST", base+"/api/v1/rooms/tea/calls", token, fmt.Sprintf(`{"to":"sip:bob@%s","name":"Bob"}`, proxy)); res.StatusCode != 201 {
		t.Fatalf("calling: %d %s", res.StatusCode, body)
	}
	eventually(t, "Bob is there", func() bool { p := people("tea"); return len(p) == 2 && p[1].Audio && p[1].Name == "Bob" })
	eventually(t, "Anna sees pictures", func() bool { return anna.frames() >= 5 })
	time.Sleep(2 * time.Second) // of sound
	bob.tell("hangup", "")
	eventually(t, "Bob is gone", func() bool { return len(people("tea")) == 1 })
	// To the lobby, where mixdown is registered.
	bob.tell("dial", "sip:8000@"+proxy)
	eventually(t, "Bob in the lobby", func() bool { return regexp.MustCompile(`(?s)terminated.*Call established`).MatchString(bob.said()) })
	bob.tell("sndcode", made.PIN+"#")
	eventually(t, "Bob in the meeting", func() bool { p := people("meeting"); return len(p) == 1 && p[0].Audio })
	anna.tell("hangup", "")
	eventually(t, "Anna is gone", func() bool { return len(people("tea")) == 0 })
	// Not past it.
	anna.tell("dial", "sip:tea@"+server)
	eventually(t, "a stranger is refused", func() bool { return regexp.MustCompile(`403 Forbidden`).MatchString(anna.said()) })

	for _, h := range []struct {
		b          *bare
		own, other float64
	}{{anna, 440, 880}, {bob, 880, 440}} {
		h.b.stop()
		files, _ := filepath.Glob(filepath.Join(h.b.dir, "dump-*-dec.wav"))
		if len(files) == 0 {
			t.Fatal("nothing was heard")
		}
		if db := tone(t, files[0], h.other); db < -40 {
			t.Errorf("the other's tone at %.0f dB only", db)
		}
		if db := tone(t, files[0], h.own); db > -55 {
			t.Errorf("the own tone at %.0f dB", db)
		}
	}
	r.stop()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
}
