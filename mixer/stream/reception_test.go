package stream

import (
	"testing"
	"time"

	"github.com/pion/rtcp"
)

func TestReception(t *testing.T) {
	r := Reception{SSRC: 5, ClockRate: 90000}
	now := time.Unix(1_700_000_000, 0)
	seq := uint16(65500) // wraps
	for i := range 100 {
		now = now.Add(10 * time.Millisecond)
		if i%10 != 5 { // one in ten is lost
			r.Add(seq, uint32(i)*900, now)
		}
		seq++
	}
	r.Sender(&rtcp.SenderReport{NTPTime: 0x11112222_33334444}, now)
	got := r.Report(now.Add(500 * time.Millisecond))
	if got.TotalLost != 10 || got.FractionLost != 25 || got.LastSequenceNumber != 65500+99 {
		t.Fatalf("%+v", got)
	}
	if got.Jitter != 0 || got.LastSenderReport != 0x22223333 || got.Delay != 32768 {
		t.Fatalf("%+v", got)
	}
	// One comes because it was asked for, which makes it no less lost.
	r.Add(seq-5, 95*900, now)
	r.Again()
	// Nothing lost since.
	for i := 100; i < 150; i++ {
		r.Add(seq, uint32(i)*900, now.Add(time.Duration(i)*11*time.Millisecond))
		seq++
	}
	got = r.Report(now)
	if got.FractionLost != 0 || got.TotalLost != 10 || got.Jitter == 0 {
		t.Fatalf("%+v", got)
	}
}
