package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// reportCommand is `weak report`.
type reportCommand struct {
	Kept string `help:"Folder of the outcomes (${default})." default:".cache/weak" placeholder:"DIR"`
	Docs string `help:"Folder that weak.md and its plots are written to (${default})." default:"docs" placeholder:"DIR"`
	Note string `help:"A sentence for the top of the report." placeholder:"TEXT"`
}

// version is what the server says it is.
func version(ctx context.Context, binary string) string {
	out, err := exec.CommandContext(ctx, binary, "version").Output()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}

// measured is a row with its runs by one version of the server.
type measured struct {
	row    Row
	runs   []*Outcome
	middle *Outcome
	failed []string // why, of the runs in which the client got nothing
}

// latest picks, of each row, the runs of the version that was measured last.
func latest(kept map[string][]*Outcome) (out []measured) {
	for _, row := range rows {
		all := kept[row.Name]
		if len(all) == 0 {
			continue
		}
		m := measured{row: row}
		for _, o := range all {
			if o.Version == all[len(all)-1].Version {
				m.runs = append(m.runs, o)
				if o.Failed != "" {
					m.failed = append(m.failed, o.Failed)
				}
			}
		}
		m.middle = medians(m.runs)
		out = append(out, m)
	}
	return out
}

// Run writes the report.
func (c *reportCommand) Run() error {
	kept, err := outcomes(c.Kept)
	if err != nil {
		return err
	}
	all := latest(kept)
	if len(all) == 0 {
		return fmt.Errorf("nothing was kept in %s: measure with weak run", c.Kept)
	}
	for _, m := range all {
		if err := drawRun(filepath.Join(c.Docs, plotName(m.row)), m.row, m.runs[len(m.runs)-1]); err != nil {
			return err
		}
	}
	path := filepath.Join(c.Docs, "weak.md")
	if err := os.WriteFile(path, []byte(markdown(all, c.Note)), 0o644); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "weak: wrote", path)
	return nil
}

func plotName(r Row) string { return "weak-" + r.Name + ".svg" }

// show writes a figure with so many digits.
func show(f Figure, digits int) string {
	if !f.known() {
		return "–"
	}
	return fmt.Sprintf("%.*f", digits, float64(f))
}

