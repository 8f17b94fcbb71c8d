package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mixdown/api"
	"mixdown/mixer/accept"
	"mixdown/mixer/webrtc"
	"mixdown/mixer/webrtc/turn"
)

// relays is the TURN server, if there is one, and what clients are told of it
// and of others.
type relays struct {
	server   *turn.Server // nil: none
	creds    turn.Credentials
	external []api.ICEServer
	urls     []string // with %s where the host stands
	tcp      net.Listener
	wg       sync.WaitGroup
}

// startTURN opens the ports that are configured.
func startTURN(cfg Config, t *webrtc.Transport, secure net.Listener, log *slog.Logger) (r *relays, err error) {
	r = &relays{external: cfg.RTC.ICEServers}
	if cfg.HTTPS.OnePort == "" && cfg.TURN.Addr == "" {
		return r, nil
	}
	defer func() {
		if err != nil {
			_ = r.Close()
		}
	}()
	if r.creds.Secret, err = turnSecret(filepath.Join(cfg.DataDir, "turn.secret")); err != nil {
		return r, err
	}
	places, ends := t.Places()
	if r.server, err = turn.New(turn.Config{
		Credentials: r.creds, Peers: places, Relays: ends, Stream: t.Stream,
		Allocations: cfg.TURN.Allocations, Bitrate: cfg.TURN.Bitrate,
	}, log); err != nil {
		return r, err
	}
	if cfg.HTTPS.OnePort != "" {
		if err = r.listenUDP("--one-port", secure.Addr(), "turns"); err != nil {
			return r, err
		}
	}
	if cfg.TURN.Addr != "" {
		if r.tcp, err = listen("--turn-addr", cfg.TURN.Addr); err != nil {
			return r, err
		}
		r.tcp = accept.Patient(r.tcp, log, nil)
		r.wg.Go(r.accept)
		if err = r.listenUDP("--turn-addr", r.tcp.Addr(), "turn"); err != nil {
			return r, err
		}
	}
	return r, nil
}

// listenUDP opens a socket for each address, so that answers leave from the one
// that was asked. TCP of the same port is spoken to with a scheme.
func (r *relays) listenUDP(flag string, tcp net.Addr, scheme string) error {
	at := tcp.(*net.TCPAddr).AddrPort()
	addrs := []netip.Addr{at.Addr().Unmap()}
	if at.Addr().IsUnspecified() {
		found, err := webrtc.Detect()
		if err != nil {
			return err
		}
		addrs = found
	}
	for _, ip := range addrs {
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, at.Port())))
		if err != nil {
			return fmt.Errorf("%s: TURN over UDP: %w", flag, taken(err))
		}
		if err := r.server.ServeUDP(c); err != nil {
			return err
		}
	}
	r.urls = append(r.urls, fmt.Sprintf("turn:%%s:%d?transport=udp", at.Port()), fmt.Sprintf("%s:%%s:%d?transport=tcp", scheme, at.Port()))
	return nil
}

func (r *relays) accept() {
	for {
		c, err := r.tcp.Accept()
		if err != nil {
			return
		}
		r.server.ServeTCP(c)
	}
}

// ServeTCP takes over a connection that speaks TURN.
func (r *relays) ServeTCP(c net.Conn) { r.server.ServeTCP(c) }

// ICEServers is what a client is told of.
func (r *relays) ICEServers(user, host string, end time.Time) []api.ICEServer {
	var out []api.ICEServer
	for _, s := range r.external {
		if s.Secret != "" {
			s.Username, s.Credential = turn.Credentials{Secret: s.Secret}.Make(user, end)
			s.Secret = ""
		}
		out = append(out, s)
	}
	if r.server == nil {
		return out
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	s := api.ICEServer{}
	for _, u := range r.urls {
		s.URLs = append(s.URLs, fmt.Sprintf(u, host))
	}
	s.Username, s.Credential = r.creds.Make(user, end)
	return append(out, s)
}

// Close ends what runs. It may be called twice.
func (r *relays) Close() error {
	var errs []error
	if r.tcp != nil {
		errs = append(errs, closeOnce(r.tcp)())
		r.wg.Wait()
	}
	if r.server != nil {
		errs = append(errs, r.server.Close())
	}
	return errors.Join(errs...)
}

// Collectors are the metrics there are.
func (r *relays) Collectors() []prometheus.Collector {
	if r.server == nil {
		return nil
	}
	return []prometheus.Collector{r.server}
}

// turnSecret reads the secret that credentials are made by, or makes one.
func turnSecret(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err == nil {
		if s := strings.TrimSpace(string(b)); len(s) >= 32 {
			return s, nil
		}
		return "", fmt.Errorf("TURN secret: %s has under 32 characters; remove it to have a new one made", file)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("TURN secret: %w", err)
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	text := hex.EncodeToString(secret)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return "", fmt.Errorf("TURN secret: %w", err)
	}
	if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("TURN secret: %w", err)
	}
	return text, nil
}
