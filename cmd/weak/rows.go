package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mixdown/cmd/weak/link"
)

// Row is one line of the table: a link, and what is to be reached behind it.
type Row struct {
	Name  string
	Title string
	Steps []Step // the first at 0
	Goals []Goal // beside those that all rows share
	// Concealed is how much of the sound may be made up at most, at the weak
	// client and at a strong one that hears it; share.
	Concealed float64
	Free      bool // no limits at all: what the strong clients are compared with
}

// Step is how the link is from a moment on.
type Step struct {
	At       time.Duration
	Down, Up link.Shape
}

// Goal is one figure and its bound.
type Goal struct {
	What  string
	Unit  string
	Limit float64
	Least bool // the limit is a lower one
	Of    func(*Outcome) Figure
}

// Met reports whether a value is within the bound.
func (g Goal) Met(v Figure) bool {
	if g.Least {
		return float64(v) >= g.Limit
	}
	return float64(v) <= g.Limit
}

// shape is a direction of a row's link. Before it half a second of its rate may
// wait, and always four large packets.
func shape(rate int, delay time.Duration, loss, burst float64) link.Shape {
	return link.Shape{Rate: rate, Delay: delay, Loss: loss, Burst: burst, Queue: 500 * time.Millisecond}
}

// steady is a link that does not change: half as much up as down, and the same
// where it is very little.
func steady(rate int, delay time.Duration, loss, burst float64) []Step {
	up := rate / 2
	if rate <= 50_000 {
		up = rate
	}
	return []Step{{0, shape(rate, delay, loss, burst), shape(up, delay, loss, burst)}}
}

const ms = time.Millisecond

// stepTime is how long each rate of a link that changes lasts.
const stepTime = 20 * time.Second

// Goals that stand in several rows.
func concealed(limit float64) Goal {
	return Goal{"concealed", "%", 100 * limit, false, func(o *Outcome) Figure { return 100 * o.Weak.Sound.Concealed }}
}
func freeze(limit float64) Goal {
	return Goal{"longest freeze", "s", limit, false, func(o *Outcome) Figure { return o.Weak.Picture.LongestFreeze }}
}

// rows are the table.
var rows = []Row{
	{Name: "free", Title: "no limits", Steps: []Step{{}}, Concealed: 0.01, Free: true},
	{
		Name: "300k", Title: "300 kb/s, 100 ms, 1 %", Steps: steady(300_000, 100*ms, 0.01, 0), Concealed: 0.01,
		Goals: []Goal{
			{"pictures a second", "", 12, true, func(o *Outcome) Figure { return o.Weak.Picture.FPS }},
			freeze(1), concealed(0.01),
		},
	},
	{
		Name: "100k", Title: "100 kb/s, 150 ms, 2 %", Steps: steady(100_000, 150*ms, 0.02, 0), Concealed: 0.02,
		Goals: []Goal{
			concealed(0.02), freeze(2),
			{"speaker's tile, refreshes a second", "", 5, true, func(o *Outcome) Figure { return o.Weak.Picture.SpeakerFPS }},
			{"worst tile's age", "s", 4, false, func(o *Outcome) Figure { return o.Weak.Picture.WorstAge }},
		},
	},
	{
		Name: "50k", Title: "50 kb/s, 200 ms, 2 %", Steps: steady(50_000, 200*ms, 0.02, 0), Concealed: 0.03,
		Goals: []Goal{concealed(0.03), freeze(2)},
	},
	{
		Name: "30k", Title: "30 kb/s, 300 ms, 0 %", Steps: steady(30_000, 300*ms, 0, 0), Concealed: 0.03,
		Goals: []Goal{
			{"longest gap in speech", "ms", 200, false, func(o *Outcome) Figure { return o.Weak.Sound.LongestGap }},
			{"video that came, whole or not", "kb/s", 0.5, false, func(o *Outcome) Figure { return o.Weak.VideoKbps }},
		},
	},
	{
		Name: "iid", Title: "1 Mb/s, 50 ms, 20 % iid", Steps: steady(1_000_000, 50*ms, 0.20, 0), Concealed: 0.05,
		Goals: []Goal{concealed(0.05), {"frozen", "% of the time", 5, false, func(o *Outcome) Figure { return 100 * o.Weak.Picture.Frozen }}},
	},
	{
		Name: "burst", Title: "1 Mb/s, 50 ms, 10 % in bursts of 5", Steps: steady(1_000_000, 50*ms, 0.10, 5), Concealed: 0.05,
		Goals: []Goal{concealed(0.05), {"frozen", "% of the time", 5, false, func(o *Outcome) Figure { return 100 * o.Weak.Picture.Frozen }}},
	},
	{
		Name: "tcp", Title: "1 Mb/s, 50 ms, no UDP", Steps: noUDP(1_000_000, 50*ms), Concealed: 0.05,
		Goals: []Goal{
			concealed(0.05),
			{"tiles' age, p50", "s", 1, false, func(o *Outcome) Figure { return o.Weak.Picture.AgeP50 }},
		},
	},
	{
		Name: "step", Title: "1 Mb/s → 150 kb/s → 1 Mb/s, 20 s each, 50 ms", Concealed: 0.05,
		Steps: []Step{
			{0, shape(1_000_000, 50*ms, 0, 0), shape(500_000, 50*ms, 0, 0)},
			{stepTime, shape(150_000, 50*ms, 0, 0), shape(75_000, 50*ms, 0, 0)},
			{2 * stepTime, shape(1_000_000, 50*ms, 0, 0), shape(500_000, 50*ms, 0, 0)},
		},
		Goals: []Goal{
			{"gap in the sound after the drop", "ms", 500, false, func(o *Outcome) Figure { return o.Weak.Sound.LongestGap }},
			{"picture moves again after the drop", "s", 3, false, func(o *Outcome) Figure { return o.Back }},
			{"the tier it had, after the rise", "s", 15, false, func(o *Outcome) Figure { return o.Regained }},
		},
	},
}

