package main

import (
	"math"
	"strings"

	"mixdown/cmd/weak/link"
	"mixdown/mixer"
)

// judge turns what the browsers saw and heard into figures.
func (s *stage) judge(o *Outcome, w window, weak, strong taken) {
	var ids []int
	for id := range s.cfg.Bots {
		ids = append(ids, id)
	}
	seen := shots(weak.Frames)
	o.Weak = person(weak, eye{s.schedule, append(ids[:len(ids):len(ids)], strongCode)}, s.speakers(weakName), w)
	// The strong one's picture is measured without the weak one's tile: that is
	// as good as its own link.
	o.Strong = person(strong, eye{s.schedule, ids}, s.speakers(strongName)[:s.cfg.Bots], w)
	o.Heard = listen(lastTone(strong.Sounds), []speaker{browserSpeaker(weakTone, weakTurn)}, w)

	o.Joined, o.Sounded, o.Back, o.Regained, o.HeardConcealed = none, none, none, none, none
	clicked := millisOf(s.began)
	if len(seen) > 0 {
		o.Joined = Figure((seen[0].at - clicked) / 1000)
	}
	for _, x := range weak.Stats {
		if x.Audio.Samples > x.Audio.Silent && !o.Sounded.known() {
			o.Sounded = Figure((x.T - clicked) / 1000)
		}
	}
	if len(seen) == 0 && len(weak.Sounds) == 0 {
		o.Failed = strings.TrimSpace(strings.Join(append([]string{"neither picture nor sound came.", weak.Status}, weak.Said...), " "))
	}
	if n := len(s.timeline); n > 0 {
		o.Tier = s.timeline[n-1].Tier
	}
	o.Timeline = s.timeline
	for i := range o.Timeline { // what the weak client saw, beside what the link did
		m := &o.Timeline[i]
		at := clicked + 1000*float64(m.At)
		n, newest := 0, math.NaN()
		for _, x := range seen {
			if x.at > at {
				break
			}
			m.Height, newest = x.height, x.at
			if x.at > at-1000 {
				n++
			}
		}
		m.FPS, m.Age = Figure(n), Figure((at-newest)/1000)
		m.buffers(weak.Stats, at)
	}
	if len(s.row.Steps) > 1 {
		fall, rise := s.row.Steps[1].At, s.row.Steps[2].At
		o.Back = moving(seen, clicked+float64(fall.Milliseconds()), clicked+float64(rise.Milliseconds()))
		o.Regained = regained(o.Timeline, fall.Seconds(), rise.Seconds())
	}
}

// buffers takes what getStats said of both buffers in the second before at.
func (m *Moment) buffers(stats []stat, at float64) {
	m.Sound, m.Meant, m.Least, m.Video = none, none, none, none
	var a, b *stat
	for i := range stats {
		if x := &stats[i]; x.T <= at {
			if x.T > at-1250 && a == nil {
				a = x
			}
			b = x
		}
	}
	if a == nil || a == b {
		return
	}
	emitted := b.Audio.Emitted - a.Audio.Emitted
	m.Sound = ratio(1000*(b.Audio.Delay-a.Audio.Delay), emitted)
	m.Meant = ratio(1000*(b.Audio.Target-a.Audio.Target), emitted)
	m.Least = ratio(1000*(b.Audio.Least-a.Audio.Least), emitted)
	m.Video = ratio(1000*(b.Video.Delay-a.Video.Delay), b.Video.Emitted-a.Video.Emitted)
}

// regained returns how many seconds after the rise of the rate pictures come
// again from the tier that they came from before its fall. A tier's twin is as good
// as that.
func regained(timeline []Moment, fall, rise float64) Figure {
	before := ""
	for _, m := range timeline {
		tier := strings.TrimSuffix(m.Tier, mixer.TwinMark)
		switch at := float64(m.At); {
		case m.FPS < 1:
		case at < fall:
			before = tier
		case at >= rise && before != "" && tier == before:
			return m.At - Figure(rise)
		}
	}
	return none
}

