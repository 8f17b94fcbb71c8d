package audio

import "time"

const (
	// scoreTime is how long a voice takes to make, and to lose, its score.
	scoreTime = 400 * time.Millisecond
	// scoreTop bounds what loudness counts, dB above the threshold: whoever
	// speaks up wins over whoever is merely nearer to the microphone.
	scoreTop = 30.0
	// speakingScore is the score from which a strip shows as speaking.
	speakingScore = 3.0
	// speakerStay is the shortest time at the front while still speaking.
	speakerStay = 1500 * time.Millisecond
	// speakerLead is what a challenger's score has to be ahead by.
	speakerLead = 6.0
)

// speaker follows the dominant speaker. Scores rise and fall slowly, so that a
// cough does not move the room; who is in front stays there until somebody else
// clearly is, and through everybody's silence.
type speaker struct {
	now   *Strip
	since int // ticks
}

func (p *speaker) step(strips []*Strip, cfg Config) {
	const share = float64(Tick) / float64(scoreTime)
	p.since++
	var best *Strip
	for _, s := range strips {
		loud := 0.0
		if s.gate.voiced {
			loud = min(scoreTop, s.Level-cfg.Threshold+speakingScore)
		}
		s.score += (loud - s.score) * share
		s.Speaking = s.score >= speakingScore
		if s.Speaking && s != p.now && (best == nil || s.score > best.score) {
			best = s
		}
	}
	if best == nil {
		return
	}
	switch {
	case p.now == nil, !p.now.Speaking:
	case p.since < int(speakerStay/Tick), best.score < p.now.score+speakerLead:
		return
	}
	p.now, p.since = best, 0
}

// forget takes a strip that left the bus from the front.
func (p *speaker) forget(s *Strip) {
	if p.now == s {
		p.now = nil
	}
}
