package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// usage is what the kernel says of a process.
type usage struct {
	cpu time.Duration // user and system, all threads
	rss float64       // MB resident
}

// userHz is the unit of times in /proc/PID/stat: 1/100 s on every Linux that
// Debian ships (sysconf(_SC_CLK_TCK)).
const userHz = 100

func readUsage(pid int) (usage, error) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return usage{}, err
	}
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return usage{}, err
	}
	return parseUsage(string(stat), string(status))
}

// parseUsage reads proc_pid_stat(5) and proc_pid_status(5).
func parseUsage(stat, status string) (u usage, err error) {
	// Field 2, the name in parentheses, may itself hold blanks and parentheses.
	end := strings.LastIndexByte(stat, ')')
	fields := strings.Fields(stat[end+1:])
	if end < 0 || len(fields) < 13 {
		return u, fmt.Errorf("stat %.60q: too few fields", stat)
	}
	for _, f := range fields[11:13] { // utime and stime, fields 14 and 15
		ticks, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return u, fmt.Errorf("stat %.60q: %w", stat, err)
		}
		u.cpu += time.Duration(ticks) * time.Second / userHz
	}
	for line := range strings.SplitSeq(status, "\n") {
		rest, ok := strings.CutPrefix(line, "VmRSS:")
		if !ok {
			continue
		}
		kb, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
		if err != nil {
			return u, fmt.Errorf("status %q: %w", line, err)
		}
		u.rss = kb / 1024
	}
	return u, nil
}
