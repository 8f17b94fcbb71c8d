package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mixdown/cmd/internal/child"
	"mixdown/cmd/mixdown/load"
)

// guests are the people of one room. What they take of codecs and ask for in tiers
// leaves the server something of each kind to save.
var guests = []struct {
	bots, viewers int
	tier, takes   string
}{
	{bots: 1, tier: "720p", takes: "VP8,H264"},
	{viewers: 1, tier: "720p", takes: "H264"},
	{bots: 2, tier: "360p", takes: "VP8"},
}

const guestsEach = 1 + 1 + 2 // in a room

// savingSteps are what a server does without, in the order that it is to begin with them.
var savingSteps = []string{"converge", "merge", "lower", "halve", "rest", "stills"}

const (
	maxWaves    = 15
	lookEvery   = 250 * time.Millisecond
	fullRate    = .9 // of what a bot had before is full again: a second has a picture more or less
	maxRelief   = time.Minute
	noSuchOffer = "v=0" // in which there is nothing to answer
	firstRoom   = room + "-first"
)

// moment is what a server says of itself.
type moment struct {
	at                        time.Time
	people                    float64
	needs, cores, fixed, late float64 // shares of the budget, of the cores, of the cores; intervals
	full                      bool
	held, taken               map[string]float64 // by step
	skipped                   float64            // ticks of sound
	best                      float64            // receivers of the best tier in the first room
}

// saves reports whether there is anything that the server does without.
func (m moment) saves() bool {
	for _, n := range m.held {
		if n > 0 {
			return true
		}
	}
	return m.full
}

// crowding is a time with so many rooms, from one moment to another.
type crowding struct {
	rooms    int
	from, to int
	status   int    // that a newcomer was told at its end
	after    string // and when to come again
}

// party is all that bots of some rooms do together.
type party struct {
	bots  []*child.Child
	files []string
}

// overload is one measurement.
type overload struct {
	ctx     context.Context
	cfg     Config
	srv     *server
	dir     string
	moments []moment
	rows    []crowding
	parties []*party
}

// measureOverload fills a server on one core, bots on the others, until it refuses
// newcomers, and then empties all rooms but the first. It prints what was saved
// meanwhile, and how long all comes back takes.
func measureOverload(ctx context.Context, cfg Config, rooms int, out io.Writer) (err error) {
	if runtime.NumCPU() < 2 {
		return errors.New("-overload: wants a core for the server and another one for the bots")
	}
	dir, err := os.MkdirTemp("", "mixdown-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	o := &overload{ctx: ctx, cfg: cfg, dir: dir}
	if err := on(0, 1, func() (err error) {
		o.srv, err = startServer(ctx, cfg.Binary)
		return err
	}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.srv.Close()) }()
	defer func() {
		for _, p := range o.parties {
			for _, b := range p.bots {
				b.Stop()
			}
		}
	}()

	if err := o.invite(firstRoom, 1); err != nil {
		return err
	}
	if _, err := o.until(func(m moment) bool { return m.people == guestsEach }); err != nil {
		return err
	}
	if err := o.look(cfg.Settle); err != nil {
		return err
	}
	if err := o.crowd(1, cfg.Window); err != nil {
		return err
	}
	calm, crowded := o.now(), o.now().at
	for n := 1; o.rows[n-1].status != http.StatusServiceUnavailable; n++ {
		if n > maxWaves {
			return fmt.Errorf("nobody is refused by a server with %.0f people", o.now().people)
		}
		if err := o.invite(fmt.Sprintf("%s-%d", room, n), rooms); err != nil {
			return err
		}
		if err := o.crowd(1+n*rooms, cfg.Settle+cfg.Window); err != nil {
			return err
		}
	}
	worst := o.now()

	others, err := leave(o.parties[1:])
	if err != nil {
		return err
	}
	relief, err := o.until(func(m moment) bool { return m.people <= calm.people })
	if err != nil {
		return err
	}
	back, err := o.until(func(m moment) bool { return !m.saves() && m.best == calm.best })
	if err != nil {
		return err
	}
	open, _, err := o.offer()
	if err != nil {
		return err
	}
	if err := o.look(cfg.Settle + cfg.Window); err != nil {
		return err
	}
	first, err := leave(o.parties[:1])
	if err != nil {
		return err
	}

	o.table(out, first, append(first, others...))
	fmt.Fprintln(out)
	for _, step := range savingSteps {
		for _, m := range o.moments {
			if m.taken[step] > 0 {
				fmt.Fprintf(out, "- %s: first %.0f s after more than the first room began to come, %.0f times in all\n", step, m.at.Sub(crowded).Seconds(), worst.taken[step])
				break
			}
		}
	}
	full := relief.at
	for _, r := range first {
		if at := recovered(r.Rates, crowded, relief.at); at.After(full) {
			full = at
		}
	}
	fmt.Fprintf(out, "- relief: nothing is saved any more and all tiers are back after %.1f s, pictures come at their full rate after %.1f s; a newcomer is told %d then\n",
		back.at.Sub(relief.at).Seconds(), full.Sub(relief.at).Seconds(), open)
	fmt.Fprintf(out, "- ticks of sound left out: %.0f\n", o.now().skipped-calm.skipped)
	return nil
}

