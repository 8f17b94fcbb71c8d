package mixer

import (
	"cmp"
	"math"
	"slices"
	"time"

	"mixdown/compositor"
)

// update brings all that follows from who is here and who wants what in line:
// canvases, tiers, what is decoded and asked of senders, the sound's roster.
func (r *Room) update() {
	now := time.Now()
	people := r.publishers()
	used := map[string]bool{}
	if r.snapshots > 0 {
		used[gallery] = true
	}
	wants := r.wanted(people, r.savings)
	for _, key := range wants {
		used[key.canvas] = true
	}
	r.arrange(people, used, r.videoTime(now))
	for s, key := range wants {
		s.follow(r.tier(key), r.moveHold)
	}
	for _, m := range r.members {
		if _, pictures := wants[m.sub]; m.sub != nil && !pictures {
			m.sub.rest()
		}
	}
	for key, t := range r.tiers {
		r.ease(t, key.spec)
	}
	r.restSenders(now)
	r.prune(now)
	r.watchSenders(people)
	r.updateSound()
	r.publishState()
}

// updateNow is update for what moves many: receivers that have to move do so as
// soon as newcomers would get a keyframe.
func (r *Room) updateNow() {
	r.moveHold = r.server.cfg.JoinHold
	r.update()
	r.moveHold = r.server.cfg.KeyframeHold
}

// publishers returns those who have a place on the canvases, in order of arrival.
func (r *Room) publishers() []*member {
	var people []*member
	for _, m := range r.members {
		if m.pub != nil && !m.pub.plays.Tileless {
			people = append(people, m)
		}
	}
	slices.SortFunc(people, func(a, b *member) int { return cmp.Compare(a.order, b.order) })
	return people
}

// canvasFor says which canvas a member looks at: of two people each gets the
// other full, all else is the room's layout.
func (r *Room) canvasFor(m *member, people []*member) string {
	if len(people) == 2 {
		switch m {
		case people[0]:
			return solo(people[1].id.ID)
		case people[1]:
			return solo(people[0].id.ID)
		}
	}
	return r.layout
}

// arrange plans the canvases that somebody looks at and forgets the others.
func (r *Room) arrange(people []*member, used map[string]bool, since uint32) {
	r.canvases[gallery].arrange(people, since)
	for _, m := range people {
		key := solo(m.id.ID)
		if !used[key] {
			continue
		}
		if r.canvases[key] == nil {
			r.canvases[key] = newCanvas(key)
		}
		r.canvases[key].arrange([]*member{m}, since)
	}
	r.arrangeStages(people, used, since)
	for key := range r.canvases {
		if key != gallery && !used[key] && !r.drawn(key) {
			delete(r.canvases, key)
		}
	}
}

// arrangeStages plans what is not arranged by who is here alone: by who speaks,
// and who shows a screen.
func (r *Room) arrangeStages(people []*member, used map[string]bool, since uint32) {
	for key, first := range map[string]*member{stage: r.leading(people), screens: newestScreen(people)} {
		c := r.canvases[key]
		switch {
		case c == nil && !used[key]:
			continue
		case c == nil:
			c = newCanvas(key)
			r.canvases[key] = c
		}
		if first == nil { // is the gallery, everybody where they are there
			c.seats = new(compositor.Seats)
			c.plan.Store(r.canvases[gallery].plan.Load())
		} else {
			c.arrangeStage(people, first, since)
		}
	}
}

// leading is who speaks, or did last; before anybody has, who came first.
func (r *Room) leading(people []*member) *member {
	if r.sound != nil {
		if m := r.sound.speaker.Load(); m != nil && slices.Contains(people, m) {
			r.leader = m
		}
	}
	if !slices.Contains(people, r.leader) {
		r.leader = nil
		if len(people) > 0 {
			r.leader = people[0]
		}
	}
	return r.leader
}

// newestScreen is who began last, of people who show a screen; nil: nobody does.
func newestScreen(people []*member) (newest *member) {
	for _, m := range people {
		if !m.screen.IsZero() && !m.veiled() && (newest == nil || m.screen.After(newest.screen)) {
			newest = m
		}
	}
	return newest
}

// followSpeaker rearranges the canvas that is arranged by who speaks.
func (r *Room) followSpeaker(now time.Time) {
	if r.canvases[stage] == nil {
		return
	}
	people := r.publishers()
	if before := r.leader; r.leading(people) != before {
		r.arrangeStages(people, nil, r.videoTime(now))
		r.watchSenders(people)
		r.publishState()
	}
}

// drawn reports whether a tier draws that canvas.
func (r *Room) drawn(canvas string) bool {
	for key := range r.tiers {
		if key.canvas == canvas {
			return true
		}
	}
	return false
}

// tier finds or opens the tier of that key.
func (r *Room) tier(key tierKey) *Tier {
	t := r.tiers[key]
	if t == nil {
		// Phases a golden ratio apart keep any number of encoders from starting
		// in the same moment.
		r.opened++
		phase := time.Duration(float64(r.opened) * 0.618 * float64(key.spec.interval()))
		t = newTier(r.ctx, r, key, r.canvases[key.canvas], r.server.codecs.Find(key.codec), phase)
		if bps := r.rates[key.spec.Name]; bps > 0 {
			t.setBitrate(bps)
		}
		r.tiers[key] = t
		r.log.Info("tier opened", "tier", key.name(), "codec", key.codec, "canvas", key.canvas)
	}
	return t
}

