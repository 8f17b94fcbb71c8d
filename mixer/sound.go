package mixer

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"mixdown/mixer/audio"
)

const (
	soundRate = 48_000
	soundTick = 20 * time.Millisecond
	// lingerTicks is how long who has closed keeps its own encoder: until what it
	// said is out of the shared encoder's memory.
	lingerTicks = 10
	// soundSlack is how late a tick may be and still be made up for. Later, the
	// ticks in between are left out, and their RTP time with them.
	soundSlack = 200 * time.Millisecond
)

// soundSeat is one member as the sound clock sees it.
type soundSeat struct {
	who   *member
	voice Voice         // nil: sends no sound
	sub   *Subscription // nil: hears nothing
	tone  int           // that fits its link, index of SoundSpec.Tones
	loss  int           // too, index of SoundSpec.losses

	played, over bool // see Played
}

// soundClock pulls everybody's sound every 20 ms, mixes it and hands it out.
type soundClock struct {
	room     *Room
	roster   atomic.Pointer[[]soundSeat] // replaced by the room's goroutine
	speaker  atomic.Pointer[member]
	encoders atomic.Int32

	spec atomic.Pointer[SoundSpec] // likewise

	// Touched by run only.
	seen   *[]soundSeat
	set    *SoundSpec // what bus and strips are set to
	bus    *audio.Bus
	legs   []*leg
	shared map[soundKey]*soundEncoder
	tick   uint64             // the one that is being made
	past   [warmTicks][]int16 // the mix of those before, each at its number's remainder
	moving bool               // somebody is to change over

	cancel context.CancelFunc
	done   chan struct{}
}

// leg is one member's two directions of sound.
type leg struct {
	soundSeat
	strip   *audio.Strip // nil without a voice
	private *soundEncoder
	linger  int      // ticks that private stays
	key     soundKey // of the encoder it hears, or of its own one
	want    soundKey // of the one it is to hear
}

// hears reports whether the member listens.
func (l *leg) hears() bool { return l.sub != nil && l.sub.audio != nil }

func newSoundClock(ctx context.Context, r *Room) *soundClock {
	s := &soundClock{
		room: r, shared: map[soundKey]*soundEncoder{}, done: make(chan struct{}),
		bus: newBus(r.soundSpec),
	}
	s.roster.Store(&[]soundSeat{})
	spec := r.soundSpec
	s.spec.Store(&spec)
	s.set = &spec
	ctx, s.cancel = context.WithCancel(ctx)
	go s.run(ctx)
	return s
}

func newBus(spec SoundSpec) *audio.Bus {
	return audio.NewBus(audio.Config{Rate: soundRate, Channels: spec.Channels, MaxOpen: spec.MaxOpen, Level: spec.Level})
}

func (s *soundClock) stop() {
	s.cancel()
	<-s.done
}

func (s *soundClock) run(ctx context.Context) {
	defer close(s.done)
	sleep := timerSleep
	if !s.room.server.virtual {
		sleep = soundThread()
	}
	defer s.close()
	// Ticks fall on whole multiples from the epoch, so that RTP time is exact.
	since := time.Since(s.room.epoch)/soundTick + 1
	clock := newClock(s.room.epoch.Add(since*soundTick), soundTick, sleep)
	for {
		deadline, skipped, ok := clock.wait(ctx, soundSlack)
		if !ok {
			return
		}
		m := s.room.server.metrics
		m.soundSkipped.Add(float64(skipped))
		m.soundLate.Observe(time.Since(deadline).Seconds())
		start := time.Now()
		s.step(deadline)
		m.soundTime.Add(time.Since(start).Seconds())
	}
}

// step makes and hands out the 20 ms that begin at now.
func (s *soundClock) step(now time.Time) {
	s.adjust()
	s.seat()
	for _, l := range s.legs {
		if l.strip != nil {
			s.pull(l, now)
		}
	}
	s.bus.Step()
	s.move()
	s.publish(now)

	for _, e := range s.shared {
		if !s.needed(e.key) {
			e.asleep, e.pcm = true, e.pcm[:0]
			continue
		}
		s.wake(e.key)
		s.encode(e, s.bus.Mix(), now, func(l *leg) bool { return l.private == nil && l.key == e.key })
	}
	for _, l := range s.legs {
		if l.private != nil {
			s.encode(l.private, s.bus.Minus(l.strip), now, func(o *leg) bool { return o == l })
		}
	}
	past := &s.past[s.tick%warmTicks]
	*past = append((*past)[:0], s.bus.Mix()...)
	s.tick++
}

