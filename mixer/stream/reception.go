package stream

import (
	"time"

	"github.com/pion/rtcp"
)

// Reception is what a receiver report tells about one incoming stream
// (RFC 3550, appendix A.1, A.3 and A.8).
type Reception struct {
	SSRC      uint32
	ClockRate uint32

	began         time.Time // when the first packet came
	base, highest uint32    // sequence numbers, extended by the cycles
	received      uint32
	priorExpected uint32
	priorReceived uint32
	jitter        float64 // in ticks
	transit       int64

	senderReport uint32 // middle 32 bits of the newest one's NTP time
	reportedAt   time.Time
}

// Add counts a packet.
func (r *Reception) Add(seq uint16, timestamp uint32, now time.Time) {
	r.received++
	if r.began.IsZero() {
		r.began = now
		r.base, r.highest, r.transit = uint32(seq), uint32(seq), -int64(timestamp)
		return
	}
	transit := now.Sub(r.began).Microseconds()*int64(r.ClockRate)/1_000_000 - int64(timestamp)
	if ahead := int16(seq - uint16(r.highest)); ahead > 0 {
		r.highest += uint32(ahead)
	}
	d := transit - r.transit
	r.transit = transit
	if d = max(d, -d); d < int64(r.ClockRate) { // not over a jump of the sender's clock
		r.jitter += (float64(d) - r.jitter) / 16
	}
}

// Again takes back that a packet was counted: it was lost, and came because it was
// asked for. Reports tell what the way loses.
func (r *Reception) Again() { r.received-- }

// Sender takes a sender report.
func (r *Reception) Sender(p *rtcp.SenderReport, now time.Time) {
	r.senderReport, r.reportedAt = uint32(p.NTPTime>>16), now
}

// Report returns the report for the time since the last one.
func (r *Reception) Report(now time.Time) rtcp.ReceptionReport {
	expected := r.highest - r.base + 1
	lost := max(int64(expected)-int64(r.received), 0)
	dExpected := int64(expected - r.priorExpected)
	dLost := dExpected - int64(r.received-r.priorReceived)
	r.priorExpected, r.priorReceived = expected, r.received
	out := rtcp.ReceptionReport{
		SSRC: r.SSRC, LastSequenceNumber: r.highest, Jitter: uint32(r.jitter),
		TotalLost: uint32(min(lost, 1<<23-1)),
	}
	if dExpected > 0 && dLost > 0 {
		out.FractionLost = uint8(min(dLost<<8/dExpected, 255))
	}
	if r.senderReport != 0 {
		out.LastSenderReport = r.senderReport
		out.Delay = uint32(now.Sub(r.reportedAt).Microseconds() << 16 / 1_000_000)
	}
	return out
}

// Highest is the highest sequence number so far.
func (r *Reception) Highest() uint16 { return uint16(r.highest) }

// Received counts packets since the stream began.
func (r *Reception) Received() uint32 { return r.received }

// Lost counts what has not come.
func (r *Reception) Lost() uint32 {
	if r.began.IsZero() {
		return 0
	}
	return uint32(max(int64(r.highest-r.base)+1-int64(r.received), 0))
}

// Transit is how long the newest packet was on its way, from an origin that
// stays the same as long as the stream does: only differences mean anything.
func (r *Reception) Transit() time.Duration {
	if r.ClockRate == 0 {
		return 0
	}
	return time.Duration(float64(r.transit) / float64(r.ClockRate) * float64(time.Second))
}

// Jitter is the mean deviation of arrival (RFC 3550, appendix A.8).
func (r *Reception) Jitter() time.Duration {
	if r.ClockRate == 0 {
		return 0
	}
	return time.Duration(r.jitter / float64(r.ClockRate) * float64(time.Second))
}
