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
// seconds (RFC 5905, section 6).
const ntpEpoch = -2208988800

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

const (
	// setStep is from when a sender's clock that disagrees with its own
	// timestamps may have been set.
	setStep = 150 * time.Millisecond
	// slew is how fast the line gives way to a faster report: a picture is put on
	// it when it comes, the sound with it when it is played, and both have to find
	// the same line. 5 ms in a second.
	slew = 200
)

// Sender is the clock of one sending machine as seen from here: the NTP line
// of its reports, laid on our time by the report that was fastest to arrive.
// All tracks of a sender share one, so that they stay together. It may be used
// from any goroutine; the zero value is ready.
type Sender struct {
	mu      sync.Mutex
	base    time.Time     // of our line, when the first report came
	ntp     uint64        // of the sender's line, in the first report
	set     time.Duration // by how much the sender's clock has been set since
	fastest [2]time.Duration
	since   time.Time     // when fastest[0] was begun
	offset  time.Duration // of our line against the sender's, on its way to the fastest
	moved   time.Time     // when it was
	lines   int           // counts lines that were begun
}

// place is a moment on a sender's line, which no setting of its clock breaks.
type place struct {
	line int
	at   time.Duration
}

// report takes one sender report's NTP time as it arrives and returns its place.
// ago is how long ago, by its RTP timestamps, the track's last report was, whose
// place was last; ago is below zero if there was none.
func (s *Sender) report(ntp uint64, last place, ago time.Duration, now time.Time) place {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := ntpSince(ntp, s.ntp) - s.set
	late := now.Sub(s.base) - at
	best := min(s.fastest[0], s.fastest[1])
	if !s.base.IsZero() && ago >= 0 && last.line == s.lines {
		// Timestamps and clock disagree. If so do the clock and our time, it is the
		// clock that was set; else the timestamps jumped.
		by := at - last.at - ago
		if by.Abs() > setStep && (late < best-setStep/2 || (late+by-best).Abs() < (late-best).Abs()) {
			s.set += by
			at -= by
			late += by
		}
	}
	switch {
	case s.base.IsZero(), late > best+senderStep, late < best-senderStep:
		s.base, s.ntp, s.set, s.since = now, ntp, 0, now
		s.fastest = [2]time.Duration{}
		s.offset, s.moved = 0, now
		s.lines++
		return place{s.lines, 0}
	case now.Sub(s.since) > senderWindow:
		s.fastest = [2]time.Duration{late, s.fastest[0]}
		s.since = now
	default:
		s.fastest[0] = min(s.fastest[0], late)
	}
	s.slew(now)
	return place{s.lines, at}
}

// pass lets the line move on between reports.
func (s *Sender) pass(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.base.IsZero() {
		s.slew(now)
	}
}

func (s *Sender) slew(now time.Time) {
	most := max(now.Sub(s.moved), 0) / slew
	s.offset += min(max(min(s.fastest[0], s.fastest[1])-s.offset, -most), most)
	s.moved = now
}

// time returns when it was here at a place, or zero if its line has ended.
func (s *Sender) time(p place) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.base.IsZero() || p.line != s.lines {
		return time.Time{}
	}
	return s.base.Add(p.at + s.offset)
}

// Clock maps one track's RTP timestamps to the time of capture on this
// machine's clock (RFC 3550, section 6.4.1). What the fastest packet spent on
// the way is counted as capture. For a sender that makes no reports, it
// estimates: the fastest packets of all its tracks are taken to have been as
// fast.
type Clock struct {
	Rate   uint32 // of RTP timestamps, Hz
	Sender *Sender

	known bool
	place place
	rtp   uint32

	began   time.Time        // when the first packet came
	first   uint32           // its timestamp
	last    int64            // ticks since, of the newest packet
	fastest [2]time.Duration // arrival − timestamp since began, the least
	since   time.Time        // when fastest[0] was begun
	newest  time.Time        // when the last packet came
}

const (
	// reportPatience is how long reports are waited for before the clock
	// estimates: they come every 5 s at the least (RFC 3550, section 6.2).
	reportPatience = 6 * time.Second
	// fastestWindow is how long a fastest packet is remembered, and as long again.
	fastestWindow = 10 * time.Second
)

// Report takes a sender report as it arrives.
func (c *Clock) Report(ntp uint64, rtp uint32, now time.Time) {
	if ntp == 0 { // a sender without a clock, RFC 3550, section 6.4.1
		return
	}
	ago := time.Duration(-1)
	if c.known && c.Rate > 0 {
		ago = ticks(int64(int32(rtp-c.rtp)), c.Rate)
	}
	c.place = c.Sender.report(ntp, c.place, ago, now)
	c.known, c.rtp = true, rtp
}

// Arrived takes a packet's timestamp as it arrives.
func (c *Clock) Arrived(ts uint32, now time.Time) {
	if c.known {
		c.Sender.pass(now)
	}
	if c.known || c.Rate == 0 {
		return
	}
	d := int64(int32(ts - c.first - uint32(c.last)))
	transit := now.Sub(c.began) - ticks(c.last+d, c.Rate)
	if c.began.IsZero() || (transit-min(c.fastest[0], c.fastest[1])).Abs() > senderStep {
		if !c.began.IsZero() {
			c.Reset()
		}
		c.began, c.first, c.newest, c.since = now, ts, now, now
		return
	}
	c.last += d
	c.newest = now
	if now.Sub(c.since) > fastestWindow {
		c.fastest = [2]time.Duration{transit, c.fastest[0]}
		c.since = now
	}
	c.fastest[0] = min(c.fastest[0], transit)
}

// Estimated reports whether times are estimated, for want of reports.
func (c *Clock) Estimated() bool {
	return !c.known && !c.began.IsZero() && c.newest.Sub(c.began) > reportPatience
}

// Reset forgets what is known of the track, as when another source takes its
// place.
func (c *Clock) Reset() { *c = Clock{Rate: c.Rate, Sender: c.Sender} }

// Time returns the capture time of a timestamp within half its range of the
// last one known, or zero while nothing is known.
func (c *Clock) Time(ts uint32) time.Time {
	switch {
	case c.Rate == 0:
		return time.Time{}
	case c.known:
		at := c.Sender.time(c.place)
		if at.IsZero() {
			return at
		}
		return at.Add(ticks(int64(int32(ts-c.rtp)), c.Rate))
	case c.Estimated():
		at := c.last + int64(int32(ts-c.first-uint32(c.last)))
		return c.began.Add(min(c.fastest[0], c.fastest[1]) + ticks(at, c.Rate))
	}
	return time.Time{}
}

// ticks is the length of n ticks of an RTP clock.
func ticks(n int64, rate uint32) time.Duration {
	r := int64(rate)
	return time.Duration(n/r)*time.Second + time.Duration(n%r)*time.Second/time.Duration(r)
}
