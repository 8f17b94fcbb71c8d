package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"mixdown/api"
	"mixdown/cmd/internal/child"
	"mixdown/cmd/mixdown/load"
	"mixdown/codec/catalog"
)

// FanOut is a server with one sender and many viewers of one tier.
type FanOut struct {
	Viewers    int
	Cores      float64 // CPU time of the server over wall time
	Micros     float64 // of it per packet sent, without what the server takes for one viewer
	Uncut      float64 // the same, if nothing is cut into datagrams on this machine
	Packets    float64 // per second, all viewers
	Kbps       float64 // kb/s per viewer
	Loss       float64 // share of packets
	RSS        float64 // MB resident per viewer, above that of one
	Heap       float64 // MB of live Go heap per viewer, above that of one
	Goroutines float64 // per viewer
	Joins      float64 // per second, from the first offer to the last viewer's first packet
}

// fanOut measures one number of viewers after the other, and one viewer alone,
// each with a server of its own.
func fanOut(ctx context.Context, cfg Config, list string) ([]FanOut, error) {
	counts, err := numbers(list)
	if err != nil {
		return nil, fmt.Errorf("-viewers: %w", err)
	}
	var out []FanOut
	for _, n := range counts {
		var runs []FanOut
		for range cfg.Runs {
			alone, err := watchViewers(ctx, cfg, 1, false)
			if err != nil {
				return nil, fmt.Errorf("one viewer: %w", err)
			}
			all, err := watchViewers(ctx, cfg, n, false)
			if err != nil {
				return nil, fmt.Errorf("%d viewers: %w", n, err)
			}
			f := all.above(alone, n)
			if all, err = watchViewers(ctx, cfg, n, true); err != nil {
				return nil, fmt.Errorf("%d viewers: %w", n, err)
			}
			f.Uncut = all.above(alone, n).Micros
			fmt.Fprintf(os.Stderr, "bench: %d viewers: %.2f cores, %.0f packets/s, %.2f µs a packet (uncut %.2f), %.2f MB and %.1f goroutines each, %.4f %% lost, %.0f joins/s\n",
				n, f.Cores, f.Packets, f.Micros, f.Uncut, f.RSS, f.Goroutines, 100*f.Loss, f.Joins)
			runs = append(runs, f)
		}
		out = append(out, medianFanOut(runs))
	}
	return out, nil
}

// viewing is what a server and its viewers did in one window.
type viewing struct {
	cpu, took  time.Duration
	heard      load.Heard // in the window; viewers: at its end
	rss, heap  float64    // MB, at its end
	goroutines float64
	joins      float64
}

// above tells what n viewers cost more than one.
func (v viewing) above(one viewing, n int) FanOut {
	rate := func(v viewing) float64 { return float64(v.heard.Packets) / v.took.Seconds() }
	cores := func(v viewing) float64 { return v.cpu.Seconds() / v.took.Seconds() }
	more := float64(max(n-1, 1))
	return FanOut{
		Viewers: n, Cores: cores(v), Packets: rate(v),
		Micros:     1e6 * (cores(v) - cores(one)) / (rate(v) - rate(one)),
		Kbps:       8 * float64(v.heard.Bytes) / 1000 / v.took.Seconds() / float64(n),
		Loss:       float64(v.heard.Lost) / float64(v.heard.Lost+v.heard.Packets),
		RSS:        (v.rss - one.rss) / more,
		Heap:       (v.heap - one.heap) / more,
		Goroutines: (v.goroutines - one.goroutines) / more,
		Joins:      v.joins,
	}
}

