package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mixdown/cmd/mixdown/load"
)

const (
	hostileKey    = "hostile"
	hostileSecret = "hostile-hostile-hostile-hostile-hostile"
)

// readReport reads what `mixdown load --json` wrote.
func readReport(path string) (r load.Report, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(b, &r)
}

// figures are a server's metrics by name and labels, as /metrics writes them.
type figures map[string]float64

var metricLine = regexp.MustCompile(`^([a-zA-Z_:]+(?:\{.*\})?) (\S+)$`)

func scrape(base string) (figures, error) {
	res, err := http.Get(base + "/metrics")
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	f := figures{}
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if m := metricLine.FindStringSubmatch(lines.Text()); m != nil {
			if v, err := strconv.ParseFloat(m[2], 64); err == nil {
				f[m[1]] = v
			}
		}
	}
	if len(f) == 0 {
		return nil, fmt.Errorf("%s/metrics: %s, and no metric", base, res.Status)
	}
	return f, nil
}

// sum adds up all metrics whose name and labels hold each of parts.
func (f figures) sum(parts ...string) (v float64) {
	for name, x := range f {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(name, p) }) {
			v += x
		}
	}
	return v
}

func limited(limit string) []string {
	return []string{`mixdown_webrtc_limited_total{limit="` + limit + `"}`}
}

func bad(reason string) []string {
	return []string{`mixdown_webrtc_bad_packets_total{reason="` + reason + `"}`}
}

// TestHostile: what a hostile sender does is counted, and beside it three bots
// get and send what they would without. Longer, and all kinds: make hostile.
func TestHostile(t *testing.T) {
	r := start(t, map[string]any{
		"data_dir": t.TempDir(), "api.key": hostileKey, "api.secret": hostileSecret, "rooms.open": true,
		"ladder": []map[string]any{{"name": "180p", "width": 320, "height": 180, "fps": 10, "bitrate": 200_000, "mtu": 1160}},
	})
	base := regexp.MustCompile(`http://[^/\s]+`).FindString(r.out)
	base = strings.Replace(base, "localhost", "127.0.0.1", 1)
	cache := t.TempDir()
	for _, c := range []struct {
		kind    string
		packets int64      // that it sends at least
		counted [][]string // metrics that have to move
	}{
		{"bomb", 20, nil},
		{"keyframes", 100, [][]string{{"mixdown_units_limited_total"}}},
		{"contradictory", 50, [][]string{bad("srtp")}},
		{"resize", 50, nil},
		{"ssrcs", 500, [][]string{limited("streams")}},
		{"garbage", 2000, [][]string{limited("packets"), bad("payload_type")}},
		{"feedback", 500, [][]string{limited("feedback")}},
		{"stun", 1000, [][]string{limited("checks"), limited("addresses")}},
	} {
		before, err := scrape(base)
		if err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(t.TempDir(), "load.json")
		if err := run(t.Context(), []string{
			"load", "--url", base, "--room", c.kind, "--api-key", hostileKey, "--api-secret", hostileSecret, "--hostile", c.kind,
			"--bots", "3", "--size", "320x180", "--fps", "10", "--sound", "tones", "--duration", "2500ms", "--cache", cache, "--json", out,
		}, io.Discard); err != nil {
			t.Fatalf("%s: %v", c.kind, err)
		}
		report, err := readReport(out)
		if err != nil {
			t.Fatal(err)
		}
		after, err := scrape(base)
		if err != nil {
			t.Fatal(err)
		}
		s := report.Summary
		if s.Joined != 3 || s.Rejoins != 0 || s.VideoLost != 0 || s.AudioLost != 0 {
			t.Errorf("%s: of 3 bots %d joined, %d came again; %d packets of pictures and %d of sound are missing",
				c.kind, s.Joined, s.Rejoins, s.VideoLost, s.AudioLost)
		}
		if s.TilesSeen != s.Tiles || s.Tiles != 3 {
			t.Errorf("%s: %d of %d tiles seen", c.kind, s.TilesSeen, s.Tiles)
		}
		if h := report.Hostile[0]; h.Sessions == 0 || h.Packets < c.packets {
			t.Errorf("%s: sent %+v", c.kind, h)
		}
		for _, m := range c.counted {
			if after.sum(m...) <= before.sum(m...) {
				t.Errorf("%s: %q is not counted", c.kind, m)
			}
		}
	}
	r.client.CloseIdleConnections()
	http.DefaultClient.CloseIdleConnections()
	r.stop()
	if err := <-r.done; err != nil {
		t.Errorf("stop: %v", err)
	}
}

