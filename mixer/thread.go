package mixer

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// How the two kinds of threads stand to each other. Encoders and decoders
// compute for milliseconds and may wait; the sound clock computes for one or
// two every 20 ms and may not.
const (
	mediaNice  = 10
	soundNice  = -10                    // where the process may: root, CAP_SYS_NICE, LimitNICE
	soundSlice = 100 * time.Microsecond // the shortest the kernel takes: a short slice is an early deadline
)

// mediaThread ties the calling goroutine to a thread of lower priority, for
// good: the thread ends with the goroutine.
func mediaThread() {
	runtime.LockOSThread()
	// Refused only where a sandbox forbids it; then all threads are equal.
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), mediaNice)
}

// soundThread ties the calling goroutine to a thread that is scheduled ahead of
// the others, for good.
func soundThread() {
	runtime.LockOSThread()
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Nice: soundNice, Runtime: uint64(soundSlice)}
	if unix.SchedSetAttr(0, &attr, 0) != nil {
		attr.Nice = 0
		// Before Linux 6.12 the slice is ignored; in a sandbox all of it may be
		// refused. The clock is later then, and says so in its metric.
		_ = unix.SchedSetAttr(0, &attr, 0)
	}
}

// threadSleep sleeps in the kernel on the calling thread. A Go timer fires on
// some other thread first, and two threads have to get a core instead of one.
// It does not end before d, which is short.
func threadSleep(_ context.Context, d time.Duration) {
	left := unix.NsecToTimespec(int64(d))
	for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &left, &left) == unix.EINTR {
	}
}
