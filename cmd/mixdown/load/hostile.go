package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v2"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v3"

	"mixdown/codec"
	"mixdown/mixer"
)

// Payload types that a hostile sender offers.
const (
	payloadVP8, payloadH264, payloadVP9, payloadAV1 = 96, 97, 98, 99
	payloadOpus, payloadRED                         = 111, 63
)

// Hostile is a sender that joins as anybody may, and then sends what nobody
// should. It shows what a room's other members get while it does.
type Hostile struct {
	Identity mixer.Identity
	kind     hostileKind
	door     *Door
	codecs   codec.Set
	media    material
	log      *slog.Logger

	sessions, packets atomic.Int64
	err               atomic.Pointer[error]
}

// HostileReport is what a hostile sender came to.
type HostileReport struct {
	Kind     string `json:"kind"`
	Sessions int64  `json:"sessions"`
	Packets  int64  `json:"packets"` // sent: RTP, RTCP and datagrams
	Error    string `json:"error,omitempty"`
}

func (h *Hostile) report() HostileReport {
	r := HostileReport{Kind: h.kind.name, Sessions: h.sessions.Load(), Packets: h.packets.Load()}
	if e := h.err.Load(); e != nil {
		r.Error = (*e).Error()
	}
	return r
}

// parseHostile reads --hostile.
func parseHostile(names []string) ([]hostileKind, error) {
	var out []hostileKind
	for _, name := range names {
		if name == "all" {
			return hostileKinds, nil
		}
		i := slices.IndexFunc(hostileKinds, func(k hostileKind) bool { return k.name == name })
		if i < 0 {
			return nil, fmt.Errorf("--hostile %q: none of %s, all", name, strings.Join(HostileKinds(), ", "))
		}
		out = append(out, hostileKinds[i])
	}
	return out, nil
}

// HostileKinds names the kinds of hostile senders there are.
func HostileKinds() (names []string) {
	for _, k := range hostileKinds {
		names = append(names, k.name)
	}
	return names
}

// gang is the hostile senders of a run.
type gang struct {
	members []*Hostile
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// startHostile sends in one hostile sender of each kind.
func startHostile(ctx context.Context, kinds []hostileKind, door *Door, codecs codec.Set, log *slog.Logger) *gang {
	g := &gang{}
	ctx, g.cancel = context.WithCancel(ctx)
	for _, k := range kinds {
		h := &Hostile{
			Identity: mixer.Identity{ID: "hostile-" + k.name, Name: "Hostile " + k.name, Role: mixer.Participant},
			kind:     k, door: door, codecs: codecs, media: material{codecs: codecs}, log: log.With("hostile", k.name),
		}
		g.members = append(g.members, h)
		g.running.Go(func() { h.Run(ctx) })
	}
	return g
}

// stop ends them and tells what they did.
func (g *gang) stop() (out []HostileReport) {
	g.cancel()
	g.running.Wait()
	for _, h := range g.members {
		out = append(out, h.report())
	}
	return out
}

// Run attacks until ctx ends. Whoever is thrown out comes back.
func (h *Hostile) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := h.session(ctx); err != nil && ctx.Err() == nil {
			h.err.Store(&err)
			h.log.Debug("session ended", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// session is one stay in the room.
func (h *Hostile) session(ctx context.Context) error {
	token, _, err := h.door.Enter(ctx, h.Identity)
	if err != nil {
		return err
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	tap, err := newTap()
	if err != nil {
		return err
	}
	api, err := h.engine(tap)
	if err != nil {
		return err
	}
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return err
	}
	tasks := &tasks{}
	defer func() {
		end(nil)
		_ = pc.GracefulClose()
		tasks.Wait()
	}()
	connected := follow(pc, end)
	a := &attack{
		pc: pc, tap: tap, codecs: h.codecs, packets: &h.packets, media: &h.media,
		video: newRawTrack(webrtc.RTPCodecTypeVideo), audio: newRawTrack(webrtc.RTPCodecTypeAudio),
	}
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		if track.Kind() == webrtc.RTPCodecTypeVideo {
			a.mix.Store(uint32(track.SSRC()))
		}
		tasks.Go(func() {
			for buf := make([]byte, 1500); ; {
				if _, _, err := track.Read(buf); err != nil {
					return
				}
			}
		})
	})
	for _, t := range []*rawTrack{a.audio, a.video} {
		if _, err := pc.AddTrack(t); err != nil {
			return err
		}
	}
	offer, err := gather(ctx, pc)
	if err != nil {
		return err
	}
	s, err := h.door.Offer(ctx, token, offer, true)
	if err != nil {
		return err
	}
	defer func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), hangupTimeout)
		defer cancel()
		_ = h.door.Hangup(late, s) // a session that the server has ended is none
	}()
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: s.SDP}); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	timeout := time.After(connectTimeout)
	for _, ready := range []chan struct{}{connected, a.audio.bound, a.video.bound} {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timeout:
			return fmt.Errorf("no connection after %v", connectTimeout)
		case <-ready:
		}
	}
	h.sessions.Add(1)
	a.offer, a.answer = offer, s.SDP
	if err := h.kind.run(ctx, a); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		return err
	}
	return context.Cause(ctx)
}

