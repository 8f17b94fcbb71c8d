// Package audio mixes a room's sound, one 20 ms tick at a time. Every source
// is a Strip of a Bus, and before anything is summed it is decided whether the
// strip is open or closed:
//
//	open    is in the sum, and its participant hears a private sum − self
//	closed  contributes exactly nothing, and its participant hears the shared mix
//
// So nobody hears the start of their own word, and the cost grows with voices,
// not with people.
//
//	Strip.PCM ─ denoise ─ level ─ gate ─ open? ─ gain ─▶ sum ─┬─ limiter ─▶ Mix
//	                                                          └─ − self ─ limiter ─▶ Minus
//
// The limiters look ahead: Mix and Minus are Delay behind the PCM.
package audio

import (
	"fmt"
	"math"
	"time"
)

// Tick is the length of one Step.
const Tick = 20 * time.Millisecond

// Delay is how far Mix and Minus are behind the PCM they are made of.
const Delay = delayBlocks * time.Millisecond

// Denoiser takes noise out of one sender's sound.
type Denoiser interface {
	// Process takes one tick of interleaved PCM and changes it in place.
	Process(pcm []int16)
	// Close may be called twice.
	Close()
}

// Config shapes a Bus. Zero fields take their defaults.
type Config struct {
	Rate     int // Hz, 48000
	Channels int // interleaved, 1
	MaxOpen  int // strips in the sum at a time, 6

	Threshold  float64       // dBov from which sound counts as a voice, -50
	NoiseAbove float64       // dB that a voice stands above its own noise floor, 7
	Hold       time.Duration // that a strip stays open after its voice ended, 500 ms
	Louder     float64       // dB that a newcomer must be louder than the holder it replaces, 6

	// Level brings talkers to a common loudness, and several at once to little
	// more than that of one.
	Level bool
}

// WithDefaults returns c with its zero fields filled in.
func (c Config) WithDefaults() Config {
	if c.Rate == 0 {
		c.Rate = 48000
	}
	if c.Channels == 0 {
		c.Channels = 1
	}
	if c.MaxOpen == 0 {
		c.MaxOpen = 6
	}
	if c.Threshold == 0 {
		c.Threshold = -50
	}
	if c.NoiseAbove == 0 {
		c.NoiseAbove = 7
	}
	if c.Hold == 0 {
		c.Hold = 500 * time.Millisecond
	}
	if c.Louder == 0 {
		c.Louder = 6
	}
	return c
}

// Validate names the first field that cannot be used. It wants the defaults
// filled in.
func (c Config) Validate() error {
	switch {
	case c.Rate < 8000 || c.Rate%1000 != 0:
		return fmt.Errorf("audio rate %d: want whole kHz from 8000 on", c.Rate)
	case c.Channels < 1 || c.Channels > 2:
		return fmt.Errorf("audio channels %d: want 1 or 2", c.Channels)
	case c.MaxOpen < 1 || c.MaxOpen > 1000:
		return fmt.Errorf("audio max open %d: want 1 to 1000", c.MaxOpen)
	case c.Threshold < Silence || c.Threshold > 0:
		return fmt.Errorf("audio threshold %g: want -127 to 0 dBov", c.Threshold)
	case c.Hold < Tick:
		return fmt.Errorf("audio hold %v: want at least one tick of %v", c.Hold, Tick)
	}
	return nil
}

// Strip is one source on a Bus. The caller sets the first three fields before
// each Step, Step sets the three after them.
type Strip struct {
	PCM    []int16 // one tick, interleaved; changed only by the Denoiser
	Silent bool    // PCM is all zeros
	Ahead  float64 // dBov of what waits in the jitter buffer, Silence if unknown

	// Played is sound that was made to be heard as it is, such as a film's: it
	// is open whenever it is not silent, beside the MaxOpen voices, is not
	// levelled, and never the speaker.
	Played bool
	// Over turns down all others while the strip is open: an announcement.
	Over bool

	Open     bool    // in the sum of this tick, hears its own Minus
	Level    float64 // dBov RMS of this tick, -127 to 0 (RFC 6464)
	Speaking bool    // for showing: lasts a little longer than the sound

	Denoiser Denoiser // may be nil; the caller's to close

	gate     gate
	voicing  voicing
	activity activity
	level    leveller
	loud     float64 // energy in the sum, see crowd
	gain     float64 // at the end of the last tick
	fade     fade
	in       []int32 // what of PCM is in the sum of this tick; nil: nothing
	scaled   []int32
	minus    []int16
	limiter  limiter
}

// Bus sums strips. It is used from one goroutine; between two Steps its
// results may be read from any.
type Bus struct {
	cfg    Config
	n      int // samples of a tick, all channels
	strips []*Strip

	tail    tail
	rest    []int32 // tails of strips that left, for the next tick
	sum     []int32
	diff    []int32
	mix     []int16
	limiter limiter
	speaker speaker
	crowd   crowd
	duck    duck
}

// NewBus returns a Bus without strips. cfg must be valid once its defaults are
// filled in.
func NewBus(cfg Config) *Bus {
	cfg = cfg.WithDefaults()
	n := cfg.Rate / int(time.Second/Tick) * cfg.Channels
	return &Bus{
		cfg:     cfg,
		n:       n,
		rest:    make([]int32, n),
		sum:     make([]int32, n),
		diff:    make([]int32, n),
		mix:     make([]int16, n),
		limiter: newLimiter(cfg, newInterpolator()),
		speaker: newSpeaker(),
		duck:    duck{gain: 1},
	}
}

