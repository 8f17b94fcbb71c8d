package webrtc

import (
	"time"

	"github.com/pion/rtcp"
)

// ask asks the room for a keyframe if the client waits for one.
func (s *sink) ask(now time.Time) {
	s.mu.Lock()
	sub := s.sub
	due := s.askKey && sub != nil && now.Sub(s.asked) >= s.pause
	if due {
		s.asked = now
	}
	s.mu.Unlock()
	if due {
		sub.RequestKeyframe()
	}
}

// begun is how many streams have sent anything.
func (s *sink) begun() (n int) {
	for _, o := range []*outgoing{s.audio, s.video} {
		if o != nil && o.last != nil {
			n++
		}
	}
	return n
}

// report sends sender reports.
func (s *sink) report(now time.Time) {
	if out := s.reports(now); len(out) > 0 {
		s.peer.writeRTCP(out)
	}
}

// reports returns what there is to report. As long as nothing tells when pictures
// were made, browsers play sound without waiting for them.
func (s *sink) reports(now time.Time) (out []rtcp.Packet) {
	sdes := new(rtcp.SourceDescription)
	for _, o := range []*outgoing{s.audio, s.video} {
		if o == nil || o == s.video && !s.inStep(now) {
			continue
		}
		if r := o.report(now); r != nil {
			out = append(out, r)
			sdes.Chunks = append(sdes.Chunks, rtcp.SourceDescriptionChunk{
				Source: o.ssrc,
				Items:  []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: s.peer.cname}},
			})
		}
	}
	if len(out) == 0 {
		return nil
	}
	return append(out, sdes)
}

// inStep reports whether the client is told when pictures were made.
func (s *sink) inStep(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	told, later := true, behind
	if s.flow != nil {
		told, later = s.flow.inStep(now)
	}
	s.video.later = later
	return told
}

// reportEvery is how long it is to the next report: what a browser was told of
// pictures and is not so any more it has to learn soon.
func (s *sink) reportEvery(now time.Time) time.Duration {
	if s.flow != nil {
		s.mu.Lock()
		hurries := now.Sub(s.flow.led) < leadHurry
		s.mu.Unlock()
		if hurries {
			return reportEvery
		}
	}
	return s.peer.reportEvery()
}

// streamOf returns the outgoing stream of an SSRC, or nil.
func (s *sink) streamOf(ssrc uint32) *outgoing {
	for _, o := range []*outgoing{s.audio, s.video} {
		if o != nil && o.ssrc == ssrc {
			return o
		}
	}
	return nil
}

// handle takes RTCP from the client that is about the stream of one SSRC.
func (s *sink) handle(ssrc uint32, packets []rtcp.Packet, now time.Time) {
	o := s.streamOf(ssrc)
	if o == nil {
		return
	}
	for _, p := range packets {
		s.hear(o, p, now)
		switch p := p.(type) {
		case *rtcp.ReceiverReport:
			reports(o, p.Reports, now)
		case *rtcp.SenderReport:
			reports(o, p.Reports, now)
		case *rtcp.TransportLayerNack:
			if p.MediaSSRC == ssrc && o == s.video {
				var seqs []uint16
				for _, pair := range p.Nacks[:min(len(p.Nacks), maxNACKs)] { // more than that is never sent again
					seqs = append(seqs, pair.PacketList()...)
				}
				s.peer.meter.nacksIn.Add(float64(len(seqs)))
				s.nack(seqs)
			}
		case *rtcp.PictureLossIndication:
			if p.MediaSSRC == ssrc {
				s.keyframe()
			}
		case *rtcp.FullIntraRequest:
			for _, e := range p.FIR {
				if e.SSRC == ssrc {
					s.keyframe()
				}
			}
		}
	}
}

func reports(o *outgoing, rs []rtcp.ReceptionReport, now time.Time) {
	for _, r := range rs {
		if r.SSRC == o.ssrc {
			o.received(r, now)
		}
	}
}

func (s *sink) keyframe() {
	s.peer.meter.keysIn.Inc()
	if sub := s.subscription(); sub != nil {
		sub.RequestKeyframe()
	}
}
