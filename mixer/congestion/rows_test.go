package congestion

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

const ms = time.Millisecond

func steady(rate float64) []step { return []step{{0, rate}} }

var vp8 = []float64{0.4, 0.6, 1}

// row is one line of the table of what weak clients shall get.
type row struct {
	name  string
	w     weak
	want  string        // the tier to reach; none: sound alone
	soon  time.Duration // within
	early time.Duration // most that sound may wait at first; 0: the usual bound, if there is one for the first picture
	first time.Duration // picture within; 0: no bound
	fps   float64       // pictures a second, at least
	ice   float64       // most of the time that a picture may stand for over half a second; 0: no bound
	hole  time.Duration // longest time without a new picture; 0: no bound
	late  time.Duration // for which sound may come late after the link's fall; 0: no bound
	wait  time.Duration // of sound in the link, 95 of 100; 0: the usual bound
	held  time.Duration // for which a browser keeps sound back most of the time; 0: no bound
	high  float64       // most of the time that the link may be thought to carry a fifth more than it does, %; 0: no bound
	look  bool          // figures only, no bounds: see the comment at the row
}

func link(rate float64, delay time.Duration, loss float64) weak {
	return weak{
		down:   hop{steps: steady(rate), delay: delay, queue: 300 * ms, loss: loss},
		up:     hop{steps: steady(10e6), delay: delay, queue: time.Second, loss: loss},
		length: 40 * time.Second, layers: vp8, skew: 50e-6,
	}
}

func (w weak) with(change func(*weak)) weak {
	w.down.steps = slices.Clone(w.down.steps)
	change(&w)
	return w
}

