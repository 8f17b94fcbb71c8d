package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v2"
	"github.com/pion/interceptor"
	"github.com/pion/transport/v2"
	"github.com/pion/transport/v2/stdnet"
	"github.com/pion/webrtc/v3"

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

// NewAudience returns an audience of nobody.
func NewAudience(base, room string, keys api.Keys, video, audio *codec.Codec) (*Audience, error) {
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
		net:  &countingNet{Net: n},
	}
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
	a.door.Client.CloseIdleConnections()
}

// countingNet opens sockets that keep media to themselves.
type countingNet struct {
	transport.Net
	mu    sync.Mutex
	conns []*countingConn
}

// ListenUDP implements transport.Net.
func (n *countingNet) ListenUDP(network string, addr *net.UDPAddr) (transport.UDPConn, error) {
	udp, err := net.ListenUDP(network, addr)
	if err != nil {
		return nil, err
	}
	// One keyframe and more: nobody here is slow because of a small buffer.
	_ = udp.SetReadBuffer(1 << 20)
	c := &countingConn{UDPConn: udp}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns = append(n.conns, c)
	return c, nil
}

// countingConn is one viewer's socket.
type countingConn struct {
	*net.UDPConn
	packets, bytes, lost atomic.Uint64
	next                 map[uint32]uint16 // by SSRC: the sequence number to come
}

// ReadFrom implements net.PacketConn. It returns all but RTP.
func (c *countingConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := c.ReadFromUDPAddrPort(b)
		if err != nil {
			return n, nil, err
		}
		// RFC 7983, section 7, and RFC 5761, section 4.
		if n < 12 || b[0]>>6 != 2 || b[1] >= 192 && b[1] < 224 {
			return n, net.UDPAddrFromAddrPort(from), nil
		}
		c.count(b[:n])
	}
}

// count takes note of one RTP packet; the header is in the clear. It is called
// by the socket's one reader.
func (c *countingConn) count(packet []byte) {
	c.packets.Add(1)
	c.bytes.Add(uint64(len(packet)))
	seq, ssrc := binary.BigEndian.Uint16(packet[2:]), binary.BigEndian.Uint32(packet[8:])
	if c.next == nil {
		c.next = make(map[uint32]uint16)
	}
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
