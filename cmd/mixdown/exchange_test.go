package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mixdown/api"
	"mixdown/mixer"
)

// exchange is a server for telephones.
type exchange struct {
	*running
	base, token string
	records     string // file of call records
}

func newExchange(t *testing.T, flags map[string]any) *exchange {
	t.Helper()
	needs(t, "baresip")
	dir := t.TempDir()
	x := &exchange{records: filepath.Join(dir, "calls.jsonl")}
	all := map[string]any{"data_dir": dir, "rooms.open": true, "rtc.address": "127.0.0.1", "sip.records.file": x.records}
	maps.Copy(all, flags)
	x.running = start(t, all)
	x.base = strings.Replace(regexp.MustCompile(`http://[^/\s]+`).FindString(x.out), "localhost", "127.0.0.1", 1)
	pair, _, err := api.LoadKeys(filepath.Join(dir, "keys.json"))
	if err != nil {
		t.Fatal(err)
	}
	if x.token, err = pair.Mint(mixer.Identity{ID: "host", Name: "host", Role: mixer.Host}, api.AnyRoom, time.Now(), time.Hour); err != nil {
		t.Fatal(err)
	}
	return x
}

// people are in a room.
func (x *exchange) people(room string) []mixer.Member {
	x.t.Helper()
	res, body := x.do("GET", x.base+"/api/v1/rooms/"+room+"/state", x.token, "")
	if res.StatusCode == 404 {
		return nil // not yet
	}
	var s mixer.State
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		x.t.Fatalf("%d %s: %v", res.StatusCode, body, err)
	}
	return s.Participants
}

// post wants something made, and reads what comes back.
func (x *exchange) post(path, body string, into any) {
	x.t.Helper()
	res, text := x.do("POST", x.base+"/api/v1/rooms"+path, x.token, body)
	if res.StatusCode != 201 {
		x.t.Fatalf("%s: %d %s", path, res.StatusCode, text)
	}
	if into != nil {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			x.t.Fatal(err)
		}
	}
}

// callRecord is a line of the call records.
type callRecord struct {
	Direction, Transport, Reason string
	Code                         int
	By                           string `json:"ended_by"`
	Media                        struct{ Secure bool }
}

// written waits for so many calls to be written down.
func (x *exchange) written(n int) (all []callRecord) {
	x.t.Helper()
	eventually(x.t, fmt.Sprint(n, " calls are written down"), func() bool {
		all = nil
		raw, _ := os.ReadFile(x.records)
		for line := range strings.Lines(string(raw)) {
			var r callRecord
			if json.Unmarshal([]byte(line), &r) == nil {
				all = append(all, r)
			}
		}
		return len(all) >= n
	})
	return all
}

func (x *exchange) end() {
	x.t.Helper()
	x.stop()
	if err := <-x.done; err != nil {
		x.t.Error(err)
	}
}

// hears wants another one's tone, and not its own.
func (b *bare) hears(other, own float64) {
	b.t.Helper()
	b.stop()
	file := b.heard()
	if db := tone(b.t, file, other); db < -40 {
		b.t.Errorf("%v Hz is heard at %.0f dB only", other, db)
	}
	if db := tone(b.t, file, own); db > -55 {
		b.t.Errorf("the own tone is heard at %.0f dB", db)
	}
}

// authority writes the certificate of an authority, and the key and certificate
// of 127.0.0.1 that it signed, the last two in one file as well.
func authority(t *testing.T) (ca, cert, key, both string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, blocks ...*pem.Block) string {
		var b strings.Builder
		for _, p := range blocks {
			_ = pem.Encode(&b, p) // a builder takes all
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	make := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if parent == nil {
			parent, signer = template, own
		}
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, own.Public(), signer)
		if err != nil {
			t.Fatal(err)
		}
		made, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return made, own
	}
	root, rootKey := make(&x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	leaf, leafKey := make(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, root, rootKey)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	c, k := &pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}, &pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}
	return write("ca.pem", &pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}), write("cert.pem", c), write("key.pem", k), write("both.pem", k, c)
}

