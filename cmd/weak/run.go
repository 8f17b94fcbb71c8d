package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// runCommand is `weak run`.
type runCommand struct {
	runConfig `embed:""`
	Rows      []string `help:"Rows to measure (all)." placeholder:"NAME,…"`
	Runs      int      `help:"Runs of each row; with another seed each (${default})." default:"5" placeholder:"N"`
	Note      string   `help:"A sentence for the top of the report." placeholder:"TEXT"`
	Docs      string   `help:"Folder that weak.md and its plots are written to; empty: none (${default})." default:"docs" placeholder:"DIR"`
}

// runConfig is how a run is made.
type runConfig struct {
	Binary   string        `help:"The server to measure (${default})." default:"bin/mixdown" placeholder:"FILE"`
	Config   string        `help:"Its configuration, if not the one it has by itself." placeholder:"FILE"`
	Browsers string        `help:"The browsers' program (${default})." default:"api/web/e2e/weak-client.js" placeholder:"FILE"`
	Kept     string        `help:"Folder of the outcomes that the report is made from (${default})." default:".cache/weak" placeholder:"DIR"`
	Bots     int           `help:"Bots in the room (${default})." default:"7" placeholder:"N"`
	Talkers  int           `help:"How many of them speak at once (${default})." default:"2" placeholder:"N"`
	Tier     string        `help:"Tier that the bots ask for; empty: the server's choice." placeholder:"NAME"`
	Settle   time.Duration `help:"From the click on Join to the beginning of the measurement (${default})." default:"12s"`
	Duration time.Duration `help:"Of the measurement; rows with steps have their own (${default})." default:"30s"`
	Seed     uint64        `help:"Of the first run (${default})." default:"1" placeholder:"N"`
	Port     int           `help:"First of two free ports in a row is looked for from here on (${default})." default:"26000" placeholder:"N"`
	Uplink   int           `help:"Rate up, bit/s, instead of the rows'." placeholder:"BPS"`
	Shot     string        `help:"Keep a picture of the weak client's page here." placeholder:"FILE"`
}

// Run measures and reports.
func (c *runCommand) Run(ctx context.Context) error {
	wanted, err := pick(c.Rows)
	if err != nil {
		return err
	}
	if c.Runs < 1 || c.Settle < 0 || c.Duration < 5*time.Second {
		return errors.New("--runs must be at least 1, --duration at least 5s, and --settle not negative")
	}
	for i := range c.Runs {
		for _, row := range wanted {
			name := fmt.Sprintf("%s, run %d of %d", row.Name, i+1, c.Runs)
			o, err := c.measure(ctx, row, c.Seed+uint64(i), progress(name))
			fmt.Fprint(os.Stderr, "\r\x1b[K")
			if ctx.Err() != nil {
				return errors.New("interrupted; what was started has been taken down")
			}
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			fmt.Fprintf(os.Stderr, "weak: %s: %s\n", name, o.line())
			if err := o.save(c.Kept); err != nil {
				return err
			}
		}
	}
	if c.Docs == "" {
		return nil
	}
	return (&reportCommand{Kept: c.Kept, Docs: c.Docs, Note: c.Note}).Run()
}

// progress returns a function that shows how a run is getting on.
func progress(name string) func(format string, args ...any) {
	return func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "\r\x1b[K%s: %s", name, fmt.Sprintf(format, args...))
	}
}

// line is an outcome in one.
func (o *Outcome) line() string {
	if o.Failed != "" {
		return "FAILED: " + o.Failed
	}
	p, s := o.Weak.Picture, o.Weak.Sound
	d := o.Down
	return fmt.Sprintf("%.1f pictures/s, longest freeze %.1f s, age p95 %.1f s, concealed %.1f %%, gap %.0f ms, mouth to ear %.0f ms, sent %.0f kb/s (sound %.1f, pictures %.1f, RTCP %.1f, TCP %.1f, rest %.1f), dropped %.1f %%, queue p50 %.0f p95 %.0f ms, buffer %.0f of %.0f, %.0f ms",
		p.FPS, p.LongestFreeze, p.AgeP95, 100*s.Concealed, s.LongestGap, s.DelayP50, d.Kbps, d.Sound, d.Pictures, d.RTCP, d.TCP, d.Rest, 100*d.Dropped, d.WaitP50, d.WaitP95,
		o.Weak.JitterMS, o.Weak.TargetMS, o.Weak.LeastMS)
}
