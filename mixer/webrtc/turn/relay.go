package turn

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

var (
	errQuota = errors.New("the user has its quota of allocations")
	errPort  = errors.New("relay ports are not to be chosen")
	errTCP   = errors.New("relaying to TCP is not offered")
	errPeer  = errors.New("relays to this server's media port only")
)

// seat is one way clients come in: a UDP socket, or a connection. pion handles
// its requests one after the other, so the one that made an allocation is the
// last whose credentials were looked at.
type seat struct {
	server    *Server
	transport string

	// Of the request that is being handled.
	from netip.AddrPort
	name string // as in the credentials
	user string
	wish family // of the relay address

	mu      sync.Mutex
	holders map[netip.AddrPort]holder // who has an allocation
}

// holder is whose an allocation is.
type holder struct {
	name   string // as in the credentials
	family family // of its relay address
}

func newSeat(s *Server, transport string) *seat {
	return &seat{server: s, transport: transport, holders: make(map[netip.AddrPort]holder)}
}

// authenticate implements turn.AuthHandler: it gives the key that the request
// must be signed with. Credentials are asked for again all along an allocation;
// once it stands they may expire.
func (t *seat) authenticate(name, realm string, addr net.Addr) (key []byte, ok bool) {
	from := addrPort(addr)
	user, err := user(name, t.server.now())
	if errors.Is(err, errExpired) && t.holder(from).name == name {
		err = nil
	}
	if err != nil || realm != Realm {
		return nil, false
	}
	t.from, t.name, t.user = from, name, user
	return t.server.key(name), true
}

// holder returns the zero one for who has no allocation.
func (t *seat) holder(from netip.AddrPort) holder {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.holders[from]
}

// Validate implements turn.RelayAddressGenerator.
func (t *seat) Validate() error { return nil }

// AllocateConn implements turn.RelayAddressGenerator.
func (t *seat) AllocateConn(string, int) (net.Conn, net.Addr, error) { return nil, nil, errTCP }

// AllocatePacketConn implements turn.RelayAddressGenerator.
func (t *seat) AllocatePacketConn(_ string, port int) (net.PacketConn, net.Addr, error) {
	if port != 0 {
		return nil, nil, errPort
	}
	s := t.server
	a := s.users.take(t.user, s.now())
	if a == nil {
		s.meter.badQuota.Inc()
		return nil, nil, errQuota
	}
	at := s.relayAt(t.wish) // the door has seen to it that there is one
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at, 0)))
	if err != nil {
		s.users.giveBack(a, s.now())
		return nil, nil, fmt.Errorf("relay address: %w", err)
	}
	_ = c.SetReadBuffer(relayBuffer)
	r := &relay{UDPConn: c, seat: t, account: a, from: t.from}
	if !s.enter(r) {
		_ = r.Close()
		return nil, nil, net.ErrClosed
	}
	t.mu.Lock()
	t.holders[t.from] = holder{t.name, familyOf(at)}
	t.mu.Unlock()
	s.meter.allocations.WithLabelValues(t.transport).Inc()
	return r, c.LocalAddr(), nil
}

const relayBuffer = 512 << 10 // a keyframe comes at once

// relay is one allocation's socket. It sends to the server's media port and
// takes from there, under the names that clients have for it.
type relay struct {
	*net.UDPConn
	seat    *seat
	account *account
	from    netip.AddrPort // the client
	once    sync.Once
}

// WriteTo sends what a client has for a peer.
func (r *relay) WriteTo(b []byte, to net.Addr) (int, error) {
	s := r.seat.server
	at, ok := s.cfg.Peers[addrPort(to)]
	if !ok || at.Addr().Is4() != addrPort(r.LocalAddr()).Addr().Is4() {
		s.meter.badPeer.Inc()
		return 0, errPeer
	}
	if !r.account.up.AllowN(time.Now(), len(b)) {
		s.meter.dropRate.Inc()
		return len(b), nil
	}
	s.meter.in.Add(float64(len(b)))
	return r.WriteToUDPAddrPort(b, at)
}

// ReadFrom returns what a peer has for the client.
func (r *relay) ReadFrom(b []byte) (int, net.Addr, error) {
	s := r.seat.server
	for {
		n, from, err := r.ReadFromUDPAddrPort(b)
		if err != nil {
			return n, nil, err
		}
		name, ok := s.names[netip.AddrPortFrom(from.Addr().Unmap(), from.Port())]
		switch {
		case !ok:
			s.meter.dropStray.Inc()
		case !r.account.down.AllowN(time.Now(), n):
			s.meter.dropRate.Inc()
		default:
			s.meter.out.Add(float64(n))
			return n, net.UDPAddrFromAddrPort(name), nil
		}
	}
}

// Close ends the allocation's socket. pion calls it, from any goroutine.
func (r *relay) Close() (err error) {
	r.once.Do(func() {
		err = r.UDPConn.Close()
		s := r.seat.server
		s.users.giveBack(r.account, s.now())
		if s.leave(r) {
			s.meter.allocations.WithLabelValues(r.seat.transport).Dec()
			r.seat.mu.Lock()
			delete(r.seat.holders, r.from)
			r.seat.mu.Unlock()
		}
	})
	return err
}

func addrPort(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case *net.UDPAddr:
		ap = a.AddrPort()
	case *net.TCPAddr:
		ap = a.AddrPort()
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
