package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Profile is where a server's CPU time went, by stage.
type Profile struct {
	N     int
	Share map[string]float64 // of all samples
}

// stages say to which part of the server a sample belongs: the first row one of
// whose words is in the name of any function on its stack.
var stages = []struct {
	name  string
	words []string
}{
	{"garbage collection", []string{"runtime.gcBgMarkWorker", "runtime.gcAssist", "runtime.bgsweep", "runtime.bgscavenge", "runtime.gcStart", "runtime.gcMarkTermination"}},
	{"decode pictures", []string{"mixdown/codec/ffmpeg."}},
	{"encode pictures", []string{"mixdown/codec/vpx.(*Encoder)"}},
	{"packetize", []string{"mixdown/mixer.(*Tier).packetize"}},
	{"scale and compose", []string{"mixdown/mixer.(*Tier).compose", "mixdown/compositor."}},
	{"Opus decode", []string{"mixdown/codec/opus.(*Decoder)"}},
	{"Opus encode", []string{"mixdown/codec/opus.(*Encoder)"}},
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

// profile runs a server with n bots and asks it where its time goes.
func profile(ctx context.Context, cfg Config, n int) (p Profile, err error) {
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
	_, err = serveBots(ctx, cfg, 1, n, []string{"--pprof-addr", "127.0.0.1:" + port}, func(ctx context.Context, _ *server) error {
		url := fmt.Sprintf("http://127.0.0.1:%s/debug/pprof/profile?seconds=%d", port, max(1, int(cfg.Window.Seconds())))
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
	p, err = parseTraces(strings.NewReader(string(out)))
	p.N = n
	return p, err
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
