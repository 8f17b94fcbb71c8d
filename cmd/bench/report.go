package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Report is all that was measured.
type Report struct {
	Machine  Machine
	Config   Config
	Stages   []Stage
	Turns    []Turn    // every contestant's every turn
	Servers  []Sample  // the server's turns, with what the bots had of it
	Profiles []Profile // of several runs, maybe
	Large    []Sample
	FanOut   []FanOut
}

// openReport returns what is kept in a file, or an empty report if there is none.
func openReport(path string) (*Report, error) {
	r := new(Report)
	if path == "" {
		return r, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(text, r)
	}
	if err != nil {
		return nil, fmt.Errorf("-keep: %s: %w", path, err)
	}
	return r, nil
}

// keep writes r to a file, unless path is empty.
func (r *Report) keep(path string) error {
	if path == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

// people are the numbers of people that were measured, in order.
func (r *Report) people() (out []int) {
	for _, t := range r.Turns {
		if !slices.Contains(out, t.N) {
			out = append(out, t.N)
		}
	}
	slices.Sort(out)
	return out
}

// turns are one contestant's. Who made fewer pictures than it should did less
// than the job: its cores are what the full rate would have taken at as much a
// picture.
func (r *Report) turns(who string, n int) (cores, fps []float64) {
	for _, t := range r.Turns {
		if t.Who != who || t.N != n {
			continue
		}
		c := t.Cores
		if t.FPS > 0 && t.FPS < jobFPS {
			c *= jobFPS / t.FPS
		}
		cores, fps = append(cores, c), append(fps, t.FPS)
	}
	return cores, fps
}

// cores is the median of a contestant's turns, 0 if it had none.
func (r *Report) cores(who string, n int) float64 {
	cores, _ := r.turns(who, n)
	return median(cores)
}

// ratio is the median, over the rounds, of a contestant's cores over those of
// others together; 0 if one of them has not been measured.
func (r *Report) ratio(who string, n int, over ...string) float64 {
	mine, _ := r.turns(who, n)
	var ratios []float64
	for i, cores := range mine {
		sum := 0.0
		for _, o := range over {
			theirs, _ := r.turns(o, n)
			if i >= len(theirs) {
				return 0
			}
			sum += theirs[i]
		}
		ratios = append(ratios, cores/sum)
	}
	return median(ratios)
}

// grouped are medians of samples with the same rooms, bots and window.
func grouped(samples []Sample) (out []Sample) {
	type size struct {
		rooms, bots int
		tier        string
		window      time.Duration
	}
	by := map[size][]Sample{}
	var order []size
	for _, s := range samples {
		k := size{s.Rooms, s.Bots, s.Tier, s.Window}
		if by[k] == nil {
			order = append(order, k)
		}
		by[k] = append(by[k], s)
	}
	slices.SortStableFunc(order, func(a, b size) int { return a.rooms*a.bots - b.rooms*b.bots })
	for _, k := range order {
		out = append(out, medianSample(by[k]))
	}
	return out
}

// Markdown is the report as docs/bench.md shows it.
func (r *Report) Markdown() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	m := r.Machine
	line("# Measurements")
	line("")
	line("Written by `make bench` on %s: %s, %d cores (%s), %s, %s%s.",
		m.Date.Format("2 January 2006"), m.Mixdown, m.Cores, m.CPU, m.System, m.Go, prefixed(", ", m.Libraries))
	line("Machines drift; compare figures of one sitting only.")
	r.contestMarkdown(line)
	r.profileMarkdown(line)
	if servers := grouped(r.Servers); len(servers) > 0 {
		line("")
		line("## A whole server")
		line("")
		line("One room, everyone sends and receives over real WebRTC on this machine: the server of the contest above, seen by its bots.")
		line("The bots run beside the server and their CPU time is not counted; it does compete for the cores.")
		line("Late sound: packets that came more than 60 ms after the one before, of all bots. Picture age: from drawing a tile to decoding it.")
		line("")
		line("| people | server, cores | memory, MB | pictures/s | downlink, kb/s | loss | late sound | join to picture p50 | picture age p50 | p95 |")
		line("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
		for _, s := range servers {
			line("| %d | %.2f | %.0f | %.1f | %.0f | %.2f %% | %.0f | %.0f ms | %.0f ms | %.0f ms |",
				s.Bots, s.Cores, s.RSS, s.FPS, s.Kbps, 100*s.Loss, s.Late, s.JoinMS, s.AgeMS, s.Age95)
		}
		line("")
		line("![What one person receives](bench-downlink.svg)")
	}
	if large := grouped(r.Large); len(large) > 0 {
		line("")
		line("## A large room, and many rooms")
		line("")
		line("Everybody sends 640x360 at 25 pictures a second and receives the default tier, unless one is named, and sound. Rates and gaps are those of all bots over the")
		line("window: the least rate, the longest time between two pictures and between two packets of sound. Memory at its beginning and its end.")
		line("")
		line("| rooms | people in each | tier | window | server, cores | least pictures/s | longest gap | of sound | late sound | loss | memory, MB | at the end |")
		line("|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
		for _, s := range large {
			line("| %d | %d | %s | %v | %.2f | %.1f | %.0f ms | %.0f ms | %.0f | %.3f %% | %.0f | %.0f |",
				s.Rooms, s.Bots, s.Tier, s.Window, s.Cores, s.LeastFPS, s.VideoGap, s.AudioGap, s.Late, 100*s.Loss, s.Before, s.RSS)
		}
	}
	b.WriteString(fanOutMarkdown(r.FanOut))
	if len(r.Stages) > 0 {
		line("")
		line("## Stages")
		line("")
		line("One call of each stage, on one thread unless its name says otherwise. Medians of %d runs.", r.Config.Runs)
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

// contestMarkdown is the part about who does the same job with what.
func (r *Report) contestMarkdown(line func(string, ...any)) {
	people := r.people()
	if len(people) == 0 {
		return
	}
	cell := func(format string, v float64) string {
		if v == 0 {
			return ""
		}
		return fmt.Sprintf(format, v)
	}
	fps := func(who string, n int) string {
		_, fps := r.turns(who, n)
		return cell("%.1f", median(fps))
	}
	var rounds []string
	for _, n := range people {
		cores, _ := r.turns(nameServer, n)
		rounds = append(rounds, strconv.Itoa(len(cores)))
	}
	line("")
	line("## The same job")
	line("")
	line("N people send VP8 640x360 at %d pictures a second and Opus; %d of them speak at a time. Out of it come one VP8 picture of 1280x720 at 25 pictures", jobFPS, jobTalkers)
	line("a second and 1.5 Mb/s, and sound. All are fed the same generated clips at the pace of real time and take turns, in rounds of at least %v (%s rounds); cores", r.Config.Window, strings.Join(rounds, ", "))
	line("are the CPU time of the process over wall time, brought up to 25 pictures a second for who made fewer. Medians; ratios are medians of the")
	line("rounds' ratios.")
	line("")
	line("- **floor**: one loop in one process with the server's own codecs that decodes, scales, encodes one picture, decodes all sound, encodes")
	line("  one sound for all and one more for each who speaks. No network, jitter buffers, names, levels, limiters.")
	line("- **wire**: SRTP and one socket alone: what N people send is received and opened, the composite is sealed and sent to each of them; one")
	line("  system call a packet. Floor and wire are all that a server cannot do without. A wire runs beside floor, ffmpeg and gstreamer, so that they compete")
	line("  for the cores as the server does with its bots.")
	line("- **server**: the whole of it over real WebRTC, with bots on the same machine.")
	line("- **ffmpeg**: `-re` inputs from files, `xstack` of bilinearly scaled tiles, `amix`, libvpx with the same settings, one RTP stream out. **gstreamer**:")
	line("  `compositor` and `audiomixer` from Debian's packages, likewise. Both read files, send to one receiver and encode one sound: less than the job.")
	line("- **ffmpeg to all**: the job as far as FFmpeg can do it. Besides the sound for all it encodes one for each of %d speakers without themselves, always the", jobTalkers)
	line("  same ones, and sends pictures and sound to each of the N by SRTP (`tee`). It reads files still, and answers nobody: no reception, ICE, RTCP, repairs.")
	line("")
	line("| people | floor, cores | wire | server | ffmpeg | gstreamer | server / floor | server / (floor + wire) | ffmpeg / server | gstreamer / server | pictures/s: server | ffmpeg | gstreamer | ffmpeg to all, cores | ffmpeg to all / server | pictures/s |")
	line("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
	for _, n := range people {
		line("| %d | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |", n,
			cell("%.3f", r.cores(nameFloor, n)), cell("%.3f", r.cores(nameWire, n)), cell("%.3f", r.cores(nameServer, n)),
			cell("%.3f", r.cores(nameFFmpeg, n)), cell("%.3f", r.cores(nameGst, n)),
			cell("%.2f", r.ratio(nameServer, n, nameFloor)), cell("%.2f", r.ratio(nameServer, n, nameFloor, nameWire)),
			cell("%.2f", r.ratio(nameFFmpeg, n, nameServer)), cell("%.2f", r.ratio(nameGst, n, nameServer)),
			fps(nameServer, n), fps(nameFFmpeg, n), fps(nameGst, n),
			cell("%.3f", r.cores(nameAll, n)), cell("%.2f", r.ratio(nameAll, n, nameServer)), fps(nameAll, n))
	}
	line("")
	for _, c := range charts[:2] {
		line("![%s](%s)", c.title, c.file)
	}
}

// profileMarkdown is the part about where a server's time goes.
func (r *Report) profileMarkdown(line func(string, ...any)) {
	if len(r.Profiles) == 0 {
		return
	}
	var people []int
	shares := map[int]map[string][]float64{}
	for _, p := range r.Profiles {
		if shares[p.N] == nil {
			people, shares[p.N] = append(people, p.N), map[string][]float64{}
		}
		for _, s := range append(stageNames(), otherStage) {
			shares[p.N][s] = append(shares[p.N][s], p.Share[s])
		}
	}
	slices.Sort(people)
	line("")
	line("## Where the server's time goes")
	line("")
	if r.Profiles[0].Perf {
		line("By `perf record -F 997` on the server, sorted by the functions and libraries on each sample's stack.")
	} else {
		line("By Go's profiler (`--pprof-addr`), which samples in step with the clocks: it sees sound too often or never. Install perf for better.")
	}
	line("Cores: share of what the server took in the contest.")
	line("")
	head, rule := "| stage |", "|---|"
	for _, n := range people {
		head += fmt.Sprintf(" %d people | cores |", n)
		rule += "---:|---:|"
	}
	line("%s", head)
	line("%s", rule)
	for _, s := range append(stageNames(), otherStage) {
		row := "| " + s + " |"
		for _, n := range people {
			share := median(shares[n][s])
			row += fmt.Sprintf(" %.1f %% |", 100*share)
			if cores := r.cores(nameServer, n); cores > 0 {
				row += fmt.Sprintf(" %.3f |", share*cores)
			} else {
				row += " |"
			}
		}
		line("%s", row)
	}
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
