package mixer

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// clock gives deadlines at a fixed interval: each is the last one plus the
// interval, so that lateness does not add up.
type clock struct {
	interval time.Duration
	next     time.Time
	timer    *time.Timer
}

func newClock(first time.Time, interval time.Duration) *clock {
	return &clock{interval: interval, next: first, timer: time.NewTimer(time.Until(first))}
}

// wait sleeps until the next deadline and returns it, with how many intervals
// were skipped because the caller came later than slack behind it.
func (c *clock) wait(ctx context.Context, slack time.Duration) (deadline time.Time, skipped int, ok bool) {
	if late := time.Since(c.next); late > slack {
		skipped = int(late / c.interval)
		c.next = c.next.Add(time.Duration(skipped) * c.interval)
	}
	if d := time.Until(c.next); d > 0 {
		c.timer.Reset(d)
		select {
		case <-ctx.Done():
			return time.Time{}, skipped, false
		case <-c.timer.C:
		}
	}
	deadline = c.next
	c.next = c.next.Add(c.interval)
	return deadline, skipped, ctx.Err() == nil
}

// mediaNice is how far encoding and decoding stand behind the sound clock.
const mediaNice = 5

// mediaThread ties the calling goroutine to a thread of lower priority, for
// good: the thread ends with the goroutine. A picture may come late, sound not.
func mediaThread() {
	runtime.LockOSThread()
	// Refused only where a sandbox forbids it; then all threads are equal.
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), mediaNice)
}
