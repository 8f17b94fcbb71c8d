package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestCalmSysmon finds a thread with the wider slack, and it is not the one the
// process began with.
func TestCalmSysmon(t *testing.T) {
	if err := calmSysmon(); errors.Is(err, fs.ErrPermission) {
		t.Skip("not allowed here:", err)
	} else if err != nil {
		t.Fatal(err)
	}
	tasks, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		t.Fatal(err)
	}
	var calm []string
	for _, task := range tasks {
		id := filepath.Base(task)
		slack, err := os.ReadFile("/proc/" + id + "/timerslack_ns")
		if errors.Is(err, fs.ErrNotExist) {
			continue // ended meanwhile
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimSpace(string(slack)) == fmt.Sprint(sysmonSlack.Nanoseconds()) {
			calm = append(calm, id)
		}
	}
	if len(calm) == 0 || slices.Contains(calm, fmt.Sprint(os.Getpid())) {
		t.Errorf("threads with a slack of %v: %v, want some, and not %d", sysmonSlack, calm, os.Getpid())
	}
}