// lastTone keeps the last tone of what was heard.
func lastTone(raw [][]float64) (out [][]float64) {
	for _, r := range raw {
		if len(r) > 1 {
			out = append(out, []float64{r[0], r[len(r)-1]})
		}
	}
	return out
}

// person turns one browser's side into figures.
func person(t taken, e eye, speakers []speaker, w window) Person {
	p := Person{Picture: e.look(shots(t.Frames), w), Sound: listen(t.Sounds, speakers, w)}
	p.Keyframes, p.Freezes, p.FrozenS, p.Plis, p.JitterMS, p.TargetMS, p.LeastMS, p.RTT, p.SentKbps, p.GotKbps, p.VideoKbps = none, none, none, none, none, none, none, none, none, none, none
	var in []stat
	for _, x := range t.Stats {
		if x.T >= w.from && x.T <= w.to {
			in = append(in, x)
		}
	}
	if len(in) < 2 {
		return p
	}
	a, b := in[0], in[len(in)-1]
	seconds := (b.T - a.T) / 1000
	p.Sound.Concealed = ratio(b.Audio.Concealed-b.Audio.Silent-a.Audio.Concealed+a.Audio.Silent, b.Audio.Samples-a.Audio.Samples)
	p.Keyframes, p.Plis = Figure((b.Video.Keyframes-a.Video.Keyframes)*60/seconds), Figure((b.Video.Plis-a.Video.Plis)*60/seconds)
	p.Freezes, p.FrozenS = Figure(b.Video.Freezes-a.Video.Freezes), Figure(b.Video.Frozen-a.Video.Frozen)
	emitted := b.Audio.Emitted - a.Audio.Emitted
	p.JitterMS = ratio(1000*(b.Audio.Delay-a.Audio.Delay), emitted)
	p.TargetMS = ratio(1000*(b.Audio.Target-a.Audio.Target), emitted)
	p.LeastMS = ratio(1000*(b.Audio.Least-a.Audio.Least), emitted)
	p.SentKbps = Figure((b.VideoOut.Bytes + b.AudioOut.Bytes - a.VideoOut.Bytes - a.AudioOut.Bytes) * 8 / 1000 / seconds)
	p.GotKbps = Figure((b.Video.Bytes + b.Audio.Bytes - a.Video.Bytes - a.Audio.Bytes) * 8 / 1000 / seconds)
	p.VideoKbps = Figure((b.Video.Bytes - a.Video.Bytes) * 8 / 1000 / seconds)
	var rtts []float64
	for _, x := range in {
		rtts = append(rtts, 1000*x.RTT)
	}
	p.RTT = median(rtts)
	return p
}

// links sums up both directions over the parts once they had settled.
func (s *stage) links(o *Outcome, parts []part) {
	var sum [2]link.Counters
	var bits [2]float64
	seconds := 0.0
	made, heard := 0.0, 0.0
	for _, p := range parts {
		took := (p.to - p.settled).Seconds()
		seconds += took
		for d, shape := range []link.Shape{p.step.Up, p.step.Down} {
			sum[d] = sum[d].Plus(p.marks[1].lanes[d].Since(p.marks[0].lanes[d]))
			bits[d] += float64(shape.Rate) * took
		}
		for key := range p.marks[1].metrics {
			if strings.HasPrefix(key, "mixdown_participant_concealed_seconds_total{") && s.weak != "" && strings.Contains(key, `"`+s.weak+`"`) {
				made += p.marks[1].metrics[key] - p.marks[0].metrics[key]
				heard += took
			}
		}
	}
	o.Up, o.Down = lane(sum[link.Up], seconds, bits[link.Up]), lane(sum[link.Down], seconds, bits[link.Down])
	o.HeardConcealed = ratio(made, heard)
}
