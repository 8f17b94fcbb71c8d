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
	clock     *jitter.Sender
	keyWant   atomic.Bool
	asked     atomic.Pointer[mixer.Ask]
	pub       atomic.Pointer[seat] // where units go; nil: nowhere
	bye       atomic.Bool
	mu        sync.Mutex // guards what follows
	assembler *jitter.Assembler
	voice     *stream.Voice // nil before the first sound was agreed on
}

func newSource() *source {
	s := &source{clock: new(jitter.Sender)}
	s.assembler = jitter.NewAssembler(jitter.AssemblerConfig{Sender: s.clock})
	return s
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
		l.source.deliver(l.source.assembler.Push(c, p, now))
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

// deliver hands units to the room. The caller holds mu.
func (s *source) deliver(units []codec.Unit) {
	at := s.pub.Load()
	for _, u := range units {
		if u.Keyframe {
			s.keyWant.Store(false)
		}
		if at != nil {
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
			if n.kind == codec.Video {
				l.meter.keysIn.Inc()
				l.RequestKeyframe()
			}
		case *rtcp.TransportLayerNack:
			if n.kind == codec.Video && a.nack {
				var seqs []uint16
				for _, pair := range p.Nacks[:min(len(p.Nacks), maxAgain)] {
					seqs = append(seqs, pair.PacketList()...)
				}
				l.sink.again(seqs)
			}
		case *rtcp.ReceiverEstimatedMaximumBitrate:
			if n.kind == codec.Video {
				l.limited(int(min(p.Bitrate, 1<<30)))
			}
		case *rtcp.Goodbye:
			l.source.bye.Store(true)
		case *rtcp.RawPacket:
			if rate, ok := parseTMMBR(*p, n.ssrc()); ok && n.kind == codec.Video {
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
	if n.kind == codec.Video {
		l.source.assembler.SenderReport(p.NTPTime, p.RTPTime, now)
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
