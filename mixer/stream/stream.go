package stream

import (
	"time"

	"github.com/pion/rtp"

	"mixdown/codec"
)

const (
	// A further SSRC takes a stream over when the former one has been silent for
	// so long, or has sent nothing among so many packets.
	takeOverAfter   = 200 * time.Millisecond
	takeOverPackets = 8
)

// Stream is one kind's incoming SSRC.
type Stream struct {
	Reception
	Seen    time.Time // when its last packet came
	rival   uint32    // a further SSRC
	rivaled int       // its packets since the last of ours
}

// Admit counts p for its stream and reports whether it belongs to it.
func (t *Stream) Admit(c *codec.Codec, p *rtp.Packet, now time.Time) bool {
	if t.Seen.IsZero() {
		t.SSRC = p.SSRC
	}
	if p.SSRC != t.SSRC {
		if p.SSRC != t.rival {
			t.rival, t.rivaled = p.SSRC, 0
		}
		if t.rivaled++; t.rivaled < takeOverPackets && now.Sub(t.Seen) < takeOverAfter {
			return false
		}
		t.Reception = Reception{SSRC: p.SSRC}
	}
	t.ClockRate = c.ClockRate
	t.rivaled, t.Seen = 0, now
	t.Add(p.SequenceNumber, p.Timestamp, now)
	return true
}
