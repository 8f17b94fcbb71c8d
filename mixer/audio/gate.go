package audio

import "math"

// envelopeFall is how fast a strip's loudness is forgotten, dB a tick.
const envelopeFall = 0.5

// quietTicks after its last sound a holder gives way to any voice.
const quietTicks = 10

// gate watches one strip's sound.
type gate struct {
	active bool    // there is a voice in this tick, or it is coming
	voiced bool    // there is a voice in this tick
	quiet  int     // ticks since the last active one
	loud   float64 // envelope of the level, dBov
	// Noise as it is heard, and as the sender says: its levels are measured
	// before what has happened to the sound on the way.
	heard, said floor
}

func newGate() gate {
	return gate{quiet: math.MaxInt32, loud: Silence, heard: newFloor(), said: newFloor()}
}

// listen takes one tick's level and what the jitter buffer knows of the next
// ticks'. What a sender says of its sound opens the strip early but makes it no
// louder: only what is heard takes a place from another. It returns true when
// what was taken for a voice until now turns out to be noise.
func (g *gate) listen(cfg Config, level, ahead float64) (noise bool) {
	was := g.voiced
	before := g.heard.level
	g.heard.listen(level)
	g.said.listen(ahead)
	g.voiced = level >= g.heard.threshold(cfg)
	g.active = g.voiced || ahead >= g.said.threshold(cfg)
	g.loud = max(level, g.loud-envelopeFall)
	if g.active {
		g.quiet = 0
	} else if g.quiet < math.MaxInt32 {
		g.quiet++
	}
	return was && !g.voiced && g.heard.level > before+floorSpread
}

// pass takes one tick of what is played, which is open for as long as there is any
// sound.
func (g *gate) pass(level float64) {
	g.active, g.voiced, g.loud = level > Silence, level > Silence, level
	if g.active {
		g.quiet = 0
	} else if g.quiet < math.MaxInt32 {
		g.quiet++
	}
}

// loudFrom is the level from which a sub-unit counts as loud, dBov.
func (g *gate) loudFrom(cfg Config) float64 {
	return max(cfg.Threshold, g.heard.level+loudAbove, g.loud-loudRange)
}

// decide opens and closes strips for this tick. What is played comes and goes as
// it sounds. Of the voices, open ones that were active lately stay; free places go
// to the loudest; when there are none, at most one newcomer a tick takes the place
// of the quietest holder, which fades out in that same tick: for its length there
// is one more than MaxOpen.
func (b *Bus) decide() {
	hold := int(b.cfg.Hold / Tick)
	open := 0
	for _, s := range b.strips {
		switch {
		case !s.Open:
		case s.fade == fadeOut: // it has faded
			s.Open, s.fade = false, fadeNone
		case s.gate.quiet <= hold:
			s.fade = fadeNone
			if !s.Played {
				open++
			}
		default:
			s.fade = fadeOut
		}
		if s.Played && !s.Open && s.gate.active {
			s.Open, s.fade = true, fadeIn
		}
	}
	for open < b.cfg.MaxOpen {
		s := b.loudest(func(s *Strip) bool { return s.gate.active })
		if s == nil {
			return
		}
		s.Open, s.fade = true, fadeIn
		open++
	}
	s := b.loudest(func(s *Strip) bool { return s.gate.voiced })
	q := b.quietest()
	if s == nil || q == nil {
		return
	}
	if q.gate.quiet > quietTicks || s.gate.loud > q.gate.loud+b.cfg.Louder {
		q.fade = fadeOut
		s.Open, s.fade = true, fadeIn
	}
}

// loudest returns the loudest closed strip that wants in.
func (b *Bus) loudest(wants func(*Strip) bool) *Strip {
	var best *Strip
	for _, s := range b.strips {
		if !s.Open && !s.Played && wants(s) && (best == nil || s.gate.loud > best.gate.loud) {
			best = s
		}
	}
	return best
}

// quietest returns the open strip that would give way first, one without a
// voice before any that has one. Who came in this tick is not asked to leave.
func (b *Bus) quietest() *Strip {
	var worst *Strip
	for _, s := range b.strips {
		if !s.Open || s.Played || s.fade != fadeNone {
			continue
		}
		if worst == nil || s.yields(worst) {
			worst = s
		}
	}
	return worst
}

func (s *Strip) yields(t *Strip) bool {
	if a, b := s.gate.quiet > quietTicks, t.gate.quiet > quietTicks; a != b {
		return a
	}
	return s.gate.loud < t.gate.loud
}
