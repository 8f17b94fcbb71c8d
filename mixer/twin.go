package mixer

import (
	"slices"
	"time"
)

// A tier's twin is a second encoder of the same, for those of its receivers who
// lose much and ask for keyframes again and again: each one would be a larger
// picture to all others of the tier. It is opened only where that is so, because it
// costs as much as the tier, and who is on it stays until it loses little again:
// each move costs a keyframe, too.

// TwinMark follows the tier's name in that of its twin.
const TwinMark = " twin"

const (
	restlessWithin = 20 * time.Second // from one keyframe that is missing to the next
	underway       = time.Second      // may a keyframe be when it is asked for again
)

// name tells tiers apart where people see them.
func (k tierKey) name() string {
	if k.twin {
		return k.spec.Name + TwinMark
	}
	return k.spec.Name
}

// twinned is the key of k's twin.
func (k tierKey) twinned() tierKey {
	k.twin = true
	return k
}

// reunion is the saving that does without the twin k.
func (k tierKey) reunion() Saving {
	return Saving{Step: Merge, Tier: k.name(), Into: k.spec.Name}
}

// part puts who is restless on its tier's twin: on one that is open, or a new one
// where others would be spared something and nothing has to be saved.
func (r *Room) part(keys map[*Subscription]tierKey, savings []Saving) {
	calm := map[tierKey]bool{}
	for s, key := range keys {
		calm[key] = calm[key] || !s.lossy
	}
	for s, key := range keys {
		twin := key.twinned()
		saved := twin.reunion()
		// One that is saved now is what giving that back would cost.
		may := len(savings) == 0 || slices.Contains(r.savings, saved)
		if s.restless && !slices.Contains(savings, saved) && (r.tiers[twin] != nil || calm[key] && may) {
			keys[s] = twin
		}
	}
}

// reunions returns what can be saved of twins.
func reunions(keys map[*Subscription]tierKey) (out []Saving) {
	for _, key := range distinct(keys) {
		if s := key.reunion(); key.twin && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// plead takes over that s, which loses much, asked for a keyframe, and reports
// whether it is restless from now on: at the second one that it misses, or at the
// first if its tier has a twin anyway. Clients repeat what they ask for, so what
// the last keyframe may be the answer to does not count.
func (r *Room) plead(s *Subscription, now time.Time) bool {
	s.mu.Lock()
	t, keyed := s.current, s.keyed
	s.mu.Unlock()
	switch {
	case !s.lossy || s.restless || t == nil:
		return false
	case r.tiers[t.key.twinned()] != nil:
		s.restless = true
	case keyed.After(s.asked) && now.Sub(keyed) > underway:
		s.restless = now.Sub(s.asked) < restlessWithin
		s.asked = now
	}
	return s.restless
}
