package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"mixdown/api"
	"mixdown/api/web"
	"mixdown/cmd/mixdown/front"
	"mixdown/codec"
	"mixdown/codec/catalog"
	"mixdown/mixer"
	"mixdown/mixer/cast"
	"mixdown/mixer/input"
	"mixdown/mixer/record"
	"mixdown/mixer/rtp"
	"mixdown/mixer/webhook"
	"mixdown/mixer/webrtc"
)

// server is what runs, as far as it was started.
type server struct {
	cfg  Config
	log  *slog.Logger
	stop stack

	registry   *api.Registry
	hooks      *webhook.Sender
	codecs     codec.Set
	rooms      *mixer.Server
	secure     net.Listener // HTTPS's port; nil: none
	transport  *webrtc.Transport
	relay      *relays
	inputs     *input.Inputs
	outputs    *cast.Outputs
	recordings *record.Recorder
	legs       *rtp.Transport

	metrics   *prometheus.Registry
	control   *api.API
	listening chan struct{} // closed when control is there
	web       http.Handler
	cert      certificate
	failed    chan error // of what serves
}

// serve wires the server. What runs is registered here and below, one line each,
// and ends in the reverse order.
func serve(ctx context.Context, cfg Config, log *slog.Logger, out io.Writer) (err error) {
	// cgo holds a P, and a sound clock holds one ahead of its deadline: without
	// some to spare sound waits for encoders.
	if os.Getenv("GOMAXPROCS") == "" {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + cfg.Workers + len(cfg.Ladder) + 4))
	}
	if err := calmSysmon(); err != nil {
		log.Debug("sysmon stays as it is", "err", err)
	}
	s := &server{
		cfg: cfg, log: log, codecs: catalog.Default(), metrics: prometheus.NewRegistry(),
		listening: make(chan struct{}), failed: make(chan error, 3),
	}
	defer func() { err = errors.Join(err, s.stop.close(stopTimeout)) }()

	keys, err := signingKeys(cfg, log)
	if err != nil {
		return err
	}
	if s.registry, err = api.OpenRegistry(filepath.Join(cfg.DataDir, "rooms.json")); err != nil {
		return err
	}
	page, err := web.FS()
	if err != nil {
		return fmt.Errorf("join page: %w", err)
	}
	if err := s.startRooms(); err != nil {
		return err
	}
	if err := s.startMedia(); err != nil {
		return err
	}
	if err := s.startControl(ctx, keys, page); err != nil {
		return err
	}
	if err := s.collect(); err != nil {
		return err
	}
	plain, bases, err := s.startHTTP()
	if err != nil {
		return err
	}
	demo, err := demoRoom(cfg.Rooms.Demo, s.registry, s.rooms)
	if err != nil {
		return err
	}
	s.control.SetReady(true)
	announce(bases, demo, out)
	log.Info("serving", "version", buildVersion(), "http", plain, "tls", cfg.TLS.Mode, "rtc_port", s.transport.Port(), "procs", runtime.GOMAXPROCS(0))
	select {
	case <-ctx.Done():
		log.Info("stopping; a second signal stops at once")
	case err = <-s.failed:
	}
	s.control.SetReady(false)
	return err
}

// notify tells other servers and hosts what happens.
func (s *server) notify(e mixer.Event) {
	s.hooks.Send(e)
	select {
	case <-s.listening:
		s.control.Event(e)
	default: // nobody can be connected yet
	}
}

// startRooms starts the rooms, and who is told of them.
func (s *server) startRooms() (err error) {
	if s.hooks, err = startWebhooks(s.cfg, s.log); err != nil {
		return err
	}
	s.stop.push("webhooks", s.hooks.Close)
	mixing := s.cfg.Mixer(s.log)
	mixing.Notify = s.notify
	if s.rooms, err = mixer.NewServer(mixing, s.codecs); err != nil {
		return err
	}
	s.stop.push("rooms", s.rooms.Close)
	return nil
}

