package sip

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// gate bounds what one address may send. What it counts is forgotten when an
// address has been quiet, and it remembers so many addresses and no more: a
// flood from everywhere costs a bounded memory.
type gate struct {
	packets, refusals rate.Limit
	burst, misses     int
	spared            func(netip.Addr) bool // trunks

	mu sync.Mutex
	by map[netip.Addr]*visitor
}

type visitor struct {
	packets, refusals *rate.Limiter
}

const (
	maxVisitors  = 20_000
	refusalEvery = 3 * time.Second
)

func newGate(l Limits, spared func(netip.Addr) bool) *gate {
	return &gate{
		packets: rate.Limit(l.Packets), burst: 2 * l.Packets,
		refusals: rate.Every(refusalEvery), misses: l.Refusals,
		spared: spared, by: map[netip.Addr]*visitor{},
	}
}

// host is what one peer holds of the address space: an IPv4 address, or an
// IPv6 /64.
func host(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return a
	}
	p, err := a.Prefix(64)
	if err != nil {
		return a
	}
	return p.Addr()
}

// passes counts a message and reports whether it shall be looked at.
func (g *gate) passes(from netip.Addr, now time.Time) bool {
	if g.spared(from) {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	v := g.visitor(host(from), now)
	return v.refusals.TokensAt(now) >= 1 && v.packets.AllowN(now, 1)
}

// refused notes that an address got a refusal; after too many it gets nothing.
func (g *gate) refused(from netip.Addr, now time.Time) {
	if g.spared(from) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.visitor(host(from), now).refusals.AllowN(now, 1)
}

func (g *gate) visitor(from netip.Addr, now time.Time) *visitor {
	v := g.by[from]
	if v == nil {
		if len(g.by) >= maxVisitors {
			g.sweep(now)
		}
		v = &visitor{rate.NewLimiter(g.packets, g.burst), rate.NewLimiter(g.refusals, g.misses)}
		g.by[from] = v
	}
	return v
}

// sweep forgets who was quiet for long enough; if that is nobody, all.
func (g *gate) sweep(now time.Time) {
	for from, v := range g.by {
		if v.packets.TokensAt(now) >= float64(g.burst) && v.refusals.TokensAt(now) >= float64(g.misses) {
			delete(g.by, from)
		}
	}
	if len(g.by) >= maxVisitors {
		clear(g.by)
	}
}