// now is what the server said last.
func (o *overload) now() moment { return o.moments[len(o.moments)-1] }

// crowd looks for d at a server that has so many rooms now.
func (o *overload) crowd(rooms int, d time.Duration) (err error) {
	c := crowding{rooms: rooms, from: len(o.moments)}
	if err := o.look(d); err != nil {
		return err
	}
	c.to = len(o.moments)
	c.status, c.after, err = o.offer()
	o.rows = append(o.rows, c)
	return err
}

// table prints a row for each crowding. CPU time is that of its second half, when most
// of what can be saved at once has been.
func (o *overload) table(out io.Writer, first, all []load.Report) {
	fmt.Fprintln(out, "| rooms | people | needs, of the budget | later | server, cores | all but pictures | "+strings.Join(savingSteps, " | ")+
		" | least pictures/s, first room at "+guests[0].tier+" | longest gap of sound | newcomers |")
	fmt.Fprintln(out, "|--:|--:|--:|--:|--:|--:|"+strings.Repeat("--:|", len(savingSteps))+"--:|--:|---|")
	for _, c := range o.rows {
		span := o.moments[c.from:c.to]
		last, most, cores, fixed := span[len(span)-1], 0., 0., 0.
		for i, m := range span {
			most = max(most, m.needs)
			if n := len(span) - len(span)/2; i >= len(span)/2 {
				cores, fixed = cores+m.cores/float64(n), fixed+m.fixed/float64(n)
			}
		}
		fmt.Fprintf(out, "| %d | %.0f | %.2f | %.2f | %.2f | %.2f |", c.rooms, last.people, most, last.needs, cores, fixed)
		for _, s := range savingSteps {
			fmt.Fprintf(out, " %.0f |", last.held[s])
		}
		least, gap := 1e3, int64(0)
		for i, r := range all {
			for _, rate := range r.Rates {
				if rate.At.Before(span[0].at) || rate.At.After(last.at) {
					continue
				}
				if gap = max(gap, rate.Gap); i == 0 { // the first of the first
					least = min(least, rate.Least)
				}
			}
		}
		newcomers := "let in"
		if c.status == http.StatusServiceUnavailable {
			newcomers = "503, Retry-After: " + c.after
		}
		fmt.Fprintf(out, " %.0f | %d ms | %s |\n", least, gap, newcomers)
	}
}

// offer tries to get in.
func (o *overload) offer() (status int, after string, err error) {
	status, header, err := o.srv.Offer(o.ctx, firstRoom, noSuchOffer)
	return status, header.Get("Retry-After"), err
}

// look looks for d.
func (o *overload) look(d time.Duration) error {
	for end := time.Now().Add(d); time.Now().Before(end); {
		if _, err := o.moment(); err != nil {
			return err
		}
		if err := sleep(o.ctx, lookEvery); err != nil {
			return err
		}
	}
	return nil
}

