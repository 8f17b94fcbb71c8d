package link

import "time"

// waitBins are milliseconds of waiting that are told apart; the last bin holds
// all that is longer.
const waitBins = 4001

// Counters are what one direction has seen since it was made. Bytes are those
// of whole IP packets.
type Counters struct {
	InPackets   int64 `json:"in_packets"` // offered to the link
	InBytes     int64 `json:"in_bytes"`
	OutPackets  int64 `json:"out_packets"` // delivered
	OutBytes    int64 `json:"out_bytes"`
	SentBytes   int64 `json:"sent_bytes"`   // carried, lost on the way or not
	SentPackets int64 `json:"sent_packets"` // the same
	Lost        int64 `json:"lost"`         // on the way
	Dropped     int64 `json:"dropped"`      // because the queue was full
	Blocked     int64 `json:"blocked"`      // by protocol
	Cut         int64 `json:"cut"`          // during outages
	Waiting     int   `json:"waiting"`      // bytes in the queue now

	Of [kinds]int64 `json:"of"` // InBytes by Kind

	waits [waitBins]int32 // packets by ms between arrival and the start of sending
}

// Since returns what was counted after an earlier look.
func (c Counters) Since(before Counters) Counters {
	c.InPackets -= before.InPackets
	c.InBytes -= before.InBytes
	c.OutPackets -= before.OutPackets
	c.OutBytes -= before.OutBytes
	c.SentBytes -= before.SentBytes
	c.SentPackets -= before.SentPackets
	c.Lost -= before.Lost
	c.Dropped -= before.Dropped
	c.Blocked -= before.Blocked
	c.Cut -= before.Cut
	for i := range c.Of {
		c.Of[i] -= before.Of[i]
	}
	for i := range c.waits {
		c.waits[i] -= before.waits[i]
	}
	return c
}

// Wait returns how long the given share of the packets waited at most before
// the link was free for them: 0.5 is the median, 1 the longest.
func (c *Counters) Wait(share float64) time.Duration {
	total := int64(0)
	for _, n := range c.waits {
		total += int64(n)
	}
	at, last := int64(0), 0
	for i, n := range c.waits {
		if n == 0 {
			continue
		}
		at, last = at+int64(n), i
		if float64(at) >= share*float64(total) {
			break
		}
	}
	return time.Duration(last) * time.Millisecond
}

// Plus returns what was counted in two stretches of time.
func (c Counters) Plus(other Counters) Counters {
	c.InPackets += other.InPackets
	c.InBytes += other.InBytes
	c.OutPackets += other.OutPackets
	c.OutBytes += other.OutBytes
	c.SentBytes += other.SentBytes
	c.SentPackets += other.SentPackets
	c.Lost += other.Lost
	c.Dropped += other.Dropped
	c.Blocked += other.Blocked
	c.Cut += other.Cut
	for i := range c.Of {
		c.Of[i] += other.Of[i]
	}
	for i := range c.waits {
		c.waits[i] += other.waits[i]
	}
	return c
}
