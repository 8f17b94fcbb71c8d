package congestion

import (
	"fmt"
	"time"

	"github.com/pion/rtcp"
)

// flightSize is how many sent packets are remembered: about 3 s at 3 Mbit/s.
// A power of two that divides 65536.
const flightSize = 1024

// fate is what is known of a sent packet.
type fate uint8

const (
	unknown fate = iota // sent; no feedback says anything of it
	arrived
	lost
)

// packet is one packet as it was sent, and what feedback said of it.
type packet struct {
	at    time.Duration // sent, on the estimator's own line of time
	delay time.Duration // one-way delay against the receiver's clock; its zero means nothing
	size  int32         // bytes on the wire
	seq   uint16        // transport-wide
	fate  fate
	probe uint8 // number of the cluster it belongs to; 0: none
}

// flight is the newest packets sent, by transport-wide number.
type flight struct {
	ring  [flightSize]packet
	end   int64 // one past the newest sent, unwrapped
	first int64 // the first ever sent
	seen  int64 // the newest of which feedback has said anything; first-1: none
}

// add notes a sent packet. A gap in the numbers, which another writer on the
// same transport makes, is forgotten packets.
func (f *flight) add(seq uint16, p packet) {
	n := f.unwrap(seq)
	if f.end == 0 {
		n = int64(seq) + 1<<16
		f.end, f.first, f.seen = n, n, n-1
	}
	if n < f.end {
		return
	}
	for ; f.end < n && n-f.end <= flightSize; f.end++ {
		f.ring[f.end%flightSize] = packet{}
	}
	f.end = n + 1
	p.seq = seq
	f.ring[n%flightSize] = p
	f.seen = max(f.seen, f.end-flightSize-1)
}

// unwrap finds the number nearest to the newest one.
func (f *flight) unwrap(seq uint16) int64 {
	return f.end + int64(int16(seq-uint16(f.end)))
}

// find returns the packet of a number, or nil if it is forgotten or was never sent.
func (f *flight) find(n int64) *packet {
	if n < f.first || n >= f.end || n < f.end-flightSize {
		return nil
	}
	if p := &f.ring[n%flightSize]; p.size > 0 {
		return p
	}
	return nil
}

// oldest is the number before which everything is forgotten.
func (f *flight) oldest() int64 { return max(f.first, f.end-flightSize) }

// unheard is the oldest packet after the newest of which feedback has said anything, nil if there
// is none.
func (f *flight) unheard() *packet {
	for n := f.seen + 1; n < f.end; n++ {
		if p := f.find(n); p != nil {
			return p
		}
	}
	return nil
}

// beyond is how many bytes were sent after the newest packet of which feedback has
// said anything.
func (f *flight) beyond() (bytes int) {
	for n := f.seen + 1; n < f.end; n++ {
		if p := f.find(n); p != nil {
			bytes += int(p.size)
		}
	}
	return bytes
}

// Report says what became of one packet.
type Report struct {
	Seq     uint16 // transport-wide
	Arrived bool
	At      time.Duration // when it arrived, on any clock that the receiver keeps
}

// decoder turns transport-wide feedback into reports
// (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1).
type decoder struct {
	started bool
	last    uint32        // reference time as it was, 24 bits
	ref     time.Duration // and unwrapped
	out     []Report
}

// referenceUnit is what the reference time counts.
const referenceUnit = 64 * time.Millisecond

// decode returns what one feedback packet says, in a slice that the next call
// takes again.
func (d *decoder) decode(fb *rtcp.TransportLayerCC) ([]Report, error) {
	if !d.started {
		d.started, d.last = true, fb.ReferenceTime
	}
	// The difference is taken modulo 2^24: the line wraps after 12 days.
	d.ref += time.Duration(int32((fb.ReferenceTime-d.last)<<8)>>8) * referenceUnit
	d.last = fb.ReferenceTime

	d.out = d.out[:0]
	seq, at, deltas, left := fb.BaseSequenceNumber, d.ref, fb.RecvDeltas, int(fb.PacketStatusCount)
	one := func(symbol uint16) error {
		left--
		r := Report{Seq: seq}
		seq++
		if symbol == rtcp.TypeTCCPacketReceivedSmallDelta || symbol == rtcp.TypeTCCPacketReceivedLargeDelta {
			if len(deltas) == 0 {
				return fmt.Errorf("transport feedback: packet %d has no arrival time", r.Seq)
			}
			at += time.Duration(deltas[0].Delta) * time.Microsecond
			r.Arrived, r.At = true, at
			deltas = deltas[1:]
		}
		d.out = append(d.out, r)
		return nil
	}
	for _, chunk := range fb.PacketChunks {
		switch c := chunk.(type) {
		case *rtcp.RunLengthChunk:
			for i := 0; i < int(c.RunLength) && left > 0; i++ {
				if err := one(c.PacketStatusSymbol); err != nil {
					return nil, err
				}
			}
		case *rtcp.StatusVectorChunk:
			for _, s := range c.SymbolList {
				if left == 0 {
					break
				}
				if err := one(s); err != nil {
					return nil, err
				}
			}
		}
	}
	return d.out, nil
}
