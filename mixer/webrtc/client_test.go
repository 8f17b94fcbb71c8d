package webrtc

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v3"

	"mixdown/codec"
	"mixdown/mixer"
)

var discard = slog.New(slog.DiscardHandler)

// patience is how long a test waits for what has to come.
const patience = 10 * time.Second

func newTransport(t testing.TB, rooms Rooms) *Transport {
	t.Helper()
	tr, err := New(Config{}, fakeCodecs(), rooms, discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	return tr
}

// client is a browser's part, played by pion.
type client struct {
	t      testing.TB
	pc     *webrtc.PeerConnection
	answer mixer.Answer
	video  *webrtc.TrackLocalStaticRTP
	audio  *webrtc.TrackLocalStaticRTP
	rtp    chan *rtp.Packet   // video that came in
	sound  chan *rtp.Packet   // audio that came in
	rtcp   chan []rtcp.Packet // about what it sends
	up     chan struct{}
}

type clientConfig struct {
	publish, receive bool
	feedback         bool // transport-wide
	setting          func(*webrtc.SettingEngine)
}

func newClient(t testing.TB, cfg clientConfig) *client {
	t.Helper()
	media := new(webrtc.MediaEngine)
	if err := media.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	for _, uri := range []string{extMID, extTransport} {
		for _, k := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
			if err := media.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uri}, k); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := media.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: extAudioLevel}, webrtc.RTPCodecTypeAudio); err != nil {
		t.Fatal(err)
	}
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	s.SetPrflxAcceptanceMinWait(0)
	s.DisableSRTPReplayProtection(true) // what is sent again did arrive before
	if cfg.setting != nil {
		cfg.setting(&s)
	}
	registry := new(interceptor.Registry)
	if cfg.feedback {
		for _, k := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
			media.RegisterFeedback(webrtc.RTCPFeedback{Type: webrtc.TypeRTCPFBTransportCC}, k)
		}
		sender, err := twcc.NewSenderInterceptor()
		if err != nil {
			t.Fatal(err)
		}
		registry.Add(sender)
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithSettingEngine(s), webrtc.WithInterceptorRegistry(registry))
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, pc: pc, up: make(chan struct{}),
		rtp: make(chan *rtp.Packet, 4096), sound: make(chan *rtp.Packet, 4096), rtcp: make(chan []rtcp.Packet, 4096)}
	t.Cleanup(c.close)
	var once sync.Once
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			once.Do(func() { close(c.up) })
		}
	})
	pc.OnTrack(func(tr *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		out := c.rtp
		if tr.Kind() == webrtc.RTPCodecTypeAudio {
			out = c.sound
		}
		for {
			p, _, err := tr.ReadRTP()
			if err != nil {
				return
			}
			out <- p
		}
	})
	dir := webrtc.RTPTransceiverDirectionRecvonly
	if cfg.publish {
		dir = webrtc.RTPTransceiverDirectionSendonly
		if cfg.receive {
			dir = webrtc.RTPTransceiverDirectionSendrecv
		}
		c.video, _ = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: "video/VP8", ClockRate: 90000}, "v", "s")
		c.audio, _ = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: "audio/opus", ClockRate: 48000, Channels: 2}, "a", "s")
		for _, tr := range []*webrtc.TrackLocalStaticRTP{c.audio, c.video} {
			tc, err := pc.AddTransceiverFromTrack(tr, webrtc.RTPTransceiverInit{Direction: dir})
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				for {
					p, _, err := tc.Sender().ReadRTCP()
					if err != nil {
						return
					}
					c.rtcp <- p
				}
			}()
		}
	} else {
		for _, k := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
			if _, err := pc.AddTransceiverFromKind(k, webrtc.RTPTransceiverInit{Direction: dir}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return c
}

func (c *client) close() { _ = c.pc.GracefulClose() }

// offer returns a gathered offer.
func (c *client) offer() string { return c.gathered(nil) }

// restart returns one with other ICE credentials.
func (c *client) restart() string {
	return c.gathered(&webrtc.OfferOptions{ICERestart: true})
}

func (c *client) gathered(how *webrtc.OfferOptions) string {
	c.t.Helper()
	o, err := c.pc.CreateOffer(how)
	if err != nil {
		c.t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(c.pc)
	if err := c.pc.SetLocalDescription(o); err != nil {
		c.t.Fatal(err)
	}
	<-gathered
	return c.pc.LocalDescription().SDP
}

// join connects to a transport.
func (c *client) join(tr *Transport, s mixer.Session) {
	c.t.Helper()
	a, err := tr.Offer(context.Background(), s, c.offer())
	if err != nil {
		c.t.Fatal(err)
	}
	c.accept(a)
	wait(c.t, c.up, "connection")
}

func (c *client) accept(a mixer.Answer) {
	c.t.Helper()
	c.answer = a
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: a.SDP}); err != nil {
		c.t.Fatal(err)
	}
}

// send writes the packets of one picture.
func (c *client) send(key *bool, pk codec.Packetizer, seq *uint16, ts uint32, size int, skip func(i int) bool) {
	c.t.Helper()
	payloads, err := pk.Packetize(codec.Unit{Data: make([]byte, size), Keyframe: *key}, 1000)
	if err != nil {
		c.t.Fatal(err)
	}
	for i, b := range payloads {
		p := &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: *seq, Timestamp: ts, Marker: i == len(payloads)-1}, Payload: b}
		*seq++
		if skip != nil && skip(i) {
			continue
		}
		if err := c.video.WriteRTP(p); err != nil {
			c.t.Fatal(err)
		}
	}
}

// wait returns what comes out of ch.
func wait[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s", what)
		panic("unreachable")
	}
}

// waitRTCP returns the first packet of a type about what the client sends.
func waitRTCP[T rtcp.Packet](c *client) T {
	c.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case ps := <-c.rtcp:
			for _, p := range ps {
				if v, ok := p.(T); ok {
					return v
				}
			}
		case <-timeout:
			var v T
			c.t.Fatalf("no %T", v)
		}
	}
}

var (
	publisher = mixer.Session{Room: "r", Identity: mixer.Identity{ID: "p"}, Publish: true}
	viewer    = mixer.Session{Room: "r", Identity: mixer.Identity{ID: "v"}, Receive: true, Want: mixer.Want{Tier: "low"}}
	member    = mixer.Session{Room: "r", Identity: mixer.Identity{ID: "m"}, Publish: true, Receive: true}
)