// TestHostileSenders is `make hostile`: each kind for MIXDOWN_HOSTILE beside
// three good senders and a viewer, on a server of its own (MIXDOWN_BIN).
func TestHostileSenders(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("MIXDOWN_HOSTILE"))
	if err != nil {
		t.Skip("set MIXDOWN_HOSTILE to how long each hostile sender is to stay, or run make hostile")
	}
	kinds := append([]string{"none"}, load.HostileKinds()...)
	if only := os.Getenv("MIXDOWN_HOSTILE_KINDS"); only != "" {
		kinds = strings.Split(only, ",")
	}
	var calm hostileRun // without anybody hostile
	fmt.Printf("%-14s %8s %8s %9s %8s %8s %9s %6s %6s  %s\n",
		"kind", "sent", "fps min", "conceal %", "late snd", "gap ms", "age95 ms", "cores", "MB", "counted")
	for _, kind := range kinds {
		h, err := hostileBeside(t, kind, length)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		fmt.Println(h)
		if kind == "none" {
			calm = h
		}
		if h.fps < 0.95*25 {
			t.Errorf("%s: %.1f frames a second, at least 95 %% of 25 are wanted", kind, h.fps)
		}
		if h.concealed > calm.concealed+0.1 {
			t.Errorf("%s: %.2f %% of sound concealed, %.2f %% undisturbed", kind, h.concealed, calm.concealed)
		}
	}
}

// hostileRun is the outcome of one kind.
type hostileRun struct {
	kind               string
	sent               int64
	fps, concealed     float64 // of the good; percent
	late               uint64
	gap                int64
	age                float64
	cores, before, max float64 // of the server; MB
	counted            []string
}

func (h hostileRun) String() string {
	return fmt.Sprintf("%-14s %8d %8.1f %9.3f %8d %8d %9.0f %6.2f %3.0f-%-3.0f  %s",
		h.kind, h.sent, h.fps, h.concealed, h.late, h.gap, h.age, h.cores, h.before, h.max, strings.Join(h.counted, " "))
}

