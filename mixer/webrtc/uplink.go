package webrtc

import (
	"math"
	"slices"
	"time"
)

// How a sender's way up is judged and spared.
const (
	upLook    = 200 * time.Millisecond
	upWindow  = time.Second      // that a rate is measured over
	upForget  = 30 * time.Second // after which a shortest way counts no more, or up to twice that
	upJump    = 20 * time.Second
	upFull    = 200 * time.Millisecond
	upStands  = 800 * time.Millisecond
	upEmpty   = 80 * time.Millisecond
	upLingers = 1500 * time.Millisecond // may one be longer: the next keyframe makes it a long one
	upGently  = 0.9                     // of what comes in may then be sent
	upBack    = 0.75                    // of what comes in may be sent while a queue stands
	upHold    = 2 * time.Second         // a queue that falls is left time to
	upNear    = 0.04                    // growth a second, while none stands, about where the way was full
	upOver    = 0.015                   // beyond that, and
	upFar     = 0.15                    // elsewhere
	upBeyond  = 1.5                     // times what comes in, and
	upLossy   = 0.05                    // of sound lost, while there and back there is time for a queue, or
	upSlow    = 700 * time.Millisecond  // there and back: it may be a queue that was full from the beginning
	upTest    = 4 * time.Second         // such a suspicion is tested for
	upTested  = time.Minute             // and then not again
	upTestAt  = 0.6
	upAround  = 3               // round trips in a row that say that a queue stands, and then it has
	upLonger  = 8 * time.Second // to become half as long: else the way is longer
	upAtLeast = 20_000          // so much more, is never allowed: nobody knows whether it fits
	upLeast   = 15_000          // bit/s; sound alone
)

// uplink watches one sender's way up. Browsers' own control tells a queue by
// its growing, so one that is full since they began stays full, a second long on
// slow links, and the sound stands in it. Here the age of sound tells how long the
// queue is: how much later than the fastest it comes. What the sender is then
// allowed goes to it as REMB, and with the room's state to its page: browsers
// that estimate by themselves do not heed REMB.
type uplink struct {
	fastest, before float64   // least transit of this half minute and of the one before, s
	began           time.Time // of this half minute
	least           float64   // transit since the last look
	heard           bool      // there was sound since

	bytes  int
	since  time.Time
	rate   float64 // bit/s that come in
	looked time.Time
	queue  time.Duration // as of the last look with sound
	cap    float64       // bit/s that may be sent; 0: as much as is asked for
	full   float64       // bit/s that came in when a queue stood
	cut    time.Time
	stood  time.Duration // the queue when it was cut
	rose   time.Time     // when it had become too long
	behind int           // bytes that have come in since it had, or since the cut:
	drawn  time.Time     // then; so much the way carries
	tested time.Time     // when a suspicion was
	tests  bool          // one is being tested
	filled time.Time     // since when the queue was never empty
	gently time.Time     // when less was allowed for that
	slow   float64       // fastest then, s

	rounds  [upAround]time.Duration // what the last round trips took more than an empty one
	round   int                     // so many there were
	shift   time.Duration           // fastest is earlier by that, as they said
	shifted time.Time
	longer  bool // they are not to be believed
}

// received counts a packet of any kind, size bytes of RTP.
func (u *uplink) received(size int) {
	u.bytes += size
	u.behind += size
}

// sound notes how long a packet of sound was on its way, s, from any origin.
func (u *uplink) sound(transit float64) {
	if !u.began.IsZero() && math.Abs(transit-u.fastest) > upJump.Seconds() {
		u.restart() // the sender's clock jumped, or its timestamps came round
	}
	if !u.heard || transit < u.least {
		u.least, u.heard = transit, true
	}
}

// restart forgets the origin of transits: another stream has another one.
func (u *uplink) restart() { u.began, u.heard, u.shift = time.Time{}, false, 0 }

// report takes what a receiver report tells: the share of sound that was lost,
// and the time there and back. What speaks for a queue that was never empty is
// tested: if sound comes faster when less is sent, it was one, and from then on
// it is known how fast sound can be.
func (u *uplink) report(loss float64, rtt time.Duration, now time.Time) {
	if u.cap > 0 || u.rate == 0 || u.began.IsZero() || (loss < upLossy || rtt < upFull) && rtt < upSlow || !u.tested.IsZero() && now.Sub(u.tested) < upTested {
		return
	}
	u.tests, u.tested, u.slow = true, now, min(u.fastest, u.before)
	u.full, u.cap = u.rate, max(upTestAt*u.rate, upLeast)
}

