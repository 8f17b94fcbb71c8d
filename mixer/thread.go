package mixer

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// How the two kinds of threads stand to each other. Encoders and decoders
// compute for milliseconds and may wait; the sound clock computes for one or
// two every 20 ms and may not.
const (
	mediaNice  = 10
	soundNice  = -10
	soundSlice = 100 * time.Microsecond // the shortest the kernel takes: a short slice is an early deadline
	// soundAwake is how long before its deadline the sound clock is back in Go.
	// Nobody's P is taken away within 10 ms.
	soundAwake = 8 * time.Millisecond
)

// mediaThread ties the calling goroutine to a thread of lower priority, for
// good: the thread ends with the goroutine.
func mediaThread() {
	runtime.LockOSThread()
	// Refused only where a sandbox forbids it; then all threads are equal.
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), mediaNice)
}

// soundThread ties the calling goroutine to a thread that is scheduled ahead of
// the others, for good, and returns how that thread is to sleep. Where a sandbox
// refuses all of its ranks the clock is later, and says so in its metric.
func soundThread() sleeper {
	runtime.LockOSThread()
	for _, attr := range soundRanks(runtime.NumCPU()) {
		attr.Size = unix.SizeofSchedAttr
		if unix.SchedSetAttr(0, &attr, 0) == nil {
			break
		}
	}
	spare := int32(runtime.GOMAXPROCS(0)-runtime.NumCPU()) / 2
	return func(_ context.Context, d time.Duration) { threadSleep(d, spare) }
}

// soundRanks are the ranks of the sound clock's thread, the best that may be had
// first: in real time, with a better niceness, and in any case with a short slice, which
// Linux knows from 6.12 on.
//
// On one core nothing is in real time. A thread that comes back from a system call waits by
// sched_yield for whoever is just looking whether to take its P away (casgstatus in Go's
// exitsyscall, since 1.26 in each retake of sysmon's). If it has displaced that one, it yields
// to nobody, and all sound stands still until the kernel's share for ordinary threads
// is due, a second later: with 28 people on one core once or twice a minute. Niced it is 0.1 s
// late at most.
func soundRanks(cores int) []unix.SchedAttr {
	ranks := []unix.SchedAttr{
		{Policy: unix.SCHED_RR, Priority: 1, Flags: unix.SCHED_FLAG_RESET_ON_FORK},
		{Nice: soundNice, Runtime: uint64(soundSlice)},
		{Runtime: uint64(soundSlice)},
	}
	if cores == 1 {
		return ranks[1:]
	}
	return ranks
}

// holding counts the threads that sleep with a P in their hands.
var holding atomic.Int32

// threadSleep sleeps in the kernel on the calling thread. A Go timer fires on
// some other thread first, and two threads have to get a core instead of one.
// It does not end before d, which is short.
//
// Coming back from a system call takes a P, and with it the scheduler's lock,
// which a media thread may hold while it waits for a core. So that happens
// ahead of the deadline, and the rest is slept through with the P held: nothing
// has to be granted in the moment that counts. At most spare threads do so.
func threadSleep(d time.Duration, spare int32) {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) != nil {
		return
	}
	end := now.Nano() + int64(d)
	if d > soundAwake {
		kernelSleep(end - int64(soundAwake))
	}
	if holding.Add(1) <= spare {
		for until := unix.NsecToTimespec(end); heldSleep(&until) == unix.EINTR; {
		}
	} else {
		kernelSleep(end)
	}
	holding.Add(-1)
}

func kernelSleep(end int64) {
	until := unix.NsecToTimespec(end)
	for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &until, nil) == unix.EINTR {
	}
}

// heldSleep sleeps without telling Go's scheduler. A signal, which Go sends when
// it wants the goroutine to stop, ends it; its prologue lets Go have its way.
//
//go:noinline
func heldSleep(until *unix.Timespec) unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_CLOCK_NANOSLEEP, unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, uintptr(unsafe.Pointer(until)), 0, 0, 0)
	return errno
}
