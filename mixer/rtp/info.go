package rtp

import (
	"strings"
	"time"

	"mixdown/mixer"
)

// Info returns what is to be told of the leg, with figures.
func (l *Leg) Info() mixer.Leg {
	l.mu.Lock()
	s, at := l.session, l.seat
	out := mixer.Leg{ID: l.id, Participant: s.Identity.ID, Name: s.Identity.Name, SDP: l.local, Type: l.kind}
	l.mu.Unlock()
	if at != nil {
		out.Room = at.session.Room
	} else {
		out.Room = s.Room
	}
	audio, video := l.lineOf(soundLine), l.lineOf(videoLine)
	out.Audio, out.Video, out.Slides = audio.info(), video.info(), l.lineOf(slidesLine).info()
	switch {
	case out.Audio == nil && out.Video == nil:
		out.State = "offered"
	case l.Held():
		out.State = "held"
	case (out.Audio == nil || out.Audio.Received == 0) && (out.Video == nil || out.Video.Received == 0):
		out.State = "waiting"
	default:
		out.State = "connected"
	}
	if out.Video != nil {
		if tiers := l.transport.rooms.Rungs().Tiers; l.tier() >= 0 {
			out.Video.Fits = tiers[l.tier()].Name
		}
	}
	return out
}

// info are the figures of a line, nil before anything was agreed on.
func (n *line) info() *mixer.LegStream {
	if n == nil {
		return nil
	}
	a := n.agreed.Load()
	if a == nil {
		return nil
	}
	s := &mixer.LegStream{
		Direction: direction(a.sends, a.takes), Received: n.received.Load(), Bytes: n.receivedBytes.Load(), Bad: n.bad.Load(),
	}
	if to, ok := n.target(forRTP); ok {
		s.Remote = to.String()
	}
	var names []string
	for _, f := range a.formats {
		names = append(names, f.codec.Name)
	}
	s.Codecs = strings.Join(names, ", ")
	if a.out != nil {
		s.SRTP = a.out.suite.name
	}
	n.recv.Lock()
	s.Lost, s.Jitter = n.stream.Lost(), milliseconds(n.stream.Jitter())
	n.recv.Unlock()
	n.send.Lock()
	defer n.send.Unlock()
	s.Sent, s.SentBytes = uint64(n.out.packets), uint64(n.out.octets)
	s.PeerLoss, s.RTT = n.out.lost, milliseconds(n.out.rtt)
	return s
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
