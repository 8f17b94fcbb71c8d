package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"mixdown/api"
	"mixdown/cmd/mixdown/front"
	"mixdown/mixer"
	"mixdown/mixer/accept"
	"mixdown/mixer/webrtc"
)

// Serve is `mixdown serve`. A flag that is given goes over the environment,
// the file and the defaults; which key it sets is in its tag.
type Serve struct {
	Config     string   `placeholder:"FILE" help:"YAML file."`
	HTTPAddr   *string  `name:"http-addr" placeholder:"HOST:PORT" help:"Plain HTTP (default :8080)." key:"http.addr"`
	HTTPSAddr  *string  `name:"https-addr" placeholder:"HOST:PORT" help:"HTTPS, unless --tls is off (default :8443)." key:"https.addr"`
	TLS        *string  `name:"tls" placeholder:"off|self|files|acme" help:"Certificate: none, self-signed and kept in the data directory, files, or asked for by ACME (default off; phones give no camera to plain http)." key:"tls.mode"`
	TLSCert    *string  `name:"tls-cert" placeholder:"FILE" help:"Certificate chain in PEM, for --tls files." key:"tls.cert"`
	TLSKey     *string  `name:"tls-key" placeholder:"FILE" help:"Its key in PEM." key:"tls.key"`
	ACMEDomain []string `name:"acme-domain" placeholder:"NAME" help:"Names to have a certificate for, with --tls acme." key:"tls.acme.domains"`
	OnePort    *string  `name:"one-port" placeholder:"HOST:PORT" help:"HTTPS, TURN over TLS and media over TCP all on this one port, such as :443, for networks that let nothing else through. Instead of --https-addr." key:"https.one_port"`
	TURNAddr   *string  `name:"turn-addr" placeholder:"HOST:PORT" help:"TURN over UDP and TCP, such as :3478 (default: none)." key:"turn.addr"`
	SIPAddr    *string  `name:"sip-addr" placeholder:"HOST:PORT" help:"SIP over UDP and TCP, such as :5060, so that telephones and room systems can call rooms (default: none)." key:"sip.addr"`
	PublicURL  *string  `name:"public-url" placeholder:"URL" help:"How the world reaches this server, for links." key:"http.public_url"`
	RTCPort    *int     `name:"rtc-port" placeholder:"N" help:"The one UDP port of all media, the same number in TCP (default 7882)." key:"rtc.port"`
	RTCAddress []string `name:"rtc-address" placeholder:"IP" help:"Public addresses of this server, behind NAT or in a container (default: detected)." key:"rtc.address"`
	DataDir    *string  `name:"data-dir" placeholder:"DIR" help:"Where keys, rooms and certificates are kept (default data)." key:"data_dir"`
	RoomsOpen  *bool    `name:"rooms-open" negatable:"" help:"Rooms come into being when somebody joins, and need no key." key:"rooms.open"`
	DemoRoom   *string  `name:"demo-room" placeholder:"NAME" help:"Make this room and print its links." key:"rooms.demo"`
	LogLevel   *string  `name:"log-level" placeholder:"LEVEL" help:"debug, info, warn or error (default info)." key:"log.level"`
	PprofAddr  string   `name:"pprof-addr" placeholder:"HOST:PORT" help:"Serve Go's profiles there, under /debug/pprof/. Keep it on a loopback address."`
	LogFormat  *string  `name:"log-format" placeholder:"FORMAT" help:"text or json (default text)." key:"log.format"`
}

// stopTimeout bounds an orderly end.
const stopTimeout = 10 * time.Second

// Run serves until ctx ends.
func (s *Serve) Run(ctx context.Context, out io.Writer) (err error) {
	cfg, warnings, err := Load(s.Config, os.Environ(), flagKeys(s))
	if err != nil {
		return err
	}
	log := newLog(cfg.Log, os.Stderr)
	for _, w := range warnings {
		log.Warn(w)
	}
	if s.PprofAddr != "" {
		end, failed := serveProfiles(s.PprofAddr, log)
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, end()) }()
	}
	return serve(ctx, cfg, log, out)
}

