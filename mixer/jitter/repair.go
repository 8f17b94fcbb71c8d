package jitter

import (
	"time"

	"mixdown/codec"
)

// Tick is called every 10 to 20 ms. It returns the units that became free as a
// hole was given up, the sequence numbers to ask for now (a generic NACK, RFC
// 4585, section 6.2.1), and whether to ask for a keyframe. The slices are valid
// until the next call.
func (a *Assembler) Tick(now time.Time) (units []codec.Unit, nacks []uint16, lost bool) {
	a.out, a.nacks = a.out[:0], a.nacks[:0]
	if !a.started {
		return nil, nil, false
	}
	a.drain(now) // a fresh stream waits for time alone
	for a.next <= a.last && a.hopeless(a.slot(a.next), now) {
		a.giveUp(now)
	}
	for seq := a.next; seq < a.last; seq++ {
		s := a.slot(seq)
		if s.state == missing && a.due(s, now) {
			s.asked = now
			s.nacks++
			a.stats.Nacked++
			a.nacks = append(a.nacks, uint16(seq))
		}
	}
	return a.out, a.nacks, a.wantsKey(now)
}

// again is how long a request for a packet is given before it is repeated.
func (a *Assembler) again() time.Duration { return max(a.rtt+a.rtt/4, 20*time.Millisecond) }

// due reports whether to ask for a missing packet now.
func (a *Assembler) due(s *slot, now time.Time) bool {
	if s.nacks == 0 {
		return now.Sub(s.since) >= a.cfg.Reorder
	}
	return s.nacks < a.cfg.MaxNacks && now.Sub(s.asked) >= a.again()
}

// hopeless reports whether to wait for a packet no longer.
func (a *Assembler) hopeless(s *slot, now time.Time) bool {
	if s.state != missing {
		return false
	}
	return now.Sub(s.since) >= a.cfg.MaxWait || s.nacks >= a.cfg.MaxNacks && now.Sub(s.asked) >= a.again()
}

// giveUp takes the packets up to the next that came as lost, and goes on
// behind them.
func (a *Assembler) giveUp(now time.Time) {
	a.fresh = time.Time{}
	for a.next <= a.last && a.slot(a.next).state != waiting {
		a.slot(a.next).state = lost
		a.stats.Lost++
		a.next++
		a.needKey = true
		a.unit.broken, a.unit.marked = true, false
	}
	a.drain(now)
}

// bridge closes a hole at once if the pictures on both of its sides are
// neighbours: it was of padding, which nobody sends again.
func (a *Assembler) bridge() bool {
	end := a.next
	for end <= a.last && a.slot(end).state != waiting {
		end++
	}
	if end > a.last || !a.unit.precedes(a.slot(end)) {
		return false
	}
	for ; a.next < end; a.next++ {
		a.slot(a.next).state = taken
		a.stats.Padding++
	}
	return true
}

// keyPause is how long nothing may come of a keyframe on its way before
// another is asked for.
const keyPause = 300 * time.Millisecond

// wantsKey reports whether to ask for a keyframe now.
func (a *Assembler) wantsKey(now time.Time) bool {
	if !a.needKey || !a.fresh.IsZero() {
		return false
	}
	if !a.asked.IsZero() && now.Sub(a.asked) < max(a.cfg.KeyEvery, 2*a.rtt) {
		return false
	}
	u := &a.unit
	if u.open && !u.broken && u.depack.Keyframe(u.data) && now.Sub(a.arrived) < keyPause {
		return false
	}
	a.asked = now
	return true
}
