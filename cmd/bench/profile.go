package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Profile is where a server's CPU time went, by stage.
type Profile struct {
	N     int
	Perf  bool               // sampled by perf, else by Go's profiler
	Share map[string]float64 // of all samples
}

// stages say to which part of the server a sample belongs: the first row one of
// whose words is in the name of any function on its stack, or of its library.
var stages = []struct {
	name  string
	words []string
}{
	{"garbage collection", []string{"runtime.gcBgMarkWorker", "runtime.gcAssist", "runtime.bgsweep", "runtime.bgscavenge", "runtime.gcStart", "runtime.gcMarkTermination"}},
	{"decode pictures", []string{"mixdown/codec/ffmpeg.", "/libavcodec."}},
	{"encode pictures", []string{"mixdown/codec/vpx.(*Encoder)", "/libvpx."}},
	{"packetize", []string{"mixdown/mixer.(*Tier).packetize"}},
	{"scale and compose", []string{"mixdown/mixer.(*Tier).compose", "mixdown/compositor.", "/libyuv."}},
	{"Opus, both ways", []string{"mixdown/codec/opus.", "/libopus."}},
	{"mix sound", []string{"mixdown/mixer/audio."}},
	{"system calls: send", []string{"syscall.Sendto", "syscall.sendto", "syscall.SendmsgN", "unix.Sendm", "internal/poll.(*FD).Write", "internal/poll.(*FD).RawWrite"}},
	{"system calls: receive", []string{"syscall.recvfrom", "syscall.Recvfrom", "syscall.recvmsg", "internal/poll.(*FD).Read", "internal/poll.(*FD).RawRead"}},
	{"SRTP", []string{"pion/srtp", "crypto/"}},
	{"jitter buffers", []string{"mixdown/mixer/jitter."}},
	{"ICE, RTCP, interceptors", []string{"pion/ice", "pion/interceptor", "pion/rtcp", "pion/webrtc", "pion/transport", "pion/dtls"}},
	{"transport", []string{"mixdown/mixer/webrtc."}},
	{"rooms, tiers, clocks", []string{"mixdown/mixer."}},
	{"Go's scheduler", []string{"runtime.mcall", "runtime.mstart", "runtime.findRunnable", "runtime.schedule", "runtime.futex", "runtime.sysmon", "runtime.goexit0", "runtime.netpoll"}},
}

// stageOf sorts a stack of function names.
func stageOf(stack []string) string {
	for _, s := range stages {
		for _, w := range s.words {
			for _, f := range stack {
				if strings.Contains(f, w) {
					return s.name
				}
			}
		}
	}
	return otherStage
}

const otherStage = "other"

// stageNames are the stages in the order of a picture's and a sound's way.
func stageNames() (out []string) {
	for _, s := range stages {
		out = append(out, s.name)
	}
	return out
}

// profile runs a server with n bots and sees where its time goes.
//
// perf samples by a timer of its own, 997 times a second. Go's profiler samples
// on the kernel's tick, in step with clocks that wake every 20 and 40 ms: it
// catches sound far too often or never. So it is only what is used without perf.
func profile(ctx context.Context, cfg Config, n int) (p Profile, err error) {
	sample, stay := byPprof, cfg
	stay.Window += 4 * time.Second // profilers begin and end late
	if _, err := exec.LookPath("perf"); err == nil {
		sample = byPerf
	}
	p, err = sample(ctx, stay, cfg.Window, n)
	p.N = n
	return p, err
}

func byPerf(ctx context.Context, cfg Config, took time.Duration, n int) (p Profile, err error) {
	dir, err := os.MkdirTemp("", "mixdown-bench-")
	if err != nil {
		return p, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "perf.data")
	if _, err = serveBots(ctx, cfg, crowdSize{Rooms: 1, Bots: n}, nil, func(ctx context.Context, s *server) error {
		out, err := exec.CommandContext(ctx, "perf", "record", "-q", "-F", "997", "-g", "-o", file, "-p", strconv.Itoa(s.Cmd.Process.Pid),
			"--", "sleep", strconv.FormatFloat(took.Seconds(), 'f', 2, 64)).CombinedOutput()
		if err != nil {
			return fmt.Errorf("perf record: %w: %.500s", err, out)
		}
		return nil
	}); err != nil {
		return p, err
	}
	out, err := exec.CommandContext(ctx, "perf", "script", "-i", file, "-F", "ip,sym,dso").Output()
	if err != nil {
		return p, fmt.Errorf("perf script: %w", err)
	}
	return parsePerf(bytes.NewReader(out))
}

// parsePerf reads what `perf script -F ip,sym,dso` prints: a function and its
// library a line, an empty line between stacks.
func parsePerf(r io.Reader) (Profile, error) {
	p := Profile{Perf: true, Share: map[string]float64{}}
	total := 0.0
	var stack []string
	count := func() {
		if len(stack) > 0 {
			p.Share[stageOf(stack)]++
			total++
		}
		stack = nil
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if _, name, ok := strings.Cut(strings.TrimSpace(lines.Text()), " "); ok {
			stack = append(stack, name)
		} else {
			count()
		}
	}
	count()
	if total == 0 {
		return p, errors.New("profile: no samples in it")
	}
	for k := range p.Share {
		p.Share[k] /= total
	}
	return p, lines.Err()
}

func byPprof(ctx context.Context, cfg Config, took time.Duration, n int) (p Profile, err error) {
	dir, err := os.MkdirTemp("", "mixdown-bench-")
	if err != nil {
		return p, err
	}
	defer os.RemoveAll(dir)
	port, err := freePort()
	if err != nil {
		return p, err
	}
	file := filepath.Join(dir, "cpu")
	_, err = serveBots(ctx, cfg, crowdSize{Rooms: 1, Bots: n}, []string{"--pprof-addr", "127.0.0.1:" + port}, func(ctx context.Context, _ *server) error {
		url := fmt.Sprintf("http://127.0.0.1:%s/debug/pprof/profile?seconds=%d", port, max(1, int(took.Seconds())))
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		began := time.Now()
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s after %v: %s %.200s, %w", url, time.Since(began), resp.Status, body, err)
		}
		return os.WriteFile(file, body, 0o600)
	})
	if err != nil {
		return p, err
	}
	out, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-traces", "-symbolize=none", "-nodecount=0", "-nodefraction=0", "-edgefraction=0", file).Output()
	if err != nil {
		return p, fmt.Errorf("go tool pprof: %w", err)
	}
	return parseTraces(bytes.NewReader(out))
}

// parseTraces reads what `go tool pprof -traces` prints: stacks between lines,
// each begun with its time.
func parseTraces(r io.Reader) (Profile, error) {
	p := Profile{Share: map[string]float64{}}
	var total, took time.Duration
	var stack []string
	count := func() {
		if len(stack) > 0 {
			p.Share[stageOf(stack)] += took.Seconds()
			total += took
		}
		stack, took = nil, 0
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	inside := false
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "-----------+") {
			count()
			inside = true
			continue
		}
		fields := strings.Fields(line)
		if !inside || len(fields) == 0 {
			continue
		}
		if len(stack) == 0 {
			d, err := time.ParseDuration(fields[0])
			if err != nil || len(fields) < 2 {
				continue // a label
			}
			took, fields = d, fields[1:]
		}
		stack = append(stack, fields[0])
	}
	count()
	if total == 0 {
		return p, fmt.Errorf("profile: no samples in it")
	}
	for k := range p.Share {
		p.Share[k] /= total.Seconds()
	}
	return p, lines.Err()
}
