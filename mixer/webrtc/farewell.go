package webrtc

import (
	"net/netip"
	"time"

	"github.com/pion/webrtc/v3"
)

// farewellHolds is for how long a hint is believed: longer than pion takes to
// see a silent connection as disconnected.
const farewellHolds = 4 * iceDisconnected

// farewells are addresses that seem to have said goodbye: a DTLS alert came
// from there, or its TCP connection ended. pion does not tell of a closed DTLS
// connection unless it carries data channels, and a page that is reloaded sends
// no DELETE; without this its tile would stay until ICE fails. An alert is
// encrypted and its address can be forged, so it only counts if the connection
// then falls silent too.
type farewells chan netip.AddrPort

const recordAlert = 21 // DTLS content type (RFC 6347, section 4.1)

// from notes a hint; it does not block.
func (f farewells) from(a netip.AddrPort) {
	select {
	case f <- netip.AddrPortFrom(a.Addr().Unmap(), a.Port()):
	default: // a flood of them is no news
	}
}

// watch gives the hints to the peers that they are about.
func (t *Transport) watch(f farewells) {
	for {
		var from netip.AddrPort
		select {
		case <-t.done:
			return
		case from = <-f:
		}
		t.mu.Lock()
		peers := make([]*peer, 0, len(t.peers))
		for _, p := range t.peers {
			peers = append(peers, p)
		}
		t.mu.Unlock()
		for _, p := range peers {
			if p.remote() == from {
				p.farewell(time.Now())
			}
		}
	}
}

// remote is the address that the client's media comes from.
func (p *peer) remote() netip.AddrPort {
	pair, err := p.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil || pair == nil {
		return netip.AddrPort{}
	}
	ip, _ := netip.ParseAddr(pair.Remote.Address)
	return netip.AddrPortFrom(ip.Unmap(), pair.Remote.Port)
}

func (p *peer) farewell(now time.Time) {
	p.left.Store(now.UnixNano())
	if p.pc.ConnectionState() == webrtc.PeerConnectionStateDisconnected {
		p.close(errHangup)
	}
}

// silent ends a session whose client has said goodbye before.
func (p *peer) silent(now time.Time) {
	if left := p.left.Load(); left != 0 && now.UnixNano()-left < int64(farewellHolds) {
		p.close(errHangup)
	}
}