// TestTelephonesEncrypted has telephones call and be called by TLS with SRTP, and
// one that would send in the clear refused. A telephone whose certificate
// nobody vouches for is not called.
func TestTelephonesEncrypted(t *testing.T) {
	t.Parallel()
	ca, cert, key, both := authority(t)
	_, _, _, forged := authority(t)
	at := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	x := newExchange(t, map[string]any{
		"tls.mode": "files", "tls.cert": cert, "tls.key": key, "sip.tls_addr": at, "sip.tls_ca": ca, "sip.tls_srtp": "required",
		"sip.dial_out.allow": []string{"*@127.0.0.1"},
	})
	tls := func(certificate string) string { return "sip_certificate " + certificate + "\nsip_cafile " + ca + "\n" }
	account := func(more string) string {
		return "<sip:bob@127.0.0.1;transport=tls>;regint=0;answermode=auto;audio_codecs=PCMU/8000/1" + more
	}
	anna := phone{hz: 440, rate: 8000, video: true, account: account(";mediaenc=srtp-mand;video_codecs=VP8"), more: tls(both)}.start(t)
	anna.tell("dial", "sip:tea@"+at+";transport=tls")
	eventually(t, "Anna's picture", func() bool { p := x.people("tea"); return len(p) == 1 && p[0].Video && p[0].Width == 640 && p[0].Audio })
	bob := phone{hz: 880, rate: 8000, account: account(";mediaenc=srtp-mand"), more: tls(both)}.start(t)
	x.post("/tea/calls", fmt.Sprintf(`{"to":"sip:bob@127.0.0.1:%d;transport=tls","name":"Bob"}`, bob.port+1), nil) // baresip has TLS on the port behind
	eventually(t, "Bob is there", func() bool { p := x.people("tea"); return len(p) == 2 && p[1].Audio })
	eventually(t, "Anna sees pictures", func() bool { return anna.frames() >= 5 })
	carl := phone{hz: 1320, rate: 8000, account: account(""), more: tls(forged)}.start(t)
	carl.tell("dial", "sip:tea@"+at+";transport=tls")
	eventually(t, "media in the clear is refused", func() bool { return strings.Contains(carl.said(), "488 Not Acceptable Here") })
	x.post("/tea/calls", fmt.Sprintf(`{"to":"sip:bob@127.0.0.1:%d;transport=tls","name":"Carl"}`, carl.port+1), nil)
	x.written(2) // Carl's call and the one to Carl
	anna.hears(880, 440)
	bob.hears(440, 880)
	for _, r := range x.written(4) {
		stood := r.Code == 200
		if r.Transport != "TLS" || r.Media.Secure != stood {
			t.Errorf("%+v", r)
		}
	}
	if n := strings.Count(carl.said(), "incoming call"); n != 0 {
		t.Errorf("Carl was called %d times", n)
	}
	x.end()
}

// TestTelephonesOffered has a room call telephones by TLS that are not required to
// encrypt: who can does, who cannot is heard in the clear.
func TestTelephonesOffered(t *testing.T) {
	t.Parallel()
	ca, cert, key, both := authority(t)
	at := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	x := newExchange(t, map[string]any{
		"tls.mode": "files", "tls.cert": cert, "tls.key": key, "sip.tls_addr": at, "sip.tls_ca": ca, "sip.dial_out.allow": []string{"*@127.0.0.1"},
	})
	for i, secure := range []bool{true, false} {
		account := "<sip:bob@127.0.0.1;transport=tls>;regint=0;answermode=auto;audio_codecs=PCMU/8000/1"
		if secure {
			account += ";mediaenc=srtp"
		}
		bob := phone{hz: 880, rate: 8000, account: account, more: "sip_certificate " + both + "\nsip_cafile " + ca + "\n"}.start(t)
		x.post("/tea/calls", fmt.Sprintf(`{"to":"sip:bob@127.0.0.1:%d;transport=tls","name":"Bob"}`, bob.port+1), nil)
		eventually(t, "Bob is heard", func() bool { p := x.people("tea"); return len(p) == 1 && p[0].Audio })
		bob.tell("hangup", "")
		if r := x.written(i + 1)[i]; r.Code != 200 || r.Media.Secure != secure {
			t.Errorf("%+v, want encrypted %v", r, secure)
		}
		eventually(t, "Bob is gone", func() bool { return len(x.people("tea")) == 0 })
		bob.stop()
	}
	x.end()
}

// TestTelephonesPIN has a telephone asked for a PIN: wrong once, then right; then
// wrong three times.
func TestTelephonesPIN(t *testing.T) {
	t.Parallel()
	at := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	x := newExchange(t, map[string]any{"sip.addr": at})
	var made struct{ PIN string }
	x.post("", `{"name":"meeting"}`, &made)
	wrong := "1" + made.PIN[1:]
	if wrong == made.PIN {
		wrong = "2" + made.PIN[1:]
	}
	bob := startBare(t, 880, 8000, ";audio_codecs=PCMU/8000/1", false)
	// keys are pressed one after the other, and the last before the next.
	keys := func(s string) {
		t.Helper()
		before := x.metric("mixdown_sip_keys_total")
		bob.tell("sndcode", s)
		eventually(t, "keys", func() bool { return x.metric("mixdown_sip_keys_total") >= before+float64(len(s)) })
	}
	calls := func(n int) func() bool {
		return func() bool { return strings.Count(bob.said(), "Call established") == n }
	}
	bob.tell("dial", "sip:meeting@"+at)
	eventually(t, "answered", calls(1))
	keys(wrong + "#")
	if n := len(x.people("meeting")); n != 0 {
		t.Fatalf("%d people by a wrong PIN", n)
	}
	keys(made.PIN + "#")
	eventually(t, "Bob is in", func() bool { p := x.people("meeting"); return len(p) == 1 && p[0].Audio })
	bob.tell("hangup", "")
	x.written(1)

	bob.tell("dial", "sip:meeting@"+at)
	eventually(t, "answered", calls(2))
	for range 3 {
		keys(wrong + "#")
	}
	last := x.written(2)[1]
	if last.By != "server" || last.Code != 403 {
		t.Errorf("ended with %+v", last)
	}
	eventually(t, "Bob heard it", func() bool { return strings.Contains(bob.said(), "session closed") })
	if n := x.metric("mixdown_sip_wrong_pins_total"); n != 4 {
		t.Errorf("%v wrong PINs were counted", n)
	}
	bob.stop()
	x.end()
}