func rows() []row {
	burst := link(1e6, 50*ms, 0.1)
	burst.down.burst, burst.up.burst = 5, 5
	drop := link(1e6, 50*ms, 0)
	drop.down.steps = []step{{0, 1e6}, {20 * time.Second, 150e3}, {40 * time.Second, 1e6}}
	drop.length = 60 * time.Second
	// A browser's own picture fills the way up when that falls, too, until it has noticed, and
	// feedback stands behind it.
	both := drop.with(func(w *weak) {
		w.down.queue, w.up.queue, w.layers = 500*ms, 500*ms, nil
		w.up.steps = []step{{0, 5e5}, {20 * time.Second, 75e3}, {40 * time.Second, 5e5}}
		w.speaks, w.shows = true, []step{{0, 150e3}, {22 * time.Second, 20e3}}
	})
	outage := link(1e6, 50*ms, 0)
	outage.down.steps = []step{{0, 1e6}, {20 * time.Second, 0}, {25 * time.Second, 1e6}}
	outage.up.steps = []step{{0, 1e7}, {20 * time.Second, 0}, {25 * time.Second, 1e7}}
	long := func(w *weak) { w.down.queue = time.Second }
	short := func(w *weak) { w.down.queue = 50 * ms }
	shaky := func(w *weak) { w.down.jitter, w.up.jitter = 30*ms, 30*ms }
	// As a browser begins: a burst of its own, and reports a quarter of a second apart.
	busy := func(w *weak) {
		w.up.steps, w.up.queue = steady(max(w.down.steps[0].rate/2, 50e3)), time.Second
		w.feedback, w.hint, w.chatter, w.speaks = 250*ms, true, 7000, true
	}
	told := func(w *weak) { w.changes = 1000 }
	stall := func(w *weak) { w.stalls = 250 * ms }
	policed := link(300e3, 100*ms, 0.01)
	policed.down.bucket = 10_000
	tcpish := link(1e6, 50*ms, 0)
	tcpish.down.queue = time.Second
	tcpish.cross = &tcp{from: 10 * time.Second, to: 30 * time.Second}
	return []row{
		{name: "300k", w: link(300e3, 100*ms, 0.01), held: 100 * ms, want: "270p", soon: 5 * time.Second, fps: 12, hole: time.Second},
		{name: "300k queue 1s", w: link(300e3, 100*ms, 0.01).with(long), held: 100 * ms, want: "270p", soon: 5 * time.Second, fps: 12, hole: time.Second},
		{name: "300k queue 50ms", w: link(300e3, 100*ms, 0.01).with(short), held: 100 * ms, want: "270p", soon: 5 * time.Second, fps: 12, hole: time.Second},
		{name: "300k jitter 30ms", w: link(300e3, 100*ms, 0.01).with(shaky), held: 100 * ms, want: "270p", soon: 5 * time.Second, fps: 12, hole: time.Second},
		{name: "300k reordered", w: link(300e3, 100*ms, 0.01).with(shaky).with(func(w *weak) { w.down.reorder = true }), want: "270p", soon: 5 * time.Second, fps: 12},
		{name: "300k drift 500ppm", w: link(300e3, 100*ms, 0.01).with(func(w *weak) { w.skew = 500e-6; w.length = 90 * time.Second }), want: "270p", soon: 5 * time.Second, fps: 12},
		{name: "100k", w: link(100e3, 150*ms, 0.02), want: "180p", soon: 5 * time.Second, fps: 4, hole: 2 * time.Second},
		{name: "100k queue 1s", w: link(100e3, 150*ms, 0.02).with(long), want: "180p", soon: 5 * time.Second, fps: 4, hole: 2 * time.Second},
		{name: "100k jitter 30ms", w: link(100e3, 150*ms, 0.02).with(shaky), want: "180p", soon: 5 * time.Second, fps: 4, hole: 2 * time.Second},
		{name: "100k reports lost", w: link(100e3, 150*ms, 0.02).with(func(w *weak) { w.up.loss = 0.2; w.feedback = 250 * ms }), want: "180p", soon: 20 * time.Second, fps: 3},
		{name: "100k busy client", w: link(100e3, 150*ms, 0.02).with(busy), want: "180p", soon: 8 * time.Second, fps: 4, hole: 2 * time.Second},
		{name: "50k busy client", w: link(50e3, 200*ms, 0.02).with(busy), want: "slides", soon: 12 * time.Second, fps: 0.5, hole: 4 * time.Second},
		// The page has told what the offer's way up was like; at worst a packet of that was lost.
		{name: "50k told of", w: link(50e3, 200*ms, 0.02).with(busy).with(func(w *weak) { w.carries = 50000 }), want: "slides", soon: 3 * time.Second, first: 4 * time.Second, wait: 110 * ms, fps: 0.5, hole: 4 * time.Second},
		{name: "50k told of as 20", w: link(50e3, 200*ms, 0.02).with(busy).with(func(w *weak) { w.carries = 20000 }), want: "slides", soon: 6 * time.Second, first: 7 * time.Second, fps: 0.5, hole: 4 * time.Second},
		{name: "50k told of as 110", w: link(50e3, 200*ms, 0.02).with(busy).with(func(w *weak) { w.carries = 110000 }), want: "slides", soon: 12 * time.Second, fps: 0.5, hole: 4 * time.Second, early: 450 * ms},
		{name: "100k told of", w: link(100e3, 150*ms, 0.02).with(busy).with(func(w *weak) { w.carries = 100000 }), want: "180p", soon: 3 * time.Second, first: 4 * time.Second, fps: 4, hole: 2 * time.Second},
		{name: "100k told of as 50", w: link(100e3, 150*ms, 0.02).with(busy).with(func(w *weak) { w.carries = 50000 }), want: "180p", soon: 10 * time.Second, first: 4 * time.Second, fps: 4, hole: 2 * time.Second},
		{name: "30k told of", w: link(30e3, 300*ms, 0).with(busy).with(func(w *weak) { w.carries = 30000 }), want: "none"},
		// A keyframe of two pictures' rate takes two seconds here.
		{name: "50k", w: link(50e3, 200*ms, 0.02), want: "slides", soon: 12 * time.Second, fps: 0.5, hole: 4 * time.Second},
		{name: "100k plain", w: link(100e3, 150*ms, 0.02).with(busy).with(func(w *weak) { w.layers = nil }), want: "180p", soon: 12 * time.Second, fps: 4, hole: 2 * time.Second},
		// The room's state comes by TCP at once, a kilobyte every 2.5 s: on 100 kbit/s 180p is
		// reached after 10 s in the median of 40 seeds, on 50 a picture stands for 2 to 3.
		{name: "100k told", w: link(100e3, 150*ms, 0.02).with(busy).with(told), want: "180p", look: true},
		{name: "50k told", w: link(50e3, 200*ms, 0.02).with(busy).with(told), want: "slides", look: true},
		{name: "50k queue 1s", w: link(50e3, 200*ms, 0.02).with(long), want: "slides", soon: 12 * time.Second, fps: 0.5, hole: 4 * time.Second},
		{name: "30k", w: link(30e3, 300*ms, 0), want: "none"},
		{name: "30k queue 1s", w: link(30e3, 300*ms, 0).with(long), want: "none"},
		{name: "1M 20% iid", w: link(1e6, 50*ms, 0.2), held: 100 * ms, want: "360p", ice: 0.05, soon: 10 * time.Second, fps: 10, hole: 3 * time.Second},
		{name: "1M 10% bursts", w: burst, want: "360p", soon: 10 * time.Second, fps: 8, hole: 5 * time.Second},
		{name: "1M 20% plain", w: link(1e6, 50*ms, 0.2).with(func(w *weak) { w.layers = nil }), want: "360p", ice: 0.05, soon: 10 * time.Second, fps: 10, hole: 3 * time.Second},
		{name: "1M 10% bursts plain", w: burst.with(func(w *weak) { w.layers = nil }), want: "360p", soon: 10 * time.Second, fps: 8, hole: 5 * time.Second},
		{name: "1M-150k-1M", w: drop, held: 100 * ms, want: "540p", soon: 5 * time.Second, fps: 10, late: 850 * ms},
		{name: "  queue 1s", w: drop.with(long), want: "540p", soon: 5 * time.Second, fps: 10, late: 1700 * ms},
		{name: "  queue 50ms", w: drop.with(short), want: "540p", soon: 15 * time.Second, fps: 10},
		{name: "  jitter 30ms", w: drop.with(shaky), want: "540p", soon: 15 * time.Second, fps: 10},
		{name: "  no layers", w: drop.with(func(w *weak) { w.layers = nil }), want: "540p", soon: 5 * time.Second, fps: 10, late: 850 * ms},
		{name: "  up as well", w: both, want: "540p", soon: 5 * time.Second, fps: 10, late: 1250 * ms},
		{name: "1M outage 5s", w: outage, held: 100 * ms, want: "540p", soon: 5 * time.Second},
		{name: "3M", w: link(3e6, 30*ms, 0), want: "720p", soon: 3 * time.Second, fps: 24, hole: time.Second},
		{name: "30k told of as 45", w: link(30e3, 300*ms, 0).with(busy).with(func(w *weak) { w.carries = 45000 }), want: "none", look: true},
		{name: "30k as 45, 1s", w: link(30e3, 300*ms, 0).with(busy).with(long).with(func(w *weak) { w.carries = 45000 }), want: "none", look: true},
		// What a busy machine or a radio that sleeps holds back comes at once.
		{name: "30k stalls", w: link(30e3, 300*ms, 0).with(busy).with(stall), want: "none", high: 8, look: true},
		{name: "50k stalls", w: link(50e3, 200*ms, 0.02).with(busy).with(stall), want: "slides", high: 8, look: true},
		{name: "100k stalls", w: link(100e3, 150*ms, 0.02).with(busy).with(stall), want: "180p", high: 8, look: true},
		{name: "300k stalls", w: link(300e3, 100*ms, 0.01).with(busy).with(stall), want: "270p", high: 8, look: true},
		{name: "1M stalls", w: link(1e6, 50*ms, 0.01).with(busy).with(stall), want: "540p", high: 8, look: true},
		{name: "1M-150k-1M stalls", w: both.with(stall), want: "540p", high: 8, look: true},
		// Receiver reports alone see a queue late.
		{name: "300k RR only", w: link(300e3, 100*ms, 0.01).with(func(w *weak) { w.coarse = true; w.feedback = time.Second; w.length = 60 * time.Second }), want: "180p", look: true},
		// A token bucket shows no queue, and short probes slip through it.
		{name: "300k policer", w: policed, want: "270p", look: true},
		// A download that fills the queue.
		{name: "1M beside TCP", w: tcpish, want: "540p", look: true},
	}
}