// noUDP is a link that passes nothing but TCP.
func noUDP(rate int, delay time.Duration) []Step {
	s := steady(rate, delay, 0, 0)
	s[0].Down.Block.UDP, s[0].Up.Block.UDP = true, true
	return s
}

// goals are all of a row's. free is what the strong clients had in a room
// without a bad link, nil if that was not measured.
func (r Row) goals(free *Outcome) []Goal {
	if r.Free {
		return nil
	}
	delay := float64(r.Steps[0].Down.Delay.Milliseconds())
	out := append(slices.Clone(r.Goals),
		Goal{"sent by the server, of the link's rate", "%", 105, false, func(o *Outcome) Figure { return 100 * o.Down.Offered }},
		Goal{"dropped by the queue", "% of packets", 1, false, func(o *Outcome) Figure { return 100 * o.Down.Dropped }},
		Goal{"queueing delay p95", "ms", 250, false, func(o *Outcome) Figure { return o.Down.WaitP95 }},
		Goal{"mouth to ear p50", "ms", delay + 250, false, func(o *Outcome) Figure { return o.Weak.Sound.DelayP50 }},
		Goal{"mouth to ear p95", "ms", delay + 500, false, func(o *Outcome) Figure { return o.Weak.Sound.DelayP95 }},
		Goal{"the weak one's sound made up by the server", "%", 100 * r.Concealed, false, func(o *Outcome) Figure { return 100 * o.HeardConcealed }},
		// What the server does not know to be missing it does not make up.
		Goal{"the weak one's tone missing at a strong one", "%", 100 * r.Concealed, false, func(o *Outcome) Figure { return 100 * o.Heard.Gaps }},
	)
	if free != nil {
		out = append(out,
			Goal{"strong: pictures a second", "", 0.95 * float64(free.Strong.Picture.FPS), true, func(o *Outcome) Figure { return o.Strong.Picture.FPS }},
			Goal{"strong: keyframes a minute", "", float64(free.Strong.Keyframes) + 2, false, func(o *Outcome) Figure { return o.Strong.Keyframes }},
			Goal{"strong: concealed", "%", 100*float64(free.Strong.Sound.Concealed) + 0.1, false, func(o *Outcome) Figure { return 100 * o.Strong.Sound.Concealed }},
		)
	}
	return out
}

// pick returns the rows of those names, all for none.
func pick(names []string) ([]Row, error) {
	if len(names) == 0 {
		return rows, nil
	}
	var out []Row
	for _, name := range names {
		i := slices.IndexFunc(rows, func(r Row) bool { return r.Name == name })
		if i < 0 {
			var known []string
			for _, r := range rows {
				known = append(known, r.Name)
			}
			return nil, fmt.Errorf("--rows %s: no such row; there are %s", name, strings.Join(known, ", "))
		}
		out = append(out, rows[i])
	}
	return out, nil
}
