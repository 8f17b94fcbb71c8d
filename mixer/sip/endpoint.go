// Package sip is a SIP user agent in front of the rooms (RFC 3261): room
// systems and telephones call a room by its name, or a lobby where a voice asks
// for the PIN; rooms call out as far as configuration allows. It moves no media:
// a Leg does, or for browsers a Signaler.
//
//	UDP, TCP, TLS, WebSocket ─▶ door: refused and answered, nothing kept ─▶ sipgo ─▶ call ─▶ Leg ─▶ room
//
// Each call has one goroutine that owns all of it.
package sip

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"

	"mixdown/mixer"
)

// Endpoint is the user agent. It is a prometheus.Collector and, for SIP over
// WebSocket, an http.Handler.
type Endpoint struct {
	cfg      Config
	log      *slog.Logger
	rooms    Rooms
	legs     Legs
	browsers Signaler // nil: none
	guests   *guests
	door     *door
	crowd    *crowd
	calls    *calls
	count    *counters
	records  *records
	prompts  *prompts
	sockets  *sockets
	web      *inlet
	webAddr  net.Addr
	binding  *binding // nil: no registrar

	ua     *sipgo.UserAgent
	client *sipgo.Client
	socket *net.UDPConn
	stream net.Listener
	secure net.Listener

	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
	end    sync.Once

	telling sync.Mutex
}

// tune is done once: some settings of sipgo are the process's.
var tune sync.Once

var errStopping = errors.New("the server is stopping")

// New opens the ports and serves until Close. browsers may be nil.
func New(cfg Config, rooms Rooms, legs Legs, browsers Signaler, log *slog.Logger) (*Endpoint, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	e := &Endpoint{
		cfg: cfg, log: log, rooms: rooms, legs: legs, browsers: browsers,
		guests: newGuests(cfg), calls: newCalls(cfg.Limits.Calls), count: newCounters(),
		crowd:   newCrowd(cfg.Limits.Streams, cfg.Limits.PerHost),
		sockets: &sockets{by: map[netip.AddrPort]bool{}},
	}
	var err error
	if e.prompts, err = loadPrompts(cfg.Prompts); err != nil {
		return nil, err
	}
	if e.records, err = openRecords(cfg.Records, cfg.RecordBytes); err != nil {
		return nil, err
	}
	e.door = &door{
		cfg: cfg, guests: e.guests, rooms: rooms, calls: e.calls, count: e.count, now: time.Now,
		gate: newGate(cfg.Limits, e.guests.trunk),
		pins: newGate(Limits{Packets: 1000, Refusals: 30}, func(netip.Addr) bool { return false }),
	}
	e.ctx, e.cancel = context.WithCancelCause(context.Background())
	if err := e.open(); err != nil {
		e.shut()
		return nil, errors.Join(err, e.records.close())
	}
	e.serve()
	return e, nil
}

// open makes the user agent and its sockets.
func (e *Endpoint) open() error {
	quiet := slog.New(hushed{e.log.Handler()})
	tune.Do(func() {
		// An answer with pictures in it is larger than a datagram that is never cut;
		// section 18.1.1 bounds requests only, and sipgo refuses both.
		sip.UDPMTUSize = maxMessage
		sip.SetDefaultLogger(quiet)
	})
	var err error
	e.ua, err = sipgo.NewUA(
		sipgo.WithUserAgent(e.cfg.product()),
		sipgo.WithUserAgentTransportLayerOptions(sip.WithTransportLayerLogger(quiet)),
		sipgo.WithUserAgentTransactionLayerOptions(sip.WithTransactionLayerLogger(quiet),
			sip.WithTransactionLayerUnhandledResponseHandler(func(*sip.Response) {})),
		sipgo.WithUserAgenTLSConfig(clientTLS(e.cfg.TLS, e.cfg.Roots)),
	)
	if err != nil {
		return fmt.Errorf("sip: %w", err)
	}
	server, err := sipgo.NewServer(e.ua, sipgo.WithServerLogger(quiet))
	if err != nil {
		return fmt.Errorf("sip: %w", err)
	}
	server.OnNoRoute(e.request)
	if e.client, err = sipgo.NewClient(e.ua, sipgo.WithClientLogger(quiet)); err != nil {
		return fmt.Errorf("sip: %w", err)
	}
	e.webAddr = &net.TCPAddr{IP: net.IPv6loopback}
	if e.cfg.Addr != "" {
		addr, err := net.ResolveUDPAddr("udp", e.cfg.Addr)
		if err != nil {
			return fmt.Errorf("sip.addr (--sip-addr) %s: %w", e.cfg.Addr, err)
		}
		if e.socket, e.stream, err = listenBoth(addr); err != nil {
			return fmt.Errorf("sip.addr (--sip-addr) %s: %w", e.cfg.Addr, err)
		}
		_ = e.socket.SetReadBuffer(1 << 20) // as much as the system grants
	}
	if e.cfg.TLSAddr != "" {
		if e.cfg.TLS == nil {
			return errors.New("sip.tls_addr: needs a certificate; set tls.mode (--tls) to self, files or acme")
		}
		l, err := net.Listen("tcp", e.cfg.TLSAddr)
		if err != nil {
			return fmt.Errorf("sip.tls_addr %s: %w", e.cfg.TLSAddr, err)
		}
		e.secure = tls.NewListener(l, e.cfg.TLS)
	}
	e.web = newInlet(e.webAddr)
	return nil
}

