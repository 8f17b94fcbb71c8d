package mixer

import (
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

// defaultBudget is the share of the cores that pictures may take; the rest is
// for sound, for packets, and for what comes unforeseen.
const defaultBudget = .75

// load watches what the server spends, and has its rooms save when that is too
// much. Its goroutine is the Server's.
type load struct {
	limit atomic.Int64 // ns a second
	full  atomic.Bool  // no room for newcomers
	done  chan struct{}

	// Of the last period, for metrics.
	demand    atomic.Int64  // ns a second
	cpu, late atomic.Uint64 // thousandths
	fixed     atomic.Uint64 // too
	held      [Stills + 1]atomic.Int64
	taken     [Stills + 1]atomic.Uint64
	refused   atomic.Uint64

	// The goroutine's own.
	budget    *budget
	at        time.Time
	cpuTime   time.Duration
	soundLate time.Duration
	sounds    uint64
}

func newLoad(limit time.Duration) *load {
	if limit == 0 {
		limit = time.Duration(defaultBudget * float64(runtime.NumCPU()) * float64(time.Second))
	}
	l := &load{budget: newBudget(limit)}
	l.limit.Store(int64(limit))
	return l
}

// watchLoad runs until the server ends.
func (s *Server) watchLoad() {
	defer close(s.load.done)
	tick := time.NewTicker(budgetPeriod)
	defer tick.Stop()
	s.load.at = time.Now()
	for {
		select {
		case <-tick.C:
			s.account(time.Now()) // which may be much later than the tick: a period is what it took
		case <-s.ctx.Done():
			return
		}
	}
}

// account measures one period and has rooms save, or gives back.
func (s *Server) account(now time.Time) {
	l := s.load
	u := s.measure(now)
	l.budget.limit = time.Duration(l.limit.Load())
	save, back := l.budget.step(u)
	for _, o := range save {
		l.taken[o.Step].Add(1)
		s.change(o, "saving", func(had []Saving) []Saving { return append(had, o.Saving) })
	}
	for _, o := range back {
		s.change(o, "giving back", func(had []Saving) []Saving {
			return slices.DeleteFunc(had, func(h Saving) bool { return h == o.Saving })
		})
	}
	if full := l.budget.full; l.full.Swap(full) != full {
		s.cfg.Log.Warn("newcomers", "refused", full, "demand", u.demand, "budget", l.budget.limit, "cpu", u.cpu, "late", u.late)
	}
	l.demand.Store(int64(u.demand))
	l.cpu.Store(uint64(1000 * u.cpu))
	l.late.Store(uint64(1000 * u.late))
	l.fixed.Store(uint64(1000 * u.fixed))
	var held [Stills + 1]int64
	for _, o := range l.budget.taken {
		held[o.Step]++
	}
	for i := range held {
		l.held[i].Store(held[i])
	}
}

// change changes what a room saves; one that has gone is left alone.
func (s *Server) change(o option, what string, to func([]Saving) []Saving) {
	r, err := s.room(o.room)
	if err != nil {
		return
	}
	_ = r.do(func() {
		r.setSavings(to(slices.Clone(r.savings)))
		r.log.Warn("budget: "+what, "step", o.Step, "tier", o.Tier, "into", o.Into, "worth", o.worth.Round(time.Millisecond))
	})
}

// measure asks all rooms what the period that ends now was like.
func (s *Server) measure(now time.Time) usage {
	l := s.load
	period := now.Sub(l.at)
	l.at = now
	var u usage
	var sum appraisal
	for _, r := range s.all() {
		var a appraisal
		if r.do(func() { a = r.appraise(period) }) != nil {
			continue // it has just closed
		}
		u.demand += a.demand
		u.options = append(u.options, a.options...)
		u.held = append(u.held, a.held...)
		sum.spent += a.spent
		sum.late, sum.deadlines = sum.late+a.late, sum.deadlines+a.deadlines
		sum.units, sum.missed = sum.units+a.units, sum.missed+a.missed
	}
	if sum.deadlines > 0 {
		u.late = sum.late / float64(sum.deadlines)
	}
	u.sound = l.soundLateness(s.metrics)
	u.late = max(u.late, u.sound)
	u.behind = sum.missed*50 > sum.units
	if cpu := processTime(); !s.virtual && period > 0 {
		all := float64(period) * float64(runtime.NumCPU())
		u.cpu = float64(cpu-l.cpuTime) / all
		u.fixed = max(0, u.cpu-float64(sum.spent)/all)
		l.cpuTime = cpu
	}
	return u
}

// soundLateness is how late the sound clocks were since it was last called,
// mean, in their intervals.
func (l *load) soundLateness(m *metrics) float64 {
	late, n := time.Duration(m.soundLate.sum.Load()), m.soundLate.n.Load()
	defer func() { l.soundLate, l.sounds = late, n }()
	if n == l.sounds {
		return 0
	}
	return float64(late-l.soundLate) / float64(n-l.sounds) / float64(soundTick)
}

// collect gives the budget's figures.
func (l *load) collect(out chan<- prometheus.Metric) {
	gauge(out, "mixdown_budget_seconds", "Encoding, composing and decoding that the server may do each second.", time.Duration(l.limit.Load()).Seconds())
	gauge(out, "mixdown_budget_demand_seconds", "What its tiers and senders need each second, if no clock is to be late.", time.Duration(l.demand.Load()).Seconds())
	gauge(out, "mixdown_budget_cpu_ratio", "Share of the cores that the process takes.", float64(l.cpu.Load())/1000)
	gauge(out, "mixdown_budget_fixed_ratio", "Share of the cores that all but pictures takes, of which nothing can be saved.", float64(l.fixed.Load())/1000)
	gauge(out, "mixdown_budget_late_ratio", "Mean lateness of the clocks, in their intervals.", float64(l.late.Load())/1000)
	full := 0.
	if l.full.Load() {
		full = 1
	}
	gauge(out, "mixdown_budget_full", "1 while newcomers are refused.", full)
	count(out, "mixdown_joins_over_budget_total", "Newcomers refused because the budget was spent.", float64(l.refused.Load()))
	for s := Converge; s <= Stills; s++ {
		gauge(out, "mixdown_savings", "Steps of saving that rooms are under now.", float64(l.held[s].Load()), "step", s.String())
		count(out, "mixdown_savings_total", "Steps of saving that were taken.", float64(l.taken[s].Load()), "step", s.String())
	}
}

// processTime is what threadTime is, of all threads.
func processTime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
