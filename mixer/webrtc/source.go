package webrtc

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"mixdown/codec"
	"mixdown/mixer"
	"mixdown/mixer/jitter"
	"mixdown/mixer/stream"
)

const (
	tickEvery     = 20 * time.Millisecond  // holes, requests
	feedbackEvery = 100 * time.Millisecond // transport-wide feedback,
	feedbackFirst = 250 * time.Millisecond // to a receiver whose link is not known yet,
	feedbackLeast = 700 * time.Millisecond // and on a link of little rate
	feedbackShare = 0.03                   // of it may it take
	keyEvery      = 500 * time.Millisecond // keyframe requests,
	keySeldom     = 4 * time.Second        // and to who sends no pictures for
	keyQuiet      = 2 * time.Second        // so long: it has paused them, or shares a screen that stands still
	maxPending    = 32                     // units held until the room takes them

	// soundShare is added to what a picture may take: REMB is about all that a
	// sender sends.
	soundShare = 64_000
	// idleRate keeps a sender's encoder alive whose picture is on no canvas.
	idleRate = 50_000
)

// source is a peer's sending side. Packets come in on pion's goroutine; the
// loop of run does what time alone brings: holes, requests, reports.
type source struct {
	peer    *peer
	video   agreed
	audio   agreed
	ssrc    uint32        // of our reports
	voice   *stream.Voice // nil: no sound
	keyWant atomic.Bool
	asked   atomic.Pointer[mixer.Ask]
	carries atomic.Int64  // what Uplink returns
	kick    chan struct{} // there is something to tell the sender

	packets rtp.Packet     // of pion's goroutine
	blocks  []jitter.Block // too

	// mu guards what follows. Units go to the room while it is held, so that they
	// stay in order; the room answers through keyWant and asked, which need no lock.
	mu        sync.Mutex
	pub       Publication
	left      bool
	pending   []codec.Unit
	assembler *jitter.Assembler
	streams   [2]stream.Stream // video, audio
	uplink    uplink

	feedback sync.Mutex
	recorder *twcc.Recorder
	began    time.Time // of the recorder's line of time
}

var (
	_ mixer.Source      = (*source)(nil)
	_ mixer.UplinkMeter = (*source)(nil)
)

// RequestKeyframe implements mixer.Source. The request is repeated until a
// keyframe is there.
func (s *source) RequestKeyframe() {
	s.keyWant.Store(true)
	s.rouse()
}

// Ask implements mixer.Source.
func (s *source) Ask(a mixer.Ask) {
	s.asked.Store(&a)
	s.rouse()
}

// Uplink implements mixer.UplinkMeter.
func (s *source) Uplink() int { return int(s.carries.Load()) }

// Close implements mixer.Source.
func (s *source) Close(reason error) { s.peer.close(reason) }

// Voice implements mixer.Source.
func (s *source) Voice() mixer.Voice {
	if s.voice == nil {
		return nil // not a nil *stream.Voice in an interface
	}
	return s.voice
}

func (s *source) rouse() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// published gives the source its place in the room, and the room what came in
// meanwhile.
func (s *source) published(pub Publication) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pub = pub
	for _, u := range s.pending {
		pub.WriteUnit(u)
	}
	s.pending = nil
}

// leave ends the flow of units: what still comes in is for nobody.
func (s *source) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pub, s.left = nil, true
}

// packet takes one RTP packet. raw is valid until it returns.
func (s *source) packet(raw []byte, now time.Time) {
	p := &s.packets
	*p = rtp.Packet{Header: rtp.Header{Extensions: p.Extensions[:0], CSRC: p.CSRC[:0]}}
	if err := p.Unmarshal(raw); err != nil {
		s.peer.meter.badRTP.Inc()
		return
	}
	s.record(p, now)
	if c := find(s.video.codecs, p.PayloadType); c != nil {
		s.peer.meter.in.videoPackets.Inc()
		s.peer.meter.in.videoBytes.Add(float64(len(raw)))
		s.picture(c, p, len(raw), now)
		return
	}
	var copies []jitter.Block
	switch {
	case s.audio.red == 0 || p.PayloadType != s.audio.red:
	case p.Padding && len(p.Payload) == 0:
		p.PayloadType = s.audio.plain // a probe, which repeats nothing and is not missing
	default:
		if copies = s.split(p); copies == nil {
			s.peer.meter.badRTP.Inc()
			return
		}
	}
	if c := find(s.audio.codecs, p.PayloadType); c != nil && s.voice != nil {
		s.peer.meter.in.audioPackets.Inc()
		s.peer.meter.in.audioBytes.Add(float64(len(raw)))
		s.sound(c, p, copies, len(raw), now)
		return
	}
	s.peer.meter.badType.Inc()
}

