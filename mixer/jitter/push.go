package jitter

import (
	"time"

	"github.com/pion/rtp"
)

// maxParcel bounds a packet of sound, bytes.
const maxParcel = 8192

// Push takes one packet. level is its dBov from RFC 6464, -127 when there is
// none. pkt is not kept.
func (p *Playout) Push(pkt *rtp.Packet, level float64, now time.Time) {
	p.PushCopies(pkt, nil, level, now)
}

// PushCopies takes one packet that came with copies of those right before it,
// the oldest first (RFC 2198). It reports whether the packet came because it was
// asked for.
func (p *Playout) PushCopies(pkt *rtp.Packet, copies []Block, level float64, now time.Time) (again bool) {
	return p.push(pkt, copies, level, false, now)
}

// PushNoise takes a packet that says how a pause sounds (RFC 3389, section 4),
// for decoders that are a codec.Comforter.
func (p *Playout) PushNoise(pkt *rtp.Packet, now time.Time) {
	p.push(pkt, nil, silence, true, now)
}

func (p *Playout) push(pkt *rtp.Packet, copies []Block, level float64, noise bool, now time.Time) (again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Packets++
	if len(pkt.Payload) > maxParcel {
		p.stats.Bad++
		return false
	}
	if !p.started || pkt.SSRC != p.ssrc {
		p.begin(pkt, now)
	}
	q := &p.queue
	seq := unwrap(q.last, pkt.SequenceNumber)
	if seq > q.last+far || seq < q.last-far {
		if !p.restart.saw(pkt.SequenceNumber) {
			p.stats.Bad++
			return false
		}
		p.begin(pkt, now)
		seq = unwrap(q.last, pkt.SequenceNumber)
	} else {
		p.restart = restart{}
	}
	if len(pkt.Payload) == 0 {
		q.skip(seq) // a probe: it takes a number and says nothing
		return false
	}
	q.prepend(seq)
	p.clock.Arrived(pkt.Timestamp, now)
	p.last = unwrap32(p.last, pkt.Timestamp)
	e := parcel{seq: seq, ts: p.scale(p.last), arrived: now, level: level, noise: noise}
	transit := now.Sub(p.epoch) - p.length(e.ts)
	if p.arrival.far(transit) {
		p.arrival.saw(transit, 1, now)
		p.stats.Dropped += uint64(q.flush(seq))
		p.line++
	}
	if len(copies) > 0 && p.step > 0 { // a copy's own distance may be that of a pause
		p.mend.repeated(p.length(p.step), now)
	}
	for i, c := range copies {
		p.copied(c, seq-int64(len(copies)-i), level, now)
	}
	if at := q.at(seq); at.seq == seq && at.asks > 0 {
		// What comes sooner than an answer can was only late.
		again = at.state == waiting || at.state == taken || now.Sub(at.arrived) > p.mend.rtt*3/4
	}
	p.put(e, pkt.Payload, transit, now)
	p.aim(now)
	return again
}

// scale turns a timestamp into samples.
func (p *Playout) scale(ts int64) int64 { return ts * int64(p.cfg.Rate) / int64(p.cfg.ClockRate) }

// put queues a packet unless it is of no use.
func (p *Playout) put(e parcel, data []byte, transit time.Duration, now time.Time) {
	q := &p.queue
	switch q.know(e.seq) {
	case waiting:
		if at := q.at(e.seq); at.copy { // the packet itself, behind its copy
			at.copy, at.level = false, e.level
			p.arrival.saw(transit, 1, now)
			return
		}
		p.stats.Duplicates++
		return
	case taken:
		p.stats.Duplicates++
		return
	case lost:
		p.stats.Late++
		if at := q.at(e.seq); at.seq != e.seq || at.asks == 0 {
			p.arrival.saw(transit, lateHeard, now)
		} else {
			p.mend.answer(true, now) // the sender can; we did not wait as long
		}
		return
	}
	if at := q.at(e.seq); at.seq == e.seq && at.asks > 0 {
		// It came when we asked, which says nothing of the network's jitter.
		p.stats.Recovered++
		p.mend.answer(true, now)
		e.asks = at.asks
		q.put(e, data)
		return
	}
	if q.know(e.seq-1) == unknown {
		// What this one can repair comes with it, so late.
		p.arrival.saw(transit+p.length(p.step), 1, now)
	}
	p.arrival.saw(transit, 1, now)
	if n := q.at(e.seq - 1); n.seq == e.seq-1 && n.state != missing {
		if step := e.ts - n.ts; step > 0 && step <= int64(p.samples(maxLength)) {
			p.step = step
		}
	}
	p.stats.Dropped += uint64(q.put(e, data))
}

// copied queues a copy of a packet that is missing.
func (p *Playout) copied(c Block, seq int64, level float64, now time.Time) {
	q := &p.queue
	if len(c.Data) == 0 || len(c.Data) > maxParcel || c.Back == 0 {
		return
	}
	ts := p.scale(p.last - int64(c.Back))
	if seq = q.place(seq, ts); seq < 0 {
		return
	}
	p.mend.copied(ticks(int64(c.Back), uint32(p.cfg.ClockRate)), now)
	p.stats.Dropped += uint64(q.put(parcel{seq: seq, ts: ts, arrived: now, level: level, copy: true}, c.Data))
}

// maxLength is that of one packet of sound.
const maxLength = 200 * time.Millisecond

// far is a distance of sequence numbers that no reordering and no outage makes.
const far = 3000

// begin starts a stream with pkt as its first packet.
func (p *Playout) begin(pkt *rtp.Packet, now time.Time) {
	if p.started {
		p.stats.Restarts++
	} else {
		p.epoch = now
	}
	if p.started && pkt.SSRC != p.ssrc {
		p.clock.Reset()
	}
	p.started, p.ssrc = true, pkt.SSRC
	p.queue.reset(int64(pkt.SequenceNumber) + 1<<32)
	p.last = int64(pkt.Timestamp)
	p.restart = restart{}
	p.arrival.forget()
}

// aim sets the target by what is known of the network.
func (p *Playout) aim(now time.Time) {
	p.target = min(max(p.mend.wait(p.arrival.lateness(), now), p.cfg.MinDelay), p.cfg.MaxTarget)
}