// engine is a client that knows all codecs and has no interceptors, which would
// put things right.
func (h *Hostile) engine(t *tap) (*webrtc.API, error) {
	media := &webrtc.MediaEngine{}
	types := map[string]webrtc.PayloadType{"VP8": payloadVP8, "H264": payloadH264, "VP9": payloadVP9, "AV1": payloadAV1, "opus": payloadOpus}
	for _, c := range h.codecs.For(codec.Everybody) {
		kind := webrtc.RTPCodecTypeVideo
		if c.Kind == codec.Audio {
			kind = webrtc.RTPCodecTypeAudio
		}
		capability := capabilityOf(c)
		capability.RTCPFeedback = []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "ccm", Parameter: "fir"}}
		if err := media.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: capability, PayloadType: types[c.Name]}, kind); err != nil {
			return nil, fmt.Errorf("register %s: %w", c.Name, err)
		}
	}
	red := webrtc.RTPCodecCapability{MimeType: "audio/red", ClockRate: 48000, Channels: 2, SDPFmtpLine: "111/111"}
	if err := media.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: red, PayloadType: payloadRED}, webrtc.RTPCodecTypeAudio); err != nil {
		return nil, err
	}
	settings := webrtc.SettingEngine{}
	settings.SetNet(t)
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	if local(h.door.Base.Hostname()) {
		settings.SetIncludeLoopbackCandidate(true)
	}
	return webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(&interceptor.Registry{}), webrtc.WithSettingEngine(settings)), nil
}

// rawTrack is a track that takes whatever is written, under any SSRC and
// payload type.
type rawTrack struct {
	kind  webrtc.RTPCodecType
	bound chan struct{} // closed when the rest is set
	once  sync.Once
	out   webrtc.TrackLocalWriter
	ssrc  uint32
}

func newRawTrack(kind webrtc.RTPCodecType) *rawTrack {
	return &rawTrack{kind: kind, bound: make(chan struct{})}
}

// Bind implements webrtc.TrackLocal.
func (t *rawTrack) Bind(c webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	t.once.Do(func() {
		t.out, t.ssrc = c.WriteStream(), uint32(c.SSRC())
		close(t.bound)
	})
	return c.CodecParameters()[0], nil
}

// Unbind implements webrtc.TrackLocal.
func (t *rawTrack) Unbind(webrtc.TrackLocalContext) error { return nil }

// ID implements webrtc.TrackLocal.
func (t *rawTrack) ID() string { return t.kind.String() }

// RID implements webrtc.TrackLocal.
func (t *rawTrack) RID() string { return "" }

// StreamID implements webrtc.TrackLocal.
func (t *rawTrack) StreamID() string { return "hostile" }

// Kind implements webrtc.TrackLocal.
func (t *rawTrack) Kind() webrtc.RTPCodecType { return t.kind }

// attack is what one session's attack works with. It belongs to one goroutine.
type attack struct {
	pc            *webrtc.PeerConnection
	tap           *tap
	codecs        codec.Set
	video, audio  *rawTrack
	mix           atomic.Uint32 // SSRC of the pictures that come back
	offer, answer string
	packets       *atomic.Int64
	media         *material
	packetizers   map[uint8]codec.Packetizer

	seq [2]uint16 // of video and audio
}

// rtp sends one packet of a track's own stream, in sequence.
func (a *attack) rtp(t *rawTrack, pt uint8, ts uint32, marker bool, payload []byte) error {
	n := &a.seq[0]
	if t == a.audio {
		n = &a.seq[1]
	}
	*n++
	return a.raw(t, rtp.Header{PayloadType: pt, SequenceNumber: *n, Timestamp: ts, Marker: marker, SSRC: t.ssrc}, payload)
}

// raw sends one packet as it is.
func (a *attack) raw(t *rawTrack, h rtp.Header, payload []byte) error {
	h.Version = 2
	a.packets.Add(1)
	_, err := t.out.WriteRTP(&h, payload)
	return err
}

// rtcp sends one compound packet.
func (a *attack) rtcp(p ...rtcp.Packet) error {
	a.packets.Add(1)
	return a.pc.WriteRTCP(p)
}

// every calls do at a rate, in heaps of a few milliseconds. What falls behind
// by more than a tenth of a second is left out.
func (a *attack) every(ctx context.Context, rate int, do func(i int) error) error {
	tick := time.NewTicker(max(time.Second/time.Duration(rate), 2*time.Millisecond))
	defer tick.Stop()
	began, done, i := time.Now(), 0, 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		due := int(time.Since(began).Seconds() * float64(rate))
		done = max(done, due-rate/10-1)
		for ; done < due; done++ {
			if err := do(i); err != nil {
				return err
			}
			i++
		}
	}
}
