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
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	randv2 "math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pion/dtls/v2"
	"github.com/pion/ice/v2"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/webrtc/v3"

	"mixdown/codec"
	"mixdown/mixer"
	"mixdown/mixer/jitter"
)

// Config is what an operator decides about WebRTC.
type Config struct {
	// Port is the number of the one UDP port that all media goes through, and of
	// the TCP port for clients that have no UDP. 0 picks a free one.
	Port int
	// Addresses are the public IP addresses that clients reach this server on, if
	// they are not those of its interfaces.
	Addresses []string
	// Audio is the format that rooms mix in, in which sound is pulled; 48 kHz,
	// one channel if zero.
	Audio codec.AudioFormat
}

const (
	gatherTimeout = 5 * time.Second

	iceDisconnected = 5 * time.Second
	iceKeepalive    = 2 * time.Second
	// iceFailed is after which a peer's candidates are forgotten. A phone that was
	// out of reach for less is back at once, without signaling.
	iceFailed = 90 * time.Second

	// Handshakes are short and links lossy: the first retransmission need not
	// wait for a second (RFC 9147, section 5.8.2, allows less where it is known).
	dtlsRetransmit = 150 * time.Millisecond

	// replayWindow has room for packets that are sent again.
	replayWindow = 1024
)

// Transport holds the peers. It implements the api's Signaler and
// prometheus.Collector.
type Transport struct {
	codecs  codec.Set
	rooms   Rooms
	log     *slog.Logger
	meter   *meter
	sockets *sockets
	public  []netip.AddrPort
	audio   codec.AudioFormat
	cert    webrtc.Certificate
	setting webrtc.SettingEngine
	media   webrtc.MediaEngine

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
		codecs: codecs, rooms: rooms, log: log, meter: newMeter(), peers: make(map[string]*peer), audio: cfg.Audio,
		done: make(chan struct{}),
	}
	if t.audio == (codec.AudioFormat{}) {
		t.audio = codec.AudioFormat{Rate: 48000, Channels: 1}
	}
	if err := t.engine(); err != nil {
		return nil, err
	}
	if t.sockets, err = listen(cfg.Port, found, t.meter, loggers{log, t.meter}); err != nil {
		return nil, err
	}
	for _, ip := range named {
		t.public = append(t.public, netip.AddrPortFrom(ip, uint16(t.sockets.port)))
	}
	t.setting.SetICEUDPMux(t.sockets.udp)
	t.setting.SetICETCPMux(t.sockets.tcp)
	t.watching.Go(func() { t.watch(t.sockets.left) })
	if w := Warning(named, found); w != "" {
		log.Warn(w)
	}
	return t, nil
}

// Port returns the number of the port, UDP and TCP.
func (t *Transport) Port() int { return t.sockets.port }