// listenBoth opens the same port in UDP and TCP. One that the system chose in the
// one may be taken in the other: then it chooses again.
func listenBoth(addr *net.UDPAddr) (*net.UDPConn, net.Listener, error) {
	for tries := 1; ; tries++ {
		socket, err := net.ListenUDP("udp", addr)
		if err != nil {
			return nil, nil, fmt.Errorf("udp: %w", err)
		}
		at := socket.LocalAddr().(*net.UDPAddr)
		stream, err := net.ListenTCP("tcp", &net.TCPAddr{IP: at.IP, Port: at.Port, Zone: at.Zone})
		if err == nil {
			return socket, stream, nil
		}
		socket.Close()
		if addr.Port != 0 || tries == 10 {
			return nil, nil, fmt.Errorf("tcp: %w", err)
		}
	}
}

// clientTLS is how this server calls others over TLS: it checks them by roots,
// and shows its own certificate if asked.
func clientTLS(own *tls.Config, roots *x509.CertPool) *tls.Config {
	c := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if own != nil {
		c.Certificates = own.Certificates
		if own.GetCertificate != nil {
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return own.GetCertificate(&tls.ClientHelloInfo{})
			}
		}
	}
	return c
}

// serve starts what runs until Close.
func (e *Endpoint) serve() {
	layer := e.ua.TransportLayer()
	if e.socket != nil {
		ready := make(chan struct{})
		e.until("UDP", func() error {
			return layer.ServeUDP(&datagrams{e.socket, e.door, sync.OnceFunc(func() { close(ready) })})
		})
		<-ready // a call of ours before would look for another socket
		e.until("TCP", func() error { return layer.ServeTCP(e.streams(e.stream, "TCP")) })
	}
	if e.secure != nil {
		e.until("TLS", func() error { return layer.ServeTLS(e.streams(e.secure, "TLS")) })
	}
	e.until("WebSocket", func() error { return layer.ServeTCP(e.web) })
	e.wg.Go(e.sweep)
	if e.cfg.Registrar != nil {
		e.binding = newBinding(e)
		e.wg.Go(e.binding.run)
	}
}

// until serves until Close. A transport that ends before is deaf, and says so.
func (e *Endpoint) until(network string, serve func() error) {
	e.wg.Go(func() {
		if err := serve(); e.ctx.Err() == nil {
			e.log.Error("SIP is not served any more", "transport", network, "error", err)
		}
	})
}

// sweep forgets calls that are over.
func (e *Endpoint) sweep() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case now := <-tick.C:
			for _, room := range e.calls.forget(now) {
				e.tell(room)
			}
		}
	}
}

// Close hangs up all calls, gives up the registration and waits for all that
// runs. It may be called twice.
func (e *Endpoint) Close() error {
	e.end.Do(func() {
		e.cancel(errStopping)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for _, c := range e.calls.all() {
				<-c.gone
			}
			if e.binding != nil {
				<-e.binding.gone
			}
		}()
		select { // peers that no longer answer are not waited for
		case <-done:
		case <-time.After(2 * time.Second):
		}
		e.shut()
		<-done
	})
	e.wg.Wait()
	// sipgo answers what came in last over a socket that it makes for that.
	return errors.Join(e.ua.TransportLayer().Close(), e.records.close())
}

// shut closes the sockets and what sipgo keeps.
func (e *Endpoint) shut() {
	e.cancel(errStopping)
	if e.web != nil {
		e.web.Close()
	}
	for _, l := range []net.Listener{e.stream, e.secure} {
		if l != nil {
			l.Close()
		}
	}
	if e.socket != nil {
		e.socket.Close()
	}
	if e.ua != nil {
		e.ua.Close()
	}
	e.crowd.closeAll()
}