func seeds(n int) int {
	if v, err := strconv.Atoi(os.Getenv("MIXDOWN_SWEEP")); err == nil {
		return v
	}
	return n
}

func name(i int) string {
	if i < 0 {
		return "none"
	}
	return defaultRungs(nil).Tiers[i].Name
}

func index(name string) int {
	return slices.IndexFunc(defaultRungs(nil).Tiers, func(t Tier) bool { return t.Name == name })
}

// TestRows runs every row over a few seeds, or as many as MIXDOWN_SWEEP says,
// and prints median and worst.
func TestRows(t *testing.T) {
	n := seeds(5)
	for _, r := range rows() {
		t.Run(r.name, func(t *testing.T) {
			var all []figures
			for seed := range uint64(n) {
				all = append(all, run(r.w, seed+1))
			}
			r.print(t, all)
			if median, worst := spread(all, r.over); r.high > 0 && worst > r.high {
				t.Errorf("%s: thought to carry too much for %.3g %% of the time (median %.3g), more than %g", r.name, worst, median, r.high)
			}
			if !r.look {
				r.check(t, all)
			}
		})
	}
}

func seconds(d time.Duration) float64 { return min(d.Seconds(), 99) }

// spread is the median and the worst of a figure; the worst is the largest.
func spread(all []figures, get func(f figures) float64) (median, worst float64) {
	var v []float64
	for _, f := range all {
		v = append(v, get(f))
	}
	slices.Sort(v)
	return v[len(v)/2], v[len(v)-1]
}

