// Package webrtc brings browsers and other WebRTC clients into rooms: each
// peer is a mixer.Source, a mixer.Sink or both, set up by one SDP offer and
// answer over WHIP (RFC 9725) or WHEP.
//
//	SRTP ─▶ inbound ─▶ source ─ jitter ─▶ Publication
//	SRTP ◀─ outgoing ◀─ sink's queues ◀── Subscription
//
// pion does ICE, DTLS, SRTP and the negotiation. It gets no interceptors and
// its receivers stay idle: packets are taken where they are decrypted, by
// payload type, and written straight to the SRTP session.
package webrtc

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/webrtc/v3"

	"mixdown/codec"
	"mixdown/mixer"
	"mixdown/mixer/webrtc/tcp"
)

// Config is what an operator decides about WebRTC.
type Config struct {
	// Port is the number of the one UDP port that all media goes through, and of
	// the TCP port for clients that have no UDP. 0 picks a free one.
	Port int
	// Addresses are the public IP addresses that clients reach this server on, if
	// they are not those of its interfaces.
	Addresses []string
	// Redundant asks senders that can to repeat each packet of sound in the next
	// (RFC 2198). It takes Chromium's sound from 33 to 60 kbit/s, and halves what
	// is concealed at 10 to 30 % of loss; in bursts it does less. Opus's own repair
	// costs nothing beside that, so this is for links that lose much and have room.
	// A client that prefers it by itself is understood in any case.
	Redundant bool
	// TCPPorts are further ports that clients may reach ICE-TCP on; whoever listens
	// there hands the connections to ServeTCP.
	TCPPorts []int
	// Congestion control finds out what each client's link carries, from its
	// feedback, and keeps to it.
	CongestionControl bool
	// Limits are what one sender may make the server do.
	Limits Limits
}

// Transport holds the peers. It implements the api's Signaler and
// prometheus.Collector.
type Transport struct {
	codecs     codec.Set
	rooms      Rooms
	log        *slog.Logger
	meter      *meter
	sockets    *sockets
	public     []netip.AddrPort
	found      []netip.Addr // of the interfaces
	alternates []uint16     // Config.TCPPorts
	streaming  sync.Map     // SSRC of what goes out → *outStream
	redundant  bool
	control    bool
	limits     Limits
	cert       webrtc.Certificate
	setting    webrtc.SettingEngine
	media      webrtc.MediaEngine
	pacer      *pacer
	refused    refusals

	done     chan struct{} // closed when watch shall end
	watching sync.WaitGroup
	wg       sync.WaitGroup // run of each peer
	mu       sync.Mutex
	peers    map[string]*peer
	closed   bool
}

// New opens the port.
func New(cfg Config, codecs codec.Set, rooms Rooms, log *slog.Logger) (*Transport, error) {
	named, err := Check(cfg.Addresses)
	if err != nil {
		return nil, err
	}
	found, err := Detect()
	if err != nil {
		return nil, err
	}
	t := &Transport{
		codecs: codecs, rooms: rooms, log: log, meter: newMeter(), peers: make(map[string]*peer), redundant: cfg.Redundant, control: cfg.CongestionControl, limits: cfg.Limits,
		done: make(chan struct{}),
	}
	if err := t.engine(); err != nil {
		return nil, err
	}
	if t.sockets, err = listen(cfg.Port, found, cfg.Limits, t.tcpOptions(), t.meter, loggers{log, t.meter}); err != nil {
		return nil, err
	}
	t.found = found
	for _, ip := range named {
		t.public = append(t.public, netip.AddrPortFrom(ip, uint16(t.sockets.port)))
	}
	for _, port := range cfg.TCPPorts {
		if port != t.sockets.port {
			t.alternates = append(t.alternates, uint16(port))
		}
	}
	t.setting.SetICEUDPMux(t.sockets.udp)
	t.setting.SetICETCPMux(t.sockets.tcp)
	t.pacer = newPacer(t.sockets.flush)
	t.pacer.start()
	t.watching.Go(func() { t.watch(t.sockets.left) })
	if w := Warning(named, found); w != "" {
		log.Warn(w)
	}
	return t, nil
}

// Port returns the number of the port, UDP and TCP.
func (t *Transport) Port() int { return t.sockets.port }

// ServeTCP takes over a connection of ICE-TCP (RFC 6544), nothing of which has
// been read.
func (t *Transport) ServeTCP(c net.Conn) { t.sockets.tcpl.hand(c) }

// outStream is one RTP stream that goes out.
type outStream struct {
	sink  *sink
	sound bool
}

// Stream tells what an SSRC that this server sends is; it does not block.
func (t *Transport) Stream(ssrc uint32) (tcp.Stream, bool) {
	v, ok := t.streaming.Load(ssrc)
	if !ok {
		return tcp.Stream{}, false
	}
	s := v.(*outStream)
	out := tcp.Stream{Sound: s.sound, Paced: !s.sound && s.sink.flow != nil && s.sink.flow.paced.Load()}
	if sub := s.sink.subscription(); sub != nil && !s.sound {
		out.Bitrate = sub.Bitrate()
	}
	return out, true
}