// hostileBeside starts a server and runs one kind in it.
func hostileBeside(t *testing.T, kind string, length time.Duration) (h hostileRun, err error) {
	h.kind = kind
	bin := os.Getenv("MIXDOWN_BIN")
	if bin == "" {
		return h, fmt.Errorf("set MIXDOWN_BIN to the program, or run make hostile")
	}
	var ports []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return h, err
		}
		defer l.Close()
		ports = append(ports, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
		l.Close()
	}
	dir, base := t.TempDir(), "http://127.0.0.1:"+ports[0]
	env := append(os.Environ(), "MIXDOWN_API_KEY="+hostileKey, "MIXDOWN_API_SECRET="+hostileSecret)
	server := exec.Command(bin, "serve", "--http-addr", "127.0.0.1:"+ports[0], "--rtc-port", ports[1], "--rooms-open", "--data-dir", dir)
	server.Env = env
	log, err := os.Create(filepath.Join(dir, "server.log"))
	if err != nil {
		return h, err
	}
	defer log.Close()
	server.Stderr = log
	if err := server.Start(); err != nil {
		return h, err
	}
	defer func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		if e := server.Wait(); e != nil && err == nil {
			text, _ := os.ReadFile(log.Name())
			err = fmt.Errorf("the server ended with %w\n%s", e, text[max(0, len(text)-4000):])
		}
	}()
	for range 100 {
		if _, err = scrape(base); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		return h, err
	}

	settle := min(length/5, 3*time.Second)
	out := filepath.Join(dir, "load.json")
	args := []string{"load", "--url", base, "--room", "r", "--bots", "3", "--viewers", "1", "--listen", "4", "--prefix", "good",
		"--duration", length.String(), "--settle", settle.String(), "--json", out}
	if kind != "none" {
		args = append(args, "--hostile", kind)
	}
	ctx, cancel := context.WithTimeout(t.Context(), length+time.Minute)
	defer cancel()
	bots := exec.CommandContext(ctx, bin, args...)
	bots.Env = env
	done := make(chan error, 1)
	go func() {
		text, err := bots.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("load: %w\n%s", err, text)
		}
		done <- err
	}()

	// Concealment and CPU are those of the time that all good ones are there: a
	// sender's figures go with it.
	var first, last figures
	var began, ended time.Time
	for running := true; running; {
		select {
		case err = <-done:
			running = false
		case <-time.After(500 * time.Millisecond):
			f, err := scrape(base)
			if err != nil {
				continue // counts as a failure only if the server is gone
			}
			if good(f) < 3 {
				continue
			}
			if first == nil {
				time.Sleep(settle)
				if f, err = scrape(base); err != nil {
					continue
				}
				first, began = f, time.Now()
				h.before = f["process_resident_memory_bytes"] / 1e6
			}
			last, ended = f, time.Now()
			h.max = max(h.max, f["process_resident_memory_bytes"]/1e6)
		}
	}
	if err != nil {
		return h, err
	}
	report, err := readReport(out)
	if err != nil {
		return h, err
	}
	if first == nil || ended.Sub(began) < length/3 {
		return h, fmt.Errorf("the server did not say how it is doing")
	}
	over := ended.Sub(began).Seconds()
	h.cores = (last["process_cpu_seconds_total"] - first["process_cpu_seconds_total"]) / over
	concealed := func(f figures) float64 {
		return f.sum("mixdown_participant_concealed_seconds_total", `participant="good`)
	}
	h.concealed = 100 * (concealed(last) - concealed(first)) / over / 3
	s := report.Summary
	h.fps, h.late, h.gap, h.age = s.FPS.Min, s.AudioLate, max(s.VideoGap, s.AudioGap), s.AgeP95
	if s.Rejoins > 0 || s.VideoLost+s.AudioLost > 0 || s.TilesSeen < s.Tiles {
		h.counted = append(h.counted, fmt.Sprintf("(good ones: %d came again, %d packets lost, %d of %d tiles)", s.Rejoins, s.VideoLost+s.AudioLost, s.TilesSeen, s.Tiles))
	}
	for _, r := range report.Hostile {
		h.sent += r.Packets
		if r.Sessions != 1 {
			h.counted = append(h.counted, fmt.Sprintf("sessions=%d", r.Sessions))
		}
		if r.Sessions == 0 {
			return h, fmt.Errorf("the hostile sender never got in: %s", r.Error)
		}
	}
	type moved struct {
		name string
		by   float64
	}
	var counts []moved
	for name, v := range last {
		if by := v - first[name]; by > 0 && regexp.MustCompile(`limited_total|bad_packets_total|drops_total|units_(bad|dropped|lost|limited)|errors_total`).MatchString(name) {
			name = strings.NewReplacer("mixdown_", "", "webrtc_", "", "_total", "", `"`, "", "{reason=", ".", "{limit=", ".", "}", "").Replace(name)
			counts = append(counts, moved{name, by})
		}
	}
	slices.SortFunc(counts, func(a, b moved) int { return cmp.Compare(b.by, a.by) })
	for _, c := range counts {
		h.counted = append(h.counted, fmt.Sprintf("%s=%.0f", c.name, c.by))
	}
	return h, nil
}

// good counts the good senders whose sound the server knows.
func good(f figures) (n int) {
	for name := range f {
		if strings.HasPrefix(name, "mixdown_participant_concealed_seconds_total{") && strings.Contains(name, `participant="good`) {
			n++
		}
	}
	return n
}
