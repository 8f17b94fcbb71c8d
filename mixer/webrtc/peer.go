package webrtc

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/transport/v2/packetio"
	"github.com/pion/webrtc/v3"

	"mixdown/mixer"
)

const (
	connectTimeout = 30 * time.Second // from the offer to a connection that stands
	joinTimeout    = 10 * time.Second // for a room to take the peer

	// A client that sends at all sends reports every second or so: it was out of
	// reach if nothing came for longer.
	outOfReach = 2500 * time.Millisecond

	cnameLength = 20 // letters of base32; it goes with all reports (RFC 7022, section 4.2: 96 random bits at least)
)

// Reasons for the end of a session, besides those that a room gives.
var (
	errHangup    = errors.New("client hung up")
	errFailed    = errors.New("connection failed")
	errNoConnect = errors.New("never connected")
	errClosing   = errors.New("server is closing")
	errStreams   = errors.New("more streams than the limit")
)

// peer is one session: a PeerConnection, and what the room sees of it.
//
// Its goroutines are pion's, which bring packets in, run, which lives as long
// as the session, and the source's loop. What it sends is written by the pacer,
// which is everybody's.
type peer struct {
	id      string
	cname   string // of both tracks (RFC 3550, section 6.5.1), and of their one media stream
	session mixer.Session
	log     *slog.Logger
	meter   *meter
	limits  Limits
	rungs   mixer.Rungs
	pacer   *pacer
	pc      *webrtc.PeerConnection
	source  *source // nil: the client sends nothing
	sink    *sink   // nil: the client receives nothing

	ready     chan struct{} // closed when source and sink are set
	connected chan struct{} // closed when DTLS is up for the first time
	closed    chan struct{}
	once      sync.Once
	connOnce  sync.Once
	onlyGCM   bool                   // in its handshake
	gcm       *gcm                   // of what the client receives; nil: all goes the way of pion
	reason    error                  // why it closed; set before closed is
	route     atomic.Pointer[route]  // nil: only pion can send to the client
	inward    atomic.Pointer[inward] // nil: all comes by pion
	leading   sync.Mutex             // held while these two change
	taking    sync.Mutex             // of packets, by whichever way
	ssrcs     ssrcs                  // that pion has made room for
	left      atomic.Int64           // when the client seemed to say goodbye, Unix ns
	heard     atomic.Int64           // when something came from it, Unix ns
	resumed   atomic.Int64           // when it was back, Unix ns

	mu     sync.Mutex // one signaling step at a time
	offer  *offer
	answer *answer
	etag   string
	// version of the last description, as Reoffer counts them
	version uint64

	streams  counted // buffers that pion has asked for
	packets  bucket  // of takeRTP's goroutine
	feedback bucket  // of takeRTCP's
}

// counted is a bucket for several goroutines.
type counted struct {
	mu sync.Mutex
	bucket
}

func (c *counted) take(rate, burst float64, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bucket.take(rate, burst, now)
}

// kind is the session's label in metrics.
func kind(s mixer.Session) string {
	switch {
	case s.Publish && s.Receive:
		return "mix"
	case s.Publish:
		return "publish"
	}
	return "receive"
}

// close ends the session without waiting for it.
func (p *peer) close(reason error) {
	p.once.Do(func() {
		p.reason = reason
		close(p.closed)
	})
}

// stateChanged follows the connection.
func (p *peer) stateChanged(s webrtc.PeerConnectionState) {
	switch s {
	case webrtc.PeerConnectionStateConnected:
		first := false
		p.connOnce.Do(func() { first = true; close(p.connected) })
		if !first {
			p.back(time.Now())
		}
	case webrtc.PeerConnectionStateDisconnected:
		p.silent(time.Now())
	case webrtc.PeerConnectionStateFailed:
		p.close(errFailed)
	case webrtc.PeerConnectionStateClosed:
		p.close(errHangup)
	}
}

// hear notes that something came from the client. pion looks only now and then
// whether a silent client is back; its first packet says so at once.
func (p *peer) hear(now time.Time) {
	last := p.heard.Swap(now.UnixNano())
	if last != 0 && now.UnixNano()-last > int64(outOfReach) {
		p.back(now)
	}
}

// back follows a connection that stands again: both ends have missed pictures,
// and neither has to find out.
func (p *peer) back(now time.Time) {
	if last := p.resumed.Swap(now.UnixNano()); now.UnixNano()-last < int64(outOfReach) {
		return // a second sign of the same
	}
	p.log.Info("session is back", "remote", p.remote())
	if p.source != nil {
		p.source.RequestKeyframe()
	}
	if p.sink != nil {
		if sub := p.sink.subscription(); sub != nil {
			sub.Resume()
		}
	}
}

// run is the session from the answer to its end.
func (p *peer) run(rooms Rooms) {
	timeout := time.NewTimer(connectTimeout)
	defer timeout.Stop()
	select {
	case <-p.connected:
		p.join(rooms)
	case <-timeout.C:
		p.meter.noConnect.Inc()
		p.close(errNoConnect)
	case <-p.closed:
	}
	if errors.Is(p.reason, errFailed) {
		p.meter.iceFailed.Inc()
	}
	_ = p.pc.GracefulClose()
	if p.source != nil && p.source.voice != nil {
		p.source.voice.Close()
	}
	p.log.Info("session ended", "reason", p.reason)
}