// Addr is where UDP and TCP are served; not valid if they are not.
func (e *Endpoint) Addr() netip.AddrPort {
	if e.socket == nil {
		return netip.AddrPort{}
	}
	at := e.socket.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

// SecureAddr is where TLS is served.
func (e *Endpoint) SecureAddr() netip.AddrPort {
	if e.secure == nil {
		return netip.AddrPort{}
	}
	return e.secure.Addr().(*net.TCPAddr).AddrPort()
}

// request takes what passed the door. sipgo ends a transaction when this
// returns, so it does when the request is answered for good.
func (e *Endpoint) request(req *sip.Request, tx sip.ServerTransaction) {
	c := e.calls.find(req)
	switch {
	case c != nil && req.Method == sip.INVITE && !req.To().Params.Has("tag"):
		// The same request by another way (RFC 3261, section 8.2.2.2).
		_ = tx.Respond(sip.NewResponseFromRequest(req, 482, "Loop Detected", nil))
	case c != nil:
		c.take(req, tx)
	case req.Method == sip.ACK:
	case req.Method == sip.INVITE:
		e.incoming(req, tx)
	default:
		_ = tx.Respond(sip.NewResponseFromRequest(req, 481, "Call/Transaction Does Not Exist", nil))
	}
}

// incoming makes a call of an INVITE.
func (e *Endpoint) incoming(req *sip.Request, tx sip.ServerTransaction) {
	from, err := netip.ParseAddrPort(req.Source())
	if err != nil {
		_ = tx.Respond(sip.NewResponseFromRequest(req, 400, "Bad Request", nil))
		return
	}
	role, to, err := e.door.admit(req, from, time.Now())
	var no refusal
	if errors.As(err, &no) { // it passed a moment ago: somebody was faster
		_ = tx.Respond(sip.NewResponseFromRequest(req, no.code, no.reason, nil))
		return
	}
	c := newIncoming(e, req, from, role, to)
	if e.ctx.Err() != nil || !e.calls.add(c, 0) {
		_ = tx.Respond(sip.NewResponseFromRequest(req, 503, "Service Unavailable", nil))
		return
	}
	e.wg.Go(c.run)
	c.take(req, tx)
}

// tell tells a room of its calls. Everybody in it sees that; the numbers of
// those who call are for hosts.
func (e *Endpoint) tell(room string) {
	if room == "" {
		return
	}
	e.telling.Lock() // what is told last is what holds
	defer e.telling.Unlock()
	calls := e.calls.of(room)
	for i := range calls {
		if !calls[i].Outgoing {
			calls[i].Peer = ""
		}
	}
	if err := e.rooms.SetCalls(room, calls); err != nil && !errors.Is(err, mixer.ErrNoRoom) && !errors.Is(err, mixer.ErrRoomClosed) {
		e.log.Warn("calls not told", "room", room, "error", err)
	}
}

// Calls lists the calls of a room.
func (e *Endpoint) Calls(room string) []mixer.Call { return e.calls.of(room) }

// Hangup ends a call of a room.
func (e *Endpoint) Hangup(room, id string) error {
	c := e.calls.get(id)
	if c == nil || c.view().Room != room || !c.overAt().IsZero() {
		return fmt.Errorf("room %q: call %.40q: %w", room, id, mixer.ErrNoCall)
	}
	c.post(func() { c.hangup(ending{code: 200, reason: "hung up from the room", by: "room"}) })
	return nil
}

// local is the address of this machine that a peer reaches it by.
func (e *Endpoint) local(peer netip.AddrPort) netip.Addr {
	if e.cfg.Address.IsValid() && !peer.Addr().IsLoopback() {
		return e.cfg.Address
	}
	if e.socket != nil {
		if at := e.Addr().Addr(); !at.IsUnspecified() {
			return at
		}
	}
	if conn, err := net.Dial("udp", peer.String()); err == nil { // asks the routing table, sends nothing
		defer conn.Close()
		if at, ok := addrPort(conn.LocalAddr()); ok {
			return at.Addr().WithZone("")
		}
	}
	return netip.IPv4Unspecified()
}

// port is where a transport is served.
func (e *Endpoint) port(network string) uint16 {
	if network == "TLS" {
		return e.SecureAddr().Port()
	}
	return e.Addr().Port()
}

// hushed logs as debug whatever sipgo says: it calls errors what anybody can
// make it say by sending something.
type hushed struct{ slog.Handler }

func (h hushed) Enabled(ctx context.Context, _ slog.Level) bool {
	return h.Handler.Enabled(ctx, slog.LevelDebug)
}

func (h hushed) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	return h.Handler.Handle(ctx, r)
}

func (h hushed) WithAttrs(a []slog.Attr) slog.Handler { return hushed{h.Handler.WithAttrs(a)} }
func (h hushed) WithGroup(g string) slog.Handler      { return hushed{h.Handler.WithGroup(g)} }
