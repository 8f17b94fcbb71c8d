package webrtc

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Detect lists the addresses of this machine that media can be received on:
// those of interfaces that are up and running, without link-local ones (they
// need a zone, which SDP cannot carry). Loopback comes last.
func Detect() ([]netip.Addr, error) {
	ifaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	var out, loopback []netip.Addr
	for _, i := range ifaces {
		// A bridge without members (such as Docker's, without containers) is up but
		// does not run.
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagRunning == 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue // the interface went away meanwhile
		}
		for _, a := range addrs {
			prefix, err := netip.ParsePrefix(a.String())
			if err != nil {
				continue
			}
			switch ip := prefix.Addr().Unmap(); {
			case ip.IsLoopback():
				loopback = append(loopback, ip)
			case ip.IsGlobalUnicast():
				out = append(out, ip)
			}
		}
	}
	return append(out, loopback...), nil
}

// Check parses the public addresses that --rtc-address names.
func Check(addresses []string) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, s := range addresses {
		ip, err := netip.ParseAddr(strings.TrimSpace(s))
		if err != nil {
			return nil, fmt.Errorf("--rtc-address: %q is not an IP address; name the one that clients reach this server on, such as 203.0.113.7", s)
		}
		why := ""
		switch ip = ip.Unmap(); {
		case ip.IsUnspecified():
			why = "is unspecified"
		case ip.IsMulticast():
			why = "is multicast"
		case ip.IsLinkLocalUnicast():
			why = "is link-local"
		case ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
			why = "is broadcast"
		}
		if why != "" {
			return nil, fmt.Errorf("--rtc-address: %s %s, no client can send media to it; name the address that clients reach this server on", ip, why)
		}
		out = append(out, ip)
	}
	return out, nil
}

// Warning says which clients cannot reach media at the addresses that this
// server would tell them, or "" if there is a public one. named are those of
// --rtc-address, found those of the interfaces.
func Warning(named, found []netip.Addr) string {
	all := append(append([]netip.Addr(nil), named...), found...)
	var private []string
	for _, ip := range all {
		switch {
		case ip.IsLoopback():
		case ip.IsPrivate() || shared.Contains(ip):
			private = append(private, ip.String())
		default:
			return ""
		}
	}
	if len(named) > 0 && len(private) > 0 {
		return "" // a private network is what the operator wants to serve
	}
	if len(private) == 0 {
		return "only loopback addresses found: clients on other machines cannot reach media; name the address they reach this server on with --rtc-address"
	}
	return fmt.Sprintf("only private addresses found (%s): clients outside of these networks cannot reach media; name the public address with --rtc-address", strings.Join(private, ", "))
}

// shared is the space between a provider's NAT and its customers (RFC 6598):
// as unreachable from outside as a private network.
var shared = netip.MustParsePrefix("100.64.0.0/10")