// around notes by how much a round trip was longer than one of ICE's checks before there was
// media, the queue down left out. That shows a queue up which all sound so far has stood in.
// If it does not fall when less is sent the way has become longer, and so it is no queue.
func (u *uplink) around(beyond time.Duration, now time.Time) {
	copy(u.rounds[:], u.rounds[1:])
	u.rounds[upAround-1] = beyond
	if u.round++; u.round < upAround || u.longer || u.began.IsZero() {
		return
	}
	least := slices.Min(u.rounds[:])
	switch {
	case u.shift == 0 && least > u.queue+upFull:
		u.shift, u.shifted = least-u.queue, now
		u.fastest -= u.shift.Seconds()
		u.before -= u.shift.Seconds()
	case u.shift > 0 && now.Sub(u.shifted) >= upLonger:
		u.longer = least > u.shift/2
		u.restart() // what is known now is better than that
		if u.longer {
			u.cap = 0
		}
	}
}

// look brings cap up to now and returns it.
func (u *uplink) look(now time.Time) float64 {
	if now.Sub(u.looked) < upLook {
		return u.cap
	}
	if u.since.IsZero() {
		u.since = now
	}
	passed := min(now.Sub(u.looked), upWindow).Seconds()
	u.looked = now
	if d := now.Sub(u.since); d >= upWindow {
		u.rate = float64(u.bytes*8) / d.Seconds()
		u.bytes, u.since = 0, now
	}
	if u.heard {
		u.heard = false
		switch {
		case u.began.IsZero():
			u.fastest, u.before, u.began = u.least, u.least, now
		case now.Sub(u.began) > upForget:
			u.fastest, u.before, u.began = u.least, u.fastest, now
		}
		u.fastest = min(u.fastest, u.least)
		u.queue = time.Duration((u.least - min(u.fastest, u.before)) * float64(time.Second))
	}
	if u.tests && now.Sub(u.tested) >= upTest {
		if u.tests = false; min(u.fastest, u.before) > u.slow-upFull.Seconds()/2 {
			u.cap = 0 // sound is no faster: the loss has another cause
		}
	}
	if u.queue < upEmpty {
		u.filled = time.Time{}
	} else if u.filled.IsZero() {
		u.filled = now
	}
	switch {
	case u.rate == 0 || u.tests:
	case u.queue > upFull && !u.stands(now):
		// One keyframe makes one that is soon gone.
	case u.queue > upFull && (now.Sub(u.cut) > upHold || u.cap == 0):
		// One that falls is on its way out.
		if u.cap == 0 || u.queue > u.stood*4/5 {
			u.full = float64(u.behind*8) / now.Sub(u.drawn).Seconds()
			u.cap = max(upBack*u.full, upLeast)
		}
		u.cut, u.stood = now, u.queue
		u.behind, u.drawn = 0, now
	case u.queue < upEmpty:
		u.stood, u.rose = 0, time.Time{}
		u.grow(passed)
	case u.queue <= upFull && now.Sub(u.filled) >= upLingers && now.Sub(u.gently) >= upForget && (u.cap == 0 || u.cap > u.rate):
		// Once: if it does not go, it is not of our making.
		u.full = u.rate
		u.cap = max(upGently*u.rate, upLeast)
		u.cut, u.stood, u.gently = now, u.queue, now
	}
	return u.cap
}

// grow allows more, if less than is asked for is allowed, after so many seconds without a queue.
func (u *uplink) grow(passed float64) {
	if u.cap == 0 {
		return
	}
	u.full = max(u.full, u.rate)
	growth := upFar
	switch {
	case u.cap > 1.3*u.full:
	case u.cap > u.full:
		growth = upOver
	case u.cap > 0.85*u.full:
		growth = upNear
	}
	u.cap = min(u.cap*(1+growth*passed), max(u.cap, upBeyond*u.rate+upAtLeast))
}

// stands reports whether a queue that is too long has been so for a while, is very long, or comes
// of going beyond where the way was full.
func (u *uplink) stands(now time.Time) bool {
	if u.rose.IsZero() {
		u.rose = now
		u.behind, u.drawn = 0, now
	}
	return now.Sub(u.drawn) >= upLook && (u.queue > 3*upFull || now.Sub(u.rose) >= upStands || u.cap > u.full)
}

// allow returns what a sender may send of all that it is asked for.
func (u *uplink) allow(asked float32) float32 {
	if u.cap >= float64(asked) {
		u.cap = 0
	}
	if u.cap == 0 {
		return asked
	}
	return float32(u.cap)
}
