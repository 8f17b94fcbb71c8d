package jitter

import (
	"fmt"
	"sync"
	"time"

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
	mend    mend
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
		mend:    newMend(),
		target:  cfg.MinDelay,
		pull:    newPull(cfg, newDecoder),
	}
	p.clock = Clock{Rate: uint32(cfg.ClockRate), Sender: cfg.Sender}
	return p
}

// length is the time that samples per channel take.
func (p *Playout) length(samples int64) time.Duration { return ticks(samples, uint32(p.cfg.Rate)) }

// SenderReport takes an RTCP sender report of this track.
func (p *Playout) SenderReport(ntp uint64, rtpTime uint32, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clock.Report(ntp, rtpTime, now)
}

// Captured is when the sound of a timestamp was captured, on this machine's
// clock; zero while that is unknown.
func (p *Playout) Captured(timestamp uint32) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.clock.Time(timestamp)
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
