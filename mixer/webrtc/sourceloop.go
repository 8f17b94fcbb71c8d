package webrtc

import (
	"time"

	"github.com/pion/rtcp"

	"mixdown/mixer"
)

// run serves the sender until the peer closes.
func (s *source) run(done <-chan struct{}) {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	l := loop{empty: s.peer.rtt()}
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		case <-s.kick:
		}
		s.peer.writeRTCP(s.step(&l, time.Now()))
	}
}

// loop is when run did what.
type loop struct {
	key, feedback, report time.Time
	asked                 *mixer.Ask
	allowed               float32 // bit/s that the sender was last told, and
	told                  time.Time
	rtt                   time.Duration // as of the last report, 0 while unknown
	empty                 time.Duration // that of ICE's checks, before there was media
	around, before, down  time.Duration // that of sound's reports, the one before, and the queue down
}

// step does what is due and returns what to send.
func (s *source) step(l *loop, now time.Time) []rtcp.Packet {
	var out []rtcp.Packet
	reportDue := now.Sub(l.report) >= s.peer.reportEvery()
	feedbackDue := now.Sub(l.feedback) >= s.peer.feedbackEvery()
	if (reportDue || feedbackDue) && s.peer.sink != nil && !s.peer.sink.beside(now) {
		reportDue, feedbackDue = false, false
	}

	s.mu.Lock()
	units, nacks, lost := s.assembler.Tick(now)
	s.deliver(units)
	if lost && s.pub != nil {
		s.pub.Lost()
	}
	video, audio := s.streams[0].SSRC, s.streams[1].SSRC
	known := !s.streams[0].Seen.IsZero()
	pause := keyEvery
	if now.Sub(s.streams[0].Seen) > keyQuiet {
		pause = keySeldom
	}
	s.uplink.look(now)
	var reports []rtcp.ReceptionReport
	if reportDue {
		if l.rtt > 0 {
			s.assembler.SetRTT(l.rtt)
		}
		for i := range s.streams {
			if t := &s.streams[i]; !t.Seen.IsZero() {
				reports = append(reports, t.Report(now))
			}
			if n := len(reports); i == 1 && n > 0 && reports[n-1].SSRC == audio {
				s.uplink.report(float64(reports[n-1].FractionLost)/256, l.rtt, now)
				if l.around != l.before {
					s.uplink.around(l.around-l.empty-l.down, now)
					l.before = l.around
				}
			}
		}
	}
	ask := s.asked.Load()
	allowed := float32(0)
	if ask != nil {
		allowed = s.uplink.allow(remb(ask))
	}
	s.carries.Store(int64(s.uplink.cap))
	s.mu.Unlock()

	if lost {
		s.keyWant.Store(true)
	}
	if len(reports) > 0 {
		out = append(out, &rtcp.ReceiverReport{SSRC: s.ssrc, Reports: reports})
	}
	fell := allowed < 0.97*l.allowed && now.Sub(l.told) >= upLook
	if (len(reports) > 0 || ask != l.asked || fell) && ask != nil && known {
		l.asked, l.allowed, l.told = ask, allowed, now
		out = append(out, &rtcp.ReceiverEstimatedMaximumBitrate{
			SenderSSRC: s.ssrc, Bitrate: allowed, SSRCs: []uint32{video},
		})
	}
	if len(reports) > 0 {
		l.report, l.rtt = now, s.peer.rtt()
		if s.peer.sink != nil && l.empty > 0 {
			l.around, l.down = s.peer.sink.around()
		}
	}
	out = s.again(out, video, nacks)
	if s.audio.nack && s.voice != nil && l.rtt > 0 {
		out = s.again(out, audio, s.voice.Nacks(nil, l.rtt, now))
	}
	if known && s.keyWant.Load() && now.Sub(l.key) >= pause {
		l.key = now
		s.peer.meter.keysOut.Inc()
		out = append(out, &rtcp.PictureLossIndication{SenderSSRC: s.ssrc, MediaSSRC: video})
	}
	if feedbackDue {
		l.feedback = now
		s.feedback.Lock()
		out = append(out, s.recorder.BuildFeedbackPacket()...)
		s.feedback.Unlock()
	}
	return out
}

// again asks for packets of a stream to be sent again.
func (s *source) again(out []rtcp.Packet, ssrc uint32, seqs []uint16) []rtcp.Packet {
	if len(seqs) == 0 {
		return out
	}
	s.peer.meter.nacksOut.Add(float64(len(seqs)))
	return append(out, &rtcp.TransportLayerNack{
		SenderSSRC: s.ssrc, MediaSSRC: ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(seqs),
	})
}

// remb is the rate of a whole sender that an Ask comes to, in bit/s.
func remb(a *mixer.Ask) float32 {
	if !a.Active {
		return idleRate + soundShare
	}
	return float32(max(a.Bitrate, idleRate) + soundShare)
}
