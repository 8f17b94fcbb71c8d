package jitter

import (
	"fmt"
	"sync"
	"time"

	"github.com/pion/rtp"

	"mixdown/codec"
)

// PlayoutConfig shapes a Playout. Zero fields take their defaults.
type PlayoutConfig struct {
	codec.AudioFormat               // of the PCM, 48000 Hz, one channel
	ClockRate         int           // of RTP timestamps, the format's rate
	MinDelay          time.Duration // that a packet waits, 20 ms
	MaxTarget         time.Duration // that it is made to wait for jitter, 600 ms
	MaxDelay          time.Duration // beyond which it is dropped, at most 1 s, which is the default
	MaxPackets        int           // longest stretch of sequence numbers held, 256

	Sender *Sender // of all the sender's tracks; nil for an own one
}

// headroom is what the target leaves to the longest delay: a packet that waited
// for the target must not be too old then.
const headroom = 60 * time.Millisecond

func (c PlayoutConfig) withDefaults() PlayoutConfig {
	if c.Rate == 0 {
		c.Rate = 48000
	}
	if c.Channels == 0 {
		c.Channels = 1
	}
	if c.ClockRate == 0 {
		c.ClockRate = c.Rate
	}
	if c.MinDelay == 0 {
		c.MinDelay = 20 * time.Millisecond
	}
	if c.MaxDelay == 0 {
		c.MaxDelay = time.Second
	}
	c.MaxDelay = max(min(c.MaxDelay, time.Second), c.MinDelay+headroom)
	if c.MaxTarget == 0 {
		c.MaxTarget = 600 * time.Millisecond
	}
	c.MaxTarget = max(min(c.MaxTarget, c.MaxDelay-headroom), c.MinDelay)
	if c.MaxPackets == 0 {
		c.MaxPackets = 256
	}
	if c.Sender == nil {
		c.Sender = new(Sender)
	}
	return c
}

// PlayoutStats count since the Playout was made.
type PlayoutStats struct {
	Packets    uint64 // that came in
	Duplicates uint64
	Late       uint64 // came after their time
	Lost       uint64 // were missing when their time came
	Repaired   uint64 // of these, had a packet behind them to repair them from (in-band FEC)
	Copied     uint64 // missing ones that were played from a copy in a later packet (RED)
	Nacked     uint64 // requests for one packet
	Recovered  uint64 // came after they were asked for
	Dropped    uint64 // came, and were too old to be played
	Bad        uint64 // could not be used or decoded
	Restarts   uint64 // of the stream: another source, another line of numbers

	Concealed time.Duration // sound made up for what did not come
	Mended    time.Duration // sound that came from in-band repair
	Comfort   time.Duration // noise that fills pauses
	Inserted  time.Duration // to lengthen the delay
	Removed   time.Duration // to shorten it
	Target    time.Duration // that a packet is to wait after the fastest
	Delay     time.Duration // between arrival and playing, at the last Pull

	Estimated bool // times of capture are, for want of sender reports
}

// Heard tells what a Pull gave and what is known of the sound behind it.
type Heard struct {
	Silent    bool          // pcm is all zeros
	Ahead     float64       // loudest level waiting, dBov, from RFC 6464; -127 if unknown
	Playing   time.Time     // capture time of the first sample on this machine's clock; zero while unknown
	Delay     time.Duration // between arrival and playing
	Concealed time.Duration // how much of this pull was made up
}

// silence is RFC 6464's level of it, dBov.
const silence = -127.0

// Playout turns one track's packets of sound, as they come, into PCM on a
// steady clock. What waits, waits as long as the network's jitter asks, and no
// longer: a delay that grew comes back.
//
// Packets are pushed from any goroutine. Pull and Close are called from one.
type Playout struct {
	cfg PlayoutConfig

	mu      sync.Mutex
	stats   PlayoutStats
	clock   Clock
	queue   queue
	arrival arrival
	target  time.Duration
	epoch   time.Time // of all times of arrival
	started bool
	ssrc    uint32
	last    int64     // timestamp
	step    int64     // samples from one packet to the next
	head    int64     // the sample that was played at headAt
	headAt  time.Time // zero while nothing is running
	restart restart
	line    int // counts lines of timestamps: pull starts over with each

	pull pull
}

