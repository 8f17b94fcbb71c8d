package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseStages(t *testing.T) {
	stages, err := parseStages(strings.NewReader(`goos: linux
pkg: mixdown/codec/vpx
BenchmarkEncode/1280x720-2   	     300	   3400000 ns/op	      12 B/op	       0 allocs/op
BenchmarkEncode/1280x720-2   	     300	   3600000 ns/op	      14 B/op	       0 allocs/op
BenchmarkEncode/1280x720-2   	     300	   9900000 ns/op	      12 B/op	       0 allocs/op
PASS
ok  	mixdown/codec/vpx	3.1s
pkg: mixdown/mixer
BenchmarkFanOut/50-2 	    1000	   52000 ns/op	  1.04 µs/packet
`))
	if err != nil {
		t.Fatal(err)
	}
	if len(stages) != 2 {
		t.Fatalf("%d stages, want 2: %+v", len(stages), stages)
	}
	if s := stages[0]; s.Package != "codec/vpx" || s.Name != "Encode/1280x720" || s.Values["ns/op"] != 3.6e6 || s.Values["B/op"] != 12 {
		t.Errorf("got %+v", s)
	}
	if s := stages[1]; s.Package != "mixer" || s.Name != "FanOut/50" || s.others() != "1.04 µs/packet" {
		t.Errorf("got %+v, others %q", s, s.others())
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 9}, 3}} {
		if got := median(c.values); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.values, got, c.want)
		}
	}
}

func TestParseUsage(t *testing.T) {
	stat := "42 (a (b) c) S 1 1 1 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 100 1000 10"
	u, err := parseUsage(stat, "Name:\tx\nVmRSS:\t  2048 kB\n")
	if err != nil || u.cpu != 3*time.Second || u.rss != 2 {
		t.Errorf("got %+v, %v, want 3s and 2 MB", u, err)
	}
	for _, bad := range []string{"", "42 x", "42 (x) S 1", strings.Replace(stat, " 250 ", " y ", 1)} {
		if _, err := parseUsage(bad, ""); err == nil {
			t.Errorf("stat %q was taken", bad)
		}
	}
}

// TestOwnUsage reads this process as the kernel tells it.
func TestOwnUsage(t *testing.T) {
	u, err := readUsage(os.Getpid())
	if err != nil || u.rss <= 0 || math.IsNaN(u.rss) {
		t.Errorf("got %+v, %v", u, err)
	}
}

func TestReportAndPlots(t *testing.T) {
	servers := []Sample{{Bots: 4, Cores: 0.2, Kbps: 900}, {Bots: 25, Cores: 0.9, Kbps: 950}}
	r := Report{
		Machine: Machine{CPU: "Test", Cores: 2, Mixdown: "mixdown 1"},
		Config:  Config{Runs: 3, Window: 20 * time.Second, Settle: time.Second},
		Stages:  []Stage{{"mixer", "Step/9", map[string]float64{"ns/op": 1500, "allocs/op": 0}}},
		Servers: servers,
	}
	text := r.Markdown()
	for _, want := range []string{"Test", "| 25 | 0.90 |", "| mixer | Step/9 | 1.50 µs |", "(bench-cpu.svg)"} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
	dir := t.TempDir()
	if err := drawPlots(dir, servers); err != nil {
		t.Fatal(err)
	}
	for _, c := range charts {
		if info, err := os.Stat(filepath.Join(dir, c.file)); err != nil || info.Size() < 1000 {
			t.Errorf("%s: %v, %v", c.file, info, err)
		}
	}
}
