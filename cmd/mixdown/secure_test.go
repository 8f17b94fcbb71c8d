package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pion/turn/v2"
)

func TestRedirect(t *testing.T) {
	h := redirect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) }),
		&net.TCPAddr{Port: 8443})
	for _, c := range []struct {
		url, remote, proto, to string
	}{
		{"http://meet.example/r/a?b=c", "192.0.2.1:5", "", "https://meet.example:8443/r/a?b=c"},
		{"http://192.0.2.9:8080/", "192.0.2.1:5", "", "https://192.0.2.9:8443/"},
		{"http://[2001:db8::1]:8080/", "[2001:db8::2]:5", "", "https://[2001:db8::1]:8443/"},
		{"http://localhost:8080/", "192.0.2.1:5", "", "https://localhost:8443/"}, // says so, is not
		{"http://localhost:8080/", "127.0.0.1:5", "", ""},
		{"http://[::1]:8080/", "[::1]:5", "", ""},
		{"http://meet.example/healthz", "192.0.2.1:5", "", ""},
		{"http://meet.example/readyz", "192.0.2.1:5", "", ""},
		{"http://meet.example/", "192.0.2.1:5", "https", ""},
	} {
		for _, method := range []string{"GET", "POST"} {
			r := httptest.NewRequest(method, c.url, nil)
			r.RemoteAddr = c.remote
			r.Header.Set("X-Forwarded-Proto", c.proto)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			want := http.StatusNoContent
			if c.to != "" {
				want = http.StatusTemporaryRedirect
			}
			if got := w.Header().Get("Location"); w.Code != want || got != c.to {
				t.Errorf("%s %s from %s: %d %q, want %q", method, c.url, c.remote, w.Code, got, c.to)
			}
		}
	}
}

func TestCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	if _, err := selfSigned(dir, []string{"old"}, nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	f, err := newCertFiles(filepath.Join(dir, "self.crt"), filepath.Join(dir, "self.key"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	hangup, done := make(chan os.Signal), make(chan struct{})
	go func() { defer close(done); f.watch(ctx, hangup, slog.New(slog.DiscardHandler)) }()
	for _, name := range []string{"new", "newer"} {
		if _, err := selfSigned(dir, []string{name}, nil, time.Now()); err != nil {
			t.Fatal(err)
		}
		hangup <- syscall.SIGHUP
		hangup <- syscall.SIGHUP // taken once the first is done
		c, err := f.Get(nil)
		if err != nil || c.Leaf.VerifyHostname(name) != nil {
			t.Errorf("%s is not served: %v", name, err)
		}
	}
	cancel()
	<-done
}

func TestTURNSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "data", "turn.secret")
	first, err := turnSecret(file)
	if err != nil || len(first) != 64 {
		t.Fatal(first, err)
	}
	if again, err := turnSecret(file); again != first || err != nil {
		t.Errorf("%q, then %q, %v", first, again, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	if err := os.WriteFile(file, []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := turnSecret(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a short one: %v", err)
	}
}

type iceServer struct {
	URLs                 []string
	Username, Credential string
}

// TestOnePort: the page, REST and TURN over TLS come through one port; what
// comes in plain is sent to HTTPS.
func TestOnePort(t *testing.T) {
	r := start(t, map[string]any{"data_dir": t.TempDir(), "tls.mode": "self", "https.one_port": "127.0.0.1:0"})
	link := regexp.MustCompile(`https://([^/]+)/r/demo#(\S+)`).FindStringSubmatch(r.out)
	if link == nil {
		t.Fatalf("no link in %q", r.out)
	}
	at := link[1]
	res, text := r.do("POST", "https://"+at+"/api/v1/rooms/demo/join", "", `{"key":"`+link[2]+`","name":"Ada"}`)
	var place struct {
		Servers []iceServer `json:"ice_servers"`
	}
	if err := json.Unmarshal([]byte(text), &place); err != nil || len(place.Servers) != 1 {
		t.Fatalf("join: %d %s", res.StatusCode, text)
	}
	s := place.Servers[0]
	want := []string{"turn:" + at + "?transport=udp", "turns:" + at + "?transport=tcp"}
	if fmt.Sprint(s.URLs) != fmt.Sprint(want) || strings.Contains(s.Username, "Ada") {
		t.Errorf("ICE servers %+v, want %v", s, want)
	}
	allocate := func(password string) error {
		c, err := tls.Dial("tcp", at, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return err
		}
		conn := turn.NewSTUNConn(c)
		defer conn.Close()
		client, err := turn.NewClient(&turn.ClientConfig{STUNServerAddr: at, TURNServerAddr: at, Conn: conn, Username: s.Username, Password: password})
		if err != nil {
			return err
		}
		defer client.Close()
		if err := client.Listen(); err != nil {
			return err
		}
		relay, err := client.Allocate()
		if err == nil {
			_ = relay.Close()
		}
		return err
	}
	if err := allocate(s.Credential); err != nil {
		t.Errorf("TURN over TLS with what was handed out: %v", err)
	}
	if allocate("wrong") == nil {
		t.Error("TURN with a wrong password")
	}
	r.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	req, _ := http.NewRequest("GET", "http://"+at+"/r/demo", nil)
	req.Host = "meet.example"
	plain, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = plain.Body.Close()
	if plain.StatusCode != http.StatusTemporaryRedirect || !strings.HasPrefix(plain.Header.Get("Location"), "https://meet.example:") {
		t.Errorf("plain HTTP: %d to %q", plain.StatusCode, plain.Header.Get("Location"))
	}
	r.client.CloseIdleConnections()
	r.stop()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
}

func TestOnePortNeedsTLS(t *testing.T) {
	if _, _, err := Load("", nil, map[string]any{"https.one_port": ":443"}); err == nil || !strings.Contains(err.Error(), "--tls") {
		t.Errorf("without a certificate: %v", err)
	}
}

// TestACME has a certificate made by pebble, an ACME server for tests, by
// TLS-ALPN-01 through the front.
func TestACME(t *testing.T) {
	for _, tool := range []string{"pebble", "pebble-challtestsrv"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s: scripts/setup.sh test installs it", tool)
		}
	}
	const name = "meet.example.org"
	free := func() int {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return l.Addr().(*net.TCPAddr).Port
	}
	https, plain, directory, management, dns, control := free(), free(), free(), free(), free(), free()
	dir := t.TempDir()
	if _, err := selfSigned(dir, []string{"localhost"}, []netip.Addr{netip.MustParseAddr("127.0.0.1")}, time.Now()); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "pebble.json")
	if err := os.WriteFile(config, fmt.Appendf(nil, `{"pebble": {"listenAddress": "127.0.0.1:%d", "managementListenAddress": "127.0.0.1:%d",
		"certificate": %q, "privateKey": %q, "httpPort": %d, "tlsPort": %d}}`,
		directory, management, filepath.Join(dir, "self.crt"), filepath.Join(dir, "self.key"), plain, https), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(tool string, args ...string) {
		cmd := exec.Command(tool, args...)
		cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0", "PEBBLE_AUTHZREUSE=0")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	}
	run("pebble-challtestsrv", "-dns01", fmt.Sprintf("127.0.0.1:%d", dns), "-management", fmt.Sprintf("127.0.0.1:%d", control),
		"-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", "")
	run("pebble", "-config", config, "-dnsserver", fmt.Sprintf("127.0.0.1:%d", dns))
	// A first failure holds for a minute: both have to be up before.
	for _, port := range []int{directory, control} {
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
				_ = c.Close()
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("nothing at port %d", port)
			}
		}
	}

	r := start(t, map[string]any{
		"data_dir": filepath.Join(dir, "data"), "tls.mode": "acme", "tls.acme.domains": []string{name},
		"tls.acme.directory": fmt.Sprintf("https://127.0.0.1:%d/dir", directory), "tls.acme.ca": filepath.Join(dir, "self.crt"),
		"https.addr": fmt.Sprintf("127.0.0.1:%d", https), "http.addr": fmt.Sprintf("127.0.0.1:%d", plain),
	})
	serves := func(server string) (*x509.Certificate, error) {
		c, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", https), &tls.Config{ServerName: server, InsecureSkipVerify: true})
		if err != nil {
			return nil, err
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0], nil
	}
	var cert *x509.Certificate
	var err error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if cert, err = serves(name); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if cert.VerifyHostname(name) != nil || !strings.Contains(cert.Issuer.CommonName, "Pebble") {
		t.Errorf("certificate for %v by %v", cert.DNSNames, cert.Issuer)
	}
	if _, err := serves("other.example.org"); err == nil {
		t.Error("a certificate for a name that is not configured")
	}
	if kept, err := filepath.Glob(filepath.Join(dir, "data", "tls", "acme", name+"*")); err != nil || len(kept) == 0 {
		t.Errorf("nothing kept: %v", err)
	}
	r.stop()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
}
