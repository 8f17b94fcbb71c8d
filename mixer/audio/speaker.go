package audio

import (
	"math/bits"
	"time"
)

// speakerStay is the shortest time at the front while still speaking.
const speakerStay = time.Second

// A challenger is the dominant speaker when the logarithm of its score over
// the holder's is above each of these.
const (
	leadShort  = 0.1 // C1
	leadMedium = 0.1 // C2
	leadLong   = 0.1 // C3
)

// speaker follows the dominant speaker after I. Volfin and I. Cohen, "Dominant
// speaker identification for multipoint videoconferencing" (Computer Speech and
// Language 27, 2013; IEEEI 2008): everybody's activity is scored over three
// lengths of time, and who is in front gives way only to who is ahead on all
// of them. Who is loudest does not matter, and who is in front stays there
// through everybody's silence.
//
// Their sub-units are bands of the spectrum, ours are pieces of a tick; what a
// band is compared with, the noise, each strip's floor follows. That sound is a
// voice they see from how many bands it fills, we from its period: see voicing.
// So a whisper is heard, but takes no floor.
type speaker struct {
	now   *Strip
	since int // ticks

	short, medium, long []float64 // logarithm of the score of each count
}

func newSpeaker() speaker {
	return speaker{
		short:  scores(shortCount, 10, 0.5, 4),
		medium: scores(mediumTicks, 5, 0.5, 4),
		long:   scores(longTicks, 15, 0.5, 4),
	}
}

func (p *speaker) step(strips []*Strip) {
	p.since++
	var hs, hm, hl float64
	if p.now != nil {
		hs, hm, hl = p.rate(p.now)
	} else {
		hs, hm, hl = p.short[0], p.medium[0], p.long[0]
	}
	var best *Strip
	lead := 0.0
	for _, s := range strips {
		s.Speaking = s.activity.talks
		if s == p.now {
			continue
		}
		cs, cm, cl := p.rate(s)
		if cs-hs > leadShort && cm-hm > leadMedium && cl-hl > leadLong && cm-hm > lead {
			best, lead = s, cm-hm
		}
	}
	if best == nil || p.now != nil && p.now.Speaking && p.since < int(speakerStay/Tick) {
		return
	}
	p.now, p.since = best, 0
}

func (p *speaker) rate(s *Strip) (short, medium, long float64) {
	a, b, c := s.activity.counts()
	return p.short[a], p.medium[b], p.long[c]
}

// forget takes a strip that left the bus from the front.
func (p *speaker) forget(s *Strip) {
	if p.now == s {
		p.now = nil
	}
}

func ones(v uint32) int { return bits.OnesCount32(v) }

func bit(set bool) uint32 {
	if set {
		return 1
	}
	return 0
}
