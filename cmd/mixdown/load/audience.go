package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v2"
	"github.com/pion/interceptor"
	"github.com/pion/transport/v2"
	"github.com/pion/transport/v2/stdnet"
	"github.com/pion/webrtc/v3"
	"golang.org/x/sys/unix"

	"mixdown/api"
	"mixdown/codec"
	"mixdown/mixer"
)

// audienceJoins is how many viewers join at once.
const audienceJoins = 8

// Audience is many viewers that cost little: they join as any other does, by
// WHEP, ICE and DTLS, and answer ICE's checks as long as they stay. But media
// is counted where it comes in and neither decrypted nor reported on. It is for
// measuring a server beside them.
type Audience struct {
	door *Door
	api  *webrtc.API
	net  *countingNet

	mu      sync.Mutex
	viewers []*webrtc.PeerConnection
}

// Heard is what an audience has received, of all its viewers together.
type Heard struct {
	Viewers        int // that have received anything
	Packets, Bytes uint64
	Lost           uint64 // by holes in the sequence numbers
}

// NewAudience returns an audience of nobody. uncut takes datagrams that the
// server sent as one message as one, where this is the same machine: that leaves
// the cutting out, which a network card would do.
func NewAudience(base, room string, keys api.Keys, video, audio *codec.Codec, uncut bool) (*Audience, error) {
	u, err := parseBase(base)
	if err != nil {
		return nil, err
	}
	media := new(webrtc.MediaEngine)
	for i, c := range []*codec.Codec{video, audio} {
		kind := webrtc.RTPCodecTypeVideo
		if c.Kind == codec.Audio {
			kind = webrtc.RTPCodecTypeAudio
		}
		p := webrtc.RTPCodecParameters{RTPCodecCapability: capabilityOf(c), PayloadType: webrtc.PayloadType(96 + i)}
		if err := media.RegisterCodec(p, kind); err != nil {
			return nil, fmt.Errorf("register %s: %w", c.Name, err)
		}
	}
	n, err := stdnet.NewNet()
	if err != nil {
		return nil, err
	}
	a := &Audience{
		door: &Door{Base: u, Room: room, Keys: &keys, Client: newClient(false), Timeout: 30 * time.Second},
		net:  &countingNet{Net: n, done: make(chan struct{}), uncut: uncut},
	}
	go a.net.look()
	var s webrtc.SettingEngine
	s.SetNet(a.net)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	if local(u.Hostname()) {
		s.SetIncludeLoopbackCandidate(true)
		s.SetIPFilter(net.IP.IsLoopback)
	}
	a.api = webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithSettingEngine(s), webrtc.WithInterceptorRegistry(new(interceptor.Registry)))
	return a, nil
}

// Join brings n more viewers in. It returns when all of them receive media.
func (a *Audience) Join(ctx context.Context, n int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var joining sync.WaitGroup
	first := len(a.viewers)
	next := new(atomic.Int64)
	for range audienceJoins {
		joining.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := a.join(ctx, first+i); err != nil {
					cancel(fmt.Errorf("viewer %d: %w", first+i, err))
				}
			}
		})
	}
	joining.Wait()
	patience := time.Now().Add(connectTimeout)
	for ctx.Err() == nil && a.Heard().Viewers < first+n {
		if time.Now().After(patience) {
			cancel(fmt.Errorf("only %d of %d viewers receive anything", a.Heard().Viewers, first+n))
		}
		time.Sleep(time.Millisecond)
	}
	return context.Cause(ctx)
}

func (a *Audience) join(ctx context.Context, i int) error {
	token, _, err := a.door.Enter(ctx, mixer.Identity{ID: fmt.Sprintf("audience-%d", i), Name: "Audience", Role: mixer.Viewer})
	if err != nil {
		return err
	}
	pc, err := a.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.viewers = append(a.viewers, pc)
	a.mu.Unlock()
	connected := make(chan struct{})
	failed := make(chan struct{})
	var once sync.Once
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		switch s {
		case webrtc.PeerConnectionStateConnected:
			once.Do(func() { close(connected) })
		case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
			once.Do(func() { close(failed) })
		}
	})
	only := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		if _, err := pc.AddTransceiverFromKind(kind, only); err != nil {
			return err
		}
	}
	offer, err := gather(ctx, pc)
	if err != nil {
		return err
	}
	s, err := a.door.Offer(ctx, token, offer, false)
	for r := (*refusal)(nil); errors.As(err, &r) && r.after > 0 && ctx.Err() == nil; {
		select { // the server is too busy with who joined before
		case <-ctx.Done():
		case <-time.After(r.after):
		}
		s, err = a.door.Offer(ctx, token, offer, false)
	}
	if err != nil {
		return err
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: s.SDP}); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	select {
	case <-connected:
		return nil
	case <-failed:
		return errors.New("connection failed")
	case <-time.After(connectTimeout):
		return fmt.Errorf("no connection after %v", connectTimeout)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Heard returns what has come in up to now.
func (a *Audience) Heard() (h Heard) {
	a.net.mu.Lock()
	defer a.net.mu.Unlock()
	for _, c := range a.net.conns {
		packets := c.packets.Load()
		if packets > 0 {
			h.Viewers++
		}
		h.Packets += packets
		h.Bytes += c.bytes.Load()
		h.Lost += c.lost.Load()
	}
	return h
}

// Close sends all viewers away.
func (a *Audience) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	var closing sync.WaitGroup
	for _, pc := range a.viewers {
		closing.Go(func() { _ = pc.Close() })
	}
	closing.Wait()
	close(a.net.done)
	a.door.Client.CloseIdleConnections()
}