// until looks until it is so.
func (o *overload) until(so func(moment) bool) (moment, error) {
	for end := time.Now().Add(maxRelief); ; {
		m, err := o.moment()
		if err != nil || so(m) {
			return m, err
		}
		if time.Now().After(end) {
			return m, fmt.Errorf("%v have passed, and still it is so: %+v", maxRelief, m)
		}
		if err := sleep(o.ctx, lookEvery); err != nil {
			return m, err
		}
	}
}

func (o *overload) moment() (moment, error) {
	x, err := o.srv.Metrics(o.ctx)
	if err != nil {
		return moment{}, err
	}
	m := moment{
		at: time.Now(), people: x.Sum("mixdown_room_participants"), needs: x.Sum("mixdown_budget_demand_seconds") / x.Sum("mixdown_budget_seconds"),
		cores: x.Sum("mixdown_budget_cpu_ratio"), fixed: x.Sum("mixdown_budget_fixed_ratio"), late: x.Sum("mixdown_budget_late_ratio"),
		full: x.Sum("mixdown_budget_full") > 0, held: map[string]float64{}, taken: map[string]float64{},
		skipped: x.Sum("mixdown_sound_ticks_skipped_total"),
		best:    x.Sum("mixdown_tier_listeners", `room="`+firstRoom+`"`, `tier="`+guests[0].tier+`"`),
	}
	for _, s := range savingSteps {
		label := `step="` + s + `"`
		m.held[s], m.taken[s] = x.Sum("mixdown_savings", label), x.Sum("mixdown_savings_total", label)
	}
	o.moments = append(o.moments, m)
	return m, nil
}

// invite sends the guests of some rooms in.
func (o *overload) invite(name string, rooms int) error {
	p := &party{}
	o.parties = append(o.parties, p)
	for i, g := range guests {
		file := filepath.Join(o.dir, fmt.Sprintf("%s-%d.json", name, i))
		bots := child.Prepare(o.srv.Env, o.cfg.Binary, "load", "--url", o.srv.URL, "--room", name, "--rooms", strconv.Itoa(rooms), "--tier", g.tier, "--takes", g.takes,
			"--bots", strconv.Itoa(g.bots), "--viewers", strconv.Itoa(g.viewers), "--talkers", "1", "--listen", "0", "--duration", "0s",
			"--prefix", string(rune('a'+i)), "--first", strconv.Itoa(10*i), "--json", file)
		if err := on(1, runtime.NumCPU(), func() error { return bots.Start(nil) }); err != nil {
			return err
		}
		p.bots, p.files = append(p.bots, bots), append(p.files, file)
	}
	return nil
}

// leave has all leave at once and returns what they say.
func leave(parties []*party) (reports []load.Report, err error) {
	for _, p := range parties {
		for _, b := range p.bots {
			_ = b.Cmd.Process.Signal(unix.SIGTERM) // it may have ended
		}
	}
	for _, p := range parties {
		for i, file := range p.files {
			p.bots[i].Await() // a second signal would end it without a report
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, p.bots[i].Last(err)
			}
			var r load.Report
			if err := json.Unmarshal(text, &r); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			reports = append(reports, r)
		}
	}
	return reports, nil
}

// recovered tells from when on after the relief the rate is for good what it was up to
// when the crowd came.
func recovered(rates []load.Rate, crowded, relief time.Time) time.Time {
	was, n, full := 0., 0., relief
	for _, r := range rates {
		switch {
		case r.At.Before(crowded):
			was, n = was+r.Least, n+1
		case r.At.After(relief) && r.Least < fullRate*was/n:
			full = r.At
		}
	}
	return full
}

// on runs start with the cores from one number up to another, which all that it starts
// keeps to.
func on(from, to int, start func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this
		done <- func() error {
			var all, some unix.CPUSet
			if err := unix.SchedGetaffinity(0, &all); err != nil {
				return err
			}
			for cpu, n := 0, 0; n < to && cpu < 64*len(all); cpu++ {
				if !all.IsSet(cpu) {
					continue
				}
				if n >= from {
					some.Set(cpu)
				}
				n++
			}
			if err := unix.SchedSetaffinity(0, &some); err != nil {
				return err
			}
			return start()
		}()
	}()
	return <-done
}