// demoRoom makes the room of that name, or finds it; an empty name is none.
func demoRoom(name string, registry *api.Registry, rooms *mixer.Server) (api.RoomKeys, error) {
	if name == "" {
		return api.RoomKeys{}, nil
	}
	room, ok := registry.Get(name)
	if !ok {
		var err error
		if room, err = registry.Create(name, "", "", time.Now()); err != nil {
			return room, fmt.Errorf("--demo-room: %w", err)
		}
	}
	if _, err := rooms.CreateRoom(mixer.RoomConfig{Name: name}); err != nil {
		return room, fmt.Errorf("--demo-room: %w", err)
	}
	return room, nil
}

// announce prints where to go.
func announce(bases []string, demo api.RoomKeys, out io.Writer) {
	for _, base := range bases {
		fmt.Fprintf(out, "mixdown serves %s\n", base)
	}
	if demo.Name == "" {
		return
	}
	for _, base := range bases {
		fmt.Fprintf(out, "room %s   %s\n   as host %s\n", demo.Name, api.Link(base, demo.Name, demo.JoinKey), api.Link(base, demo.Name, demo.HostKey))
	}
}

// signingKeys takes the pair that was configured, or the one of the data
// directory.
func signingKeys(cfg Config, log *slog.Logger) (api.Keys, error) {
	if cfg.API.Key != "" {
		return api.Keys{ID: cfg.API.Key, Secret: cfg.API.Secret}, nil
	}
	keys, created, err := api.LoadKeys(keysFile(cfg))
	if err != nil {
		return keys, fmt.Errorf("%w; choose another folder with --data-dir, or set MIXDOWN_API_KEY and MIXDOWN_API_SECRET", err)
	}
	if created {
		log.Info("made a key pair for tokens", "file", keysFile(cfg))
	}
	return keys, nil
}

// listen opens a TCP port; what it fails with names the flag.
func listen(flag, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", flag, addr, taken(err))
	}
	return l, nil
}

// taken adds what to do to an error that says a port is in use.
func taken(err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w; stop what holds the port, or choose another", err)
	}
	return err
}

// serveHTTP serves on l and returns what ends it.
func serveHTTP(l net.Listener, h http.Handler, log *slog.Logger, failed chan<- error) func() error {
	quiet := new(silent)
	s := &http.Server{
		Handler:           front.WithTLS(h),
		ConnState:         quiet.follow,
		ConnContext:       front.ConnContext,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second, // control connections are hijacked and have their own
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // clients that break off
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		err := s.Serve(accept.Patient(l, log, nil)) // net/http's own words are in ErrorLog
		if !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("http server at %v: %w", l.Addr(), err)
		}
	})
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout/4)
		defer cancel()
		s.RegisterOnShutdown(quiet.close) // when no more come
		err := s.Shutdown(ctx)
		if err != nil {
			err = errors.Join(err, s.Close())
		}
		wg.Wait()
		return err
	}
}

// host is how a browser addresses a listener: what it is bound to, or else
// public, or else localhost.
func host(l net.Listener, public netip.Addr) string {
	a := l.Addr().(*net.TCPAddr)
	name := "localhost"
	switch ip := a.AddrPort().Addr().Unmap(); {
	case !ip.IsUnspecified() && !ip.IsLoopback():
		name = ip.String()
	case ip.IsUnspecified() && public.IsValid():
		name = public.String()
	}
	return net.JoinHostPort(name, strconv.Itoa(a.Port))
}

// lan is an address of this machine for others near it: IPv4 if there is one.
func lan() netip.Addr {
	found, err := webrtc.Detect()
	if err != nil {
		return netip.Addr{}
	}
	found = slices.DeleteFunc(found, func(ip netip.Addr) bool { return ip.IsLoopback() })
	slices.SortStableFunc(found, func(a, b netip.Addr) int { return cmp.Compare(a.BitLen(), b.BitLen()) })
	if len(found) == 0 {
		return netip.Addr{}
	}
	return found[0]
}

func newLog(cfg LogConfig, out io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.Level)) // Validate has seen it
	opts := &slog.HandlerOptions{Level: level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(out, opts))
	}
	return slog.New(slog.NewTextHandler(out, opts))
}
