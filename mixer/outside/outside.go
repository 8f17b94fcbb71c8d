// Package outside decides which addresses outside this server it may reach on
// somebody's behalf. A URL that a client names is a way into the networks that
// the server stands in (SSRF), so names are judged before they are looked up
// and addresses where they are connected to: what a name resolves to the second
// time does not matter.
package outside

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// ErrRefused is what every refusal wraps.
var ErrRefused = errors.New("not allowed by this server's configuration")

// Rules are what may be reached. The zero value allows nothing.
type Rules struct {
	any      bool // any name with a public address
	names    []string
	networks []netip.Prefix
}

// Parse reads patterns:
//
//   - any host that has a public address
//     live.example.org this host, and *.example.org all below that domain, at a public address
//     10.1.0.0/16      addresses of this network (or one address), public or not, whatever their name
//
// A name vouches for no private address: that takes its network as well.
func Parse(patterns []string) (Rules, error) {
	var r Rules
	var errs []error
	for i, p := range patterns {
		if p == "*" {
			r.any = true
			continue
		}
		if network, err := netip.ParsePrefix(p); err == nil {
			r.networks = append(r.networks, network.Masked())
			continue
		}
		if addr, err := netip.ParseAddr(p); err == nil {
			addr = addr.Unmap()
			r.networks = append(r.networks, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		if !validName(strings.TrimPrefix(p, "*.")) {
			errs = append(errs, fmt.Errorf("[%d]: %q is none of *, a host name, *.DOMAIN, an address, a network", i, p))
			continue
		}
		r.names = append(r.names, canonical(p))
	}
	return r, errors.Join(errs...)
}

func validName(name string) bool {
	if name == "" || len(name) > 253 || strings.ContainsAny(name, "/:*@[]%? ") {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if label == "" || len(label) > 63 {
			return false
		}
	}
	return true
}

func canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// name reports whether a host may be looked up at all.
func (r Rules) name(host string) bool {
	if r.any || len(r.networks) > 0 {
		return true // its address decides
	}
	return r.named(host)
}

// named reports whether a host fits by its name.
func (r Rules) named(host string) bool {
	host = canonical(host)
	for _, p := range r.names {
		domain, below := strings.CutPrefix(p, "*")
		if host == p || below && strings.HasSuffix(host, domain) {
			return true
		}
	}
	return false
}

// Check judges an address that host, a name or the address itself, stands for.
func (r Rules) Check(host string, addr netip.Addr) error {
	addr = addr.Unmap().WithZone("")
	for _, n := range r.networks {
		if n.Contains(addr) {
			return nil
		}
	}
	switch {
	case !r.any && !r.named(host):
		return fmt.Errorf("host %.80q: %w", host, ErrRefused)
	case !Public(addr):
		return fmt.Errorf("host %.80q: its address %v is not a public one: %w", host, addr, ErrRefused)
	}
	return nil
}

// Resolve looks a host up and returns the first address that may be reached.
// Whoever connects to the address itself needs no second look.
func (r Rules) Resolve(ctx context.Context, host string) (netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap(), r.Check(host, addr)
	}
	if !r.name(host) {
		return netip.Addr{}, fmt.Errorf("host %.80q: %w", host, ErrRefused)
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, err
	}
	var refused error
	for _, addr := range addrs {
		if refused = r.Check(host, addr); refused == nil {
			return addr.Unmap(), nil
		}
	}
	if refused == nil {
		refused = fmt.Errorf("host %.80q has no address", host)
	}
	return netip.Addr{}, refused
}

// dialTimeout bounds one connection's making.
const dialTimeout = 10 * time.Second

// DialContext connects to HOST:PORT over "tcp" or "udp" as net.Dialer does, at an
// address that it has checked.
func (r Rules) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(host); err != nil && !r.name(host) {
		return nil, fmt.Errorf("host %.80q: %w", host, ErrRefused)
	}
	d := net.Dialer{
		Timeout: dialTimeout,
		// Called with the address itself, after the name was resolved and before
		// connect(2), for every address that is tried.
		Control: func(_, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			return r.Check(host, to.Addr())
		},
	}
	return d.DialContext(ctx, network, address)
}

// reserved are networks inside of the global ones that lead to no public host,
// or carry another address within theirs (RFC 6890 and its registry).
var reserved = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	"64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10",
)

// nat64 carries an IPv4 address in its last four bytes (RFC 6052).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

func prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, s := range texts {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// Public reports whether an address belongs to the internet at large.
func Public(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() || !addr.IsGlobalUnicast() || addr.IsPrivate() {
		return false // IsGlobalUnicast leaves out loopback, link-local, multicast, unspecified, broadcast
	}
	if nat64.Contains(addr) {
		b := addr.As16()
		return Public(netip.AddrFrom4([4]byte(b[12:])))
	}
	if addr.Is6() {
		// IPv4-compatible addresses (::/96) lead to IPv4 hosts on some systems.
		if b := addr.As16(); [12]byte(b[:12]) == [12]byte{} {
			return false
		}
	}
	for _, n := range reserved {
		if n.Contains(addr) {
			return false
		}
	}
	return true
}
