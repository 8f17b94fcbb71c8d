// Bench measures mixdown on this machine and writes down what it found: each
// stage by its Go benchmarks, then a whole server with more and more bots in
// one room, into docs/bench.md and plots beside it.
//
//	go run ./cmd/bench -binary bin/mixdown -docs docs
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Config is what to measure, and how long.
type Config struct {
	Binary    string
	Docs      string // folder of the report
	Packages  string // pattern of the packages whose benchmarks are the stages
	BenchTime string // of one benchmark, as go test takes it
	Bots      []int
	Runs      int           // per stage and per number of bots; medians are told
	Settle    time.Duration // between the last bot's arrival and the window
	Window    time.Duration // that CPU time is taken over
}

func main() {
	cfg := Config{}
	var bots string
	flag.StringVar(&cfg.Binary, "binary", "bin/mixdown", "server to measure")
	flag.StringVar(&cfg.Docs, "docs", "docs", "folder to write bench.md and the plots to")
	flag.StringVar(&cfg.Packages, "packages", "./...", "packages whose benchmarks are the stages; empty for none")
	flag.StringVar(&cfg.BenchTime, "benchtime", "1s", "length of one benchmark")
	flag.StringVar(&bots, "bots", "4,9,16,25", "bots in the room, one whole-server measurement each; empty for none")
	flag.IntVar(&cfg.Runs, "runs", 3, "runs of each measurement")
	flag.DurationVar(&cfg.Settle, "settle", 5*time.Second, "time between the last bot's arrival and the window")
	flag.DurationVar(&cfg.Window, "window", 20*time.Second, "time that CPU is measured over")
	viewers := flag.String("viewers", "50,200,500", "viewers of one sender, one fan-out measurement each; empty for none")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if cfg.Bots, err = numbers(bots); err == nil {
		err = run(ctx, cfg, *viewers)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func numbers(list string) (out []int, err error) {
	for field := range strings.SplitSeq(list, ",") {
		if field == "" {
			continue
		}
		n, err := strconv.Atoi(field)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("-bots %q: want numbers of bots with commas between", list)
		}
		out = append(out, n)
	}
	return out, nil
}

func run(ctx context.Context, cfg Config, viewers string) error {
	if cfg.Runs < 1 {
		return errors.New("-runs: must be at least 1")
	}
	report := Report{Machine: thisMachine(ctx, cfg.Binary), Config: cfg}
	if cfg.Packages != "" {
		stages, err := runStages(ctx, cfg)
		if err != nil {
			return err
		}
		report.Stages = stages
	}
	for _, n := range cfg.Bots {
		var samples []Sample
		for i := range cfg.Runs {
			s, err := measure(ctx, cfg, n)
			if err != nil {
				return fmt.Errorf("%d bots, run %d: %w", n, i+1, err)
			}
			fmt.Fprintf(os.Stderr, "bench: %2d bots, run %d of %d: %.2f cores, %.0f MB, %.1f fps, %.0f kb/s\n",
				n, i+1, cfg.Runs, s.Cores, s.RSS, s.FPS, s.Kbps)
			samples = append(samples, s)
		}
		report.Servers = append(report.Servers, medianSample(samples))
	}
	rows, err := fanOut(ctx, cfg, viewers)
	if err != nil {
		return err
	}
	report.FanOut = rows
	if len(report.Servers) > 1 {
		if err := drawPlots(cfg.Docs, report.Servers); err != nil {
			return err
		}
	}
	path := filepath.Join(cfg.Docs, "bench.md")
	if err := os.WriteFile(path, []byte(report.Markdown()), 0o644); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "bench: wrote", path)
	return nil
}
