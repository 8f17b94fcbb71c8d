package mixer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// plant is a server as the budget sees it: what it spends follows from what is
// saved, and shows a period later.
type plant struct {
	base      time.Duration // that nothing saves
	options   []option
	factor    float64 // of what giving back costs, above what was promised
	cpu, late float64
	fixed     float64
	sound     float64
	behind    bool
	held      []place
	shown     time.Duration
}

// rooms makes a plant of n rooms with everything to save, each worth 200 ms.
func rooms(n int) *plant {
	p := &plant{}
	for i := range n {
		room := fmt.Sprintf("room%02d", i)
		for _, o := range []struct {
			Saving
			ms int
		}{
			{Saving{Step: Converge}, 30}, {Saving{Merge, "720p", "360p"}, 80}, {Saving{Step: Halve, Tier: "360p"}, 40},
			{Saving{Step: Rest, Tier: "360p"}, 20}, {Saving{Step: Stills}, 30},
		} {
			p.options = append(p.options, option{place{room, o.Saving}, time.Duration(o.ms+i) * time.Millisecond})
		}
	}
	return p
}

func (p *plant) demand() time.Duration {
	sum := p.base
	for _, o := range p.options {
		if !slices.Contains(p.held, o.place) {
			sum += o.worth
		}
	}
	return sum
}

// run steps b that many periods and returns all that was saved and given back.
func (p *plant) run(b *budget, periods int) (saved, back []option) {
	for range periods {
		u := usage{demand: p.shown, cpu: p.cpu, fixed: p.fixed, late: p.late, sound: p.sound, behind: p.behind}
		if u.demand == 0 {
			u.demand = p.demand()
		}
		for _, o := range p.options {
			if p.factor > 0 {
				o.worth = time.Duration(float64(o.worth) / p.factor)
			}
			if slices.Contains(p.held, o.place) {
				u.held = append(u.held, o)
			} else {
				u.options = append(u.options, o)
			}
		}
		p.shown = p.demand()
		s, g := b.step(u)
		for _, o := range s {
			p.held = append(p.held, o.place)
		}
		for _, o := range g {
			p.held = slices.DeleteFunc(p.held, func(h place) bool { return h == o.place })
		}
		saved, back = append(saved, s...), append(back, g...)
	}
	return saved, back
}

func steps(options []option) (out []Step) {
	for _, o := range options {
		out = append(out, o.Step)
	}
	return out
}

// TestBudgetSavesTwinsFirst: however little that saves, no tier is merged before.
func TestBudgetSavesTwinsFirst(t *testing.T) {
	twin := option{place{"a", Saving{Merge, "720p twin", "720p"}}, 5 * time.Millisecond}
	tier := option{place{"a", Saving{Merge, "720p", "360p"}}, 80 * time.Millisecond}
	codecs := option{place{"a", Saving{Step: Converge}}, time.Millisecond}
	b := newBudget(100 * time.Millisecond)
	for _, c := range []struct {
		options []option
		want    option
	}{
		{[]option{tier, twin, codecs}, codecs},
		{[]option{tier, twin}, twin},
		{[]option{tier}, tier},
	} {
		if got := b.save(c.options, 300*time.Millisecond); len(got) != 1 || got[0] != c.want {
			t.Errorf("of %v %v is saved", c.options, got)
		}
	}
	b.taken = []option{tier, twin}
	if back := b.giveBack(3 * time.Millisecond); len(back) != 1 || back[0] != tier {
		t.Errorf("%v is given back", back)
	}
}

const seconds = int(time.Second / budgetPeriod)

