package webrtc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"

	"github.com/pion/ice/v2"
	"github.com/pion/webrtc/v3"

	"mixdown/codec"
)

const (
	iceDisconnected = 5 * time.Second
	// iceKeepalive is after which a silent client is asked whether it is there. After
	// a long outage a browser has forgotten the pair and sends nothing by itself: it
	// is the question that brings it back.
	iceKeepalive = time.Second
	// iceFailed is after which a peer's candidates are forgotten. A phone that was
	// out of reach for less is back at once, without signaling.
	iceFailed = 90 * time.Second

	// Handshakes are short and links lossy: the first retransmission need not
	// wait for a second (RFC 9147, section 5.8.2, allows less where it is known).
	dtlsRetransmit = 150 * time.Millisecond

	// replayWindow has room for packets that are sent again.
	replayWindow = 1024
)

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

	const dynamic = 96 // first dynamic payload type; an answer uses the offer's
	for i, c := range t.codecs {
		p := webrtc.RTPCodecParameters{
			RTPCodecCapability: webrtc.RTPCodecCapability{
				MimeType: c.Kind.String() + "/" + c.Name, ClockRate: c.ClockRate, Channels: c.Channels, SDPFmtpLine: c.Fmtp,
			},
			PayloadType: webrtc.PayloadType(dynamic + i),
		}
		kind := webrtc.RTPCodecTypeAudio
		p.RTCPFeedback = []webrtc.RTCPFeedback{{Type: "transport-cc"}, {Type: "nack"}}
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