// countingNet opens sockets that keep media to themselves. One goroutine looks
// into all of them every few milliseconds: were each waited for, then every
// packet would wake somebody here, and the kernel would do so, and account for
// it, in the server's system calls. Far clients cost a server nothing of that.
type countingNet struct {
	transport.Net
	done  chan struct{}
	uncut bool

	mu    sync.Mutex
	conns []*countingConn
}

const (
	lookEvery  = 4 * time.Millisecond
	lookBuffer = 4 << 20 // bytes in one socket: no keyframe is too large
)

// ListenUDP implements transport.Net, for IPv4.
func (n *countingNet) ListenUDP(_ string, addr *net.UDPAddr) (transport.UDPConn, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, lookBuffer)
	if n.uncut {
		if err := unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, 1); err != nil {
			unix.Close(fd)
			return nil, fmt.Errorf("UDP_GRO: %w", err)
		}
	}
	c := &countingConn{fd: fd, others: make(chan datagram, 64), closed: make(chan struct{}), next: make(map[uint32]uint16)}
	if err := unix.Bind(fd, sockaddr(addr)); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("bind to %v: %w", addr, err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	c.local = &net.UDPAddr{IP: slices.Clone(addr.IP), Port: bound.(*unix.SockaddrInet4).Port}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns = append(n.conns, c)
	return c, nil
}

func sockaddr(a *net.UDPAddr) *unix.SockaddrInet4 {
	s := &unix.SockaddrInet4{Port: a.Port}
	copy(s.Addr[:], a.IP.To4())
	return s
}

// look empties all sockets again and again.
func (n *countingNet) look() {
	buf := make([]byte, 1<<16)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-n.done:
			return
		case <-tick.C:
		}
		n.mu.Lock()
		conns := n.conns
		n.mu.Unlock()
		for _, c := range conns {
			c.empty(buf)
		}
	}
}

// countingConn is one viewer's socket.
type countingConn struct {
	transport.UDPConn // nil: what is used of it is below

	local                *net.UDPAddr
	others               chan datagram // what is no media
	packets, bytes, lost atomic.Uint64
	next                 map[uint32]uint16 // by SSRC: the sequence number to come

	mu     sync.Mutex
	fd     int // -1 once it is closed
	closed chan struct{}
}

type datagram struct {
	data []byte
	from *net.UDPAddr
}

// empty takes all that has come in.
func (c *countingConn) empty(buf []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.fd >= 0 {
		var control [64]byte
		n, more, _, from, err := unix.Recvmsg(c.fd, buf, control[:], unix.MSG_DONTWAIT)
		if err != nil {
			return
		}
		segment := n
		if size, err := unix.ParseSocketControlMessage(control[:more]); err == nil && len(size) > 0 {
			segment = int(binary.NativeEndian.Uint32(size[0].Data)) // UDP_GRO, udp(7)
		}
		// RFC 7983, section 7, and RFC 5761, section 4.
		if n >= 12 && buf[0]>>6 == 2 && (buf[1] < 192 || buf[1] > 223) {
			for rest := buf[:n]; len(rest) > 0; rest = rest[min(segment, len(rest)):] {
				c.count(rest[:min(segment, len(rest))])
			}
			continue
		}
		a := from.(*unix.SockaddrInet4)
		select {
		case c.others <- datagram{slices.Clone(buf[:n]), &net.UDPAddr{IP: slices.Clone(a.Addr[:]), Port: a.Port}}:
		default: // as a full buffer does
		}
	}
}

// count takes note of one RTP packet; the header is in the clear.
func (c *countingConn) count(packet []byte) {
	c.packets.Add(1)
	c.bytes.Add(uint64(len(packet)))
	seq, ssrc := binary.BigEndian.Uint16(packet[2:]), binary.BigEndian.Uint32(packet[8:])
	if want, ok := c.next[ssrc]; ok {
		missing := int16(seq - want)
		if missing < 0 {
			c.lost.Add(^uint64(0)) // late, and counted as lost before
			return
		}
		c.lost.Add(uint64(missing))
	}
	c.next[ssrc] = seq + 1
}

// ReadFrom implements net.PacketConn. It returns all but RTP.
func (c *countingConn) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-c.others:
		return copy(b, d.data), d.from, nil
	case <-c.closed:
		return 0, nil, net.ErrClosed
	}
}

// WriteTo implements net.PacketConn.
func (c *countingConn) WriteTo(b []byte, to net.Addr) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return 0, net.ErrClosed
	}
	if err := unix.Sendto(c.fd, b, 0, sockaddr(to.(*net.UDPAddr))); err != nil {
		return 0, fmt.Errorf("send to %v: %w", to, err)
	}
	return len(b), nil
}

// LocalAddr implements net.PacketConn.
func (c *countingConn) LocalAddr() net.Addr { return c.local }

// SetDeadline implements net.PacketConn; closing ends what waits.
func (c *countingConn) SetDeadline(time.Time) error { return nil }

// Close implements net.PacketConn.
func (c *countingConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return nil
	}
	close(c.closed)
	fd := c.fd
	c.fd = -1
	return unix.Close(fd)
}