func TestBudgetSavesInOrder(t *testing.T) {
	for _, n := range []int{1, 4, 25} {
		p := rooms(n)
		full := p.demand()
		b := newBudget(full)
		if saved, _ := p.run(b, 60*seconds); len(saved) > 0 {
			t.Fatalf("%d rooms: within the budget, %v is saved", n, saved)
		}

		// Twice as much as there is: all of it comes to less than half, so it has to
		// stop on the way.
		b.limit = full / 2
		saved, back := p.run(b, 30*seconds)
		if got := steps(saved); !slices.IsSorted(got) || got[0] != Converge || got[len(got)-1] < Merge {
			t.Errorf("%d rooms: saved in the order %v", n, got)
		}
		if len(back) > 0 || b.full || p.demand() > b.limit {
			t.Errorf("%d rooms: %d given back, full %v, %v of %v", n, len(back), b.full, p.demand(), b.limit)
		}
		if !slices.ContainsFunc(p.options, func(o option) bool { return !slices.Contains(p.held, o.place) }) {
			t.Errorf("%d rooms: more is saved than needed", n)
		}
		if saved, back := p.run(b, 600*seconds); len(saved)+len(back) > 0 {
			t.Errorf("%d rooms: it swings: %v, %v", n, saved, back)
		}

		b.limit = 3 * full / 2 // relief
		_, back = p.run(b, 10*seconds)
		if len(p.held) > 0 {
			t.Errorf("%d rooms: 10 s after relief %v is still saved", n, p.held)
		}
		if got := steps(back); !slices.IsSortedFunc(got, func(a, b Step) int { return int(b - a) }) {
			t.Errorf("%d rooms: given back in the order %v", n, got)
		}
	}
}

// Of one kind, what saves most goes first, and a room at a time.
func TestBudgetChoosesByWorth(t *testing.T) {
	p := rooms(8)
	b := newBudget(p.demand() - 40*time.Millisecond)
	saved, _ := p.run(b, 10*seconds)
	if len(saved) < 2 || saved[0].room != "room07" || saved[1].room != "room06" {
		t.Errorf("saved %v", saved)
	}
}

func TestBudgetRefusesLast(t *testing.T) {
	p := rooms(3)
	p.base = time.Second
	b := newBudget(500 * time.Millisecond)
	for range 60 * seconds {
		p.run(b, 1)
		if b.full && len(p.held) < len(p.options) {
			t.Fatalf("newcomers are refused with %d of %d saved", len(p.held), len(p.options))
		}
	}
	if !b.full {
		t.Fatal("all is saved, it is too much, and newcomers come in")
	}
	p.base = 440 * time.Millisecond // just under: neither newcomers nor more for those here
	p.run(b, 20*seconds)
	if b.full || len(p.held) == 0 {
		t.Errorf("full %v with %d saved", b.full, len(p.held))
	}
	p.base = 0
	b.limit = time.Second
	p.run(b, 10*seconds)
	if b.full || len(p.held) > 0 {
		t.Errorf("10 s after relief: full %v, %d saved", b.full, len(p.held))
	}
}

// Sound and packets are what newcomers bring most of, and nothing saves them: a machine
// that is too small and half of which goes to them takes nobody, whatever pictures could
// still do without. One that is large enough does.
func TestBudgetRefusesForSound(t *testing.T) {
	p := rooms(8)
	b := newBudget(10 * p.demand())
	p.cpu, p.fixed = .7, .6
	if p.run(b, 20*seconds); b.full {
		t.Error("newcomers are refused by a machine with time to spare")
	}
	p.cpu, p.late = 1, .6
	if p.run(b, 2*seconds); !b.full || len(p.held) == len(p.options) {
		t.Errorf("full %v with %d of %d saved", b.full, len(p.held), len(p.options))
	}
	p.cpu, p.late = .9, .2 // saving has helped, and the next newcomer would undo it
	if p.run(b, 20*seconds); !b.full {
		t.Error("newcomers come in, though the machine is as good as full")
	}
	p.cpu, p.late = .8, 0
	if p.run(b, 10*seconds); b.full {
		t.Error("newcomers are refused by a machine with time to spare again")
	}
	p.cpu, p.fixed, p.late = 1, .4, .6
	if p.run(b, 2*seconds); b.full || len(p.held) == len(p.options) {
		t.Errorf("full %v with %d of %d saved, though pictures are most of it", b.full, len(p.held), len(p.options))
	}
}

// What is given back costs what was promised, and that is seen in the next period: it is not
// counted a second time, taken for too much, and saved again.
func TestBudgetGivesBackForGood(t *testing.T) {
	p := rooms(1)
	p.options = []option{{place{"a", Saving{Step: Converge}}, 240 * time.Millisecond}}
	p.base = 340 * time.Millisecond
	b := newBudget(500 * time.Millisecond)
	if p.run(b, 5*seconds); len(p.held) != 1 {
		t.Fatalf("saved %v", p.held)
	}
	b.limit = 750 * time.Millisecond // which twice as much would not fit into
	if saved, back := p.run(b, 10*seconds); len(saved) > 0 || len(back) != 1 {
		t.Errorf("10 s after relief %v has been given back, and %v saved again", back, saved)
	}
}

