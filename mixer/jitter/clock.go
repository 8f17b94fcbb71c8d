// Package jitter turns RTP packets that come in any order into timed media:
// whole access units of pictures, and an even flow of sound.
//
//	Push ─ order ─ repair ─▶ Assembler ─▶ codec.Unit, complete on the marker bit
//	Push ─ order ─ delay  ─▶ Playout   ─▶ 20 ms of PCM a Pull
//
// Neither starts a goroutine nor looks at a clock: time is passed in.
package jitter

import (
	"sync"
	"time"
)

// ntpEpoch is the Unix time of 1900-01-01, where NTP's first era begins, in
// seconds. An era has 2^32 of them (RFC 5905, section 6).
const (
	ntpEpoch = -2208988800
	ntpEra   = 1 << 32
)

// ToTime returns the time of an NTP timestamp as sender reports carry it.
// Seconds with the highest bit clear are after 2036 (RFC 4330, section 3).
func ToTime(ntp uint64) time.Time {
	sec := int64(ntp >> 32)
	if sec&(1<<31) == 0 {
		sec += ntpEra
	}
	return time.Unix(sec+ntpEpoch, int64(ntpFraction(ntp&0xffffffff)))
}

// ToNTP returns the NTP timestamp of t, without its era.
func ToNTP(t time.Time) uint64 {
	sec := uint64(t.Unix() - ntpEpoch)
	frac := (uint64(t.Nanosecond())<<32 + 1e9 - 1) / 1e9
	return sec<<32 + frac
}

func ntpFraction(f uint64) time.Duration { return time.Duration(f * 1e9 >> 32) }

// ntpSince returns a − b. Eras cancel out.
func ntpSince(a, b uint64) time.Duration {
	d := int64(a - b)
	return time.Duration(d>>32)*time.Second + ntpFraction(uint64(d)&0xffffffff)
}

// senderWindow is over how long a sender's clock is compared with ours: long
// enough to see the network empty once, short enough for clocks that drift.
const senderWindow = 30 * time.Second

// senderStep is from when a clock that falls behind has been set, rather than
// its reports having been held up.
const senderStep = 5 * time.Second

// Sender is the clock of one sending machine as seen from here: the NTP line
// of its reports, laid on our time by the report that was fastest to arrive.
// All tracks of a sender share one, so that they stay together. It may be used
// from any goroutine; the zero value is ready.
type Sender struct {
	mu     sync.Mutex
	base   time.Time // of our line, when the first report came
	ntp    uint64    // of the sender's line, in the first report
	offset [2]time.Duration
	since  time.Time // when offset[0] was begun
}

// report takes one sender report's NTP time as it arrives.
func (s *Sender) report(ntp uint64, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	late := now.Sub(s.base) - ntpSince(ntp, s.ntp)
	best := min(s.offset[0], s.offset[1])
	switch {
	case s.base.IsZero(), late > best+senderStep, late < best-senderStep:
		s.base, s.ntp, s.since = now, ntp, now
		s.offset = [2]time.Duration{}
	case now.Sub(s.since) > senderWindow:
		s.offset = [2]time.Duration{late, s.offset[0]}
		s.since = now
	default:
		s.offset[0] = min(s.offset[0], late)
	}
}

// time returns when it was here at ntp on the sender's clock.
func (s *Sender) time(ntp uint64) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.base.IsZero() {
		return time.Time{}
	}
	return s.base.Add(ntpSince(ntp, s.ntp) + min(s.offset[0], s.offset[1]))
}

// Clock maps one track's RTP timestamps to the time of capture on this
// machine's clock (RFC 3550, section 6.4.1). What the fastest packet spent on
// the way is counted as capture.
type Clock struct {
	Rate   uint32 // of RTP timestamps, Hz
	Sender *Sender

	known bool
	ntp   uint64
	rtp   uint32
}

// Report takes a sender report as it arrives.
func (c *Clock) Report(ntp uint64, rtp uint32, now time.Time) {
	if ntp == 0 { // a sender without a clock, RFC 3550, section 6.4.1
		return
	}
	c.known, c.ntp, c.rtp = true, ntp, rtp
	c.Sender.report(ntp, now)
}

// Reset forgets the track's reports, as when another source takes its place.
func (c *Clock) Reset() { c.known = false }

// Time returns the capture time of a timestamp within half its range of the
// last report, or zero while there was none.
func (c *Clock) Time(ts uint32) time.Time {
	if !c.known || c.Rate == 0 {
		return time.Time{}
	}
	at := c.Sender.time(c.ntp)
	if at.IsZero() {
		return at
	}
	return at.Add(ticks(int64(int32(ts-c.rtp)), c.Rate))
}

// ticks is the length of n ticks of an RTP clock.
func ticks(n int64, rate uint32) time.Duration {
	r := int64(rate)
	return time.Duration(n/r)*time.Second + time.Duration(n%r)*time.Second/time.Duration(r)
}