// startMedia starts what brings media into rooms and out of them.
func (s *server) startMedia() (err error) {
	if s.secure, err = listenSecure(s.cfg); err != nil {
		return err
	}
	if s.secure != nil {
		s.stop.push("https port", closeOnce(s.secure))
	}
	rtc := s.cfg.WebRTC()
	rtc.TCPPorts = onePort(s.cfg, s.secure)
	if s.transport, err = webrtc.New(rtc, s.codecs.For(codec.Everybody), webrtc.ForServer(s.rooms), s.log); err != nil {
		return taken(err)
	}
	s.stop.push("webrtc", s.transport.Close)
	if s.relay, err = startTURN(s.cfg, s.transport, s.secure, s.log); err != nil {
		return err
	}
	s.stop.push("turn", s.relay.Close)

	if s.inputs, err = startInputs(s.cfg, s.rooms, s.notify, s.log); err != nil {
		return err
	}
	s.stop.push("inputs", s.inputs.Close)
	if s.outputs, err = startOutputs(s.cfg, s.rooms, s.notify, s.log); err != nil {
		return err
	}
	s.stop.push("outputs", s.outputs.Close)
	if s.recordings, err = startRecordings(s.cfg, s.rooms, s.codecs, s.notify, s.log); err != nil {
		return err
	}
	s.stop.push("recordings", s.recordings.Close)

	media, err := s.cfg.RTP.config()
	if err != nil {
		return err
	}
	if s.legs, err = rtp.New(media, s.codecs, rtp.ForServer(s.rooms), s.log); err != nil {
		return err
	}
	s.stop.push("rtp", s.legs.Close)
	return nil
}

// startControl starts what people and other servers ask for: the API, and SIP.
func (s *server) startControl(ctx context.Context, keys api.Keys, page fs.FS) (err error) {
	cfg := s.cfg
	s.control, err = api.New(api.Config{
		Recorder: s.recordings, Outputs: s.outputs,
		Keys: keys, Signaler: s.transport, Rooms: s.rooms, Inputs: s.inputs, Legs: s.legs, Registry: s.registry, Gatherer: s.metrics, Page: page,
		Open: cfg.Rooms.Open, TokenTTL: cfg.Rooms.TokenTTL, Relays: s.relay.ICEServers,
		PublicURL: cfg.HTTP.PublicURL, TrustedProxies: cfg.HTTP.TrustedProxies, Version: buildVersion(),
	}, s.log)
	if err != nil {
		return err
	}
	s.stop.push("api", s.control.Close)
	close(s.listening)

	if s.secure != nil {
		if s.cert, err = certificates(ctx, cfg, s.log); err != nil {
			return err
		}
	}
	phones, err := startSIP(cfg, &phoneRooms{s.rooms, s.control, s.registry, cfg.Rooms.Open}, s.legs, s.transport, s.cert.config, s.log)
	if err != nil {
		return err
	}
	if phones != nil {
		s.stop.push("sip", phones.Close)
		s.control.SetCaller(phones, cfg.SIP.dialIn, len(cfg.SIP.DialOut.Allow) > 0)
		if err := s.register(phones); err != nil {
			return err
		}
	}
	s.web = withSIP(phones, cfg.SIP.WSPath, s.control)
	return nil
}

// collect shows the figures of all that was started.
func (s *server) collect() error {
	return s.register(append(s.relay.Collectors(),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		s.rooms, s.transport, s.control, s.inputs, s.outputs, s.recordings, s.hooks, s.legs,
	)...)
}

func (s *server) register(all ...prometheus.Collector) error {
	for _, c := range all {
		if err := s.metrics.Register(c); err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
	}
	return nil
}

// startHTTP serves HTTP, and HTTPS if there is a certificate. bases are what
// addresses begin with.
func (s *server) startHTTP() (at net.Addr, bases []string, err error) {
	plain, err := listen("--http-addr", s.cfg.HTTP.Addr)
	if err != nil {
		return nil, nil, err
	}
	bases = []string{"http://" + host(plain, netip.Addr{})}
	handler := s.web
	if s.secure != nil {
		elsewhere := redirect(s.control, s.secure.Addr())
		handler = s.cert.challenges(elsewhere)
		inside, plainly := front.NewInlet(s.secure.Addr()), front.NewInlet(s.secure.Addr())
		routes := front.Routes{HTTPS: inside.Put, Plain: plainly.Put}
		if s.cfg.HTTPS.OnePort != "" {
			routes.TURN, routes.ICE = s.relay.ServeTCP, s.transport.ServeTCP
		}
		s.stop.push("https", serveHTTP(inside, s.web, s.log, s.failed))
		s.stop.push("http at the https port", serveHTTP(plainly, elsewhere, s.log, s.failed))
		door := front.New(s.secure, s.cert.config, routes, s.log)
		s.stop.push("front", door.Close)
		if err := s.register(door); err != nil {
			return nil, nil, err
		}
		bases = append(bases, "https://"+host(s.secure, lan()))
	}
	s.stop.push("http", serveHTTP(plain, handler, s.log, s.failed))
	if s.cfg.HTTP.PublicURL != "" {
		bases = []string{s.cfg.HTTP.PublicURL}
	}
	return plain.Addr(), bases, nil
}
