package webrtc

import (
	"net/netip"
	"slices"
)

// Places tells a relay on this machine where the media port is: the addresses
// that clients know it by, each with where it is here, no two in one place; and
// an address of each family for the relay's own end. Of an address translator's
// outside only the name is known here, so each is given a place of its own
// among the machine's addresses of its family, which then go by that name alone.
func (t *Transport) Places() (places map[netip.AddrPort]netip.AddrPort, relays []netip.Addr) {
	var public []netip.Addr
	for _, ap := range t.public {
		public = append(public, ap.Addr())
	}
	return placesOf(public, t.found, uint16(t.sockets.port))
}

func placesOf(public, found []netip.Addr, port uint16) (map[netip.AddrPort]netip.AddrPort, []netip.Addr) {
	out := make(map[netip.AddrPort]netip.AddrPort)
	var relays []netip.Addr
	for _, family := range []func(netip.Addr) bool{netip.Addr.Is4, netip.Addr.Is6} {
		var here, names []netip.Addr // loopback comes last
		for _, ip := range found {
			if family(ip) {
				here = append(here, ip)
			}
		}
		for _, ip := range public {
			if family(ip) {
				names = append(names, ip)
			}
		}
		if len(here) == 0 {
			continue
		}
		relays = append(relays, here[0])
		place(out, names, here, port)
	}
	return out, relays
}

// place gives each name a place among the addresses of its family.
func place(out map[netip.AddrPort]netip.AddrPort, names, here []netip.Addr, port uint16) {
	add := func(name, at netip.Addr) {
		out[netip.AddrPortFrom(name, port)] = netip.AddrPortFrom(at, port)
	}
	free := here
	for _, ip := range names {
		if slices.Contains(here, ip) {
			continue
		}
		for len(free) > 0 && slices.Contains(names, free[0]) {
			free = free[1:]
		}
		if len(free) > 0 {
			add(ip, free[0])
			free = free[1:]
		}
	}
	for _, ip := range here {
		if at := netip.AddrPortFrom(ip, port); !holds(out, at) {
			add(ip, ip)
		}
	}
}

func holds(places map[netip.AddrPort]netip.AddrPort, at netip.AddrPort) bool {
	for _, other := range places {
		if other == at {
			return true
		}
	}
	return false
}
