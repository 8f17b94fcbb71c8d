package jitter

import (
	"time"

	"github.com/pion/rtp"

	"mixdown/codec"
)

// padding is the spare capacity behind a unit's data, which decoders read into.
const padding = 64

// AssemblerConfig bounds an Assembler. Zero fields take their defaults.
type AssemblerConfig struct {
	MaxPackets int           // longest stretch of sequence numbers held, a power of two, 1024
	MaxUnit    int           // bytes of one unit, and of all packets held, 2 MiB
	MaxWait    time.Duration // that a hole is waited for, 500 ms
	Reorder    time.Duration // that a packet may be late before it is asked for, 5 ms
	MaxNacks   int           // times that one packet is asked for, 6
	MaxHole    int           // packets that are asked for at once; more is a keyframe's matter, 200
	KeyEvery   time.Duration // shortest time between two requests for a keyframe, 500 ms

	Sender *Sender // of all the sender's tracks; nil for an own one
}

func (c AssemblerConfig) withDefaults() AssemblerConfig {
	if c.MaxPackets == 0 {
		c.MaxPackets = 1024
	}
	for c.MaxPackets&(c.MaxPackets-1) != 0 {
		c.MaxPackets += c.MaxPackets & -c.MaxPackets
	}
	if c.MaxUnit == 0 {
		c.MaxUnit = 2 << 20
	}
	if c.MaxWait == 0 {
		c.MaxWait = 500 * time.Millisecond
	}
	if c.Reorder == 0 {
		c.Reorder = 5 * time.Millisecond
	}
	if c.MaxNacks == 0 {
		c.MaxNacks = 6
	}
	if c.MaxHole == 0 {
		c.MaxHole = 200
	}
	if c.KeyEvery == 0 {
		c.KeyEvery = 500 * time.Millisecond
	}
	if c.Sender == nil {
		c.Sender = new(Sender)
	}
	return c
}

// AssemblerStats count since the Assembler was made.
type AssemblerStats struct {
	Packets    uint64 // that came in
	Duplicates uint64
	Late       uint64 // came after they were given up
	Lost       uint64 // given up
	Nacked     uint64 // requests for one packet
	Recovered  uint64 // came after they were asked for
	Bad        uint64 // could not be used
	Padding    uint64 // carried nothing
	Units      uint64 // handed out
	Keyframes  uint64 // of these
	Dropped    uint64 // units that were broken or too large
	Withheld   uint64 // whole units that miss what they refer to
	Restarts   uint64 // of the stream: another source, another line of numbers

	Estimated bool // times of capture are, for want of sender reports
}

// Assembler puts one track's RTP packets, which may come in any order, together
// to whole access units. A unit is complete with its marker bit and waits for
// no further packet. After a hole that nobody filled, units are withheld up to
// the next keyframe. Its owner calls it from one goroutine at a time.
type Assembler struct {
	cfg     AssemblerConfig
	stats   AssemblerStats
	clock   Clock
	rtt     time.Duration
	started bool
	ssrc    uint32

	ring    []slot // by sequence number
	free    [][]byte
	held    int   // bytes in the ring
	next    int64 // the first number not yet taken
	last    int64 // the highest seen
	restart restart
	fresh   time.Time // of the first packet, while nothing has been taken; else zero

	unit    builder
	needKey bool
	asked   time.Time // when a keyframe was last asked for
	arrived time.Time // of the last packet

	out   []codec.Unit
	nacks []uint16
}

// NewAssembler returns an Assembler that waits for its first packet.
func NewAssembler(cfg AssemblerConfig) *Assembler {
	cfg = cfg.withDefaults()
	a := &Assembler{cfg: cfg, rtt: 100 * time.Millisecond, ring: make([]slot, cfg.MaxPackets)}
	a.clock.Sender = cfg.Sender
	return a
}

// Stats returns the counts so far.
func (a *Assembler) Stats() AssemblerStats {
	s := a.stats
	s.Estimated = a.clock.Estimated()
	return s
}

// SetRTT takes the round trip to the sender, by which requests are repeated.
func (a *Assembler) SetRTT(rtt time.Duration) { a.rtt = rtt }

// SenderReport takes an RTCP sender report of this track: the times of capture
// follow from it.
func (a *Assembler) SenderReport(ntp uint64, rtpTime uint32, now time.Time) {
	a.clock.Report(ntp, rtpTime, now)
}