// When everybody has just come and clocks are late, nothing is known yet of
// what could be saved: that is no reason to refuse.
func TestBudgetKnowsNothingYet(t *testing.T) {
	b := newBudget(time.Second)
	for range 10 {
		if b.step(usage{cpu: 1, late: 2}); b.full {
			t.Fatal("newcomers are refused before anything is saved")
		}
	}
	// A room that comes when all others save already has something to save first.
	p := rooms(1)
	p.base = 2 * time.Second
	p.run(b, 30*seconds)
	if !b.full {
		t.Fatal("all is saved, it is too much, and newcomers come in")
	}
	p.options = append(p.options, option{place{"another", Saving{Step: Stills}}, time.Millisecond})
	if p.run(b, 1); b.full {
		t.Error("newcomers are refused with something left to save")
	}
}

// When a step back turns out dearer than promised it is tried ever less often,
// and yet all comes back with relief.
func TestBudgetLearns(t *testing.T) {
	p := rooms(1)
	p.factor = 4
	// Without the merge it is too much, and the merge promises to be affordable.
	b := newBudget(165 * time.Millisecond)
	saved, back := p.run(b, 180*seconds)
	// A try is two steps here, and there is one in twenty seconds at most.
	if n := len(back); n < 1 || n > 18 || len(saved) > n+2 {
		t.Errorf("%d given back, %d saved in three minutes of the same load", n, len(saved))
	}
	b.limit *= 3
	p.run(b, 10*seconds)
	if len(p.held) > 0 {
		t.Errorf("10 s after relief %v is still saved", p.held)
	}
}

// Others may use the machine: then clocks come late while little is spent, and
// pictures give way. Newcomers are refused only if much is spent here, too.
func TestBudgetFollowsClocks(t *testing.T) {
	p := rooms(2)
	p.base = 10 * time.Millisecond
	b := newBudget(10 * p.demand())
	p.late = .6
	saved, _ := p.run(b, 60*seconds)
	if got := steps(saved); len(saved) != len(p.options) || !slices.IsSorted(got) || b.full {
		t.Errorf("saved %v, full %v", got, b.full)
	}
	p.base = 6 * b.limit / 10
	if p.run(b, 60*seconds); !b.full {
		t.Error("newcomers come in, though more than half of the budget is spent and clocks are late")
	}
	p.base = 10 * time.Millisecond
	p.late = .2 // better, not good: nothing moves
	if saved, back := p.run(b, 60*seconds); len(saved)+len(back) > 0 || b.full {
		t.Errorf("saved %v, given back %v, full %v", saved, back, b.full)
	}
	p.late = 0
	p.run(b, 10*seconds)
	if len(p.held) > 0 {
		t.Errorf("10 s after relief %v is still saved", p.held)
	}
}

// Late sound is waited with by nobody, whoever makes it late.
func TestBudgetHurriesForSound(t *testing.T) {
	p := rooms(2)
	b := newBudget(10 * p.demand())
	p.late, p.sound = .6, .6
	if saved, _ := p.run(b, 2*seconds); len(saved) == 0 {
		t.Error("2 s of late sound, and nothing is saved")
	}
}

// Clocks that come late because others use the machine are not helped by taking half of the
// pictures from a tier that costs next to nothing. If it is the budget that is spent, all counts.
func TestBudgetLeavesPetty(t *testing.T) {
	p := rooms(1)
	p.base = 100 * time.Millisecond
	weak := place{"room00", Saving{Step: Halve, Tier: "270p"}}
	p.options = append(p.options, option{weak, 5 * time.Millisecond})
	b := newBudget(10 * p.demand())
	p.late = .6
	if p.run(b, 60*seconds); len(p.held) != len(p.options)-1 || slices.Contains(p.held, weak) {
		t.Errorf("saved %v", p.held)
	}
	b.limit = p.demand() / 2
	if p.run(b, 60*seconds); !slices.Contains(p.held, weak) {
		t.Error("the budget is spent, and something is not saved")
	}
}

// A keyframe is no overload.
func TestBudgetWaitsOutAPeak(t *testing.T) {
	p := rooms(2)
	b := newBudget(p.demand() * 11 / 10)
	p.run(b, 2)
	for range 50 {
		p.base = p.demand()
		if saved, _ := p.run(b, 1); len(saved) > 0 {
			t.Fatalf("saved %v", saved)
		}
		p.base = 0
		if saved, _ := p.run(b, 4); len(saved) > 0 {
			t.Fatalf("saved %v", saved)
		}
	}
}