// split makes of a redundant packet (RFC 2198) its own sound, and returns the
// copies of earlier packets in it, or nil if it is no such packet.
func (s *source) split(p *rtp.Packet) []jitter.Block {
	blocks, err := jitter.SplitRED(s.blocks[:0], p.Payload)
	s.blocks = blocks
	if err != nil {
		return nil
	}
	own := blocks[len(blocks)-1]
	p.PayloadType, p.Payload = own.PT, own.Data
	copies := blocks[:len(blocks)-1]
	for i := range copies {
		if copies[i].PT != own.PT {
			copies[i].Data = nil // keeps its place in the order
		}
	}
	return copies
}

func find(formats []format, pt uint8) *codec.Codec {
	for _, f := range formats {
		if f.pt == pt {
			return f.codec
		}
	}
	return nil
}

// picture takes one packet of video.
func (s *source) picture(c *codec.Codec, p *rtp.Packet, size int, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uplink.received(size)
	if !s.streams[0].Admit(c, p, now) {
		s.peer.meter.badStream.Inc()
		return
	}
	s.deliver(s.assembler.Push(c, p, now))
}

// deliver hands units to the room. The caller holds mu.
func (s *source) deliver(units []codec.Unit) {
	for _, u := range units {
		if u.Keyframe {
			s.keyWant.Store(false)
		}
		switch {
		case s.pub != nil:
			s.pub.WriteUnit(u)
		case s.left:
		case len(s.pending) < maxPending:
			s.pending = append(s.pending, u)
		default:
			s.peer.meter.dropPending.Inc()
		}
	}
}

// sound takes one packet of audio.
func (s *source) sound(c *codec.Codec, p *rtp.Packet, copies []jitter.Block, size int, now time.Time) {
	s.mu.Lock()
	t := &s.streams[1]
	hole := int16(p.SequenceNumber-uint16(t.Highest())) > 1
	was := t.SSRC
	ok := t.Admit(c, p, now)
	pub := s.pub
	s.uplink.received(size)
	if ok {
		if t.SSRC != was {
			s.uplink.restart()
		}
		s.uplink.sound(t.Transit().Seconds())
	}
	s.mu.Unlock()
	if !ok {
		s.peer.meter.badStream.Inc()
		return
	}
	level := -127.0
	if s.audio.audioLevel != 0 {
		// RFC 6464, section 3: −dBov in the lower seven bits.
		if e := p.GetExtension(s.audio.audioLevel); len(e) > 0 {
			level = -float64(e[0] & 0x7f)
		}
	}
	if s.voice.Push(c, p, copies, level, now) {
		s.mu.Lock()
		t.Again()
		s.mu.Unlock()
	}
	s.voice.Show(pub, c, p, now)
	if hole && s.audio.nack {
		s.rouse() // sound waits too shortly to wait for the next tick
	}
}

// record notes a packet's arrival for transport-wide feedback
// (draft-holmer-rmcat-transport-wide-cc-extensions-01).
func (s *source) record(p *rtp.Packet, now time.Time) {
	id := s.video.transport
	if id == 0 {
		id = s.audio.transport
	}
	if id == 0 {
		return
	}
	e := p.GetExtension(id)
	if len(e) < 2 {
		return
	}
	s.feedback.Lock()
	defer s.feedback.Unlock()
	s.recorder.Record(p.SSRC, uint16(e[0])<<8|uint16(e[1]), now.Sub(s.began).Microseconds())
}

// has reports whether an SSRC is that of one of the streams.
func (s *source) has(ssrc uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.streams[0].SSRC == ssrc || s.streams[1].SSRC == ssrc
}

// handle takes RTCP from the client that is about one SSRC.
func (s *source) handle(ssrc uint32, packets []rtcp.Packet, now time.Time) {
	for _, p := range packets {
		sr, ok := p.(*rtcp.SenderReport)
		if !ok || sr.SSRC != ssrc {
			continue
		}
		s.mu.Lock()
		isVideo, isAudio := s.streams[0].SSRC == ssrc, s.streams[1].SSRC == ssrc
		switch {
		case isVideo:
			s.streams[0].Sender(sr, now)
			s.assembler.SenderReport(sr.NTPTime, sr.RTPTime, now)
		case isAudio:
			s.streams[1].Sender(sr, now)
		}
		s.mu.Unlock()
		if isAudio && s.voice != nil {
			s.voice.SenderReport(sr, now)
		}
	}
}
