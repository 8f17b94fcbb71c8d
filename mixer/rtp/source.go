package rtp

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"mixdown/codec"
	"mixdown/mixer"
	"mixdown/mixer/jitter"
	"mixdown/mixer/stream"
)

const (
	tickEvery   = 20 * time.Millisecond
	keyEvery    = 500 * time.Millisecond // requests
	reportEvery = time.Second
	unasked     = 4 * time.Second // from one keyframe to the next for who cannot ask
	// byeGrace is how long a leg lives on that said goodbye, and then sent nothing.
	byeGrace = 3 * time.Second
)

// source is what a leg takes in.
type source struct {
	clock  *jitter.Sender
	asked  atomic.Pointer[mixer.Ask]
	pub    atomic.Pointer[seat] // where units go; nil: nowhere
	bye    atomic.Bool
	camera *pictures
	slides *pictures
	shown  atomic.Pointer[pictures] // that the room has
	floor  atomic.Bool              // slides are to be shown
	mu     sync.Mutex               // guards the assemblers and what follows
	voice  *stream.Voice            // nil before the first sound was agreed on
}

// pictures are what comes in by one m-line.
type pictures struct {
	assembler *jitter.Assembler
	keyWant   atomic.Bool
	asked     time.Time // for a keyframe; the loop's
}

func newSource() *source {
	s := &source{clock: new(jitter.Sender)}
	for _, p := range []**pictures{&s.camera, &s.slides} {
		*p = &pictures{assembler: jitter.NewAssembler(jitter.AssemblerConfig{Sender: s.clock})}
	}
	s.shown.Store(s.camera)
	return s
}

// of returns what a line of a role brings in of pictures, or nil.
func (s *source) of(r role) *pictures {
	switch r {
	case videoLine:
		return s.camera
	case slidesLine:
		return s.slides
	}
	return nil
}

// due are the pictures that the room is to have, from their next keyframe on.
func (s *source) due() *pictures {
	if s.floor.Load() {
		return s.slides
	}
	return s.camera
}

// showsSlides reports whether the room has slides now.
func (s *source) showsSlides() bool { return s.floor.Load() && s.shown.Load() == s.slides }

// looksAt reports whether anybody is to see p.
func (s *source) looksAt(p *pictures) bool {
	return s.pub.Load() != nil && (p == s.due() || p == s.shown.Load())
}

// wantKey has the other end asked for a keyframe of what is seen.
func (s *source) wantKey() {
	s.due().keyWant.Store(true)
	s.shown.Load().keyWant.Store(true)
}

// media takes one packet of a line. The line's recv is held.
func (l *Leg) media(n *line, a *agreement, p *rtp.Packet, now time.Time) {
	c := a.format(p.PayloadType)
	if n.kind == codec.Video {
		if c == nil || !n.stream.Admit(c, p, now) {
			n.dropBad()
			return
		}
		l.source.mu.Lock()
		defer l.source.mu.Unlock()
		l.source.deliver(n.pictures, n.pictures.assembler.Push(c, p, now))
		return
	}
	noise := c == nil && p.PayloadType == comfortType
	if c == nil && !noise {
		if key, ok := n.press(p); ok && l.params.Digit != nil {
			l.params.Digit(l, key)
		}
		p.Payload = nil // for the sound it takes a number and says nothing
	}
	by := c
	if by == nil {
		by = a.formats[0].codec
	}
	if !n.stream.Admit(by, p, now) {
		n.dropBad()
		return
	}
	l.source.mu.Lock()
	v := l.source.voice
	l.source.mu.Unlock()
	at := l.source.pub.Load()
	switch {
	case v == nil || at == nil: // nobody listens
	case noise:
		v.PushNoise(p, now)
	default:
		v.Push(by, p, nil, -127, now)
		v.Show(at.pub, by, p, now)
	}
}

// deliver hands units to the room, of slides while those are to be shown: the one
// gives way to the other at its keyframe. The caller holds mu.
func (s *source) deliver(p *pictures, units []codec.Unit) {
	at, due := s.pub.Load(), s.due()
	for _, u := range units {
		if u.Keyframe {
			p.keyWant.Store(false)
			if p == due {
				s.shown.Store(p)
			}
		}
		if at != nil && p == s.shown.Load() && (p == due || p == s.camera) {
			at.pub.WriteUnit(u)
		}
	}
}

// voiceFor returns the leg's voice in the room, made at the first call.
func (s *source) voiceFor(c *codec.Codec) *stream.Voice {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.voice == nil {
		s.voice = stream.NewVoice(c, s.clock)
	}
	return s.voice
}

func (s *source) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.voice != nil {
		s.voice.Close()
	}
}

// control takes RTCP. The line's recv is held.
func (l *Leg) control(n *line, a *agreement, packets []rtcp.Packet, now time.Time) {
	for _, p := range packets {
		switch p := p.(type) {
		case *rtcp.SenderReport:
			l.senderReport(n, p, now)
			n.reported(p.Reports, now)
		case *rtcp.ReceiverReport:
			n.reported(p.Reports, now)
		case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
			if n.role == videoLine {
				l.meter.keysIn.Inc()
				l.RequestKeyframe()
			}
		case *rtcp.TransportLayerNack:
			if n.role == videoLine && a.nack {
				var seqs []uint16
				for _, pair := range p.Nacks[:min(len(p.Nacks), maxAgain)] {
					seqs = append(seqs, pair.PacketList()...)
				}
				l.sink.again(seqs)
			}
		case *rtcp.ReceiverEstimatedMaximumBitrate:
			if n.role == videoLine {
				l.limited(int(min(p.Bitrate, 1<<30)))
			}
		case *rtcp.Goodbye:
			if n.role != slidesLine {
				l.source.bye.Store(true)
			}
		case *rtcp.RawPacket:
			if rate, ok := parseTMMBR(*p, n.ssrc()); ok && n.role == videoLine {
				l.limited(rate)
				l.writeRTCP(n, []rtcp.Packet{tmmb(fmtTMMBN, n.ssrc(), n.stream.SSRC, rate)})
			}
		}
	}
}

func (l *Leg) senderReport(n *line, p *rtcp.SenderReport, now time.Time) {
	if n.stream.Seen.IsZero() || p.SSRC != n.stream.SSRC {
		return
	}
	n.stream.Sender(p, now)
	l.source.mu.Lock()
	defer l.source.mu.Unlock()
	if n.pictures != nil {
		n.pictures.assembler.SenderReport(p.NTPTime, p.RTPTime, now)
	} else if l.source.voice != nil {
		l.source.voice.SenderReport(p, now)
	}
}

// reported takes what the other end says of what it gets.
func (n *line) reported(rs []rtcp.ReceptionReport, now time.Time) {
	n.send.Lock()
	defer n.send.Unlock()
	for _, r := range rs {
		if r.SSRC != n.out.ssrc {
			continue
		}
		n.out.lost = float64(r.FractionLost) / 256
		if r.LastSenderReport == 0 {
			continue
		}
		// RFC 3550, section 6.4.1, in units of 1/65536 s, modulo 2^32.
		if rtt := int32(uint32(jitter.ToNTP(now)>>16) - r.LastSenderReport - r.Delay); rtt >= 0 {
			n.out.rtt = time.Duration(rtt) * time.Second >> 16
		}
	}
}