// adjust takes over what a host has switched.
func (s *soundClock) adjust() {
	spec := s.spec.Load()
	if spec == s.set {
		return
	}
	s.set = spec
	s.bus.SetLevel(spec.Level)
	for _, l := range s.legs {
		switch {
		case l.strip == nil:
		case spec.Denoise && l.strip.Denoiser == nil:
			l.strip.Denoiser = s.denoiser(l)
		case !spec.Denoise && l.strip.Denoiser != nil:
			l.strip.Denoiser.Close()
			l.strip.Denoiser = nil
		}
	}
}

// seat takes over a new roster: who stays keeps strip and encoder.
func (s *soundClock) seat() {
	roster := s.roster.Load()
	if roster == s.seen {
		return
	}
	s.seen = roster
	old := s.legs
	s.legs = make([]*leg, 0, len(*roster))
	for _, seat := range *roster {
		i := slices.IndexFunc(old, func(l *leg) bool { return l != nil && l.who == seat.who })
		l := &leg{}
		if i >= 0 {
			l, old[i] = old[i], nil
		}
		if l.sub != seat.sub {
			s.drop(&l.private)
			l.key = soundKey{}
		}
		l.soundSeat = seat
		switch {
		case l.voice != nil && l.strip == nil:
			l.strip = s.bus.Add()
			l.strip.Denoiser = s.denoiser(l)
		case l.voice == nil && l.strip != nil:
			s.unstrip(l)
		}
		if l.strip != nil {
			l.strip.Played, l.strip.Over = l.played, l.over
		}
		s.legs = append(s.legs, l)
	}
	for _, l := range old {
		if l != nil {
			s.unstrip(l)
		}
	}
	s.choose()
}

func (s *soundClock) unstrip(l *leg) {
	s.drop(&l.private)
	if l.strip != nil {
		s.bus.Remove(l.strip)
		if l.strip.Denoiser != nil {
			l.strip.Denoiser.Close()
		}
		l.strip = nil
	}
	l.who.open.Store(false)
	l.who.speaking.Store(false)
	l.who.level.Store(-127)
	l.who.behind.Store(int64(noSound))
}

// denoiser opens one sender's denoiser, nil if it is to have none.
func (s *soundClock) denoiser(l *leg) audio.Denoiser {
	cfg := s.room.server.cfg
	if !s.set.Denoise || l.played {
		return nil
	}
	d, err := cfg.NewDenoiser(soundRate, cfg.Sound.Channels)
	if err != nil {
		s.room.logNow("sound", err)
		return nil
	}
	return d
}

func (s *soundClock) pull(l *leg, now time.Time) {
	heard := l.voice.Pull(l.strip.PCM)
	l.strip.Silent, l.strip.Ahead = heard.Silent, heard.Ahead
	if l.who.silenced() {
		clear(l.strip.PCM)
		l.strip.Silent, l.strip.Ahead = true, -127
	}
	behind := noSound
	if !heard.Playing.IsZero() {
		behind = max(0, now.Sub(heard.Playing)+audio.Delay)
	}
	l.who.behind.Store(int64(behind))
	if heard.Concealed > 0 {
		s.room.server.metrics.concealed.Add(heard.Concealed.Seconds())
	}
}

// publish tells the room and the tiers what the bus decided, and gives every
// open source that listens an encoder of its own.
func (s *soundClock) publish(now time.Time) {
	speaker := s.bus.Speaker()
	open := 0
	for _, l := range s.legs {
		if l.strip != nil && l.strip.Open {
			open++
		}
	}
	for _, l := range s.legs {
		if l.strip == nil {
			continue
		}
		l.who.open.Store(l.strip.Open)
		l.who.speaking.Store(l.strip.Speaking)
		l.who.level.Store(int32(l.strip.Level))
		if l.strip.Speaking || l.strip == speaker || l.strip.Open && open <= fewOpen {
			l.who.looked.Store(now.UnixNano())
		}
		if l.strip == speaker {
			s.speaker.Store(l.who)
		}
		switch {
		case !l.hears():
			s.drop(&l.private)
		case l.strip.Open:
			l.linger = lingerTicks
			if l.private == nil {
				l.private = s.branch(l.key)
			}
		case l.linger > 0:
			s.wake(l.key)
			l.linger--
		case s.between(l.key): // the packet it is filling goes out
			s.drop(&l.private)
		}
	}
}

func (s *soundClock) close() {
	for _, l := range s.legs {
		s.unstrip(l)
	}
	for _, e := range s.shared {
		s.drop(&e)
	}
}