// A pool that is too small for its senders on a machine with time to spare is
// helped by decoding less, and by nothing else.
func TestBudgetHelpsDecoders(t *testing.T) {
	p := rooms(2)
	b := newBudget(10 * p.demand())
	p.behind = true
	p.late = .6 // then it is not the pool that is too small
	if saved, _ := p.run(b, 10*seconds); len(saved) > 0 {
		t.Errorf("saved %v, though others have the cores", saved)
	}
	p.late = 0
	saved, _ := p.run(b, 20*seconds)
	if got := steps(saved); !slices.Equal(got, []Step{Stills, Stills}) || b.full {
		t.Errorf("saved %v", got)
	}
}

// What a room has stopped saving by itself is not given back to it.
func TestBudgetForgets(t *testing.T) {
	p := rooms(2)
	b := newBudget(p.demand() / 2)
	p.run(b, 10*seconds)
	p.held, p.options = nil, nil // both rooms are gone
	_, back := p.run(b, 1)
	if len(b.taken)+len(back) > 0 {
		t.Errorf("%v is still taken, %v given back", b.taken, back)
	}
}

// weakOn is a room on a machine that others use: all but one are on 720p, and one on that tier.
func (p *plant) weakOn(tier string) {
	merge := Saving{Merge, "720p", tier}
	for _, h := range p.held {
		if h.Step == Merge {
			merge = h.Saving // goes on being held when nobody else is there any more
		}
	}
	p.base = 100 * time.Millisecond
	p.options = nil
	offer := func(s Saving, ms int) {
		p.options = append(p.options, option{place{"a", s}, time.Duration(ms) * time.Millisecond})
	}
	if merge.Into != "270p" { // which is too far down
		offer(merge, 300)
	}
	if merge.Into == "270p" || !slices.Contains(p.held, place{"a", merge}) {
		offer(Saving{Step: Halve, Tier: "720p"}, 150)
	}
	offer(Saving{Step: Halve, Tier: tier}, 40)
	offer(Saving{Step: Stills}, 50)
	p.held = slices.DeleteFunc(p.held, func(h place) bool {
		return !slices.ContainsFunc(p.options, func(o option) bool { return o.place == h })
	})
}

// A merge and its end cost who is moved a keyframe and a picture of another size each. Clocks that
// are late for a while because others use the machine are not worth them, and if they
// always are, it is not tried all the time whether that is over.
func TestBudgetLeavesTiersInPeace(t *testing.T) {
	const minutes = 30
	for _, c := range []struct {
		name string
		late func(r *rand.Rand, second int, spent time.Duration) bool
		most int // keyframes that this may cost
	}{
		{"bursts", func() func(*rand.Rand, int, time.Duration) bool {
			from, to := 0, 0
			return func(r *rand.Rand, second int, _ time.Duration) bool {
				if second >= to {
					from = second + 4 + r.IntN(5)
					to = from + 1 + r.IntN(2)
				}
				return second >= from
			}
		}(), 0},
		{"most of the time", func(r *rand.Rand, _ int, _ time.Duration) bool { return r.IntN(8) > 0 }, 0},
		{"whenever little more is spent", func(_ *rand.Rand, _ int, spent time.Duration) bool {
			return spent > 400*time.Millisecond
		}, 2 * minutes},
	} {
		r := rand.New(rand.NewPCG(5, 7))
		p, b := &plant{}, newBudget(1500*time.Millisecond)
		keyframes, tier := 0, 0
		for second := range minutes * 60 {
			if second%7 == 0 { // the weak client moves
				tier = max(0, min(tier+r.IntN(3)-1, 2))
				p.weakOn([]string{"540p", "360p", "270p"}[tier])
			}
			for range seconds {
				p.late = .05
				if c.late(r, second, p.shown) {
					p.late = .3 + 2*r.Float64()
				}
				saved, back := p.run(b, 1)
				for _, s := range steps(append(saved, back...)) {
					if s <= Merge {
						keyframes++
					}
				}
			}
		}
		if t.Logf("%s: %d keyframes in %d minutes", c.name, keyframes, minutes); keyframes > c.most {
			t.Errorf("%s: %d keyframes in %d minutes, want %d at most", c.name, keyframes, minutes, c.most)
		}
	}
}