// join takes the peer into its room and stays until the session closes.
func (p *peer) join(rooms Rooms) {
	ctx, cancel := context.WithTimeout(context.Background(), joinTimeout)
	defer cancel()
	var loops sync.WaitGroup
	defer loops.Wait()
	if err := p.shorten(); err != nil {
		p.log.Debug("media goes pion's way", "error", err)
	}
	defer p.shut()
	if p.source != nil {
		pub, err := rooms.Publish(ctx, p.session.Room, p.session.Identity, p.source)
		if err != nil {
			p.close(err)
			return
		}
		defer pub.Close()
		defer p.source.leave()
		p.source.published(pub)
		loops.Go(func() { p.source.run(p.closed) })
	}
	if p.sink != nil {
		want := p.session.Want
		want.Fit = p.sink.begin(time.Now())
		sub, err := rooms.Subscribe(ctx, p.session.Room, p.session.Identity, p.sink, want)
		if err != nil {
			p.close(err)
			return
		}
		defer sub.Close()
		defer p.sink.leave()
		p.sink.subscribed(sub)
		p.pacer.add(p.sink)
	}
	p.log.Info("session connected", "remote", p.remote(), "gcm", p.gcm != nil)
	<-p.closed
}

// buffer is called by pion for each SSRC that comes in. Its own buffers have
// to be read by a goroutine each; ours takes the packet where it is decrypted.
func (p *peer) buffer(kind packetio.BufferPacketType, ssrc uint32) io.ReadWriteCloser {
	b := &inbound{closed: make(chan struct{})}
	// pion keeps what it makes for each SSRC as long as the session. There are two
	// for each that sends; whoever has sealed packets about many more goes.
	if !p.streams.take(4*streamRefill, float64(4*p.limits.Streams), time.Now()) {
		p.meter.limitStreams.Inc()
		p.close(errStreams)
	}
	if kind == packetio.RTPBufferPacket {
		b.take = p.takeRTP
		p.ssrcs.add(ssrc)
	} else {
		b.take = func(packet []byte) { p.takeRTCP(ssrc, packet) }
	}
	return b
}

// inbound stands where pion expects a packet buffer.
type inbound struct {
	take   func(packet []byte)
	once   sync.Once
	closed chan struct{}
}

// Write takes one decrypted packet, which is valid until it returns.
func (b *inbound) Write(packet []byte) (int, error) {
	b.take(packet)
	return len(packet), nil
}

// Read has nothing to give: it waits for the end.
func (b *inbound) Read([]byte) (int, error) {
	<-b.closed
	return 0, io.EOF
}

func (b *inbound) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

func (p *peer) takeRTP(packet []byte) {
	<-p.ready // long since: the client has the answer
	now := time.Now()
	// Over UDP the guard has seen to it; this is for TCP.
	if rate := float64(p.limits.Packets); !p.packets.take(rate, rate, now) {
		p.meter.limitPackets.Inc()
		return
	}
	p.media(packet, now)
}

// takeRTCP gets a compound packet once for each stream that it is about.
func (p *peer) takeRTCP(ssrc uint32, packet []byte) {
	<-p.ready
	if !p.concerns(ssrc) {
		return
	}
	now := time.Now()
	p.hear(now)
	// A packet comes once for each of up to four streams.
	if rate := float64(4 * p.limits.Feedback); !p.feedback.take(rate, rate, now) {
		p.meter.limitFeedback.Inc()
		return
	}
	packets, err := rtcp.Unmarshal(packet)
	if err != nil {
		p.meter.badRTCP.Inc()
		return
	}
	p.handle(ssrc, packets, now)
}

// concerns reports whether one of the session's streams has that SSRC.
func (p *peer) concerns(ssrc uint32) bool {
	return p.source != nil && p.source.has(ssrc) || p.sink != nil && p.sink.streamOf(ssrc) != nil
}

// writeRTCP sends a compound packet. A failure is that of the connection,
// which ends the session by itself if it lasts.
func (p *peer) writeRTCP(packets []rtcp.Packet) {
	if len(packets) > 0 {
		_ = p.pc.WriteRTCP(packets)
	}
}

// rtt is the round trip to the client, 0 while unknown: by the reports of a
// client that receives, else by ICE's last check.
func (p *peer) rtt() time.Duration {
	if p.sink != nil {
		for _, o := range []*outgoing{p.sink.video, p.sink.audio} {
			if o != nil {
				if rtt := o.quality.rtt.Load(); rtt > 0 {
					return time.Duration(rtt)
				}
			}
		}
	}
	if p.pc == nil {
		return 0
	}
	s, ok := p.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePairStats()
	if !ok {
		return 0
	}
	return time.Duration(s.CurrentRoundTripTime * float64(time.Second))
}
