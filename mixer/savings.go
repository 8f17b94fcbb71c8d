package mixer

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"mixdown/codec"
)

// Step is a way to spend less, in the order that they are taken in. Sound is
// in none of them.
type Step int

const (
	Converge Step = iota + 1 // each tier in as few codecs as its receivers allow
	Merge                    // a twin's receivers go back to its tier; a tier's to its lower neighbour
	Lower                    // a tier's receivers get the next one of the ladder, which nobody asked for
	Halve                    // every second picture of a tier
	Rest                     // silent people's tiles are drawn less often
	Stills                   // silent people's keyframes only are decoded
)

var stepNames = [...]string{Converge: "converge", Merge: "merge", Lower: "lower", Halve: "halve", Rest: "rest", Stills: "stills"}

// String returns the name that metrics, events and the log use.
func (s Step) String() string {
	if s < Converge || s > Stills {
		return strconv.Itoa(int(s))
	}
	return stepNames[s]
}

// MarshalText implements encoding.TextMarshaler.
func (s Step) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Step) UnmarshalText(text []byte) error {
	i := slices.Index(stepNames[:], string(text))
	if i < int(Converge) {
		return fmt.Errorf("step %.20q is none of %v", text, stepNames[Converge:])
	}
	*s = Step(i)
	return nil
}

// Saving is one thing that a room does without while the budget is spent.
type Saving struct {
	Step Step   `json:"step"`
	Tier string `json:"tier,omitempty"` // what it is about; empty: all of the room
	Into string `json:"into,omitempty"` // where a merged or lowered tier's receivers are
}

// moves reports whether it is about receivers of a tier being on another one.
func (s Saving) moves(tier string) bool {
	return (s.Step == Merge || s.Step == Lower) && s.Tier == tier
}

// turn is the order that savings are taken in: by step, and twins before other
// merges, which cost people size and not just a keyframe now and then.
func (s Saving) turn() int {
	if s.Step == Merge && s.Tier == s.Into+TwinMark {
		return 2*int(s.Step) - 1
	}
	return 2 * int(s.Step)
}

// Figures of the last two steps.
const (
	restShare   = .3              // of a tier's cost that resting tiles save, by experience
	minHalved   = 8               // pictures a second; slower tiers are not halved
	stillsShare = 1. / 4          // of a canvas: who has more is decoded in full
	stillsEvery = 3 * time.Second // between two keyframes of who is only seen in stills
	quietAfter  = 3 * time.Second // of silence
)

// wanted says which tier every receiver is to be on while those savings hold.
func (r *Room) wanted(people []*member, savings []Saving) map[*Subscription]tierKey {
	type group struct {
		canvas string
		spec   TierSpec
	}
	groups := map[group][]*Subscription{}
	keys := map[*Subscription]tierKey{}
	for _, m := range r.members {
		if m.sub == nil {
			continue
		}
		spec, pictures := m.sub.tier()
		if !pictures {
			continue
		}
		g := group{r.canvasFor(m, people), r.lowered(spec, savings)}
		keys[m.sub] = tierKey{canvas: g.canvas, spec: g.spec}
		if spec.Name == programme { // has its own codec, and the room's people theirs
			keys[m.sub] = tierKey{canvas: cmp.Or(spec.Layout, gallery), spec: spec, codec: m.sub.video[0].Name}
			continue
		}
		if !slices.Contains(savings, Saving{Step: Converge}) {
			g = group{} // the room is one: who changes tier keeps its codec
		}
		groups[g] = append(groups[g], m.sub)
	}
	order := r.server.codecs.Of(codec.Video)
	for _, subs := range groups {
		takes := make([][]*codec.Codec, len(subs))
		for i, s := range subs {
			takes[i] = s.video
		}
		for i, c := range agree(order, takes) {
			key := keys[subs[i]]
			key.codec = c.Name
			keys[subs[i]] = key
		}
	}
	r.part(keys, savings)
	return keys
}

// lowered is the tier that a receiver of spec is on.
func (r *Room) lowered(spec TierSpec, savings []Saving) TierSpec {
	for i := 0; i < len(savings); {
		s := savings[i]
		if i++; s.moves(spec.Name) {
			if into, err := r.server.cfg.tier(s.Into); err == nil {
				spec, i = into, 0 // always further down, so it ends
			}
		}
	}
	return spec
}

// saves reports whether the room does without that.
func (r *Room) saves(step Step, tier string) bool {
	return slices.ContainsFunc(r.savings, func(s Saving) bool { return s.Step == step && s.Tier == tier })
}

// setSavings changes what the room does without.
func (r *Room) setSavings(savings []Saving) {
	slices.SortFunc(savings, func(a, b Saving) int {
		return cmp.Or(cmp.Compare(a.Step, b.Step), cmp.Compare(a.Tier, b.Tier))
	})
	r.savings = savings
	r.updateNow()
}

