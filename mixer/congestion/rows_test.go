package congestion

import (
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

// row is one line of the table.
type row struct {
	name string
	w    weak
	// want is the worst tier that is good enough at the end, none if it may be sound.
	want  string
	check func(t *testing.T, f figures, seed uint64)
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
	outage := link(1e6, 50*ms, 0)
	outage.down.steps = []step{{0, 1e6}, {20 * time.Second, 0}, {25 * time.Second, 1e6}}
	outage.up.steps = []step{{0, 1e7}, {20 * time.Second, 0}, {25 * time.Second, 1e7}}
	long := func(w *weak) { w.down.queue = time.Second }
	short := func(w *weak) { w.down.queue = 50 * ms }
	shaky := func(w *weak) { w.down.jitter, w.up.jitter = 30*ms, 30*ms }
	return []row{
		{name: "300k", w: link(300e3, 100*ms, 0.01), want: "270p"},
		{name: "300k 1s queue", w: link(300e3, 100*ms, 0.01).with(long), want: "270p"},
		{name: "300k 50ms queue", w: link(300e3, 100*ms, 0.01).with(short), want: "270p"},
		{name: "300k jitter", w: link(300e3, 100*ms, 0.01).with(shaky), want: "270p"},
		{name: "300k 10ms queue", w: link(300e3, 100*ms, 0.01).with(func(w *weak) { w.down.bytes = 1600 }), want: "270p"},
		{name: "100k", w: link(100e3, 150*ms, 0.02), want: "180p"},
		{name: "100k 1s queue", w: link(100e3, 150*ms, 0.02).with(long), want: "180p"},
		{name: "100k jitter", w: link(100e3, 150*ms, 0.02).with(shaky), want: "180p"},
		{name: "50k", w: link(50e3, 200*ms, 0.02), want: "slides"},
		{name: "50k 1s queue", w: link(50e3, 200*ms, 0.02).with(long), want: "slides"},
		{name: "30k", w: link(30e3, 300*ms, 0), want: "none"},
		{name: "30k 1s queue", w: link(30e3, 300*ms, 0).with(long), want: "none"},
		{name: "1M 20% iid", w: link(1e6, 50*ms, 0.2), want: "360p"},
		{name: "1M 10% bursts", w: burst, want: "360p"},
		{name: "1M-150k-1M", w: drop, want: "540p"},
		{name: "1M-150k-1M 1s", w: drop.with(long), want: "540p"},
		{name: "1M-150k-1M 50ms", w: drop.with(short), want: "540p"},
		{name: "1M-150k-1M jit", w: drop.with(shaky), want: "540p"},
		{name: "outage 5s", w: outage, want: "540p"},
		{name: "3M", w: link(3e6, 30*ms, 0), want: "720p"},
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
	return DefaultRungs(nil).Tiers[i].Name
}

func index(name string) int {
	return slices.IndexFunc(DefaultRungs(nil).Tiers, func(t Tier) bool { return t.Name == name })
}

func TestRows(t *testing.T) {
	n := seeds(3)
	t.Logf("%-18s %s", "row", "median/worst of: sent%, drops%, queue p95 ms, tier at end, reach s, sound p95/max ms, gap, fps, freeze s, keys, padding%")
	for _, r := range rows() {
		var all []figures
		for seed := range uint64(n) {
			all = append(all, run(r.w, seed+1))
		}
		want := index(r.want)
		mw := func(get func(f figures) float64, worst float64) string {
			var v []float64
			for _, f := range all {
				v = append(v, get(f))
			}
			slices.Sort(v)
			w := v[len(v)-1]
			if worst < 0 {
				w = v[0]
			}
			return fmt.Sprintf("%6.1f/%6.1f", v[len(v)/2], w)
		}
		sec := func(d time.Duration) float64 { return min(d.Seconds(), 99) }
		reach := func(f figures) float64 {
			if want < 0 {
				return 0
			}
			return sec(f.reached(want, 0))
		}
		end := map[string]int{}
		for _, f := range all {
			end[name(f.tiers[len(f.tiers)-1])]++
		}
		if len(r.w.down.steps) == 3 {
			t.Logf("   back %s moving after drop %s after rise %s", mw(func(f figures) float64 { return sec(f.reached(want, r.w.down.steps[2].from)) }, 1),
				mw(func(f figures) float64 { return sec(f.longest(20*time.Second, 40*time.Second)) }, 1),
				mw(func(f figures) float64 { return sec(f.longest(40*time.Second, 60*time.Second)) }, 1))
		}
		t.Logf("%-16s sent %s drop %s q95 %s reach %s snd95 %s sndmax %s gap %s fps %s frz %s key %s pad %s rate %s %v", r.name,
			mw(func(f figures) float64 { return 100 * f.sent }, 1),
			mw(func(f figures) float64 { return 100 * f.drops }, 1),
			mw(func(f figures) float64 { return 1000 * f.p(.95).Seconds() }, 1),
			mw(reach, 1),
			mw(func(f figures) float64 { return 1000 * quantile(f.sounds, .95).Seconds() }, 1),
			mw(func(f figures) float64 { return 1000 * quantile(f.sounds, 1).Seconds() }, 1),
			mw(func(f figures) float64 { return 1000 * f.soundGap.Seconds() }, 1),
			mw(func(f figures) float64 { return f.fps }, -1),
			mw(func(f figures) float64 { return sec(f.freeze) }, 1),
			mw(func(f figures) float64 { return float64(f.keys) }, 1),
			mw(func(f figures) float64 { return 100 * f.padding }, 1),
			mw(func(f figures) float64 { return float64(f.rates[len(f.rates)-1]) / 1000 }, -1),
			end)
	}
}
