package webrtc

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	randv2 "math/rand/v2"
	"slices"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/webrtc/v3"

	"mixdown/codec"
	"mixdown/mixer/jitter"
	"mixdown/mixer/stream"
)

// gatherTimeout is for candidates of this machine only: milliseconds.
const gatherTimeout = 5 * time.Second

// connect makes the peer's PeerConnection and its answer.
func (t *Transport) connect(ctx context.Context, p *peer) error {
	setting := t.setting
	setting.BufferFactory = p.buffer
	setting.SetSRTPProtectionProfiles(t.profiles(p)...)
	api := webrtc.NewAPI(webrtc.WithSettingEngine(setting), webrtc.WithMediaEngine(&t.media), // which it copies
		webrtc.WithInterceptorRegistry(new(interceptor.Registry)))
	pc, err := api.NewPeerConnection(webrtc.Configuration{Certificates: []webrtc.Certificate{t.cert}})
	if err != nil {
		return fmt.Errorf("make peer connection: %w", err)
	}
	p.pc = pc
	pc.OnConnectionStateChange(p.stateChanged)
	t.follow(p)

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
	a, err := p.offer.finish(p.pc.LocalDescription().SDP, t.codecs, addresses{t.public, t.alternates}, t.redundant)
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
				s.voice = stream.NewVoice(s.audio.codecs[0].codec, clock)
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
			s.audio.copies.pt = a.audio.red
			s.audio.comfort = a.audio.comfort
			s.codecs = append(s.codecs, names(a.audio.codecs)...)
		}
		if t.control && s.video != nil {
			t.govern(s, a)
		}
		p.sink = s
	}
}

// govern gives a sink a link, if the client gets pictures. What it agreed on says
// what its feedback will be.
func (t *Transport) govern(s *sink, a *answer) {
	both := a.video.transport != 0 && a.video.feedback
	if both {
		s.video.carry(a.video.transport)
	}
	if s.audio != nil && a.audio.transport != 0 && a.audio.feedback {
		s.audio.carry(a.audio.transport)
	}
	s.flow = newFlow(rungs(t.rooms.Rungs()), both)
}