// announce makes the streams of a peer's sink known, forget takes them back.
func (t *Transport) announce(p *peer) {
	if p.sink == nil {
		return
	}
	for _, o := range []*outgoing{p.sink.video, p.sink.audio} {
		if o != nil {
			t.streaming.Store(o.ssrc, &outStream{p.sink, o == p.sink.audio})
		}
	}
}

func (t *Transport) forget(p *peer) {
	if p.sink == nil {
		return
	}
	for _, o := range []*outgoing{p.sink.video, p.sink.audio} {
		if o != nil {
			t.streaming.Delete(o.ssrc)
		}
	}
}

func (t *Transport) tcpOptions() tcp.Options {
	return tcp.Options{
		Packet: tcp.Framed, Stream: t.Stream,
		Pictures: t.meter.tcpPictures, Sounds: t.meter.tcpSounds, Control: t.meter.tcpControl,
	}
}

// Offer answers an SDP offer. The session joins its room when the connection
// stands, and ends by Hangup, by the room, or with the connection.
func (t *Transport) Offer(ctx context.Context, s mixer.Session, text string) (mixer.Answer, error) {
	if !s.Publish && !s.Receive {
		return mixer.Answer{}, badOffer("neither publishes nor receives")
	}
	o, err := parseOffer(text, t.codecs, s)
	if err != nil {
		return mixer.Answer{}, err
	}
	p := &peer{
		id: rand.Text(), cname: rand.Text()[:cnameLength], session: s, meter: t.meter, limits: t.limits, rungs: t.rooms.Rungs(), pacer: t.pacer, offer: o,
		ready: make(chan struct{}), connected: make(chan struct{}), closed: make(chan struct{}),
	}
	p.log = t.log.With("session", p.id[:8], "room", s.Room, "participant", s.Identity.ID, "kind", kind(s))
	err = t.connect(ctx, p)
	if err == nil {
		err = t.begin(p)
	}
	if err != nil {
		if p.pc != nil {
			_ = p.pc.GracefulClose()
		}
		return mixer.Answer{}, err
	}
	return mixer.Answer{ID: p.id, SDP: p.answer.sdp, ETag: p.etag}, nil
}

// begin lets a session run on its own.
func (t *Transport) begin(p *peer) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return errClosing
	}
	t.peers[p.id] = p
	t.announce(p)
	sessions := t.meter.sessions.WithLabelValues(kind(p.session))
	sessions.Inc()
	t.wg.Go(func() {
		p.run(t.rooms)
		t.refused.learn(p)
		sessions.Dec()
		t.mu.Lock()
		delete(t.peers, p.id)
		t.mu.Unlock()
		t.forget(p)
	})
	return nil
}

// Hangup ends a session without waiting for it.
func (t *Transport) Hangup(_ context.Context, id string) error {
	p := t.peer(id)
	if p == nil {
		return mixer.ErrNoSession
	}
	p.close(errHangup)
	return nil
}

// Session tells who and what a session is.
func (t *Transport) Session(id string) (mixer.Session, bool) {
	p := t.peer(id)
	if p == nil {
		return mixer.Session{}, false
	}
	return p.session, true
}

// Carries tells what somebody's link seems to carry towards them at least, as setting up
// their session showed, bit/s. What is known better is not changed by that.
func (t *Transport) Carries(room, id string, bps int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.peers {
		if p.session.Room == room && p.session.Identity.ID == id && p.sink != nil {
			p.sink.carries(bps, time.Now())
		}
	}
}

// Stats are what a client's receiver reports say of the pictures it gets, or
// of the sound if it gets no pictures.
type Stats struct {
	Loss float64       // share of the packets since its last report
	RTT  time.Duration // 0 while unknown
}

// Stats returns how a session's receiving goes.
func (t *Transport) Stats(id string) (Stats, bool) {
	p := t.peer(id)
	if p == nil || p.sink == nil {
		return Stats{}, false
	}
	o := p.sink.video
	if o == nil {
		o = p.sink.audio
	}
	if o == nil {
		return Stats{}, false
	}
	return Stats{Loss: float64(o.quality.lost.Load()) / 256, RTT: time.Duration(o.quality.rtt.Load())}, true
}

// peer returns the session of an ID that has not ended, or nil.
func (t *Transport) peer(id string) *peer {
	t.mu.Lock()
	p := t.peers[id]
	t.mu.Unlock()
	if p == nil {
		return nil
	}
	select {
	case <-p.closed:
		return nil
	default:
		return p
	}
}

// Close ends all sessions, waits for them and closes the port. It may be
// called twice.
func (t *Transport) Close() error {
	t.mu.Lock()
	was := t.closed
	t.closed = true
	for _, p := range t.peers {
		p.close(errClosing)
	}
	t.mu.Unlock()
	t.wg.Wait()
	if was {
		return nil
	}
	close(t.done)
	t.watching.Wait()
	t.pacer.close()
	return t.sockets.Close()
}
