package main

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mixdown/cmd/mixdown/load"
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
	r := &Report{
		Machine: Machine{CPU: "Test", Cores: 2, Mixdown: "mixdown 1"},
		Config:  Config{Runs: 3, Window: 20 * time.Second, Settle: time.Second},
		Stages:  []Stage{{"mixer", "Step/9", map[string]float64{"ns/op": 1500, "allocs/op": 0}}},
		Servers: []Sample{{Rooms: 1, Bots: 4, Cores: 0.2, Kbps: 900}, {Rooms: 1, Bots: 25, Cores: 0.9, Kbps: 950}},
		Large:   []Sample{{Rooms: 10, Bots: 3, Cores: 0.5, LeastFPS: 24.9, VideoGap: 71, Before: 120, RSS: 121}},
		Turns: []Turn{
			{Who: nameServer, N: 4, Cores: 0.2, FPS: 25}, {Who: nameServer, N: 25, Cores: 0.9, FPS: 25}, {Who: nameServer, N: 25, Cores: 1.2, FPS: 25},
			{Who: nameFloor, N: 25, Cores: 0.6}, {Who: nameFloor, N: 25, Cores: 0.6}, {Who: nameWire, N: 25, Cores: 0.15}, {Who: nameWire, N: 25, Cores: 0.2},
			{Who: nameFFmpeg, N: 25, Cores: 1.05, FPS: 12.5}, // half of the job
		},
		Profiles: []Profile{{N: 25, Share: map[string]float64{"SRTP": 0.1}}},
	}
	text := r.Markdown()
	for _, want := range []string{
		"Test", "| 25 | 0.90 |", "| mixer | Step/9 | 1.50 µs |", "(bench-cpu.svg)", "| 10 | 3 |", "| SRTP | 10.0 % | 0.105 |",
		// 1.5 and 2 times the floor; 1.2 and 1.5 times floor and wire
		"| 25 | 0.600 | 0.175 | 1.050 | 2.100 |  | 1.75 | 1.35 | 2.33 |", "| 4 |  |  | 0.200 |  |  |  |  |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
	dir := t.TempDir()
	if err := drawPlots(dir, r); err != nil {
		t.Fatal(err)
	}
	for _, c := range charts {
		if info, err := os.Stat(filepath.Join(dir, c.file)); err != nil || info.Size() < 1000 {
			t.Errorf("%s: %v, %v", c.file, info, err)
		}
	}
	kept := filepath.Join(dir, "kept")
	if err := r.keep(kept); err != nil {
		t.Fatal(err)
	}
	if again, err := openReport(kept); err != nil || again.Markdown() != text {
		t.Errorf("kept and opened again: %v", err)
	}
}

// A rate is full again when it stays so: a good second among bad ones is none.
func TestRecovered(t *testing.T) {
	began := time.Unix(1_000_000, 0)
	at := func(second int) time.Time { return began.Add(time.Duration(second) * time.Second) }
	var rates []load.Rate
	for i, fps := range []float64{25, 25, 24, 12, 6, 6, 12, 25, 12, 24, 25, 23} {
		rates = append(rates, load.Rate{At: at(i), Least: fps})
	}
	if got := recovered(rates, at(3), at(5)); !got.Equal(at(8)) {
		t.Errorf("recovered after %v", got.Sub(began))
	}
	if got := recovered(rates[:10], at(3), at(9)); !got.Equal(at(9)) {
		t.Errorf("at once, got %v", got.Sub(began))
	}
}

func TestParseTraces(t *testing.T) {
	p, err := parseTraces(strings.NewReader(`File: mixdown
Type: cpu
-----------+-------------------------------------------------------
      30ms   runtime.cgocall
             mixdown/codec/vpx._Cfunc_vpxenc_encode
             mixdown/codec/vpx.(*Encoder).Encode
             mixdown/mixer.(*Tier).step
-----------+-------------------------------------------------------
      bytes:  4kB
      10ms   runtime.memmove
             github.com/pion/srtp/v2.(*Context).EncryptRTP (inline)
-----------+-------------------------------------------------------
      60ms   internal/runtime/syscall/linux.Syscall6
             syscall.Sendto
             github.com/pion/srtp/v2.(*SessionSRTP).write
-----------+-------------------------------------------------------
`))
	share := func(stage string) int { return int(math.Round(100 * p.Share[stage])) }
	if err != nil || share("encode pictures") != 30 || share("SRTP") != 10 || share("system calls: send") != 60 {
		t.Errorf("got %v, %v", p.Share, err)
	}
	p, err = parsePerf(strings.NewReader(`
	    7fd2bb42d612 [unknown] (/usr/lib/x86_64-linux-gnu/libavcodec.so.59.37.100)
	    7fd2bb42d000 [unknown] ([unknown])

	ffffffff81000000 udp_sendmsg ([kernel.kallsyms])
	          4f2e31 syscall.sendto (/usr/bin/mixdown)
	          7f2e31 github.com/pion/srtp/v2.(*SessionSRTP).write (/usr/bin/mixdown)

`))
	if err != nil || share("decode pictures") != 50 || share("system calls: send") != 50 {
		t.Errorf("got %v, %v", p.Share, err)
	}
	if _, err := parseTraces(strings.NewReader("nothing")); err == nil {
		t.Error("no samples are taken for a profile")
	}
}

// TestFloor does the job for a second on two people's clips: every picture and
// every tick, one sound for all and one more for each of the two, who both speak.
func TestFloor(t *testing.T) {
	if _, err := exec.LookPath("espeak-ng"); err != nil {
		t.Skip("no espeak-ng, with which clips are made")
	}
	j, err := newJob(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	f, err := newFloor(j)
	if err != nil {
		t.Fatal(err)
	}
	at := j.schedule.Packet(0, time.Now())
	for n := range int64(jobFPS) {
		for i := range f.n {
			f.frame[i] = n + int64(j.schedule.KeyOffset(i))
			if err := f.decode(i); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.encode(time.Duration(n) * time.Second / jobFPS); err != nil {
			t.Fatal(err)
		}
		for k := range int64(2) {
			if err := f.tick(at + 2*n + k); err != nil {
				t.Fatal(err)
			}
		}
	}
	if d := f.done; d.Pictures != jobFPS || d.Ticks != 2*jobFPS || d.Encodes != 3*2*jobFPS || d.Decoded != 2*jobFPS || d.Bytes < 10_000 {
		t.Errorf("%+v", d)
	}
	for i := range f.newest {
		f.newest[i].Frame.Release()
	}
	path := filepath.Join(t.TempDir(), "person.webm")
	if err := j.record(path, 1, 2); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ffprobe", "-v", "error", "-count_packets", "-show_entries", "stream=codec_name,nb_read_packets", "-of", "csv=p=0", path).CombinedOutput()
	if got := strings.Fields(string(out)); err != nil || !slices.Equal(got, []string{"vp8,50", "opus,100"}) {
		t.Errorf("what was recorded reads as %q, %v", got, err)
	}
}