func (r row) reach(f figures) float64 {
	if want := index(r.want); want >= 0 {
		return seconds(f.reached(want, 0))
	}
	return 0
}

// again is when the tier was back after the link's last change.
func (r row) again(f figures) float64 {
	steps := r.w.down.steps
	if len(steps) < 3 {
		return 0
	}
	return seconds(f.reached(index(r.want), steps[2].from))
}

// after is how long the picture stood after the link's first change.
func (r row) after(f figures) float64 {
	steps := r.w.down.steps
	if len(steps) < 3 {
		return 0
	}
	return seconds(f.longest(steps[1].from, steps[2].from))
}

// over is for how much of the time the link was thought to carry a fifth more than it does.
func (r row) over(f figures) float64 {
	n := 0
	for i, rate := range f.rates {
		if carries, _ := r.w.down.rate(time.Duration(i) * 100 * ms); float64(rate) > 1.2*carries {
			n++
		}
	}
	return 100 * float64(n) / float64(len(f.rates))
}

// lateFor is for how long after that sound came late.
func (r row) lateFor(f figures) float64 {
	steps := r.w.down.steps
	if len(steps) < 3 {
		return 0
	}
	return seconds(f.lateFor(steps[1].from))
}

func (r row) print(t *testing.T, all []figures) {
	line := fmt.Sprintf("%-18s", r.name)
	for _, c := range []struct {
		name string
		get  func(f figures) float64
	}{
		{"sent%", func(f figures) float64 { return 100 * f.sent }},
		{"drop%", func(f figures) float64 { return 100 * f.drops }},
		{"q95", func(f figures) float64 { return 1000 * f.p(.95).Seconds() }},
		{"reach", r.reach},
		{"first", func(f figures) float64 { return seconds(f.first) }},
		{"snd0", func(f figures) float64 { return 1000 * f.early.Seconds() }},
		{"stood", r.after},
		{"late", r.lateFor},
		{"again", r.again},
		{"snd95", func(f figures) float64 { return 1000 * quantile(f.sounds, .95).Seconds() }},
		{"sndmax", func(f figures) float64 { return 1000 * quantile(f.sounds, 1).Seconds() }},
		{"buf", func(f figures) float64 { return 1000 * quantile(f.ears, .5).Seconds() }},
		{"buf80", func(f figures) float64 { return 1000 * quantile(f.ears, .8).Seconds() }},
		{"gap", func(f figures) float64 { return 1000 * f.soundGap.Seconds() }},
		{"1/fps", func(f figures) float64 { return min(1/f.fps, 99) }},
		{"hole", func(f figures) float64 { return seconds(f.freeze) }},
		{"frozen%", func(f figures) float64 { return 100 * f.frozen }},
		{"keys", func(f figures) float64 { return float64(f.keys) }},
		{"over%", r.over},
		{"pad%", func(f figures) float64 { return 100 * f.padding }},
	} {
		median, worst := spread(all, c.get)
		line += fmt.Sprintf(" %s %.4g/%.4g", c.name, median, worst)
	}
	end := map[string]int{}
	for _, f := range all {
		end[name(f.tiers[len(f.tiers)-1])]++
	}
	t.Logf("%s %v", line, end)
}