// metric is a figure of the server.
func (x *exchange) metric(name string) (v float64) {
	x.t.Helper()
	_, text := x.do("GET", x.base+"/metrics", "", "")
	found := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(text)
	if found == nil {
		x.t.Fatalf("no %s", name)
	}
	_, _ = fmt.Sscan(found[1], &v)
	return v
}

// TestTelephonesIPv6 has a telephone, and ffmpeg as legs of plain RTP, in a room
// by IPv6 only.
func TestTelephonesIPv6(t *testing.T) {
	t.Parallel()
	needs(t, "ffmpeg")
	if c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv6loopback}); err != nil {
		t.Skip("no IPv6: ", err)
	} else {
		c.Close()
	}
	at := fmt.Sprintf("[::1]:%d", freePort(t))
	x := newExchange(t, map[string]any{"sip.addr": at, "rtc.address": "::1", "rtp.address": "::1", "sip.dial_out.allow": []string{"*@::1"}})
	anna := phone{hz: 440, rate: 8000, host: "::1", video: true, account: "<sip:anna@HERE>;regint=0;audio_codecs=PCMU/8000/1;video_codecs=VP8"}.start(t)
	anna.tell("dial", "sip:tea@"+at)
	eventually(t, "Anna's picture", func() bool { p := x.people("tea"); return len(p) == 1 && p[0].Video && p[0].Width == 640 && p[0].Audio })
	var leg mixer.Leg
	x.post("/tea/legs", `{"identity":"f","name":"f","receive":false,"media":[{"kind":"audio","address":"[::1]:9","codec":"opus","payload_type":97}]}`, &leg)
	if !strings.Contains(leg.SDP, "IN IP6 ::1") {
		t.Errorf("SDP: %s", leg.SDP)
	}
	port := regexp.MustCompile(`m=audio (\d+)`).FindStringSubmatch(leg.SDP)[1]
	background(t, "ffmpeg", "-loglevel", "fatal", "-re", "-f", "lavfi", "-i", "sine=frequency=600", "-c:a", "libopus", "-f", "rtp", "-payload_type", "97", "rtp://[::1]:"+port)
	to := freePort(t) &^ 1
	x.post("/tea/legs", fmt.Sprintf(`{"identity":"f","name":"f","publish":false,"media":[{"kind":"audio","address":"[::1]:%d","codec":"opus","payload_type":97}]}`, to), &leg)
	sdp := filepath.Join(t.TempDir(), "mix.sdp")
	if err := os.WriteFile(sdp, fmt.Appendf(nil, "v=0\no=- 0 0 IN IP6 ::1\ns=mix\nc=IN IP6 ::1\nt=0 0\nm=audio %d RTP/AVP 97\na=rtpmap:97 opus/48000/2\n", to), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the leg sends", func() bool { p := x.people("tea"); return len(p) == 2 && p[1].Audio })
	mix := filepath.Join(t.TempDir(), "mix.mkv")
	receive := exec.Command("ffmpeg", "-loglevel", "fatal", "-protocol_whitelist", "file,udp,rtp", "-i", sdp, "-t", "5", "-c", "copy", "-y", mix)
	if err := receive.Start(); err != nil {
		t.Fatal(err)
	}
	if err := <-waited(t, receive); err != nil {
		t.Fatal("ffmpeg: ", err)
	}
	hears(t, "ffmpeg", samples(output(t, "ffmpeg", "-loglevel", "fatal", "-i", mix, "-ac", "1", "-ar", "48000", "-f", "s16le", "-")), 440, 600)
	eventually(t, "Anna sees pictures", func() bool { return anna.frames() >= 5 })
	anna.hears(600, 440)
	// The room calls a telephone.
	bob := phone{hz: 880, rate: 8000, host: "::1", account: "<sip:bob@HERE>;regint=0;answermode=auto;audio_codecs=PCMU/8000/1"}.start(t)
	x.post("/tea/calls", fmt.Sprintf(`{"to":"sip:bob@[::1]:%d","name":"Bob"}`, bob.port), nil)
	eventually(t, "Bob is there", func() bool {
		p := x.people("tea")
		return len(p) == 2 && p[1].Name == "Bob" && p[1].Audio
	})
	bob.stop()
	x.end()
}