func medianFanOut(runs []FanOut) FanOut {
	of := func(value func(FanOut) float64) float64 {
		var vs []float64
		for _, r := range runs {
			vs = append(vs, value(r))
		}
		return median(vs)
	}
	return FanOut{
		Viewers:    runs[0].Viewers,
		Cores:      of(func(f FanOut) float64 { return f.Cores }),
		Uncut:      of(func(f FanOut) float64 { return f.Uncut }),
		Micros:     of(func(f FanOut) float64 { return f.Micros }),
		Packets:    of(func(f FanOut) float64 { return f.Packets }),
		Kbps:       of(func(f FanOut) float64 { return f.Kbps }),
		Loss:       of(func(f FanOut) float64 { return f.Loss }),
		RSS:        of(func(f FanOut) float64 { return f.RSS }),
		Heap:       of(func(f FanOut) float64 { return f.Heap }),
		Goroutines: of(func(f FanOut) float64 { return f.Goroutines }),
		Joins:      of(func(f FanOut) float64 { return f.Joins }),
	}
}

// watchViewers starts a server, one bot that sends, and n viewers in this
// process, and watches them over the window.
func watchViewers(ctx context.Context, cfg Config, n int, uncut bool) (v viewing, err error) {
	srv, err := startServer(ctx, cfg.Binary)
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, srv.Close()) }()
	bot := child.Prepare(srv.Env, cfg.Binary, "load", "--url", srv.URL, "--room", room, "--bots", "1", "--listen", "0", "--duration", "0")
	if err := bot.Start(nil); err != nil {
		return v, err
	}
	defer bot.Stop()
	for in := 0; in < 1; { // else the first viewers get a picture of nobody
		time.Sleep(100 * time.Millisecond)
		if in, err = srv.participants(ctx); err != nil {
			return v, err
		}
	}

	codecs := catalog.Default()
	keys := api.Keys{ID: child.Key, Secret: child.Secret}
	audience, err := load.NewAudience(srv.URL, room, keys, codecs.Find("VP8"), codecs.Find("opus"), uncut)
	if err != nil {
		return v, err
	}
	defer audience.Close()
	start := time.Now()
	if err := audience.Join(ctx, n); err != nil {
		return v, err
	}
	v.joins = float64(n) / time.Since(start).Seconds()
	time.Sleep(cfg.Settle)

	before, err := readUsage(srv.Cmd.Process.Pid)
	if err != nil {
		return v, err
	}
	start, heard := time.Now(), audience.Heard()
	time.Sleep(cfg.Window)
	after, err := readUsage(srv.Cmd.Process.Pid)
	if err != nil {
		return v, err
	}
	v.took, v.heard = time.Since(start), audience.Heard()
	v.cpu = after.cpu - before.cpu
	v.rss = after.rss
	v.heard.Packets -= heard.Packets
	v.heard.Bytes -= heard.Bytes
	v.heard.Lost -= heard.Lost
	if v.heard.Viewers != n {
		return v, fmt.Errorf("%d of %d viewers received anything", v.heard.Viewers, n)
	}
	gauges, err := srv.Metrics(ctx)
	v.heap, v.goroutines = gauges["go_memstats_heap_alloc_bytes"]/1e6, gauges["go_goroutines"]
	return v, err
}

// fanOutMarkdown is the report's part about viewers.
func fanOutMarkdown(rows []FanOut) string {
	if len(rows) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(`
## Fan-out

One sender, and viewers of one tier in another process of this machine: real DTLS and SRTP, but the viewers only count what comes in.
The time of a packet is the server's CPU time, the kernel's share of its system calls included, above that with one viewer; on loopback
that share holds the receiver's half of the network stack, too, but for waking anybody: the viewers look into their sockets by the clock.
Uncut: the viewers take what was sent as one message (UDP_SEGMENT) as one, as if a network card cut it. Memory and goroutines likewise. Joining takes both ends' CPU time.

| viewers | server, cores | packets/s | µs a packet | uncut | kb/s each | loss | resident, MB each | heap, MB each | goroutines each | joins/s |
|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
`)
	for _, f := range rows {
		fmt.Fprintf(&b, "| %d | %.2f | %.0f | %.2f | %.2f | %.0f | %.3f %% | %.2f | %.2f | %.1f | %.0f |\n",
			f.Viewers, f.Cores, f.Packets, f.Micros, f.Uncut, f.Kbps, 100*f.Loss, f.RSS, f.Heap, f.Goroutines, f.Joins)
	}
	return b.String()
}
