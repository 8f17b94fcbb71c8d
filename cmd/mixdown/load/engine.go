package load

import (
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/pion/ice/v2"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v3"

	"mixdown/codec"
)

// newEngine returns what all bots' connections are made with. Every connection
// opens sockets of its own: a shared port at both ends of one machine hangs.
func newEngine(server *url.URL, audio *codec.Codec, video ...*codec.Codec) (*webrtc.API, error) {
	media := &webrtc.MediaEngine{}
	register := func(c *codec.Codec, kind webrtc.RTPCodecType, payload webrtc.PayloadType, feedback ...webrtc.RTCPFeedback) error {
		capability := capabilityOf(c)
		capability.RTCPFeedback = feedback
		if err := media.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: capability, PayloadType: payload}, kind); err != nil {
			return fmt.Errorf("register %s: %w", c.Name, err)
		}
		return nil
	}
	if err := register(audio, webrtc.RTPCodecTypeAudio, 111); err != nil {
		return nil, err
	}
	for i, c := range video {
		err := register(c, webrtc.RTPCodecTypeVideo, webrtc.PayloadType(96+i),
			webrtc.RTCPFeedback{Type: "nack"}, webrtc.RTCPFeedback{Type: "nack", Parameter: "pli"}, webrtc.RTCPFeedback{Type: "ccm", Parameter: "fir"})
		if err != nil {
			return nil, err
		}
	}
	level := webrtc.RTPHeaderExtensionCapability{URI: sdp.AudioLevelURI}
	if err := media.RegisterHeaderExtension(level, webrtc.RTPCodecTypeAudio); err != nil {
		return nil, fmt.Errorf("register audio levels: %w", err)
	}

	chain := &interceptor.Registry{}
	generator, err := nack.NewGeneratorInterceptor(nack.GeneratorInterval(20 * time.Millisecond))
	if err != nil {
		return nil, err
	}
	// The default history is 1024 packets of 1460 bytes a track, too much for many bots.
	responder, err := nack.NewResponderInterceptor(nack.ResponderSize(256))
	if err != nil {
		return nil, err
	}
	receiver, err := report.NewReceiverInterceptor()
	if err != nil {
		return nil, err
	}
	sender, err := report.NewSenderInterceptor()
	if err != nil {
		return nil, err
	}
	for _, f := range []interceptor.Factory{responder, generator, receiver, sender} {
		chain.Add(f)
	}
	if err := webrtc.ConfigureTWCCSender(media, chain); err != nil {
		return nil, err
	}

	settings := webrtc.SettingEngine{}
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetICETimeouts(5*time.Second, 15*time.Second, 2*time.Second)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6})
	if local(server.Hostname()) {
		settings.SetIncludeLoopbackCandidate(true)
	}
	return webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(chain), webrtc.WithSettingEngine(settings)), nil
}

// capabilityOf says of a codec what SDP says of it.
func capabilityOf(c *codec.Codec) webrtc.RTPCodecCapability {
	return webrtc.RTPCodecCapability{MimeType: c.Kind.String() + "/" + c.Name, ClockRate: c.ClockRate, Channels: c.Channels, SDPFmtpLine: c.Fmtp}
}

// local reports whether a server's name means this machine.
func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