// Push takes one packet and returns the units that it completes, in decoding
// order. The slice is valid until the next call, the units' data is the
// caller's. p is not kept.
func (a *Assembler) Push(c *codec.Codec, p *rtp.Packet, now time.Time) []codec.Unit {
	a.out = a.out[:0]
	a.stats.Packets++
	if c == nil || c.Payload == nil || len(p.Payload) > a.cfg.MaxUnit {
		a.stats.Bad++
		return nil
	}
	if !a.started || p.SSRC != a.ssrc {
		a.begin(p, now)
	}
	seq := unwrap(a.last, p.SequenceNumber)
	if seq > a.last+int64(len(a.ring)) || seq < a.next-int64(len(a.ring)) {
		if !a.restart.saw(p.SequenceNumber) {
			a.stats.Bad++
			return nil
		}
		a.begin(p, now)
		seq = a.last
		a.next = seq - 1 // the stray was the first
		a.open(a.next, seq, now)
	} else {
		a.restart = restart{}
	}
	if !a.fresh.IsZero() && seq < a.next && a.next-seq < freshBack && a.last-seq < int64(len(a.ring)) {
		a.open(seq, a.next, now)
		a.next = seq
	}
	a.clock.Rate = c.ClockRate
	a.clock.Arrived(p.Timestamp, now)
	if !a.place(seq, c, p, now) {
		return nil
	}
	a.drain(now)
	return a.out
}

// freshBack is how far before a stream's first packet others may still come,
// freshWait for how long.
const (
	freshBack = 64
	freshWait = 50 * time.Millisecond
)

// begin starts a stream with p as its first packet.
func (a *Assembler) begin(p *rtp.Packet, now time.Time) {
	if a.started {
		a.stats.Restarts++
		a.asked = time.Time{}
	}
	if a.started && p.SSRC != a.ssrc {
		a.clock.Reset()
	}
	for i := range a.ring {
		a.drop(&a.ring[i])
		a.ring[i] = slot{}
	}
	a.started, a.ssrc = true, p.SSRC
	// far from zero, so that no slot's zero value is a number in use
	a.next = int64(p.SequenceNumber) + 1<<32
	a.last = a.next
	a.fresh = now
	a.restart = restart{}
	a.needKey = true
	a.unit.abandon()
	a.unit.codec = nil
}

// drain takes packets as far as they are without a hole.
func (a *Assembler) drain(now time.Time) {
	for a.next <= a.last {
		s := a.slot(a.next)
		if s.state != waiting {
			if !a.bridge() {
				return
			}
			continue
		}
		if !a.fresh.IsZero() {
			if len(s.payload) > 0 && !begins(s) && now.Sub(a.fresh) < freshWait {
				return // what comes before may only be late
			}
			a.fresh = time.Time{}
		}
		a.take(s)
		a.drop(s)
		s.state = taken
		a.next++
	}
}

// take adds one packet to the unit in the making.
func (a *Assembler) take(s *slot) {
	if len(s.payload) == 0 {
		a.stats.Padding++ // a probe: it takes a number and says nothing
		return
	}
	u := &a.unit
	if u.open && (u.timestamp != s.timestamp || u.codec != s.codec) {
		a.finish() // its marker is missing
	}
	if u.codec != s.codec {
		u.use(s.codec)
		a.clock.Rate = s.codec.ClockRate
		a.needKey = true
	}
	if !u.open {
		u.begin(s)
		if u.broken && !a.needKey {
			a.stats.Bad++
			a.needKey = true
		}
	}
	if !u.broken && !u.append(s, a.cfg.MaxUnit) {
		a.stats.Bad++
		a.needKey = true
	}
	if s.marker {
		a.finish()
	}
}

// finish hands out the unit in the making, if it is of use.
func (a *Assembler) finish() {
	u := &a.unit
	defer u.abandon()
	switch {
	case u.broken:
		a.stats.Dropped++
		return
	case len(u.data) == 0:
		return
	}
	key := u.depack.Keyframe(u.data)
	if a.needKey && !key {
		a.stats.Withheld++
		return
	}
	a.needKey = false
	a.stats.Units++
	if key {
		a.stats.Keyframes++
	}
	data := make([]byte, len(u.data), len(u.data)+padding)
	copy(data, u.data)
	a.out = append(a.out, codec.Unit{
		Codec:     u.codec,
		Data:      data,
		Keyframe:  key,
		Timestamp: u.timestamp,
		Arrived:   u.arrived,
		Captured:  a.clock.Time(u.timestamp),
	})
}
