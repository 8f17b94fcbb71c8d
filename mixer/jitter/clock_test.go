package jitter

import (
	"testing"
	"time"
)

// toTime returns the time of an NTP timestamp as sender reports carry it.
// Seconds with the highest bit clear are after 2036 (RFC 4330, section 3).
func toTime(ntp uint64) time.Time {
	sec := int64(ntp >> 32)
	if sec&(1<<31) == 0 {
		sec += 1 << 32
	}
	return time.Unix(sec+ntpEpoch, int64(ntpFraction(ntp&0xffffffff)))
}

func TestNTP(t *testing.T) {
	for _, want := range []time.Time{
		time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2026, 3, 4, 5, 6, 7, 123456789, time.UTC),
		time.Date(2036, 2, 7, 6, 28, 15, 999999999, time.UTC),
		time.Date(2036, 2, 7, 6, 28, 16, 0, time.UTC), // the second era's first second
		time.Date(2060, 1, 1, 0, 0, 0, 500, time.UTC),
	} {
		if got := toTime(ToNTP(want)); got.Sub(want).Abs() > time.Nanosecond {
			t.Errorf("%v came back as %v", want, got.UTC())
		}
	}
	// RFC 868 has this one
	if got := ToNTP(time.Unix(0, 0)) >> 32; got != 2208988800 {
		t.Errorf("1970 is %d", got)
	}
	if got := ntpSince(ToNTP(time.Date(2036, 2, 7, 6, 28, 20, 0, time.UTC)),
		ToNTP(time.Date(2036, 2, 7, 6, 28, 10, 500e6, time.UTC))); (got - 9500*time.Millisecond).Abs() > time.Nanosecond {
		t.Errorf("across the eras: %v, want 9.5s", got)
	}
}

func TestClockTakesTheFastestReport(t *testing.T) {
	var sender Sender
	video := Clock{Rate: 90000, Sender: &sender}
	sound := Clock{Rate: 48000, Sender: &sender}
	if !video.Time(5).IsZero() {
		t.Fatal("a time without a report")
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) // here
	theirs := start.Add(-time.Hour)                      // their clock is slow
	fastest := 20 * time.Millisecond
	lates := []time.Duration{80, 20, 300, 50, 60, 70, 20, 300, 90, 50, 50, 50, 50, 50}
	for i, late := range lates {
		at := time.Duration(i) * time.Second
		video.Report(ToNTP(theirs.Add(at)), uint32(1<<32-90000+90000*i), start.Add(at+late*time.Millisecond))
	}
	sound.Report(ToNTP(theirs.Add(14*time.Second)), 7, start.Add(14*time.Second+70*time.Millisecond))

	// the video's timestamp was 2^32 - 90000 at 0 s, so 0 at 1 s
	if got, want := video.Time(90000), start.Add(2*time.Second+fastest); got.Sub(want).Abs() > time.Microsecond {
		t.Errorf("video at 2 s: %v late", got.Sub(want))
	}
	if got, want := sound.Time(7+48000), start.Add(15*time.Second+fastest); got.Sub(want).Abs() > time.Microsecond {
		t.Errorf("sound at 15 s: %v late", got.Sub(want))
	}
}

func TestClockFollowsDriftAndSteps(t *testing.T) {
	var sender Sender
	c := Clock{Rate: 90000, Sender: &sender}
	start := time.Date(2036, 2, 7, 6, 26, 0, 0, time.UTC) // an era ends while it runs
	off := time.Duration(0)
	for i := range 600 {
		at := time.Duration(i) * time.Second
		if i == 400 {
			off = -time.Hour // their clock is set
		}
		drift := at / 10000 // theirs is fast by 100 ppm
		c.Report(ToNTP(start.Add(at+drift+off)), uint32(90000*i), start.Add(at+10*time.Millisecond))
		want := start.Add(at + 10*time.Millisecond)
		if got := c.Time(uint32(90000 * i)); got.Sub(want).Abs() > 8*time.Millisecond {
			t.Fatalf("%d s: off by %v", i, got.Sub(want))
		}
	}
}
