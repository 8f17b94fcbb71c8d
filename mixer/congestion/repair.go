package congestion

import "time"

// Limits of repeating.
const (
	repairSize  = 512 // packets remembered; divides 65536
	repairTimes = 4   // of one packet
	repairShare = 0.35
	repairAge   = 1500 * time.Millisecond
	repairLeast = 10 * time.Millisecond
)

// Repairs decides which packets that a client misses (RFC 4585, section 6.2.1) are
// sent once more. A packet that is on its way again is not sent a third time
// for a NACK that left before it can have come: the next one counts after a
// round trip and what stands in the link. Together they may take a share of
// the rate, so that repairing loss does not make more of it.
type Repairs struct {
	ring   [repairSize]repaired
	credit float64 // bytes
	filled time.Time

	// Refused counts NACKed packets that were not sent again.
	Refused uint64
}

type repaired struct {
	again time.Time
	seq   uint16
	times uint8
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

	s := &r.ring[seq%repairSize]
	if s.seq != seq || now.Sub(s.again) > 2*repairAge {
		*s = repaired{seq: seq}
	}
	wait := max(e.RoundTrip+e.Queue, repairLeast)
	switch {
	case now.Sub(first) > repairAge+e.RoundTrip, s.times == repairTimes, r.credit < float64(size),
		s.times > 0 && now.Sub(s.again) < wait, e.Silent:
		r.Refused++
		return false
	}
	r.credit -= float64(size)
	s.again = now
	s.times++
	return true
}
