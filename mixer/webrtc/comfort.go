package webrtc

import (
	"strconv"
	"strings"
	"time"

	"github.com/pion/sdp/v3"

	"mixdown/mixer"
	"mixdown/mixer/congestion"
)

// A browser to which sound came late holds all of it back for as long from then on, for 10 to
// 20 s, because it may come late again. After a link fell it will not: the pictures that
// stood before it are smaller now. No message tells a browser so. But where the codec
// changes it plays what comes next, throws away what it held back, and learns anew how late
// sound comes (libwebrtc's NetEq). One packet of comfort noise (RFC 3389), which nobody
// hears, is such a change, and Opus right after it another one.

// noiseLevel is the level of a packet of comfort noise that is none, -dBov (RFC 3389,
// section 3.1).
const noiseLevel = 127

// pauseBytes is what a packet of sound has at most in which nothing is heard (RFC 6716,
// section 2.1.9).
const pauseBytes = 2

// comfort answers an offer of comfort noise.
func comfort(offered, m *sdp.MediaDescription, got *agreed) {
	for _, r := range rtpmaps(offered) {
		if !strings.EqualFold(r.name, "CN") {
			continue
		}
		got.comfort = r.pt
		pt := strconv.Itoa(int(r.pt))
		m.MediaName.Formats = append(m.MediaName.Formats, pt)
		m.Attributes = append(m.Attributes, sdp.NewAttribute("rtpmap", pt+" "+attributeOf(offered, "rtpmap", pt)))
		return
	}
}

// forget has the client forget how late sound came, if it is time to, before the next packet.
func (s *sink) forget(now time.Time) {
	if s.flow == nil || s.audio == nil || s.audio.comfort == 0 {
		return
	}
	next := s.forgetBefore(now)
	if next == nil {
		return
	}
	s.peer.meter.forgets.Inc()
	if s.audio.silence(next) != nil {
		s.peer.meter.dropWrite.Inc()
	}
}

// forgetBefore accounts for comfort noise that is to go out now, and returns the packet of sound
// that it goes before; nil if none is.
func (s *sink) forgetBefore(now time.Time) *mixer.Packet {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.flow
	if s.sn == 0 || s.left || !f.governs {
		return nil
	}
	next := s.sounds[s.shead]
	if !f.link.Forget(len(next.Payload) <= pauseBytes, now) {
		return nil
	}
	const size = congestion.Overhead + 1
	f.link.Sound(cargo{size: size})
	f.link.Pacer.Next(now)
	s.audio.number(f.sent(size, now))
	return next
}

// silence sends a packet of comfort noise before p.
func (o *outgoing) silence(p *mixer.Packet) error {
	seq := o.seq
	o.seq++
	o.packets++
	o.octets++
	clear(o.copies.past[:]) // what is before it is to be dropped
	o.scratch[0] = noiseLevel
	return o.transmit(seq, o.comfort, p.Timestamp, false, o.scratch[:1], false)
}
