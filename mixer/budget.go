package mixer

import (
	"cmp"
	"slices"
	"time"
)

// Times of the budget, in periods of half a second.
const (
	budgetPeriod  = 500 * time.Millisecond
	overPeriods   = 2  // that load is too much before something is saved: a keyframe is no overload
	calmPeriods   = 4  // that load is low before something is given back
	settlePeriods = 4  // until a step shows in what is measured
	trustPeriods  = 40 // of calm, after which half of a doubt is forgotten, and of what patience has grown to
	minPatience   = 80 // with clocks that others make late
	maxPatience   = 4 * minPatience
)

// Loads, as shares. Between calm and too much nothing changes, so that the
// budget does not swing.
const (
	aimLoad  = .9  // of the budget, that saving aims at
	calmLoad = .85 // of the budget, and of the cores, that may be in use after giving back
	maxCPU   = .95 // of the cores
	maxLate  = .3  // of an interval, mean of all clocks
	calmLate = .1
	ownLoad  = .5 // of the budget, from where late clocks are also the server's own doing
	maxFixed = .5 // of the cores, that all but pictures may take on a machine that is too small
)

// petty is the part of all that would be spent without saving that no clock comes in time
// for: where others use the machine, less than that is not saved.
const petty = 22

// maxDoubt bounds how many times dearer than estimated a step back may be
// thought to be.
const maxDoubt = 4

// reliefLoad is the share of the demand at the last try to give back under which
// a doubt is no longer justified.
const reliefLoad = .7

// usage is what the process did in one period, and what it could save.
type usage struct {
	demand  time.Duration // of encoding, composing and decoding a second, if no clock came late
	cpu     float64       // share of the machine's cores that the whole process took
	fixed   float64       // what of that was not for pictures, so that nothing saves it
	late    float64       // mean lateness of the clocks, in their intervals
	sound   float64       // of those of sound
	behind  bool          // decoders drop what they do not get to
	options []option      // what could be saved
	held    []option      // what is being saved; worth is what giving it back would cost now
}

// place is one Saving in one room.
type place struct {
	room string
	Saving
}

// option is a place and what it is worth: time saved, or to be spent again, a
// second.
type option struct {
	place
	worth time.Duration
}

// budget decides what is saved and what is given back. It knows no clock and no
// room: it is told what was measured, one period after the other.
type budget struct {
	limit  time.Duration // a second
	taken  []option      // in the order they were taken
	coming []effect
	doubt  float64       // at least 1: by how much giving back has to be affordable
	before time.Duration // demand when something was last given back
	over   int           // periods in a row
	calm   int
	since  int // periods since something was given back
	full   bool

	late     int // periods in a row that others made clocks late
	patience int // how many of them are borne before something is saved
}

// effect is a change of demand that has been caused and not been measured yet.
type effect struct {
	left  int // periods
	worth time.Duration
}

func newBudget(limit time.Duration) *budget {
	return &budget{limit: limit, doubt: 1, since: trustPeriods, patience: minPatience}
}

// step takes one period's usage and returns what is to be saved from now on
// and what is to be given back. One of the two is empty.
func (b *budget) step(u usage) (save, back []option) {
	b.keep(u.held)
	demand, given, settled := b.settle(u.demand)
	// When less is spent here, others make clocks late. Pictures bear that for a while, sound does not.
	busy := u.demand > b.part(calmLoad) || u.cpu > calmLoad || u.sound > maxLate
	// What only shows in clocks and cores is judged when the last change is over:
	// to open an encoder, too, makes them late.
	strained := settled && (u.cpu > maxCPU || u.late > maxLate)
	switch {
	case u.late <= maxLate:
		b.late = 0
	case strained && !busy:
		b.late++
	}
	over := demand > b.limit || strained && (busy || b.late >= b.patience)
	switch {
	case over:
		b.over, b.calm = b.over+1, 0
	case busy || u.late > calmLate || u.behind:
		b.over, b.calm = 0, 0
	default:
		b.over, b.calm = 0, b.calm+1
	}
	b.since++
	trusted := b.calm > 0 && b.calm%trustPeriods == 0
	if trusted {
		b.patience = max(minPatience, b.patience/2)
	}
	switch {
	case u.demand < time.Duration(reliefLoad*float64(b.before)):
		b.doubt = 1
	case trusted:
		b.doubt = max(1, b.doubt/2)
	}
	b.admit(u, settled)
	switch {
	case b.over >= overPeriods:
		save = b.save(u.options, demand)
	case u.behind && !over && !strained && settled:
		// There are cores to spare, the decoding pool alone is too small: only what
		// is not decoded helps.
		save = first(u.options, Stills)
	case b.calm >= min(calmPeriods*int(b.doubt), 3*calmPeriods):
		back = b.giveBack(demand + given)
	}
	if len(save) > 0 && b.since <= 2*settlePeriods {
		b.doubt = min(2*b.doubt, maxDoubt) // it was too early
		b.since = trustPeriods
	}
	if len(back) > 0 {
		// Perhaps clocks come in time only because of what was saved.
		b.late, b.patience = 0, min(2*b.patience, maxPatience)
	}
	for _, o := range save {
		b.taken = append(b.taken, o)
		b.coming = append(b.coming, effect{settlePeriods, -o.worth})
	}
	for _, o := range back {
		b.taken = slices.DeleteFunc(b.taken, func(t option) bool { return t.place == o.place })
		b.coming = append(b.coming, effect{settlePeriods, o.worth})
		b.since, b.before = 0, u.demand
	}
	return save, back
}

