package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"mixdown/mixer/webrtc"
)

// listenSecure opens the port of HTTPS, nil if there is none.
func listenSecure(cfg Config) (net.Listener, error) {
	if cfg.TLS.Mode == "off" {
		return nil, nil
	}
	return listen(cfg.HTTPS.addr())
}

// onePort is the number of the port that everything goes through, if one is.
func onePort(cfg Config, secure net.Listener) []int {
	if secure == nil || cfg.HTTPS.OnePort == "" {
		return nil
	}
	return []int{secure.Addr().(*net.TCPAddr).Port}
}

// closeOnce closes what somebody else may have closed.
func closeOnce(l net.Listener) func() error {
	return func() error {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
}

// certificate is where the server's certificate comes from.
type certificate struct {
	config     *tls.Config
	challenges func(http.Handler) http.Handler // put before plain HTTP
}

func certificates(ctx context.Context, cfg Config, log *slog.Logger) (certificate, error) {
	c := certificate{config: &tls.Config{MinVersion: tls.VersionTLS12}, challenges: func(h http.Handler) http.Handler { return h }}
	switch cfg.TLS.Mode {
	case "files":
		files, err := newCertFiles(cfg.TLS.Cert, cfg.TLS.Key, time.Now)
		if err != nil {
			return c, err
		}
		hangup := make(chan os.Signal, 1)
		signal.Notify(hangup, syscall.SIGHUP)
		go func() {
			defer signal.Stop(hangup)
			files.watch(ctx, hangup, log)
		}()
		c.config.GetCertificate = files.Get
	case "acme":
		m, err := acmeManager(cfg)
		if err != nil {
			return c, err
		}
		c.config.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			cert, err := m.GetCertificate(hello)
			if err != nil && slices.Contains(cfg.TLS.ACME.Domains, hello.ServerName) { // others are strangers' doing
				log.Warn("no certificate by ACME", "name", hello.ServerName, "error", err)
			}
			return cert, err
		}
		c.config.NextProtos = []string{acme.ALPNProto}
		c.challenges = m.HTTPHandler
	default:
		cert, err := selfSignedFor(cfg)
		if err != nil {
			return c, err
		}
		log.Info("self-signed certificate: browsers warn once; compare what they show", "sha256", fingerprint(cert))
		c.config.Certificates = []tls.Certificate{cert}
	}
	return c, nil
}

// acmeManager asks for certificates when they are first needed and before they
// end; they are kept in the data directory.
func acmeManager(cfg Config) (*autocert.Manager, error) {
	a := cfg.TLS.ACME
	client := &acme.Client{DirectoryURL: a.Directory, UserAgent: "mixdown"}
	if a.CA != "" {
		pem, err := os.ReadFile(a.CA)
		if err != nil {
			return nil, fmt.Errorf("tls.acme.ca: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.acme.ca: no certificate in %s", a.CA)
		}
		client.HTTPClient = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	}
	return &autocert.Manager{
		Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(filepath.Join(cfg.DataDir, "tls", "acme")),
		HostPolicy: autocert.HostWhitelist(a.Domains...), Email: a.Email, Client: client,
	}, nil
}

// selfSignedFor makes a certificate for all names and addresses of this machine.
func selfSignedFor(cfg Config) (tls.Certificate, error) {
	named, err := webrtc.Check(cfg.RTC.Addresses)
	if err != nil {
		return tls.Certificate{}, err
	}
	found, err := webrtc.Detect()
	if err != nil {
		return tls.Certificate{}, err
	}
	names := []string{"localhost"}
	if name, err := os.Hostname(); err == nil && name != "" && name != "localhost" {
		names = append(names, name)
	}
	loopback := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}
	return selfSigned(filepath.Join(cfg.DataDir, "tls"), names, slices.Concat(loopback, named, found), time.Now())
}

// redirect sends browsers to HTTPS at the port of secure. Probes stay, and so
// does who asks for localhost on this machine, which is as good as HTTPS (Secure
// Contexts, section 3.1), and who says that a proxy has opened TLS already.
func redirect(h http.Handler, secure net.Addr) http.Handler {
	port := secure.(*net.TCPAddr).Port
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.Host
		if host, _, err := net.SplitHostPort(name); err == nil {
			name = host
		}
		name = strings.Trim(name, "[]")
		switch path := r.URL.Path; {
		case path == "/healthz", path == "/readyz", path == "/metrics",
			strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https"),
			isLoopback(name) && fromHere(r.RemoteAddr):
			h.ServeHTTP(w, r)
			return
		case name == "":
			http.Error(w, "no Host; use https", http.StatusBadRequest)
			return
		}
		u := *r.URL
		u.Scheme, u.Host = "https", name
		if strings.Contains(name, ":") {
			u.Host = "[" + name + "]"
		}
		if port != 443 {
			u.Host = net.JoinHostPort(name, strconv.Itoa(port))
		}
		w.Header().Set("Location", u.String())
		w.WriteHeader(http.StatusTemporaryRedirect) // keeps the method and the body
	})
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

func fromHere(remote string) bool {
	ap, err := netip.ParseAddrPort(remote)
	return err == nil && ap.Addr().Unmap().IsLoopback()
}
