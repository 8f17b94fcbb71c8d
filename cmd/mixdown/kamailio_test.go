package main

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"
)

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
	needs(t, "kamailio")
	proxy := fmt.Sprintf("127.0.0.2:%d", freePort(t))
	server := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	kamailio(t, proxy, server)
	x := newExchange(t, map[string]any{
		"sip.addr":    server,
		"sip.callers": "known", "sip.trunks": []string{"127.0.0.2"}, "sip.lobby": []string{"8000"},
		"sip.registrar.uri": "sip:" + proxy, "sip.registrar.user": "8000", "sip.registrar.password": "mixdown-secret",
		"sip.dial_out.allow": []string{"*@127.0.0.2"},
	})
	account := func(user string) string {
		return fmt.Sprintf(`<sip:%s@%s>;auth_pass=%s-secret;regint=60;answermode=auto;audio_codecs=PCMU/8000/1`, user, proxy, user)
	}
	// The room that the lobby leads to.
	var made struct{ PIN string }
	x.post("", `{"name":"meeting"}`, &made)
	eventually(t, "the server is registered", func() bool {
		_, text := x.do("GET", x.base+"/metrics", "", "")
		return regexp.MustCompile(`(?m)^mixdown_sip_registered 1`).MatchString(text)
	})

	anna := phone{hz: 440, rate: 8000, video: true, account: account("anna") + ";video_codecs=VP8"}.start(t)
	bob := phone{hz: 880, rate: 8000, account: account("bob")}.start(t)
	for _, b := range []*bare{anna, bob} {
		eventually(t, "a telephone is registered", func() bool { return regexp.MustCompile(`200 OK .*\[1 binding`).MatchString(b.said()) })
	}
	// By name, with a camera.
	anna.tell("dial", "sip:tea@"+proxy)
	eventually(t, "Anna's picture", func() bool { p := x.people("tea"); return len(p) == 1 && p[0].Video && p[0].Width == 640 && p[0].Audio })
	// The room calls.
	x.post("/tea/calls", fmt.Sprintf(`{"to":"sip:bob@%s","name":"Bob"}`, proxy), nil)
	eventually(t, "Bob is there", func() bool { p := x.people("tea"); return len(p) == 2 && p[1].Audio && p[1].Name == "Bob" })
	eventually(t, "Anna sees pictures", func() bool { return anna.frames() >= 5 })
	time.Sleep(2 * time.Second) // of sound
	bob.tell("hangup", "")
	eventually(t, "Bob is gone", func() bool { return len(x.people("tea")) == 1 })
	// To the lobby, where mixdown is registered.
	bob.tell("dial", "sip:8000@"+proxy)
	eventually(t, "Bob in the lobby", func() bool { return regexp.MustCompile(`(?s)terminated.*Call established`).MatchString(bob.said()) })
	bob.tell("sndcode", made.PIN+"#")
	eventually(t, "Bob in the meeting", func() bool { p := x.people("meeting"); return len(p) == 1 && p[0].Audio })
	anna.tell("hangup", "")
	eventually(t, "Anna is gone", func() bool { return len(x.people("tea")) == 0 })
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
	x.end()
}
