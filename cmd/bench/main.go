// Bench measures mixdown on this machine and writes down what it found, into
// docs/bench.md and plots beside it: each stage by its Go benchmarks; a whole
// server with more and more bots in one room, beside the least that the same
// job can take, and beside FFmpeg and GStreamer at it; where the server's time
// goes; large rooms and many rooms. By themselves, printed and not written down:
// plain RTP legs, and a server that has more people than it carries.
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

	Contestants []string      // who does the job of the bots' rooms
	Profiles    []int         // numbers of bots to take a CPU profile with
	Rooms       []crowdSize   // further measurements of the whole server
	Long        time.Duration // window of these
	Keep        string        // file that results are kept in, and added to; empty: none
}

// crowdSize is so many rooms with so many bots in each.
type crowdSize struct {
	Rooms, Bots int
	Tier        string // that the bots ask for; empty is the default
}

func main() {
	cfg := Config{}
	var bots string
	flag.StringVar(&cfg.Binary, "binary", "bin/mixdown", "server to measure")
	flag.StringVar(&cfg.Docs, "docs", "docs", "folder to write bench.md and the plots to")
	flag.StringVar(&cfg.Packages, "packages", "./...", "packages whose benchmarks are the stages; empty for none")
	flag.StringVar(&cfg.BenchTime, "benchtime", "1s", "length of one benchmark")
	flag.StringVar(&bots, "bots", "4,9,16,25,49", "people in the room, each contestant measured with each number; empty for none")
	flag.IntVar(&cfg.Runs, "runs", 3, "runs of each stage and each contest")
	flag.DurationVar(&cfg.Settle, "settle", 5*time.Second, "time between the last bot's arrival and the window")
	flag.DurationVar(&cfg.Window, "window", 10*time.Second, "time that CPU is measured over")
	viewers := flag.String("viewers", "50,200,500", "viewers of one sender, one fan-out measurement each; empty for none")
	contestants := flag.String("contestants", "server,floor,ffmpeg,ffmpeg-all,gstreamer", "who is measured with each number of -bots")
	profiles := flag.String("profiles", "25,49", "bots in the room, one CPU profile of the server each; empty for none")
	rooms := flag.String("rooms", "1x50,10x3,10x3@360p", "rooms and bots in each, and the tier these ask for, one measurement of the server over -long each; empty for none")
	flag.DurationVar(&cfg.Long, "long", 30*time.Second, "time that CPU, gaps and memory of -rooms are measured over")
	flag.StringVar(&cfg.Keep, "keep", "", "file to add results to and make the report from, so that a long measurement can be made in pieces")
	legs := flag.String("legs", "", "numbers of plain RTP legs in a room; these alone are measured then, and a table is printed for docs/legs.md")
	overload := flag.Int("overload", 0, "rooms that come at a time on top of one, until newcomers are refused, and leave all at once; this alone is measured then, and printed for docs/bench.md")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	flagged := func(name string, e error) {
		if e != nil {
			err = errors.Join(err, fmt.Errorf("-%s: %w", name, e))
		}
	}
	var e error
	cfg.Bots, e = numbers(bots)
	flagged("bots", e)
	cfg.Profiles, e = numbers(*profiles)
	flagged("profiles", e)
	cfg.Rooms, e = sizes(*rooms)
	flagged("rooms", e)
	cfg.Contestants, e = names(*contestants)
	flagged("contestants", e)
	legSizes, e := numbers(*legs)
	flagged("legs", e)
	if err == nil {
		if n, bad := strconv.Atoi(flag.Arg(1)); flag.NArg() == 2 && bad == nil && n > 0 { // a child of contest
			err = part(ctx, flag.Arg(0), n)
		} else if len(legSizes) > 0 {
			err = measureLegs(ctx, cfg, legSizes, os.Stdout)
		} else if *overload > 0 {
			err = measureOverload(ctx, cfg, *overload, os.Stdout)
		} else {
			err = run(ctx, cfg, *viewers)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// part does one contestant's work until it is stopped.
func part(ctx context.Context, who string, n int) error {
	switch who {
	case nameFloor:
		return floorCommand(ctx, n, os.Stdout)
	case nameWire:
		return wireCommand(ctx, n, os.Stdout)
	}
	return fmt.Errorf("no part %q: want floor or wire", who)
}

func sizes(list string) (out []crowdSize, err error) {
	for field := range strings.SplitSeq(list, ",") {
		if field == "" {
			continue
		}
		var c crowdSize
		field, c.Tier, _ = strings.Cut(field, "@")
		if n, err := fmt.Sscanf(field, "%dx%d", &c.Rooms, &c.Bots); n != 2 || err != nil || c.Rooms < 1 || c.Bots < 1 {
			return nil, fmt.Errorf("%q: want ROOMSxBOTS or ROOMSxBOTS@TIER, with commas between", list)
		}
		out = append(out, c)
	}
	return out, nil
}

func names(list string) (out []string, err error) {
	for field := range strings.SplitSeq(list, ",") {
		switch field {
		case "":
		case nameServer, nameFloor, nameFFmpeg, nameAll, nameGst:
			out = append(out, field)
		default:
			return nil, fmt.Errorf("no %q: want %s, %s, %s, %s, %s", field, nameServer, nameFloor, nameFFmpeg, nameAll, nameGst)
		}
	}
	return out, nil
}

func numbers(list string) (out []int, err error) {
	for field := range strings.SplitSeq(list, ",") {
		if field == "" {
			continue
		}
		n, err := strconv.Atoi(field)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q: want numbers with commas between", list)
		}
		out = append(out, n)
	}
	return out, nil
}

func run(ctx context.Context, cfg Config, viewers string) error {
	if cfg.Runs < 1 {
		return errors.New("-runs: must be at least 1")
	}
	report, err := openReport(cfg.Keep)
	if err != nil {
		return err
	}
	report.Machine, report.Config = thisMachine(ctx, cfg.Binary), cfg
	if cfg.Packages != "" {
		if report.Stages, err = runStages(ctx, cfg); err != nil {
			return err
		}
	}
	if err := contest(ctx, cfg, report); err != nil {
		return err
	}
	for _, n := range cfg.Profiles {
		p, err := profile(ctx, cfg, n)
		if err != nil {
			return fmt.Errorf("profile with %d bots: %w", n, err)
		}
		report.Profiles = append(report.Profiles, p)
	}
	for _, c := range cfg.Rooms {
		long := cfg
		long.Window = cfg.Long
		s, err := measure(ctx, long, c)
		if err != nil {
			return fmt.Errorf("%d rooms of %d bots: %w", c.Rooms, c.Bots, err)
		}
		fmt.Fprintf(os.Stderr, "bench: %d rooms of %d %s, %v: %.2f cores, %.0f to %.0f MB, %.1f fps, longest gaps %.0f and %.0f ms\n",
			c.Rooms, c.Bots, c.Tier, s.Window, s.Cores, s.Before, s.RSS, s.LeastFPS, s.VideoGap, s.AudioGap)
		report.Large = append(report.Large, s)
	}
	if viewers != "" {
		rows, err := fanOut(ctx, cfg, viewers)
		if err != nil {
			return err
		}
		report.FanOut = rows
	}
	if err := report.keep(cfg.Keep); err != nil {
		return err
	}
	if err := drawPlots(cfg.Docs, report); err != nil {
		return err
	}
	path := filepath.Join(cfg.Docs, "bench.md")
	if err := os.WriteFile(path, []byte(report.Markdown()), 0o644); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "bench: wrote", path)
	return nil
}
