package webrtc

import (
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v3"

	"mixdown/mixer"
	"mixdown/mixer/congestion"
)

// What a sink does with the link to its client.

// begin is called before the room has the sink, and returns what the room may
// give it at first.
func (s *sink) begin(now time.Time) (fit mixer.Fit) {
	trip := s.peer.rtt() // of the checks of ICE
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flow != nil {
		s.flow.link.Hint(trip, now)
		fit = s.flow.begin(now)
	}
	return fit
}

// carries takes what the link seemed to carry before anything was sent over it, bit/s.
func (s *sink) carries(bps int, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flow != nil {
		s.flow.link.Carries(bps, now)
	}
}

// beside takes the place of a report, if one may go out now without holding up sound.
func (s *sink) beside(now time.Time) bool {
	if s.flow == nil {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.flow.governs || s.flow.link.Beside(now)
}

// around is the round trip by what the client reports of sound, 0 while unknown, and the queue
// in the way to it.
func (s *sink) around() (trip, queue time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.audio == nil || s.flow == nil {
		return 0, 0
	}
	return time.Duration(s.audio.quality.rtt.Load()), s.flow.estimate.Queue
}

// flowVideo queues a picture that goes out at the link's pace. The caller holds
// mu.
func (s *sink) flowVideo(picture []*mixer.Packet, now time.Time) {
	f, first := s.flow, picture[0]
	joins := !s.needKey && s.stream == first.Stream // what went out in bursts so far
	taken := f.picture(picture, joins, now)
	if taken {
		s.needKey, s.stream = true, first.Stream // should it not go on at the link's pace
	}
	s.askKey = f.link.NeedsKeyframe() && (f.choice.Tier >= 0 || f.rises(now)) && !f.estimate.Sinking // its next tier is about to be another
	s.peer.meter.dropLink.Add(float64(f.lost()))
	if !taken && s.askKey {
		s.rouse()
	}
	s.flowRouse(now)
}

// flowRouse puts the sink in line if anything waits for its time. The caller
// holds mu.
func (s *sink) flowRouse(now time.Time) {
	if !s.shows && !s.left && s.flow.busy(now) {
		s.shows = true
		s.pacer.rouse(s, false)
	}
}

// flowSound accounts for sound, which goes out at once. The caller holds mu.
func (s *sink) flowSound(p *mixer.Packet, now time.Time) {
	f := s.flow
	if f == nil {
		return
	}
	f.step(now)
	s.audio.copies.want = 0
	if f.governs {
		s.audio.copies.want = f.choice.Copies
	}
	_, more := s.audio.copies.repeats(p)
	size := wireSize(p) + more
	f.link.Sound(cargo{size: size})
	f.link.Pacer.Next(now)
	s.audio.number(f.sent(size, now))
	s.flowRouse(now)
}

// count notes a packet that is about to be written in a burst.
func (s *sink) count(o *outgoing, size int, now time.Time) {
	if s.flow == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o.number(s.flow.sent(size, now))
}

// flowOut writes what is due at the link's pace. What was queued for bursts goes
// first.
func (s *sink) flowOut(now time.Time) {
	for first := true; ; first = false {
		s.mu.Lock()
		f := s.flow
		if first {
			f.step(now)
		}
		if s.n > 0 || s.left || !f.governs {
			s.mu.Unlock()
			return
		}
		item, ok := f.link.Pacer.Next(now)
		switch {
		case ok && item.Kind == congestion.Repair:
			s.carry(item.Packet.seq, item.Size, now)
		case ok && item.Kind == congestion.Video:
			s.carry(s.video.seq, item.Size, now)
		}
		s.mu.Unlock()
		if !ok {
			return
		}
		var err error
		switch {
		case item.Kind == congestion.Probe:
			err = s.probe(item.Size, now)
		case item.Kind == congestion.Repair:
			if e := s.video.history.find(item.Packet.seq); e != nil {
				err = s.video.again(e)
				s.peer.meter.resent.Inc()
			}
		default:
			err = s.video.write(item.Packet.packet, now)
		}
		if err != nil {
			s.peer.meter.dropWrite.Inc()
		}
	}
}

// carry notes packet seq of the pictures' stream, which is about to be written at the
// link's pace. The caller holds mu.
func (s *sink) carry(seq uint16, size int, now time.Time) {
	wide := s.flow.sent(size, now)
	s.flow.link.Carry(wide, seq, now)
	s.video.number(wide)
}

// probe sends padding of about size bytes on the wire, several packets if need be:
// RTP counts padding in one byte (RFC 3550, section 5.1).
func (s *sink) probe(size int, now time.Time) error {
	const largest = congestion.Overhead + 255
	for left := (size + largest - 1) / largest; left > 0; left-- {
		n := max(size/left, congestion.Overhead+1)
		size -= n
		s.mu.Lock()
		if s.flow.link.Halfway() {
			s.mu.Unlock()
			return nil
		}
		s.carry(s.video.seq, n, now)
		s.mu.Unlock()
		s.peer.meter.probes.Inc()
		if err := s.video.pad(n-congestion.Overhead, now); err != nil {
			return err
		}
	}
	return nil
}

// repair queues what the client misses, and reports false if that is not for the
// link to decide; age is how old a packet may be that goes out again, and keyed tells that
// what is older is not needed any more: a keyframe waits for its time, or is about to come.
func (s *sink) repair(seqs []uint16, now time.Time) (age time.Duration, keyed, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.flow.governs || s.video == nil {
		return maxAge, false, false
	}
	for _, q := range seqs {
		e := s.video.history.find(q)
		size := congestion.Overhead + 1
		if e != nil && e.packet != nil {
			size = wireSize(e.packet)
		}
		if e == nil || !s.flow.link.Repair(q, cargo{seq: q, size: size}, e.first, now) {
			s.peer.meter.dropNACK.Inc()
		}
	}
	s.flowRouse(now)
	age = s.flow.link.RepairAge()
	return age, s.flow.estimate.Sinking || s.flow.link.Outdated(now.Add(-age)), true
}

// tick looks at the link when nothing is sent.
func (s *sink) tick(now time.Time) {
	if s.flow == nil {
		return
	}
	s.mu.Lock()
	if s.sub != nil {
		s.flow.link.Bound(s.sub.Best(), 0)
	}
	s.flow.step(now)
	s.flowRouse(now)
	s.mu.Unlock()
	s.fit(now)
}

// fit tells the room what the link carries.
func (s *sink) fit(now time.Time) {
	if s.flow == nil {
		return
	}
	s.mu.Lock()
	sub := s.sub
	var fit mixer.Fit
	due := false
	if sub != nil {
		fit, due = s.flow.fit(now)
	}
	s.mu.Unlock()
	if due {
		sub.Fit(fit)
	}
}

// hear takes feedback about what the client receives.
func (s *sink) hear(o *outgoing, p rtcp.Packet, now time.Time) {
	if s.flow == nil {
		return
	}
	s.mu.Lock()
	err := s.flow.handle(o, p, now)
	if missed := s.flow.link.Missed(now); s.flow.governs && len(missed) > 0 {
		s.nacks = append(s.nacks, missed[:min(len(missed), maxNACKs-len(s.nacks))]...)
		s.rouse()
	}
	s.mu.Unlock()
	if err != nil {
		s.peer.meter.badRTCP.Inc()
	}
}

// over follows the way that ICE chose.
func (p *peer) over(pair *webrtc.ICECandidatePair) {
	s := p.sink
	if s == nil || s.flow == nil || pair == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flow.tcp = pair.Local.Protocol == webrtc.ICEProtocolTCP
}
