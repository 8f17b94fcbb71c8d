package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"
)

// sysmonSlack is how much later than it asks for the Go scheduler's watchman may
// wake up.
const sysmonSlack = time.Millisecond

// calmSysmon lets the kernel wake sysmon, the thread that looks after the
// scheduler's others, up to sysmonSlack late. Whenever all threads were idle for
// a moment it begins to look every 20 µs, and a server whose packets come a
// thousand times a second is idle for a moment all the time. With 49 people, by
// turns of 4 s without and with: 1.09 and 1.05 cores, 1.11 and 1.05, 1.12 and
// 1.04; in a fourth pair, in a disturbed stretch, 0.91 and 1.03. What sysmon watches over, a P that a system call
// holds and a goroutine that will not yield, has time: there are Ps to spare.
//
// A thread that sysmon starts inherits this; a Go timer that fires there may be
// as late. The sound clock has no part in it.
//
// Needs CAP_SYS_NICE, as the sound clock's rank does; without it nothing changes.
func calmSysmon() error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	var threads []int
	for _, t := range tasks {
		if id, err := strconv.Atoi(t.Name()); err == nil && id > os.Getpid() {
			threads = append(threads, id)
		}
	}
	if len(threads) == 0 {
		return nil
	}
	// The runtime starts it before any other (runtime.main in runtime/proc.go).
	sysmon := slices.Min(threads)
	return os.WriteFile(fmt.Sprintf("/proc/%d/timerslack_ns", sysmon), strconv.AppendInt(nil, int64(sysmonSlack), 10), 0)
}