// engine prepares what is the same for all peers.
func (t *Transport) engine() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make DTLS key: %w", err)
	}
	// Clients check the fingerprint in the answer, nothing else (RFC 8827, section
	// 6.5). pion refuses its own certificate once it has expired, so it does not.
	now := time.Now()
	cert, err := webrtc.NewCertificate(key, x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "mixdown"},
		NotBefore: now.AddDate(0, 0, -1), NotAfter: now.AddDate(20, 0, 0),
	})
	if err != nil {
		return fmt.Errorf("make DTLS certificate: %w", err)
	}
	t.cert = *cert

	s := &t.setting
	s.LoggerFactory = loggers{t.log, t.meter}
	s.SetNetworkTypes([]webrtc.NetworkType{
		webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6, webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6,
	})
	s.SetIncludeLoopbackCandidate(true)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetICETimeouts(iceDisconnected, iceFailed, iceKeepalive)
	s.DisableActiveTCP(true)
	s.SetDTLSRetransmissionInterval(dtlsRetransmit)
	s.SetDTLSInsecureSkipHelloVerify(true) // ICE has verified the address already
	s.SetSRTPReplayProtectionWindow(replayWindow)
	// GCM is one pass where AES_CM with HMAC is two.
	s.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80)

	const dynamic = 96 // first dynamic payload type; an answer uses the offer's
	for i, c := range t.codecs {
		p := webrtc.RTPCodecParameters{
			RTPCodecCapability: webrtc.RTPCodecCapability{
				MimeType: c.Kind.String() + "/" + c.Name, ClockRate: c.ClockRate, Channels: c.Channels, SDPFmtpLine: c.Fmtp,
			},
			PayloadType: webrtc.PayloadType(dynamic + i),
		}
		kind := webrtc.RTPCodecTypeAudio
		p.RTCPFeedback = []webrtc.RTCPFeedback{{Type: "transport-cc"}}
		if c.Kind == codec.Video {
			kind = webrtc.RTPCodecTypeVideo
			p.RTCPFeedback = []webrtc.RTCPFeedback{
				{Type: "goog-remb"}, {Type: "transport-cc"}, {Type: "ccm", Parameter: "fir"},
				{Type: "nack"}, {Type: "nack", Parameter: "pli"},
			}
		}
		if err := t.media.RegisterCodec(p, kind); err != nil {
			return fmt.Errorf("codec %s: %w", c.Name, err)
		}
	}
	for _, e := range []struct {
		uri   string
		kinds []webrtc.RTPCodecType
	}{
		{extMID, []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo}},
		{extTransport, []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo}},
		{extSendTime, []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo}},
		{extAudioLevel, []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio}},
	} {
		for _, k := range e.kinds {
			if err := t.media.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: e.uri}, k); err != nil {
				return fmt.Errorf("header extension %s: %w", e.uri, err)
			}
		}
	}
	return nil
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
		id: rand.Text(), cname: rand.Text(), session: s, meter: t.meter, offer: o,
		ready: make(chan struct{}), connected: make(chan struct{}), closed: make(chan struct{}),
	}
	p.log = t.log.With("session", p.id[:8], "room", s.Room, "participant", s.Identity.ID, "kind", kind(s))
	if err := t.connect(ctx, p); err != nil {
		if p.pc != nil {
			_ = p.pc.GracefulClose()
		}
		return mixer.Answer{}, err
	}

	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		go p.pc.GracefulClose()
		return mixer.Answer{}, errClosing
	}
	t.peers[p.id] = p
	t.meter.sessions.WithLabelValues(kind(s)).Inc()
	t.wg.Go(func() {
		p.run(t.rooms)
		t.meter.sessions.WithLabelValues(kind(s)).Dec()
		t.mu.Lock()
		delete(t.peers, p.id)
		t.mu.Unlock()
	})
	return mixer.Answer{ID: p.id, SDP: p.answer.sdp, ETag: p.etag}, nil
}

// connect makes the peer's PeerConnection and its answer.
func (t *Transport) connect(ctx context.Context, p *peer) error {
	setting := t.setting
	setting.BufferFactory = p.buffer
	api := webrtc.NewAPI(webrtc.WithSettingEngine(setting), webrtc.WithMediaEngine(&t.media), // which it copies
		webrtc.WithInterceptorRegistry(new(interceptor.Registry)))
	pc, err := api.NewPeerConnection(webrtc.Configuration{Certificates: []webrtc.Certificate{t.cert}})
	if err != nil {
		return fmt.Errorf("make peer connection: %w", err)
	}
	p.pc = pc
	pc.OnConnectionStateChange(p.stateChanged)

	tracks := make(map[codec.Kind]*track)
	for _, l := range p.offer.lines {
		if !l.out {
			continue
		}
		k, dir := webrtc.RTPCodecTypeAudio, webrtc.RTPTransceiverDirectionSendonly
		if l.kind == codec.Video {
			k = webrtc.RTPCodecTypeVideo
		}
		if l.in {
			dir = webrtc.RTPTransceiverDirectionSendrecv
		}
		tr := &track{kind: k, stream: p.cname}
		tracks[l.kind] = tr
		if _, err := pc.AddTransceiverFromTrack(tr, webrtc.RTPTransceiverInit{Direction: dir}); err != nil {
			return fmt.Errorf("add %s track: %w", l.kind, err)
		}
	}
	remote, err := p.offer.String()
	if err != nil {
		return badOffer("%v", err)
	}
	if err := t.negotiate(ctx, p, remote); err != nil {
		return err
	}
	t.streams(p, tracks)
	close(p.ready)
	return nil
}