// appraisal is what a room's pictures cost, and could.
type appraisal struct {
	demand        time.Duration // a second
	spent         time.Duration // of computing, by tiers and decoders that are still there
	late          float64       // lateness of its tiers' deadlines, in intervals, summed
	deadlines     int
	units, missed uint64 // of its senders, and those that no decoder got to
	options       []option
	held          []option
}

// appraise measures the time since it was last called, which was period ago.
func (r *Room) appraise(period time.Duration) appraisal {
	var a appraisal
	people := r.publishers()
	for _, t := range r.tiers {
		n, late := t.measure(period)
		a.deadlines, a.late = a.deadlines+n, a.late+late
		a.spent += t.toll.paid(t.spent())
	}
	keys := r.wanted(people, r.savings)
	a.demand = r.cost(keys)
	var resting, slept time.Duration // what senders cost who could be resting; what those would who are
	for _, m := range people {
		cost, saved, units, missed := m.pub.measure(period)
		a.demand += cost
		a.spent += m.pub.toll.paid(m.pub.spent())
		slept += saved
		a.units, a.missed = a.units+units, a.missed+missed
		if r.distant(m, time.Now()) {
			resting += cost
		}
	}
	r.forget(people, keys)
	offer := func(s Saving, worth time.Duration) {
		if worth > 0 {
			a.options = append(a.options, option{place{r.name, s}, worth})
		}
	}
	// without is what those savings would leave of the tiers' cost.
	without := func(s Saving) time.Duration {
		return r.cost(keys) - r.cost(r.wanted(people, append(slices.Clone(r.savings), s)))
	}
	if s := (Saving{Step: Converge}); !slices.Contains(r.savings, s) {
		offer(s, without(s))
	}
	for _, s := range slices.Concat(reunions(keys), r.neighbours(keys), r.lowerings(people, keys)) {
		offer(s, without(s))
	}
	costs := r.costs(keys)
	for _, s := range r.savings {
		var worth time.Duration
		switch s.Step {
		case Halve:
			worth = costs[s.Tier].all
		case Rest:
			worth = time.Duration(restShare / (1 - restShare) * float64(costs[s.Tier].crowded))
		case Stills:
			worth = slept
		default:
			rest := slices.DeleteFunc(slices.Clone(r.savings), func(o Saving) bool { return o == s })
			worth = r.cost(r.wanted(people, rest)) - r.cost(keys)
		}
		a.held = append(a.held, option{place{r.name, s}, max(0, worth)})
	}
	for name, cost := range costs {
		if name == programme {
			continue // is kept, and is not to show that the server was busy
		}
		spec, _ := r.server.cfg.tier(name)
		if spec.FPS >= minHalved && !r.saves(Halve, name) {
			offer(Saving{Step: Halve, Tier: name}, cost.all/2)
		}
		rests := r.refresh(spec) // a low tier does so anyway
		if cost.crowded > 0 && !r.saves(Rest, name) && rests.and(sparse(r.pace(spec))) != rests {
			offer(Saving{Step: Rest, Tier: name}, time.Duration(restShare*float64(cost.crowded)))
		}
	}
	if !r.saves(Stills, "") {
		offer(Saving{Step: Stills}, resting)
	}
	return a
}

// forget drops savings that have nothing to be about any more.
func (r *Room) forget(people []*member, keys map[*Subscription]tierKey) {
	asked, drawn := map[string]bool{}, map[string]bool{}
	for s, key := range keys {
		drawn[key.spec.Name] = true
		for spec, _ := s.tier(); !asked[spec.Name] || s.restless && !asked[spec.Name+TwinMark]; {
			asked[spec.Name] = true
			if s.restless {
				asked[spec.Name+TwinMark] = true
			}
			if i := slices.IndexFunc(r.savings, func(m Saving) bool { return m.moves(spec.Name) }); i >= 0 {
				spec, _ = r.server.cfg.tier(r.savings[i].Into)
			}
		}
	}
	kept := slices.DeleteFunc(slices.Clone(r.savings), func(s Saving) bool {
		switch s.Step {
		case Merge:
			return !asked[s.Tier]
		case Lower:
			return !asked[s.Tier] || newestScreen(people) != nil
		case Halve, Rest:
			return !drawn[s.Tier]
		case Stills:
			return len(people) == 0
		}
		return len(keys) < 2
	})
	if len(kept) < len(r.savings) {
		r.setSavings(kept)
	}
}

