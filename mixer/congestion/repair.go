package congestion

import (
	"slices"
	"time"
)

// Limits of repeating.
const (
	repairSize  = 512 // packets remembered; divides 65536
	repairTimes = 6   // of one packet
	repairShare = 0.35
	repairAge   = 1500 * time.Millisecond
	repairLeast = 10 * time.Millisecond
	// So many packets that came after one that did not are more than a change of
	// order (as in RFC 5681, section 3.2).
	repairSure = 3
)

// Repairs decides which packets that a client misses (RFC 4585, section 6.2.1) are
// sent once more. A packet that is on its way again is not sent a third time
// for a NACK that left before it can have come: the next one counts after a
// round trip and what stands in the link. Together they may take a share of
// the rate, so that repairing loss does not make more of it.
//
// Feedback tells of losses, too, on another way than the NACK, which may be lost
// itself, and it tells of a repeated packet whether that came: so what feedback says
// is lost goes out again without being asked for.
type Repairs struct {
	ring    [repairSize]repaired
	carried [repairSize]carried // by transport-wide number
	doubted []carried           // that did not come, so far
	newest  uint16              // transport-wide, that came
	heard   bool                // any has
	missed  []uint16
	credit  float64 // bytes
	filled  time.Time

	// Refused counts NACKed packets that were not sent again.
	Refused uint64
}

type repaired struct {
	sent  time.Time // last, be it the first time
	again time.Time
	seq   uint16
	times uint8
	came  bool
	lost  bool // all that went out of it
}

// carried is what went out under a transport-wide number.
type carried struct {
	at        time.Time
	wide, seq uint16
}

// Carry notes that a packet of pictures goes out, the first time or again.
func (r *Repairs) Carry(wide, seq uint16, now time.Time) {
	r.carried[wide%repairSize] = carried{now, wide, seq}
	s := r.find(seq, now)
	s.sent, s.lost = now, false
}

// find returns what is known of a packet.
func (r *Repairs) find(seq uint16, now time.Time) *repaired {
	s := &r.ring[seq%repairSize]
	if s.seq != seq || now.Sub(s.sent) > 2*repairAge && now.Sub(s.again) > 2*repairAge {
		*s = repaired{seq: seq}
	}
	return s
}

// told takes feedback.
func (r *Repairs) told(reports []Report, now time.Time) {
	for _, report := range reports {
		c := r.carried[report.Seq%repairSize]
		if report.Arrived && (int16(report.Seq-r.newest) > 0 || !r.heard) {
			r.newest, r.heard = report.Seq, true
		}
		switch {
		case c.wide != report.Seq || c.at.IsZero():
		case report.Arrived:
			r.find(c.seq, now).came = true
		case !slices.Contains(r.doubted, c):
			r.doubted = append(r.doubted, c)
		}
	}
}

// Missed are the packets that have turned out to be lost since it was called last:
// the slice is the next call's.
func (r *Repairs) Missed(now time.Time) []uint16 {
	r.missed = r.missed[:0]
	r.doubted = slices.DeleteFunc(r.doubted, func(c carried) bool {
		if int16(r.newest-c.wide) < repairSure && now.Sub(c.at) < repairAge {
			return false
		}
		if s := r.find(c.seq, now); !s.came && s.sent.Equal(c.at) { // else another one is on its way
			s.lost = true
			r.missed = append(r.missed, c.seq)
		}
		return true
	})
	return r.missed
}

// Take reports whether a packet may go out again: its number, its bytes on the wire, when
// it went out first, and what is known of the link.
func (r *Repairs) Take(seq uint16, size int, first time.Time, e Estimate, now time.Time) bool {
	if r.filled.IsZero() {
		r.filled, r.credit = now, 4000
	}
	r.credit += now.Sub(r.filled).Seconds() * float64(e.Rate) / 8 * repairShare
	r.credit = min(r.credit, max(float64(e.Rate)/8*repairShare, 4000))
	r.filled = now

	s := r.find(seq, now)
	wait := max(e.RoundTrip+e.Queue, repairLeast)
	switch {
	case now.Sub(first) > repairAge+e.RoundTrip, s.times == repairTimes, r.credit < float64(size),
		s.times > 0 && now.Sub(s.again) < wait && !s.lost, e.Silent:
		r.Refused++
		return false
	}
	r.credit -= float64(size)
	s.again = now
	s.times++
	return true
}

// afford takes a packet's bytes from what repairing may take.
func (r *Repairs) afford(size int) bool {
	if r.credit < float64(size) {
		return false
	}
	r.credit -= float64(size)
	return true
}
