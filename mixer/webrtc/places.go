package webrtc

import (
	"net/netip"
	"slices"
)

// Places tells a relay on this machine where the media port is: the IPv4
// addresses that clients know it by, each with where it is here, no two in one
// place; and an address for the relay's own end. Of an address translator's
// outside only the name is known here, so each is given a place of its own
// among the machine's addresses, which then go by that name alone.
func (t *Transport) Places() (places map[netip.AddrPort]netip.AddrPort, relay netip.Addr) {
	var public []netip.Addr
	for _, ap := range t.public {
		public = append(public, ap.Addr())
	}
	return places4(public, t.found, uint16(t.sockets.port))
}

func places4(public, found []netip.Addr, port uint16) (map[netip.AddrPort]netip.AddrPort, netip.Addr) {
	out := make(map[netip.AddrPort]netip.AddrPort)
	relay := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	var here []netip.Addr // loopback comes last
	for _, ip := range found {
		if ip.Is4() {
			here = append(here, ip)
		}
	}
	if len(here) > 0 {
		relay = here[0]
	}
	add := func(name, at netip.Addr) {
		out[netip.AddrPortFrom(name, port)] = netip.AddrPortFrom(at, port)
	}
	free := here
	for _, ip := range public {
		switch {
		case !ip.Is4():
		case slices.Contains(here, ip):
		case len(free) > 0:
			for len(free) > 0 && slices.Contains(public, free[0]) {
				free = free[1:]
			}
			if len(free) > 0 {
				add(ip, free[0])
				free = free[1:]
			}
		}
	}
	for _, ip := range here {
		if at := netip.AddrPortFrom(ip, port); !holds(out, at) {
			add(ip, ip)
		}
	}
	return out, relay
}

func holds(places map[netip.AddrPort]netip.AddrPort, at netip.AddrPort) bool {
	for _, other := range places {
		if other == at {
			return true
		}
	}
	return false
}
