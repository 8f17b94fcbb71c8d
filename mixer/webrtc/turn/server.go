// Package turn relays for clients whose network lets nothing else through
// (RFC 8656), over UDP, TCP and TLS, and to one place only: this server's own
// media port.
//
//	client ── UDP ─▶ datagrams ─┐                       ┌─▶ relay ─ UDP ─▶ media port
//	client ── TCP ─▶ stream    ─┼─ door ─ pion/turn ────┤
//	client ── TLS ─▶ stream    ─┘  rate, peers          └─▶ quota of the user
//
// pion/turn does the protocol. What stands before it is what it lacks: a limit
// to logins, peers by port, quotas, streams that cannot be blocked.
package turn

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/turn/v2"
	"golang.org/x/time/rate"

	"mixdown/mixer/webrtc/tcp"
)

// Realm is what clients are told to sign with (RFC 8489, section 9.2).
const Realm = "mixdown"

// maxConnections bounds the connections over TCP and TLS.
const maxConnections = 4096

// Config is what a Server is made of.
type Config struct {
	Credentials Credentials
	// Peers are the addresses that clients know the media port by, and where on
	// this machine each of them is; no two in one place.
	Peers map[netip.AddrPort]netip.AddrPort
	// Relays are the addresses of this machine that relay addresses are on, at most
	// one of each family. They need not be reachable from outside.
	Relays []netip.Addr
	// Allocations and Bitrate (bit/s, of each direction) are what one user may have.
	// A browser makes an allocation for each URL and each of its own addresses.
	Allocations int
	Bitrate     int
	// Stream tells what an SSRC is, for clients over TCP that are congested.
	Stream func(ssrc uint32) (tcp.Stream, bool)
	Now    func() time.Time // nil means time.Now
}

// Server is a TURN server. It implements prometheus.Collector.
type Server struct {
	cfg   Config
	log   *slog.Logger
	meter *meter
	names map[netip.AddrPort]netip.AddrPort // Peers the other way round
	usual family                            // of relay addresses
	doors doors
	users users

	mu      sync.Mutex
	closed  bool
	sockets []*net.UDPConn
	streams map[*stream]struct{}
	relays  map[*relay]struct{}
}

// New returns a server that serves nobody yet.
func New(cfg Config, log *slog.Logger) (*Server, error) {
	if cfg.Credentials.Secret == "" || cfg.Allocations < 1 || cfg.Bitrate < 1 || cfg.Stream == nil || len(cfg.Relays) == 0 {
		return nil, errors.New("turn: secret, relay address, stream and quotas must all be given")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Server{
		cfg: cfg, log: log, meter: newMeter(), names: make(map[netip.AddrPort]netip.AddrPort),
		doors:   doors{by: make(map[netip.Prefix]*rate.Limiter)},
		users:   users{allocations: cfg.Allocations, bitrate: cfg.Bitrate, by: make(map[string]*account)},
		streams: make(map[*stream]struct{}), relays: make(map[*relay]struct{}),
	}
	for name, at := range cfg.Peers {
		if other, taken := s.names[at]; taken {
			return nil, fmt.Errorf("turn: peers %v and %v are both at %v", name, other, at)
		}
		s.names[at] = name
	}
	s.usual = usualFamily(cfg.Peers)
	if !s.relayAt(anyFamily).IsValid() {
		return nil, errors.New("turn: no relay address in the family of the peers")
	}
	return s, nil
}

// ServeUDP takes over a socket that clients send to.
func (s *Server) ServeUDP(c *net.UDPConn) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return errors.Join(net.ErrClosed, c.Close())
	}
	s.sockets = append(s.sockets, c)
	s.mu.Unlock()
	seat := newSeat(s, "udp")
	return s.run(&datagrams{c, seat}, seat)
}

// ServeTCP takes over a client's connection, TCP or TLS, nothing of which has
// been read. It does not block.
func (s *Server) ServeTCP(c net.Conn) {
	if !s.doors.admit(addrPort(c.RemoteAddr()).Addr(), s.now()) {
		s.meter.badRate.Inc()
		_ = c.Close()
		return
	}
	s.mu.Lock()
	if s.closed || len(s.streams) >= maxConnections {
		s.mu.Unlock()
		_ = c.Close()
		return
	}
	t := newStream(s, c)
	s.streams[t] = struct{}{}
	s.mu.Unlock()
	s.meter.connections.Inc()
	if err := s.run(t, t.seat); err != nil {
		s.log.Warn("TURN connection", "remote", c.RemoteAddr(), "error", err)
		_ = t.Close()
	}
}

// run lets pion serve what a seat's socket brings, until it is closed.
func (s *Server) run(c net.PacketConn, t *seat) error {
	_, err := turn.NewServer(turn.ServerConfig{
		Realm: Realm, AuthHandler: t.authenticate, LoggerFactory: loggers{s.log},
		PacketConnConfigs: []turn.PacketConnConfig{{
			PacketConn: c, RelayAddressGenerator: t,
			PermissionHandler: func(_ net.Addr, peer net.IP) bool {
				ip, ok := netip.AddrFromSlice(peer)
				return ok && s.permits(ip.Unmap())
			},
		}},
	})
	return err
}

// permits reports whether something may be relayed to an address.
func (s *Server) permits(ip netip.Addr) bool {
	for p := range s.cfg.Peers {
		if p.Addr() == ip {
			return true
		}
	}
	return false
}

func (s *Server) key(name string) []byte {
	return turn.GenerateAuthKey(name, Realm, s.cfg.Credentials.password(name))
}

func (s *Server) now() time.Time { return s.cfg.Now() }

// enter and leave keep the allocations, gone the connections.
func (s *Server) enter(r *relay) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.relays[r] = struct{}{}
	}
	return !s.closed
}

func (s *Server) leave(r *relay) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, was := s.relays[r]
	delete(s.relays, r)
	return was
}

func (s *Server) gone(t *stream) {
	s.mu.Lock()
	delete(s.streams, t)
	s.mu.Unlock()
	s.meter.connections.Dec()
}

// Close ends all sockets, connections and allocations. It may be called twice.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	sockets, streams, relays := s.sockets, s.streams, s.relays
	s.sockets, s.streams = nil, make(map[*stream]struct{})
	ending := make([]*relay, 0, len(relays))
	for r := range relays {
		ending = append(ending, r)
	}
	s.mu.Unlock()
	var errs []error
	for _, c := range sockets {
		errs = append(errs, c.Close())
	}
	for t := range streams {
		_ = t.Close()
	}
	for _, r := range ending {
		_ = r.Close()
	}
	return errors.Join(errs...)
}