// ease tells a tier what it is to save, bits and computing.
func (r *Room) ease(t *Tier, spec TierSpec) {
	divide := int32(1)
	if r.saves(Halve, spec.Name) {
		divide = 2
	}
	policy := r.refresh(spec)
	if r.saves(Rest, spec.Name) {
		policy = policy.and(sparse(r.pace(spec)))
	}
	t.divide.Store(divide)
	t.policy.Store(&policy)
}

// refresh is a tier's policy while nothing has to be saved.
func (r *Room) refresh(spec TierSpec) Refresh {
	return spec.Refresh(r.pace(spec), cmp.Or(r.rates[spec.Name], spec.Bitrate))
}

// prune takes listeners that moved on from their former tiers, and closes
// tiers nobody has listened to for a while.
func (r *Room) prune(now time.Time) {
	for key, t := range r.tiers {
		for _, s := range *t.listeners.Load() {
			if !s.holds(t) {
				t.remove(s, now)
			}
		}
		if t.empty() && now.Sub(t.emptied) > r.server.cfg.TierLinger {
			t.stop()
			r.server.metrics.ended(t, nil)
			delete(r.tiers, key)
			r.log.Info("tier closed", "tier", key.name(), "codec", key.codec, "canvas", key.canvas)
		}
	}
}

// watchSenders switches decoding on for who is on a canvas in use, and asks
// all senders for what their largest tile needs.
func (r *Room) watchSenders(people []*member) {
	asks := make(map[*member]Ask, len(people))
	shares := make(map[*member]float64, len(people))
	bounds := make(map[*member]compositor.Rect, len(people)) // of all its places: one may be wider and another one higher
	need := func(c string, width, height, fps int) {
		p := r.canvases[c].plan.Load()
		for i, place := range p.places(width, height) {
			if m := p.seats[i].who; m != nil {
				a := asks[m]
				a.Active = true
				if place.W*place.H > a.Width*a.Height {
					a.Width, a.Height = place.W, place.H
				}
				a.FPS = max(a.FPS, fps)
				b := bounds[m]
				bounds[m] = compositor.Rect{W: max(b.W, place.W), H: max(b.H, place.H)}
				shares[m] = max(shares[m], float64(place.W*place.H)/float64(width*height))
				asks[m] = a
			}
		}
	}
	for key, t := range r.tiers {
		if !t.empty() {
			need(key.canvas, key.spec.Width, key.spec.Height, int(math.Ceil(r.pace(key.spec))))
		}
	}
	if r.snapshots > 0 {
		need(gallery, snapshotWidth, snapshotHeight, 5)
	}
	for _, m := range people {
		a := asks[m]
		m.share = shares[m]
		a.Active = a.Active && !m.videoHidden.Load()
		if m.pub.resting.Load() {
			a.FPS = min(a.FPS, restingFPS)
		}
		a.Bitrate = askBitrate(a)
		a.Uplink = m.uplink()
		if m.screen.IsZero() {
			m.pub.distance.show(bounds[m].W, bounds[m].H)
		} else {
			m.pub.distance.show(0, 0)
		}
		m.pub.want(a.Active)
		if a != m.ask {
			m.ask = a
			m.pub.src.Ask(a)
		}
	}
}

// watchUplinks tells senders when what their way here carries has changed.
func (r *Room) watchUplinks() {
	for _, m := range r.members {
		if m.pub != nil && m.uplink() != m.ask.Uplink {
			r.watchSenders(r.publishers())
			r.publishState()
			return
		}
	}
}

// uplink is what m's way here carries, in steps: each one is a message to all.
func (m *member) uplink() int {
	meter, ok := m.pub.src.(UplinkMeter)
	if !ok {
		return 0
	}
	n := meter.Uplink()
	for step := 5_000; ; step *= 2 {
		if n < 12*step {
			return n / step * step
		}
	}
}

// askBitrate is what a tile's pixels are worth: about 0.09 bit each, which
// gives 640x360 at 25 fps 520 kb/s.
func askBitrate(a Ask) int {
	if !a.Active {
		return 0
	}
	bps := a.Width * a.Height * a.FPS * 9 / 100
	return min(max(bps, 60_000), 1_700_000) / 10_000 * 10_000
}

// restingFPS is what a sender is asked for of whom only stills are seen.
const restingFPS = 5

// housekeep does what no message starts.
func (r *Room) housekeep(now time.Time) {
	r.prune(now)
	r.forgetCanvases()
	r.followSpeaker(now)
	if r.restSenders(now) {
		r.watchSenders(r.publishers())
	}
	r.watchUplinks()
	if f := r.fingerprint(now); f != r.dynamics {
		r.dynamics = f
		r.publishState()
	}
}

// forgetCanvases forgets those whose last tier was closed.
func (r *Room) forgetCanvases() {
	for key := range r.canvases {
		if key != gallery && !r.drawn(key) {
			delete(r.canvases, key)
		}
	}
}

// updateSound hands the sound clock who is there; it runs while anybody is.
func (r *Room) updateSound() {
	legs := make([]soundSeat, 0, len(r.members))
	for _, m := range r.members {
		leg := soundSeat{who: m, sub: m.sub}
		if m.sub != nil {
			leg.tone, leg.loss = m.sub.tone, m.sub.loss
		}
		if m.pub != nil {
			leg.voice = m.pub.src.Voice()
			leg.played, leg.over = m.pub.playing, m.pub.plays.Over
		}
		legs = append(legs, leg)
	}
	switch {
	case len(legs) == 0 && r.sound != nil:
		r.sound.stop()
		r.sound = nil
	case len(legs) > 0 && r.sound == nil:
		r.sound = newSoundClock(r.ctx, r)
	}
	if r.sound != nil {
		r.sound.roster.Store(&legs)
	}
}