// keep forgets what rooms have stopped saving by themselves, and takes over what
// it would cost now to give the rest back: when it was taken the machine was
// overloaded, and no good scale.
func (b *budget) keep(held []option) {
	b.taken = slices.DeleteFunc(b.taken, func(o option) bool {
		return !slices.ContainsFunc(held, func(h option) bool { return h.place == o.place })
	})
	for i := range b.taken {
		for _, h := range held {
			if h.place == b.taken[i].place {
				b.taken[i].worth = h.worth
			}
		}
	}
}

// settle lets a period pass and returns the demand less what is saved and may not
// have shown yet, what has been given back and may not have shown either, and whether
// all has. The two are apart because most shows at once: counted a second time, what is
// given back looks like too much, and is taken again.
func (b *budget) settle(demand time.Duration) (after, given time.Duration, settled bool) {
	b.coming = slices.DeleteFunc(b.coming, func(e effect) bool { return e.left == 0 })
	for i := range b.coming {
		b.coming[i].left--
		after, given = after+min(0, b.coming[i].worth), given+max(0, b.coming[i].worth)
	}
	return demand + after, given, len(b.coming) == 0
}

// admit decides whether there is room for newcomers: not while it is too much
// and nothing is left to save, and then not before it is clearly less. Nor while
// it is too much and half of the machine goes to sound and packets: with each newcomer
// it is more, saving pictures takes its time, and in the end sound itself would come late
// (13 rooms on one core, each of two talkers: gaps of 1 to 4 s, with pictures left to save). Where
// nothing has been measured yet, as when all have just come, more may be left
// than is known; and where clocks come late while little is spent, others use the
// machine: the pictures here give way, but one call more would change nothing.
func (b *budget) admit(u usage, settled bool) {
	crowded := u.fixed > maxFixed
	switch {
	case b.over >= overPeriods && crowded:
		b.full = true
	case crowded && b.full && b.calm < calmPeriods:
	case len(u.options) > 0 && !crowded || u.demand == 0:
		b.full = false
	case b.over >= overPeriods && settled && (u.demand > b.part(ownLoad) || u.cpu > maxCPU):
		b.full = true
	case b.over == 0 && u.demand < b.part(aimLoad) && u.cpu < aimLoad && u.late < maxLate:
		b.full = false
	}
}

// save chooses from the first kind that is left, what saves most first, until it
// is enough. A few at a time: each makes keyframes in its room.
func (b *budget) save(options []option, demand time.Duration) []option {
	excess := demand - b.part(aimLoad)
	if demand <= b.limit {
		excess = b.limit / 4 // it is the machine that is too small today; by how much, nobody knows
	}
	kind := slices.Clone(options)
	if demand <= b.part(ownLoad) {
		// Nor is it the doing of what costs next to nothing, such as a weak client's tier.
		whole := demand
		for _, o := range b.taken {
			whole += o.worth
		}
		kind = slices.DeleteFunc(kind, func(o option) bool { return o.worth < whole/petty })
	}
	slices.SortFunc(kind, func(x, y option) int {
		return cmp.Or(cmp.Compare(x.turn(), y.turn()), cmp.Compare(y.worth, x.worth), cmp.Compare(x.room, y.room), cmp.Compare(x.Tier, y.Tier))
	})
	if i := slices.IndexFunc(kind, func(o option) bool { return o.turn() != kind[0].turn() }); i >= 0 {
		kind = kind[:i]
	}
	at := max(2, (len(kind)+3)/4)
	for i, o := range kind {
		if i == at || excess <= 0 {
			return kind[:i]
		}
		excess -= o.worth
	}
	return kind
}

// giveBack chooses, in the reverse order, what is affordable again.
func (b *budget) giveBack(demand time.Duration) []option {
	order := slices.Clone(b.taken)
	slices.Reverse(order)
	slices.SortStableFunc(order, func(x, y option) int { return cmp.Compare(y.turn(), x.turn()) })
	left := b.part(calmLoad) - demand
	at := max(2, (len(order)+5)/6)
	for i, o := range order {
		if left -= time.Duration(float64(o.worth) * b.doubt); i == at || left < 0 {
			return order[:i]
		}
	}
	return order
}

func (b *budget) part(share float64) time.Duration { return time.Duration(share * float64(b.limit)) }

// first returns the most valuable option of one kind, if there is one.
func first(options []option, s Step) []option {
	var best []option
	for _, o := range options {
		if o.Step == s && (best == nil || o.worth > best[0].worth) {
			best = []option{o}
		}
	}
	return best
}
