package webrtc

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v2"
)

const (
	// showEvery is how often a packet of RTCP takes pion's way nevertheless, for ICE
	// to see that the client is there. Media would come out of order that way; but a
	// few in each eighth of a cycle of sequence numbers do, for pion's rollover
	// counter to be right when a client moves to TCP.
	showEvery  = 400 * time.Millisecond
	showCycle  = 1 << 13
	showInARow = 4

	// A context whose rollover counter is not right finds out by packets that it
	// cannot open, which then take pion's way; after so many, all do.
	maxStrange = 256
)

// inward takes what a client sends over UDP right where it is read: pion's way to
// the same place is through five goroutines, each with a queue and a copy. pion
// knows every SSRC before it comes this way, so its limits hold.
type inward struct {
	peer *peer

	mu      sync.Mutex // a client that moves may be heard on two sockets
	context *srtp.Context
	header  rtp.Header
	shown   time.Time // when pion last got a packet
	strange int       // packets in a row that could not be opened
	taken   int       // packets
}

func newInward(p *peer, keys srtp.SessionKeys, profile srtp.ProtectionProfile) (*inward, error) {
	c, err := srtp.CreateContext(keys.RemoteMasterKey, keys.RemoteMasterSalt, profile,
		srtp.SRTPReplayProtection(replayWindow), srtp.SRTCPReplayProtection(replayWindow))
	if err != nil {
		return nil, err
	}
	return &inward{peer: p, context: c}, nil
}

// take takes a datagram of RTP or RTCP (RFC 5761, section 4) of at least twelve
// bytes, and reports false if it is for pion. scratch has room for it.
func (in *inward) take(b, scratch []byte, now time.Time) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.strange > maxStrange {
		return false
	}
	if b[1] >= 192 && b[1] < 224 {
		if now.Sub(in.shown) >= showEvery {
			in.shown = now
			return false
		}
		plain, err := in.context.DecryptRTCP(nil, b, nil)
		if err == nil {
			in.peer.control(plain, now)
		}
		return in.opened(err)
	}
	ssrc, seq := binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint16(b[2:])
	if seq%showCycle < showInARow || !in.peer.ssrcs.has(ssrc) {
		return false
	}
	in.header = rtp.Header{Extensions: in.header.Extensions[:0], CSRC: in.header.CSRC[:0]}
	plain, err := in.context.DecryptRTP(scratch, b, &in.header)
	if err == nil {
		in.peer.media(plain, now)
	}
	return in.opened(err)
}

func (in *inward) opened(err error) bool {
	if err != nil {
		in.strange++
		return false
	}
	in.strange = 0
	in.taken++
	return true
}

// ssrcs is a small set.
type ssrcs struct {
	mu   sync.Mutex
	list []uint32
}

func (s *ssrcs) add(ssrc uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.list, ssrc) {
		s.list = append(s.list, ssrc)
	}
}

func (s *ssrcs) has(ssrc uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.list, ssrc)
}

// inwards are those that one socket reads for, by the client's address.
type inwards struct {
	mu sync.RWMutex
	by map[netip.AddrPort]*inward
}

func (w *inwards) of(from netip.AddrPort) *inward {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.by[from]
}

func (w *inwards) put(from netip.AddrPort, in *inward) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.by == nil {
		w.by = make(map[netip.AddrPort]*inward)
	}
	w.by[from] = in
}

// remove forgets an address, if it is still in's.
func (w *inwards) remove(from netip.AddrPort, in *inward) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.by[from] == in {
		delete(w.by, from)
	}
}

// lead says which way the client's media comes and goes, nil if only pion knows.
func (p *peer) lead(r *route) {
	p.leading.Lock()
	defer p.leading.Unlock()
	p.detach()
	p.route.Store(r)
	p.attach()
}

// open lets what comes from the client go the direct way from now on.
func (p *peer) open(in *inward) {
	p.leading.Lock()
	defer p.leading.Unlock()
	p.inward.Store(in)
	p.attach()
}

// shut ends that.
func (p *peer) shut() {
	p.leading.Lock()
	defer p.leading.Unlock()
	p.detach()
	p.inward.Store(nil)
}

// attach and detach are called with leading held.
func (p *peer) attach() {
	if r, in := p.route.Load(), p.inward.Load(); r != nil && in != nil {
		r.inwards.put(r.from, in)
	}
}

func (p *peer) detach() {
	if r, in := p.route.Load(), p.inward.Load(); r != nil && in != nil {
		r.inwards.remove(r.from, in)
	}
}

// media takes one decrypted packet of RTP, which is valid until it returns.
func (p *peer) media(packet []byte, now time.Time) {
	p.hear(now)
	if p.source == nil {
		p.meter.badType.Inc()
		return
	}
	p.taking.Lock()
	defer p.taking.Unlock()
	p.source.packet(packet, now)
}

// control takes a compound packet of RTCP.
func (p *peer) control(packet []byte, now time.Time) {
	p.hear(now)
	packets, err := rtcp.Unmarshal(packet)
	if err != nil {
		p.meter.badRTCP.Inc()
		return
	}
	var about []uint32
	for _, one := range packets {
		for _, ssrc := range one.DestinationSSRC() {
			if !slices.Contains(about, ssrc) && p.concerns(ssrc) {
				about = append(about, ssrc)
			}
		}
	}
	for _, ssrc := range about {
		p.handle(ssrc, packets, now)
	}
}

// handle takes RTCP that is about one of the session's streams.
func (p *peer) handle(ssrc uint32, packets []rtcp.Packet, now time.Time) {
	p.taking.Lock()
	defer p.taking.Unlock()
	if p.source != nil {
		p.source.handle(ssrc, packets, now)
	}
	if p.sink != nil {
		p.sink.handle(ssrc, packets, now)
	}
}
