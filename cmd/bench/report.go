package main

import (
	"fmt"
	"slices"
	"strings"
)

// Report is all that was measured.
type Report struct {
	Machine Machine
	Config  Config
	Stages  []Stage
	Servers []Sample
	FanOut  []FanOut
}

// Markdown is the report as docs/bench.md shows it.
func (r Report) Markdown() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	m := r.Machine
	line("# Measurements")
	line("")
	line("Written by `make bench` on %s: %s, %d cores (%s), %s, %s%s.",
		m.Date.Format("2 January 2006"), m.Mixdown, m.Cores, m.CPU, m.System, m.Go, prefixed(", ", m.Libraries))
	line("Medians of %d runs. Machines drift; compare figures of one sitting only.", r.Config.Runs)
	if len(r.Servers) > 0 {
		line("")
		line("## A whole server")
		line("")
		line("One room, everyone sends and receives over real WebRTC on this machine. The bots run beside the server and their CPU time is")
		line("not counted; it does compete for the cores. CPU is that of the server's process over %v, after %v to settle.", r.Config.Window, r.Config.Settle)
		line("Late sound: packets that came more than 60 ms after the one before, of all bots. Picture age: from drawing a tile to decoding it.")
		line("")
		line("| people | server, cores | memory, MB | pictures/s | downlink, kb/s | loss | late sound | join to picture p50 | picture age p50 | p95 |")
		line("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
		for _, s := range r.Servers {
			line("| %d | %.2f | %.0f | %.1f | %.0f | %.2f %% | %.0f | %.0f ms | %.0f ms | %.0f ms |",
				s.Bots, s.Cores, s.RSS, s.FPS, s.Kbps, 100*s.Loss, s.Late, s.JoinMS, s.AgeMS, s.Age95)
		}
		if len(r.Servers) > 1 {
			line("")
			for _, c := range charts {
				line("![%s](%s)", c.title, c.file)
			}
		}
	}
	b.WriteString(fanOutMarkdown(r.FanOut))
	if len(r.Stages) > 0 {
		line("")
		line("## Stages")
		line("")
		line("One call of each stage, on one thread unless its name says otherwise.")
		line("")
		line("| package | what | time | allocations | bytes | |")
		line("|---|---|---:|---:|---:|---|")
		for _, s := range r.Stages {
			line("| %s | %s | %s | %.0f | %.0f | %s |", s.Package, strings.ReplaceAll(s.Name, "_", " "),
				duration(s.Values["ns/op"]), s.Values["allocs/op"], s.Values["B/op"], s.others())
		}
	}
	return b.String()
}

// others are the values that a benchmark reports beside the usual ones.
func (s Stage) others() string {
	var out []string
	for unit, v := range s.Values {
		switch unit {
		case "ns/op", "allocs/op", "B/op":
		default:
			out = append(out, fmt.Sprintf("%.4g %s", v, unit))
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func duration(ns float64) string {
	switch {
	case ns >= 1e6:
		return fmt.Sprintf("%.2f ms", ns/1e6)
	case ns >= 1e3:
		return fmt.Sprintf("%.2f µs", ns/1e3)
	}
	return fmt.Sprintf("%.1f ns", ns)
}

func prefixed(separator string, list []string) string {
	if len(list) == 0 {
		return ""
	}
	return separator + strings.Join(list, separator)
}