// markdown is the report, with a note at its top.
func markdown(all []measured, note string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	var free *Outcome
	runs := []int{}
	for _, m := range all {
		if m.row.Free {
			free = m.middle
		}
		runs = append(runs, len(m.runs))
	}
	newest := all[0].runs[len(all[0].runs)-1]
	for _, m := range all {
		if o := m.runs[len(m.runs)-1]; o.Began.After(newest.Began) {
			newest = o
		}
	}
	line("# Weak links")
	line("")
	line("Written by `make weak` on %s: %s, %d cores, %s; %s runs of each row; medians are told, of an even number of runs the lower of the two in the middle.",
		newest.Began.UTC().Format("2 January 2006"), newest.Version, runtime.NumCPU(), runtime.Version(), between(slices.Min(runs), slices.Max(runs)))
	if note != "" {
		line("")
		line("%s", note)
	}
	b.WriteString(method)
	line("")
	line("## What the weak client gets")
	line("")
	line("| link down, one way, loss | pictures/s | longest freeze, s | frozen, %% | tiles' age p50 / p95 / worst, s | speaker's tile, refreshes/s | sound made up, %% | longest gap, ms | mouth to ear p50 / p95, ms | click to picture, s |")
	line("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
	for _, m := range all {
		o := m.middle
		p, s := o.Weak.Picture, o.Weak.Sound
		line("| %s | %s | %s | %s | %s / %s / %s | %s | %s | %s | %s / %s | %s |", m.row.Title, show(p.FPS, 1), show(p.LongestFreeze, 1), show(100*p.Frozen, 0),
			show(p.AgeP50, 1), show(p.AgeP95, 1), show(p.WorstAge, 1), show(p.SpeakerFPS, 1), show(100*s.Concealed, 1), show(s.LongestGap, 0),
			show(s.DelayP50, 0), show(s.DelayP95, 0), show(o.Joined, 1))
	}
	line("")
	line("## The link, the others")
	line("")
	line("| link | offered down, kb/s | of the rate, %% | dropped by the queue, %% | wait p50 / p95 / max, ms | carried up, kb/s | its sound made up by the server, %% | its tone missing at a strong client, %% | strong: pictures/s | keyframes/min | made up, %% | server, cores |")
	line("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
	for _, m := range all {
		o := m.middle
		line("| %s | %s | %s | %s | %s / %s / %s | %s | %s | %s | %s | %s | %s | %s |", m.row.Title, show(o.Down.Kbps, 0), show(100*o.Down.Offered, 0), show(100*o.Down.Dropped, 1),
			show(o.Down.WaitP50, 0), show(o.Down.WaitP95, 0), show(o.Down.WaitMax, 0), show(o.Up.Carried, 0), show(100*o.HeardConcealed, 1), show(100*o.Heard.Gaps, 1),
			show(o.Strong.Picture.FPS, 1), show(o.Strong.Keyframes, 1), show(100*o.Strong.Sound.Concealed, 2), show(o.Cores, 2))
	}
	line("")
	line("What was offered, kb/s. Media without UDP are of TCP; the rest is ICE's checks and DTLS.")
	line("")
	line("| link | down: sound | pictures | RTCP | TCP | rest | up: sound | pictures | RTCP | TCP | rest | sound's buffer, ms |")
	line("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
	for _, m := range all {
		o := m.middle
		d, u := o.Down, o.Up
		line("| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |", m.row.Title, show(d.Sound, 1), show(d.Pictures, 1), show(d.RTCP, 1), show(d.TCP, 1), show(d.Rest, 1),
			show(u.Sound, 1), show(u.Pictures, 1), show(u.RTCP, 1), show(u.TCP, 1), show(u.Rest, 1), show(o.Weak.JitterMS, 0))
	}
	for _, m := range all {
		line("")
		line("## %s", m.row.Title)
		line("")
		line("Measured for %s s, from %s s after the click on Join.", show(m.middle.Seconds, 0), show(m.middle.Settled, 0))
		line("")
		for i, why := range m.failed {
			line("Run %d of %d failed: %s", i+1, len(m.runs), why)
			line("")
		}
		if goals := m.row.goals(free); len(goals) > 0 {
			line("| to reach | limit | median | of all runs | |")
			line("|---|---:|---:|---:|---|")
			for _, g := range goals {
				line("%s", goalLine(g, m))
			}
			line("")
		}
		line("![%s](%s)", m.row.Title, plotName(m.row))
	}
	return b.String()
}

// goalLine is one goal's line of a table.
func goalLine(g Goal, m measured) string {
	sign, verdict := "≤", "**missed**"
	if g.Least {
		sign = "≥"
	}
	// Each run's own value: what is not a single Figure has no median in middle.
	var known []float64
	met := 0
	for _, o := range m.runs {
		v := g.Of(o)
		if v.known() {
			known = append(known, float64(v))
		}
		if g.Met(v) {
			met++
		}
	}
	mid := none
	if 2*len(known) > len(m.runs) {
		mid = median(known)
	}
	if g.Met(mid) {
		verdict = "met"
	}
	spread := "–"
	if len(known) > 0 {
		spread = fmt.Sprintf("%.4g … %.4g", slices.Min(known), slices.Max(known))
	}
	return fmt.Sprintf("| %s | %s %.4g %s | %s | %s | %s, %d of %d runs |", g.What, sign, g.Limit, g.Unit, show(mid, 2), spread, verdict, met, len(m.runs))
}

// method says what the figures mean.
const method = `
Nine people: seven bots with bar-coded clocks and tones, a Chromium on the machine's own network ("strong") and one behind the
emulated link ("weak"), both in the real join page, sending and receiving. Each run has a server and a link of its own. The weak
client's page is loaded before the link is made bad; it joins behind it, after two small requests from which TCP knows how far away the server is. What follows is measured from when the link should have
settled (each row says when), in the row with steps from the fall of the rate to the end. All of it runs on one machine, browsers and bots included.

- **Link**: a queue that holds 500 ms of the rate, and four large packets always, then drops; the rate, in bytes of whole IP packets; loss; the
  delay. Up has half of the rate down, as much up to 50 kb/s. Offered is what reaches the queue; after a step figures of the link
  are taken from 5 s on. A wait is the time until the link was free for a packet. The queue is
  counted in bytes, so a full one still takes small packets of sound where a large one of a picture does not fit.
- **Pictures**: every one that the browser's decoder gives to the page, with the codes that can be read in its tiles. A freeze is more than
  0.5 s between two. A tile's age is the time since what it shows was drawn; the clocks come round in 8 s, so an older picture that still
  arrived would look younger, and a tile never seen counts as fresh when the measurement began. The speaker's tile is the more refreshed one of the two who speak.
- **Sound**: each tone through windows of 40 ms. Mouth to ear is from the microphone's 20 ms before a bot's packet leaves to the half height of
  the tone in the page; a turn that is never heard counts with its length. A gap is a tone 15 dB below what it was, or a
  beginning that comes later than the others' by so much while the end does not: what is whole and late is delay. Made up is concealed less silent concealed samples by getStats.
- "–" is what could not be measured, and meets no goal.
`

// between is a range, or what both ends are.
func between(least, most int) string {
	if least == most {
		return fmt.Sprint(least)
	}
	return fmt.Sprintf("%d to %d", least, most)
}
