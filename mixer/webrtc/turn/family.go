package turn

import (
	"net/netip"

	"github.com/pion/stun"
)

// family is a kind of addresses, with the number that REQUESTED-ADDRESS-FAMILY
// has for it (RFC 8656, section 18.6).
type family byte

const (
	anyFamily family = 0
	ipv4      family = 1
	ipv6      family = 2
)

func familyOf(ip netip.Addr) family {
	if ip.Is4() {
		return ipv4
	}
	return ipv6
}

// asked reads which family an Allocate request wants its relay address of. ok is
// false if it is none that there is.
func asked(m *stun.Message) (f family, ok bool) {
	v, err := m.Get(stun.AttrRequestedAddressFamily)
	if err != nil {
		return anyFamily, true
	}
	if len(v) != 4 {
		return anyFamily, false
	}
	f = family(v[0])
	return f, f == ipv4 || f == ipv6
}

// relayAt returns the address of this machine for relays of a family, invalid if
// none is offered. Who does not care gets IPv4 (RFC 8656, section 7.2), unless
// the media port has no IPv4 name by which others know it: browsers never ask, and pair
// a relay address with candidates of its own family only.
func (s *Server) relayAt(f family) netip.Addr {
	if f == anyFamily {
		f = s.usual
	}
	for _, ip := range s.cfg.Relays {
		if familyOf(ip) == f && s.serves(f) {
			return ip
		}
	}
	return netip.Addr{}
}

// serves reports whether the media port has a name of a family.
func (s *Server) serves(f family) bool {
	for name := range s.cfg.Peers {
		if familyOf(name.Addr()) == f {
			return true
		}
	}
	return false
}

// usualFamily is that of relay addresses for who does not care.
func usualFamily(peers map[netip.AddrPort]netip.AddrPort) family {
	six := false
	for name := range peers {
		switch ip := name.Addr(); {
		case ip.IsLoopback():
		case ip.Is4():
			return ipv4
		default:
			six = true
		}
	}
	if six {
		return ipv6
	}
	return ipv4
}