// check holds every run to the link's bounds, and their median to the picture's.
func (r row) check(t *testing.T, all []figures) {
	most := func(what string, bound float64, get func(f figures) float64) {
		t.Helper()
		if median, worst := spread(all, get); median > bound {
			t.Errorf("%s: %s is %.4g (worst %.4g), more than %.4g", r.name, what, median, worst, bound)
		}
	}
	for seed, f := range all {
		if f.sent > 1.05 {
			t.Errorf("%s seed %d: sent %.3f of what the link carries", r.name, seed+1, f.sent)
		}
		if q := f.p(.95); q > 250*ms {
			t.Errorf("%s seed %d: queue p95 %v", r.name, seed+1, q)
		}
		if f.drops > 0.02 {
			t.Errorf("%s seed %d: %.4f of packets found no room", r.name, seed+1, f.drops)
		}
	}
	drops := 0.01
	if r.w.down.queue < 100*ms {
		drops = 0.015 // it has room for one large packet and somebody else's
	}
	most("drops", drops, func(f figures) float64 { return f.drops })
	if r.held > 0 {
		most("sound kept back, s", r.held.Seconds(), func(f figures) float64 { return quantile(f.ears, .5).Seconds() })
	}
	most("sound p95, s", cmp.Or(r.wait, 250*ms).Seconds(), func(f figures) float64 { return quantile(f.sounds, .95).Seconds() })
	if index(r.want) < 0 {
		most("pictures", 0, func(f figures) float64 { return float64(len(f.shown)) })
		most("sound gap, s", 0.2, func(f figures) float64 { return f.soundGap.Seconds() })
		return
	}
	most("time to reach "+r.want+", s", r.soon.Seconds(), r.reach)
	if r.early > 0 {
		most("longest wait of sound at first, s", r.early.Seconds(), func(f figures) float64 { return f.early.Seconds() })
	}
	if r.first > 0 {
		most("time to the first picture, s", r.first.Seconds(), func(f figures) float64 { return f.first.Seconds() })
		// Nothing that is sent first makes a queue that all sound begins behind.
		most("longest wait of sound at first, s", 0.25, func(f figures) float64 { return f.early.Seconds() })
	}
	if r.fps > 0 {
		most("1/fps", 1/r.fps, func(f figures) float64 { return 1 / f.fps })
	}
	if r.ice > 0 {
		most("time frozen", r.ice, func(f figures) float64 { return f.frozen })
	}
	if r.hole > 0 {
		most("time without a picture, s", r.hole.Seconds(), func(f figures) float64 { return f.freeze.Seconds() })
	}
	if steps := r.w.down.steps; len(steps) == 3 {
		most("time to be back, s", 15, r.again)
		if steps[1].rate > 0 {
			stood := 3.0
			if r.w.down.jitter > 0 {
				stood = 3.5 // the queue shows later
			}
			most("standing picture after the drop, s", stood, r.after)
			most("sound gap, s", 0.5, func(f figures) float64 { return f.soundGap.Seconds() })
			if r.late > 0 {
				most("late sound after the drop, s", r.late.Seconds(), r.lateFor)
			}
		}
	}
}
