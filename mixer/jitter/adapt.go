package jitter

import "time"

const (
	// quietCut is what is cut out of, or put into, near silence at a time.
	quietCut = 10 * time.Millisecond
	// voiceSlack is what the delay has to be too long by before a voice is cut.
	voiceSlack = 15 * time.Millisecond
	// hurry is from when it is cut faster, and less carefully.
	hurry = 100 * time.Millisecond
	// Pulls between two cuts of a voice.
	restCalm, restHurry = 3, 1
	// How alike the ends of a cut have to be. What is not like itself, noise, is
	// cut all the same in the end: each time that nothing was found, a little less
	// is asked for.
	matchCalm, matchHurry = 0.6, 0.2
	matchPatience         = 0.01
)

// adapt brings the delay nearer to the target: it takes some sound out of what
// is decoded, or puts some in. Where the sound is quiet, at once; in a voice, by
// pitch periods and not in every Pull. n is the length of a Pull.
//
// A packet that comes before its spare time is over is in time. Cutting samples
// shortens the spare time by a whole Pull when the sound left behind the Pull
// runs out one earlier, and not at all otherwise.
func (p *Playout) adapt(n int, now time.Time) {
	v := &p.pull
	v.cooldown = max(0, v.cooldown-1)
	if !v.running || v.made > 0 || n < v.stretch.seam {
		return
	}
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	if v.spare < target {
		p.lengthen(n)
		return
	}
	slack := v.spare + p.length(int64((p.frames()-n)%n)) - target
	still := quiet(v.fifo)
	if slack < quietCut || !still && (slack < voiceSlack || v.cooldown > 0) {
		if slack < quietCut {
			v.misses = 0
		}
		return
	}
	p.shorten(n, slack, still, target, now)
}

// cut looks for what may be cut out or said twice: a stretch of at most most
// samples per channel, as long as possible when long. It is 0 if there is none.
func (v *pull) cut(wanted float64, long bool) int {
	k, match := v.stretch.period(v.fifo, long)
	if match < wanted-matchPatience*float64(v.misses) {
		v.misses++
		return 0
	}
	v.misses = 0
	return k
}

// lengthen puts some sound in.
func (p *Playout) lengthen(n int) {
	v := &p.pull
	k := p.samples(quietCut)
	if !quiet(v.fifo) {
		if v.cooldown > 0 {
			return
		}
		if k = v.cut(matchCalm, false); k == 0 {
			return
		}
		v.cooldown = restCalm
	}
	if k+v.stretch.seam > p.frames() || len(v.fifo)+k*p.cfg.Channels > cap(v.fifo) {
		return
	}
	if (p.frames()-n)%n+k >= n {
		v.spare += p.length(int64(n))
	}
	v.fifo = v.stretch.insert(v.fifo, k)
	p.count(func(s *PlayoutStats) { s.Inserted += p.length(int64(k)) })
}

// shorten takes some sound out.
func (p *Playout) shorten(n int, slack time.Duration, still bool, target time.Duration, now time.Time) {
	v := &p.pull
	k := p.samples(quietCut)
	match, rest := matchCalm, restCalm
	if slack > hurry {
		k *= 2
		match, rest = matchHurry, restHurry
	}
	p.fill(n+p.samples(15*time.Millisecond), n, false, now)
	if !still {
		v.cooldown = rest
		if k = v.cut(match, slack > hurry); k == 0 {
			v.cooldown = 0
		}
	}
	if k == 0 || n+k > p.frames() || k+v.stretch.seam > p.frames() {
		return
	}
	spare := v.spare
	if (p.frames()-n)%n < k {
		spare -= p.length(int64(n))
	}
	if spare < target {
		return
	}
	v.spare = spare
	v.fifo = v.stretch.remove(v.fifo, k)
	p.count(func(s *PlayoutStats) { s.Removed += p.length(int64(k)) })
}