// negotiate makes the answer to an offer, with all candidates.
func (t *Transport) negotiate(ctx context.Context, p *peer, remote string) error {
	if err := p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: remote}); err != nil {
		return badOffer("%v", err)
	}
	local, err := p.pc.CreateAnswer(nil)
	if err != nil {
		return badOffer("%v", err)
	}
	gathered := webrtc.GatheringCompletePromise(p.pc)
	if err := p.pc.SetLocalDescription(local); err != nil {
		return badOffer("%v", err)
	}
	timeout := time.NewTimer(gatherTimeout)
	defer timeout.Stop()
	select {
	case <-gathered:
	case <-timeout.C:
		return errors.New("gathering of ICE candidates takes too long")
	case <-ctx.Done():
		return ctx.Err()
	}
	a, err := p.offer.finish(p.pc.LocalDescription().SDP, t.codecs, t.public)
	if err != nil {
		return err
	}
	p.answer, p.etag = a, rand.Text()
	return nil
}

// streams gives the peer its ends, according to what was agreed on.
func (t *Transport) streams(p *peer, tracks map[codec.Kind]*track) {
	a := p.answer
	var video, audio bool // that come in
	for _, l := range p.offer.lines {
		video = video || l.in && l.kind == codec.Video
		audio = audio || l.in && l.kind == codec.Audio
	}
	if p.session.Publish {
		clock := new(jitter.Sender)
		now := time.Now()
		s := &source{
			peer: p, ssrc: randv2.Uint32(), kick: make(chan struct{}, 1),
			assembler: jitter.NewAssembler(jitter.AssemblerConfig{Sender: clock}),
			began:     now,
		}
		s.recorder = twcc.NewRecorder(s.ssrc)
		if video {
			s.video = a.video
		}
		if audio {
			s.audio = a.audio
			s.audio.codecs = slices.DeleteFunc(slices.Clone(a.audio.codecs), func(f format) bool { return f.codec.NewAudioDecoder == nil })
			if len(s.audio.codecs) > 0 {
				s.voice = newVoice(s.audio.codecs[0].codec, t.audio, clock)
			}
		}
		p.source = s
	}
	if p.session.Receive {
		s := newSink(p)
		m := t.meter
		if tr := tracks[codec.Video]; tr != nil && tr.writer != nil {
			s.video = newOutgoing(tr.writer, tr.ssrc, a.video.codecs, m.out.videoPackets, m.out.videoBytes)
			s.video.history = new(history)
			s.codecs = append(s.codecs, names(a.video.codecs)...)
		}
		if tr := tracks[codec.Audio]; tr != nil && tr.writer != nil {
			s.audio = newOutgoing(tr.writer, tr.ssrc, a.audio.codecs, m.out.audioPackets, m.out.audioBytes)
			s.codecs = append(s.codecs, names(a.audio.codecs)...)
		}
		p.sink = s
	}
}

// Patch takes candidates that came up after the offer, or restarts ICE when the
// fragment has other credentials (RFC 9725, section 4.3). ifMatch is the ETag
// of the ICE session that the fragment belongs to, or "*"; some clients of old
// drafts send none. answer is empty unless ICE was restarted.
func (t *Transport) Patch(ctx context.Context, id, ifMatch, text string) (answer, etag string, err error) {
	p := t.peer(id)
	if p == nil {
		return "", "", mixer.ErrNoSession
	}
	f, err := parseFragment(text)
	if err != nil {
		return "", "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := strings.Trim(strings.TrimPrefix(ifMatch, "W/"), `"`); m != "" && m != "*" && m != p.etag {
		return "", p.etag, mixer.ErrStale
	}
	restart := f.ufrag != "" && f.ufrag != p.offer.ufrag()
	if restart {
		if f.pwd == "" {
			return "", p.etag, badOffer("ICE restart without a=ice-pwd")
		}
		if err := t.restart(ctx, p, f); err != nil {
			return "", p.etag, err
		}
	}
	for _, c := range f.candidates {
		// A candidate that cannot be used (of a kind not known here, or behind mDNS)
		// is one less, not an error.
		if err := p.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: c}); err != nil {
			p.log.Debug("candidate not used", "error", err)
		}
	}
	if restart {
		return p.answer.fragment(p.offer), p.etag, nil
	}
	return "", p.etag, nil
}

// restart begins a new ICE session of the same connection.
func (t *Transport) restart(ctx context.Context, p *peer, f fragment) error {
	remote, err := p.offer.restarted(f.ufrag, f.pwd)
	if err != nil {
		return badOffer("%v", err)
	}
	o := new(offer)
	*o = *p.offer
	if o.desc, err = parseSDP(remote); err != nil {
		return err
	}
	before := p.offer
	p.offer = o
	if err := t.negotiate(ctx, p, remote); err != nil {
		p.offer = before
		return err
	}
	p.log.Info("ICE restarted")
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
	return t.sockets.Close()
}
