package mixer

import (
	"context"
	"time"
)

// clock gives deadlines at a fixed interval: each is the last one plus the
// interval, so that lateness does not add up.
type clock struct {
	interval time.Duration
	next     time.Time
	sleep    sleeper
}

// sleeper waits for d, or until ctx ends.
type sleeper func(ctx context.Context, d time.Duration)

func newClock(first time.Time, interval time.Duration, sleep sleeper) *clock {
	return &clock{interval: interval, next: first, sleep: sleep}
}

// wait sleeps until the next deadline and returns it, with how many intervals
// were skipped because the caller came later than slack behind it.
func (c *clock) wait(ctx context.Context, slack time.Duration) (deadline time.Time, skipped int, ok bool) {
	if late := time.Since(c.next); late > slack {
		skipped = int(late / c.interval)
		c.next = c.next.Add(time.Duration(skipped) * c.interval)
	}
	if d := time.Until(c.next); d > 0 {
		c.sleep(ctx, d)
	}
	deadline = c.next
	c.next = c.next.Add(c.interval)
	return deadline, skipped, ctx.Err() == nil
}

// timerSleep is the usual sleeper.
func timerSleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
