package jitter

import "time"

const (
	// mendMemory is for how long a loss that a copy mended, and that copies began to come at
	// all, says that more will be lost. A sender that repeats itself has its reasons, and where
	// 2 % of seven packets a second are lost the next one may be half a minute away.
	mendMemory = time.Minute
	// bareMemory is after how many packets one counts 1/e of a new one.
	bareMemory = 200
	// Sound waits for what is sent again when so large a share of packets is
	// missing and not mended otherwise, until it is as small as that.
	bareMuch, bareLittle = 0.025, 0.012
	// bareHole is what a single hole counts for at most: an outage is no loss that
	// waiting helps against.
	bareHole = 4
	// Of what is missing a share of askShare is waited for long enough; askStep is how
	// fast that is learnt.
	askShare = 0.8
	askStep  = float64(10 * time.Millisecond)
	// askWait is the longest that sound is held back for that.
	askWait = 300 * time.Millisecond
	// Who answers less than askAnswered of the requests is not waited for, for
	// askPause.
	askAnswered = 0.25
	askPause    = 30 * time.Second
)

// mend knows what a link's losses are mended by, and how long sound has to wait
// for it: not at all where nothing is lost, a packet
// or two where later packets repeat it, and a round trip where the sender has to
// send it again and that happens often.
type mend struct {
	back   time.Duration // how much later the copies come that stand in
	backAt time.Time     // when that was learnt
	copies time.Time     // when the last ones came

	bare     float64 // share of packets that are missing and that nothing else mends
	asking   bool
	noticed  time.Duration // how much later than the fastest would have come, most of them are
	rtt      time.Duration // to the sender, 0 while nobody asks
	answered float64       // share of the requests that were answered in time
	unheard  time.Time     // when that was too little
}

func newMend() mend { return mend{answered: 1} }

// copied notes that a copy stood in for a missing packet, which came by so much
// later than that would have.
func (m *mend) copied(back time.Duration, now time.Time) {
	if back >= m.back || now.Sub(m.backAt) > mendMemory/2 {
		m.back, m.backAt = back, now
	}
}

// repeated notes that a packet came with copies, the one before it for one. Those that begin to
// come are waited for: the first that is needed would be too late.
func (m *mend) repeated(back time.Duration, now time.Time) {
	if m.copies.IsZero() || now.Sub(m.copies) > mendMemory {
		m.copied(back, now)
	}
	m.copies = now
}

// counted takes packets whose time has come: one that is there, and so many
// before it that are not, and that nothing mends.
func (m *mend) counted(bare int) {
	m.bare -= m.bare / bareMemory
	m.bare += float64(min(bare, bareHole)) / bareMemory
	switch {
	case m.bare > bareMuch:
		m.asking = true
	case m.bare < bareLittle:
		m.asking = false
	}
}

// missed notes when it is noticed that a packet is missing, after the fastest would
// have come.
func (m *mend) missed(late time.Duration) {
	if late > m.noticed {
		m.noticed += min(time.Duration(askShare*askStep), late-m.noticed)
	} else {
		m.noticed -= min(time.Duration((1-askShare)*askStep), m.noticed-late)
	}
}

// answer notes what became of a packet that was asked for.
func (m *mend) answer(came bool, now time.Time) {
	v := 0.0
	if came {
		v = 1
	}
	m.answered += (v - m.answered) / 16
	if m.answered < askAnswered && now.Sub(m.unheard) > askPause {
		m.unheard = now
		m.answered = 2 * askAnswered // for the next attempt
	}
}

// wait is how long sound has to wait after the fastest packet, if it is so long for
// jitter alone.
func (m *mend) wait(late time.Duration, now time.Time) time.Duration {
	if now.Sub(m.backAt) < mendMemory {
		late += m.back
	}
	if m.asking && m.rtt > 0 && (m.unheard.IsZero() || now.Sub(m.unheard) > askPause) {
		if again := m.rtt + askMargin; again < askWait {
			late = max(late, min(m.noticed+again, askWait))
		}
	}
	return late
}
