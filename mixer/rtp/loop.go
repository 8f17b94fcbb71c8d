package rtp

import (
	"time"

	"github.com/pion/rtcp"

	"mixdown/codec"
	"mixdown/mixer"
	"mixdown/mixer/stream"
)

// loop does what time alone brings, until the leg ends.
func (l *Leg) loop() {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	var d due
	for {
		select {
		case <-l.done:
			return
		case now := <-tick.C:
			l.step(&d, now)
		}
	}
}

// due is when the loop did what.
type due struct {
	report  time.Time
	offered time.Time // a keyframe, to who cannot ask
	asked   *mixer.Ask
	seat    *seat
	screen  bool // told to the room of seat
}

// step does what is due.
func (l *Leg) step(d *due, now time.Time) {
	for _, n := range l.all() {
		if n == nil || n.pictures == nil {
			continue
		}
		if a := n.agreed.Load(); a != nil {
			l.repair(d, n, a, now)
		}
	}
	l.present(d, now)
	if now.Sub(d.report) < reportEvery {
		return
	}
	d.report = now
	for _, n := range l.all() {
		if n != nil && n.agreed.Load() != nil {
			var reports []rtcp.ReceptionReport
			n.recv.Lock()
			if !n.stream.Seen.IsZero() {
				reports = []rtcp.ReceptionReport{n.stream.Report(now)}
			}
			n.recv.Unlock()
			l.compound(n, reports, nil, now)
		}
	}
	if video := l.lineOf(videoLine); video != nil && l.mute(video) && now.Sub(d.offered) >= unasked {
		d.offered = now
		l.wantPicture()
	}
	l.silence(now)
}

// mute reports whether the other end takes pictures and has no way to ask for one:
// ffmpeg, or a player that was given SDP.
func (l *Leg) mute(n *line) bool {
	a := n.agreed.Load()
	return a != nil && a.sends && !a.pli && !a.fir && l.params.Refresh == nil
}

// repair asks for what is missing of pictures.
func (l *Leg) repair(d *due, n *line, a *agreement, now time.Time) {
	s, p := l.source, n.pictures
	s.mu.Lock()
	units, nacks, lost := p.assembler.Tick(now)
	s.deliver(p, units)
	s.mu.Unlock()
	if lost {
		if at := s.pub.Load(); at != nil && s.shown.Load() == p {
			at.pub.Lost()
		}
		p.keyWant.Store(true)
	}
	n.recv.Lock()
	remote, known := n.stream.SSRC, !n.stream.Seen.IsZero()
	n.recv.Unlock()
	if !known {
		return
	}
	var out []rtcp.Packet
	if a.nack && len(nacks) > 0 {
		out = append(out, &rtcp.TransportLayerNack{
			SenderSSRC: n.ssrc(), MediaSSRC: remote, Nacks: rtcp.NackPairsFromSequenceNumbers(nacks),
		})
	}
	if p.keyWant.Load() && s.looksAt(p) && now.Sub(p.asked) >= keyEvery {
		p.asked = now
		l.meter.keysOut.Inc()
		switch {
		case a.fir && !a.pli:
			out = append(out, &rtcp.FullIntraRequest{
				SenderSSRC: n.ssrc(), FIR: []rtcp.FIREntry{{SSRC: remote, SequenceNumber: uint8(now.UnixMilli() / 500)}},
			})
		default: // who agreed on nothing leaves it unread
			out = append(out, &rtcp.PictureLossIndication{SenderSSRC: n.ssrc(), MediaSSRC: remote})
		}
		if !a.pli && !a.fir && l.params.Refresh != nil {
			l.params.Refresh(l)
		}
	}
	if ask := s.asked.Load(); n.role == videoLine && ask != d.asked && ask != nil {
		d.asked = ask
		if a.tmmbr && ask.Active && ask.Bitrate > 0 {
			out = append(out, tmmb(fmtTMMBR, n.ssrc(), remote, ask.Bitrate))
		}
	}
	if len(out) > 0 {
		l.writeRTCP(n, out)
	}
}

func (n *line) ssrc() uint32 { return n.out.ssrc }

// writeRTCP sends a compound packet that begins with a report (RFC 3550, section
// 6.1). n.recv may be held.
func (l *Leg) writeRTCP(n *line, more []rtcp.Packet) { l.compound(n, nil, more, time.Now()) }

func (l *Leg) compound(n *line, reports []rtcp.ReceptionReport, more []rtcp.Packet, now time.Time) {
	a := n.agreed.Load()
	if a == nil {
		return
	}
	n.send.Lock()
	defer n.send.Unlock()
	var first rtcp.Packet = &rtcp.ReceiverReport{SSRC: n.out.ssrc, Reports: reports}
	if n.out.sent {
		sr := stream.SenderReport(n.out.ssrc, &n.out.last, n.out.packets, n.out.octets, now)
		sr.Reports = reports
		first = sr
	}
	packets := append([]rtcp.Packet{first, &rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{
		Source: n.out.ssrc, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: l.cname}},
	}}}}, more...)
	b, err := rtcp.Marshal(packets)
	if err != nil {
		return
	}
	if n.out.context != nil {
		if b, err = n.out.context.EncryptRTCP(nil, b, nil); err != nil {
			return
		}
	}
	socket := forRTCP
	if a.mux {
		socket = forRTP
	}
	if to, ok := n.target(socket); ok {
		_, _ = n.conn[socket].WriteToUDPAddrPort(b, to)
	}
}

// bye tells the other end that a stream is over.
func (l *Leg) bye(n *line) {
	l.compound(n, nil, []rtcp.Packet{&rtcp.Goodbye{Sources: []uint32{n.ssrc()}}}, time.Now())
}

// write sends one packet of a room or a prompt.
func (l *Leg) write(k codec.Kind, p *mixer.Packet, origin any) {
	n := l.lineOf(role(k))
	if n == nil {
		return
	}
	a := n.agreed.Load()
	to, known := n.target(forRTP)
	if a == nil || !a.sends || !known {
		return
	}
	f := a.of(p.Codec)
	if f == nil {
		l.meter.dropped.Inc() // of codecs agreed on before
		return
	}
	n.send.Lock()
	defer n.send.Unlock()
	err := n.out.next(p, f, origin, a.nack, func(b []byte) error {
		_, err := n.conn[forRTP].WriteToUDPAddrPort(b, to)
		l.meter.out(k, len(b))
		return err
	})
	if err != nil {
		l.meter.dropped.Inc()
	}
}

// writeAgain sends packets of pictures again.
func (l *Leg) writeAgain(seqs []uint16) {
	n := l.lineOf(videoLine)
	if n == nil || len(seqs) == 0 {
		return
	}
	to, known := n.target(forRTP)
	if !known {
		return
	}
	n.send.Lock()
	defer n.send.Unlock()
	gone := false
	for _, q := range seqs {
		gone = !n.out.again(q, func(b []byte) error {
			_, err := n.conn[forRTP].WriteToUDPAddrPort(b, to)
			return err
		}) || gone
	}
	if gone {
		l.wantPicture()
	}
}
