package main

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// Machine is where and with what it was measured.
type Machine struct {
	CPU, System, Go, Mixdown string
	Libraries                []string // name and version
	Cores                    int
	Date                     time.Time
}

func thisMachine(ctx context.Context, binary string) Machine {
	m := Machine{
		CPU:     field("/proc/cpuinfo", "model name", ":"),
		System:  strings.Trim(field("/etc/os-release", "PRETTY_NAME", "="), `"`),
		Go:      runtime.Version(),
		Mixdown: said(ctx, binary, "version"),
		Cores:   runtime.NumCPU(),
		Date:    time.Now().UTC(),
	}
	for _, lib := range []string{"libavcodec", "vpx", "x264", "aom", "opus"} {
		if v := said(ctx, "pkg-config", "--modversion", lib); v != "" {
			m.Libraries = append(m.Libraries, lib+" "+v)
		}
	}
	return m
}

// field returns the first value of a name in a file of lines; empty if there is
// none, as on a machine that does not tell.
func field(path, name, separator string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if key, value, ok := strings.Cut(line, separator); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// said returns the first line that a command prints, empty if it fails.
func said(ctx context.Context, command ...string) string {
	out, err := exec.CommandContext(ctx, command[0], command[1:]...).Output()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}