// SetLevel switches levelling on or off, from the next Step on. What it has
// learnt of each voice is kept.
func (b *Bus) SetLevel(on bool) { b.cfg.Level = on }

// Samples is the length of one tick of PCM, all channels.
func (b *Bus) Samples() int { return b.n }

// Add puts a new, closed strip on the bus. Its PCM has the length of one tick.
func (b *Bus) Add() *Strip {
	s := &Strip{
		PCM:     make([]int16, b.n),
		Silent:  true,
		Ahead:   Silence,
		Level:   Silence,
		gate:    newGate(),
		gain:    1,
		scaled:  make([]int32, b.n),
		minus:   make([]int16, b.n),
		limiter: newLimiter(b.cfg, b.limiter.points),
	}
	b.strips = append(b.strips, s)
	return s
}

// Remove takes s off the bus. If it was open, its sound fades out within the next
// tick, in which its participant hears the shared mix.
func (b *Bus) Remove(s *Strip) {
	if s.in != nil && b.tail.run(s.in, b.cfg.Channels) {
		for i, v := range s.in {
			b.rest[i] += v
		}
	}
	s.in = nil
	for i, t := range b.strips {
		if t == s {
			b.strips = append(b.strips[:i], b.strips[i+1:]...)
			b.strips[:len(b.strips)+1][len(b.strips)] = nil
			break
		}
	}
	s.Open, s.Speaking = false, false
	b.speaker.forget(s)
}

// Step takes one tick: it decides who is open, then sums.
func (b *Bus) Step() {
	for _, s := range b.strips {
		b.listen(s)
	}
	b.decide()
	common := 1.0
	if b.cfg.Level {
		b.crowd.listen(b.strips)
		common = b.crowd.gain
	}
	b.duck.listen(b.strips)
	copy(b.sum, b.rest)
	clear(b.rest)
	for _, s := range b.strips {
		b.add(s, common)
	}
	for _, s := range b.strips {
		if s.Open && s.fade == fadeIn { // until now its participant heard the shared mix
			s.limiter.follow(&b.limiter)
		}
	}
	b.limiter.run(b.mix, b.sum, nil)
	for _, s := range b.strips {
		if s.Open {
			b.subtract(s)
		}
	}
	b.speaker.step(b.strips)
}

// listen takes in what s sends in this tick.
func (b *Bus) listen(s *Strip) {
	var units [subUnits]float64
	s.Level = Silence
	if !s.Silent && len(s.PCM) == b.n {
		if s.Denoiser != nil {
			s.Denoiser.Process(s.PCM)
		}
		s.Level = levels(s.PCM, &units)
		s.voicing.listen(s.PCM, b.cfg.Channels)
	} else {
		s.voicing.pause()
	}
	if s.Played {
		s.gate.pass(s.Level)
		return
	}
	if s.gate.listen(b.cfg, s.Level, s.Ahead) {
		s.activity.forget()
	}
	loud, from := 0, power(s.gate.loudFrom(b.cfg))
	for _, e := range units {
		if e >= from {
			loud++
		}
	}
	s.activity.listen(loud, s.gate.voiced && s.voicing.periodicity() >= voicedFrom)
	if b.cfg.Level && s.gate.voiced && s.activity.talks {
		s.level.listen(s.Level, s.gate.heard.level)
	}
}

// add puts s into the sum if it is open.
func (b *Bus) add(s *Strip, common float64) {
	from, to := s.gain, common
	switch {
	case s.Played:
		to = 1
	case b.cfg.Level:
		to *= math.Pow(10, s.level.gain/20)
	}
	if !s.Over {
		to *= b.duck.gain
	}
	was := s.in
	s.gain, s.in = to, nil
	switch {
	case !s.Open:
		return
	case s.Level > Silence:
		if s.fade == fadeIn {
			from = to
		}
		s.fade.apply(s.scaled, s.PCM, from, to, b.cfg)
	case was == nil || !b.tail.run(was, b.cfg.Channels):
		return
	}
	s.in = s.scaled
	for i, v := range s.in {
		b.sum[i] += v
	}
}

// subtract makes the private mix of an open strip. Its gain goes on from the
// shared mix's, which the listener heard before, and leads back to it.
func (b *Bus) subtract(s *Strip) {
	var lead *limiter
	if s.fade == fadeOut {
		lead = &b.limiter
	}
	if s.in == nil {
		s.limiter.run(s.minus, b.sum, lead)
		return
	}
	for i, v := range s.in {
		b.diff[i] = b.sum[i] - v
	}
	s.limiter.run(s.minus, b.diff, lead)
}

// Mix is the limited sum of all open strips: what every closed strip and every
// viewer hears. It is valid until the next Step.
func (b *Bus) Mix() []int16 { return b.mix }

// Minus is what s's participant hears: Mix without s, which for a closed strip
// is Mix itself. It is valid until the next Step.
func (b *Bus) Minus(s *Strip) []int16 {
	if s.Open {
		return s.minus
	}
	return b.mix
}

// Speaker is the dominant speaker, nil if nobody ever spoke.
func (b *Bus) Speaker() *Strip { return b.speaker.now }