// neighbours returns the merges that are possible: of two tiers on one canvas
// with none between them, the lower one having at least a quarter of the pixels
// and half of the pictures a second.
func (r *Room) neighbours(keys map[*Subscription]tierKey) []Saving {
	drawn := map[string][]TierSpec{} // by canvas
	for _, key := range keys {
		if key.spec.Name != programme && !slices.Contains(drawn[key.canvas], key.spec) {
			drawn[key.canvas] = append(drawn[key.canvas], key.spec)
		}
	}
	var out []Saving
	for _, specs := range drawn {
		slices.SortFunc(specs, func(a, b TierSpec) int {
			return cmp.Compare(slices.Index(r.server.cfg.Ladder, a), slices.Index(r.server.cfg.Ladder, b))
		})
		for i, low := range specs[min(1, len(specs)):] {
			s := Saving{Step: Merge, Tier: specs[i].Name, Into: low.Name}
			if specs[i].near(low) && !r.saves(Merge, s.Tier) && !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	return out
}

// lowerings returns what tiers could be lowered to: the next one of the ladder, if that
// has as many pictures a second, and only once. To look at faces that is better than half of
// the pictures, to read what is on a screen it is worse.
func (r *Room) lowerings(people []*member, keys map[*Subscription]tierKey) []Saving {
	if newestScreen(people) != nil {
		return nil
	}
	var out []Saving
	ladder := r.server.cfg.Ladder
	for _, key := range keys {
		i := slices.Index(ladder, key.spec)
		if i < 0 || i+1 == len(ladder) {
			continue
		}
		t, low := key.spec, ladder[i+1]
		s := Saving{Step: Lower, Tier: t.Name, Into: low.Name}
		again := slices.ContainsFunc(r.savings, func(o Saving) bool { return o.Step == Lower && (o.Into == t.Name || o.Tier == t.Name) })
		if t.near(low) && low.FPS >= t.FPS && !again && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// near reports whether a receiver of t may get low instead.
func (t TierSpec) near(low TierSpec) bool {
	return 4*low.Width*low.Height >= t.Width*t.Height && 2*low.FPS >= t.FPS
}

// tierCost is what all tiers of one name cost, a second; crowded is the share
// of those with several people on their canvas.
type tierCost struct{ all, crowded time.Duration }

func (r *Room) costs(keys map[*Subscription]tierKey) map[string]tierCost {
	out := map[string]tierCost{}
	for _, key := range distinct(keys) {
		c := out[key.spec.Name]
		cost := r.price(key)
		c.all += cost
		if canvas := r.canvases[key.canvas]; canvas != nil && len(canvas.plan.Load().seats) > 1 {
			c.crowded += cost
		}
		out[key.spec.Name] = c
	}
	return out
}

// cost is what the tiers of keys cost a second.
func (r *Room) cost(keys map[*Subscription]tierKey) (sum time.Duration) {
	for _, key := range distinct(keys) {
		sum += r.price(key)
	}
	return sum
}

func distinct(keys map[*Subscription]tierKey) []tierKey {
	seen := map[tierKey]bool{}
	var out []tierKey
	for _, key := range keys {
		if !seen[key] {
			seen[key] = true
			out = append(out, key)
		}
	}
	return out
}

// price is what a tier costs a second: as measured, or by its pixels from the
// dearest there is.
func (r *Room) price(key tierKey) time.Duration {
	rate := r.pace(key.spec)
	second := func(each time.Duration) time.Duration { return time.Duration(rate * float64(each)) }
	if t := r.tiers[key]; t != nil && t.toll.each > 0 {
		return second(t.toll.each)
	}
	var each time.Duration
	pixels := func(s TierSpec) time.Duration { return time.Duration(s.Width * s.Height) }
	for other, t := range r.tiers {
		each = max(each, t.toll.each*pixels(key.spec)/pixels(other.spec))
	}
	return second(each)
}

// pace is how many pictures a second a tier makes now.
func (r *Room) pace(spec TierSpec) float64 {
	if r.saves(Halve, spec.Name) {
		return spec.FPS / 2
	}
	return spec.FPS
}

// distant reports whether a sender is silent and small enough to be seen in
// stills.
func (r *Room) distant(m *member, now time.Time) bool {
	return m.share > 0 && m.share <= stillsShare && !m.open.Load() && now.Sub(m.opened) > quietAfter
}

// restSenders lets senders rest who may, wakes those who may not any more, and
// asks for the next stills.
func (r *Room) restSenders(now time.Time) (changed bool) {
	stills := r.saves(Stills, "")
	for _, m := range r.members {
		if m.open.Load() {
			m.opened = now
		}
		if m.pub != nil && m.pub.rest(stills && r.distant(m, now), now, m.order) {
			changed = true
		}
	}
	return changed
}

// toll is what one picture of a stream costs, smoothed over about two periods.
type toll struct {
	n     uint64
	spent time.Duration
	each  time.Duration
	told  time.Duration // what paid was told last
}

// paid returns what has been spent since it was last called.
func (c *toll) paid(spent time.Duration) time.Duration {
	since := spent - c.told
	c.told = spent
	return since
}

// tollPictures is how many pictures make a mean: the first one is a keyframe,
// and dear.
const tollPictures = 5

// note takes the counters as they are now.
func (c *toll) note(n uint64, spent time.Duration) {
	if n-c.n < tollPictures {
		return
	}
	if c.n > 0 {
		each := (spent - c.spent) / time.Duration(n-c.n)
		if c.each > 0 {
			each = (each + c.each) / 2
		}
		c.each = each
	}
	c.n, c.spent = n, spent
}
