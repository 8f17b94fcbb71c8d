package input

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// niceness of a thread that decodes pictures: they may come late, sound may not.
const niceness = 10

// mediaThread gives the calling goroutine a thread of its own, behind the others. It
// ends with the goroutine.
func mediaThread() {
	runtime.LockOSThread() // never unlocked: a niced thread is of no use to others
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), niceness)
}

// threadTime is the computing time of the calling thread.
func threadTime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