// NewPlayout returns a Playout that is silent until packets come. newDecoder is
// called on the first, and for each new source; it makes decoders of the
// configured format.
func NewPlayout(cfg PlayoutConfig, newDecoder func() (codec.AudioDecoder, error)) *Playout {
	cfg = cfg.withDefaults()
	p := &Playout{
		cfg:     cfg,
		queue:   newQueue(cfg.MaxPackets),
		arrival: newArrival(cfg.MaxTarget),
		target:  cfg.MinDelay,
		pull:    newPull(cfg, newDecoder),
	}
	p.clock = Clock{Rate: uint32(cfg.ClockRate), Sender: cfg.Sender}
	return p
}

// maxParcel bounds a packet of sound, bytes.
const maxParcel = 8192

// Push takes one packet. level is its dBov from RFC 6464, -127 when there is
// none. pkt is not kept.
func (p *Playout) Push(pkt *rtp.Packet, level float64, now time.Time) {
	p.PushCopies(pkt, nil, level, now)
}

// PushCopies takes one packet that came with copies of those right before it,
// the oldest first (RFC 2198).
func (p *Playout) PushCopies(pkt *rtp.Packet, copies []Block, level float64, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Packets++
	if len(pkt.Payload) > maxParcel {
		p.stats.Bad++
		return
	}
	if !p.started || pkt.SSRC != p.ssrc {
		p.begin(pkt, now)
	}
	q := &p.queue
	seq := unwrap(q.last, pkt.SequenceNumber)
	if seq > q.last+far || seq < q.last-far {
		if !p.restart.saw(pkt.SequenceNumber) {
			p.stats.Bad++
			return
		}
		p.begin(pkt, now)
		seq = unwrap(q.last, pkt.SequenceNumber)
	} else {
		p.restart = restart{}
	}
	if len(pkt.Payload) == 0 {
		q.skip(seq) // a probe: it takes a number and says nothing
		return
	}
	q.prepend(seq)
	p.clock.Arrived(pkt.Timestamp, now)
	p.last = unwrap32(p.last, pkt.Timestamp)
	e := parcel{seq: seq, ts: p.scale(p.last), arrived: now, level: level}
	transit := now.Sub(p.epoch) - p.length(e.ts)
	if p.arrival.far(transit) {
		p.arrival.saw(transit, 1, now)
		p.stats.Dropped += uint64(q.flush(seq))
		p.line++
	}
	for i, c := range copies {
		p.copied(c, seq-int64(len(copies)-i), level, now)
	}
	p.put(e, pkt.Payload, transit, now)
	p.aim()
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
		}
		return
	}
	if at := q.at(e.seq); at.seq == e.seq && at.asks > 0 {
		// It came when we asked, which says nothing of the network's jitter.
		p.stats.Recovered++
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
	if len(c.Data) == 0 || len(c.Data) > maxParcel || c.Back == 0 || q.know(seq) != unknown {
		return
	}
	ts := p.scale(p.last - int64(c.Back))
	p.arrival.saw(now.Sub(p.epoch)-p.length(ts), 1, now)
	p.stats.Dropped += uint64(q.put(parcel{seq: seq, ts: ts, arrived: now, level: level, copy: true}, c.Data))
}

// maxLength is that of one packet of sound.
const maxLength = 120 * time.Millisecond

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
func (p *Playout) aim() {
	p.target = min(max(p.arrival.lateness(), p.cfg.MinDelay), p.cfg.MaxTarget)
}

// length is the time that samples per channel take.
func (p *Playout) length(samples int64) time.Duration { return ticks(samples, uint32(p.cfg.Rate)) }

// SenderReport takes an RTCP sender report of this track.
func (p *Playout) SenderReport(ntp uint64, rtpTime uint32, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clock.Report(ntp, rtpTime, now)
}

// Stats returns the counts so far.
func (p *Playout) Stats() PlayoutStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Target = p.target
	s.Estimated = p.clock.Estimated()
	return s
}

// Close ends the decoder. What is pulled afterwards is silence. It may be
// called twice.
func (p *Playout) Close() error {
	p.pull.closed = true
	if err := p.pull.decoder.close(); err != nil {
		return fmt.Errorf("playout: %w", err)
	}
	return nil
}
