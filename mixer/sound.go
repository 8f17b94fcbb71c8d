package mixer

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"mixdown/codec"
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
	shared map[*codec.Codec]*soundEncoder

	cancel context.CancelFunc
	done   chan struct{}
}

// leg is one member's two directions of sound.
type leg struct {
	soundSeat
	strip   *audio.Strip // nil without a voice
	private *soundEncoder
	linger  int // ticks that private stays
}

// soundEncoder is one encoder of the room's sound.
type soundEncoder struct {
	codec  *codec.Codec
	stream uint32
	enc    codec.AudioEncoder
}

func newSoundClock(ctx context.Context, r *Room) *soundClock {
	s := &soundClock{
		room: r, shared: map[*codec.Codec]*soundEncoder{}, done: make(chan struct{}),
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
	s.publish()

	for _, e := range s.shared {
		s.encode(e, s.bus.Mix(), now, func(l *leg) bool { return l.private == nil && l.sub.audio == e.codec })
	}
	for _, l := range s.legs {
		if l.private != nil {
			s.encode(l.private, s.bus.Minus(l.strip), now, func(o *leg) bool { return o == l })
		}
	}
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
			l.strip.Denoiser = s.denoiser()
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
		}
		l.soundSeat = seat
		switch {
		case l.voice != nil && l.strip == nil:
			l.strip = s.bus.Add()
			l.strip.Denoiser = s.denoiser()
		case l.voice == nil && l.strip != nil:
			s.unstrip(l)
		}
		s.legs = append(s.legs, l)
	}
	for _, l := range old {
		if l != nil {
			s.unstrip(l)
		}
	}
	s.share()
}

// share opens a shared encoder for each codec somebody listens in, and closes
// the others.
func (s *soundClock) share() {
	used := map[*codec.Codec]bool{}
	for _, l := range s.legs {
		if l.sub != nil && l.sub.audio != nil {
			used[l.sub.audio] = true
		}
	}
	for c, e := range s.shared {
		if !used[c] {
			s.drop(&e)
			delete(s.shared, c)
		}
	}
	for c := range used {
		if s.shared[c] == nil {
			if e := s.open(c); e != nil {
				s.shared[c] = e
			}
		}
	}
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

// denoiser opens one sender's denoiser, nil if the room has none.
func (s *soundClock) denoiser() audio.Denoiser {
	cfg := s.room.server.cfg
	if !s.set.Denoise {
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
func (s *soundClock) publish() {
	speaker := s.bus.Speaker()
	for _, l := range s.legs {
		if l.strip == nil {
			continue
		}
		l.who.open.Store(l.strip.Open)
		l.who.speaking.Store(l.strip.Speaking)
		l.who.level.Store(int32(l.strip.Level))
		if l.strip == speaker {
			s.speaker.Store(l.who)
		}
		switch hears := l.sub != nil && l.sub.audio != nil; {
		case l.strip.Open && hears:
			l.linger = lingerTicks
			if l.private == nil {
				l.private = s.branch(l.sub.audio)
			}
		case l.linger > 0 && hears:
			l.linger--
		default:
			s.drop(&l.private)
		}
	}
}

// branch opens a private encoder that goes on where the shared one is: its
// listener's decoder notices nothing.
func (s *soundClock) branch(c *codec.Codec) *soundEncoder {
	e := s.open(c)
	shared := s.shared[c]
	if e == nil || shared == nil {
		return e
	}
	if f, ok := e.enc.(codec.Follower); ok {
		if err := f.Follow(shared.enc); err != nil {
			s.room.logNow("sound", err)
		}
	}
	return e
}

func (s *soundClock) open(c *codec.Codec) *soundEncoder {
	spec := s.room.server.cfg.Sound
	enc, err := c.NewAudioEncoder(codec.AudioConfig{
		AudioFormat: codec.AudioFormat{Rate: soundRate, Channels: spec.Channels},
		Bitrate:     spec.Tones[0].Bitrate, Frame: soundTick, Complexity: spec.Complexity,
		FEC: spec.Loss > 0, Loss: spec.Loss,
	})
	if err != nil {
		s.room.logNow("sound", err)
		return nil
	}
	s.encoders.Add(1)
	return &soundEncoder{codec: c, stream: s.room.server.streams.Add(1), enc: enc}
}

func (s *soundClock) drop(e **soundEncoder) {
	if *e != nil {
		(*e).enc.Close()
		*e = nil
		s.encoders.Add(-1)
	}
}

// encode makes one packet and gives it to all legs that to is true of.
func (s *soundClock) encode(e *soundEncoder, pcm []int16, now time.Time, to func(*leg) bool) {
	coded, err := e.enc.Encode(pcm)
	if err != nil {
		s.room.logNow("sound", err)
		return
	}
	p := &Packet{
		Codec: e.codec, Stream: e.stream, Payload: slices.Clone(coded),
		Timestamp: s.room.audioTime(now, e.codec.ClockRate), Time: now,
	}
	for _, l := range s.legs {
		if l.sub != nil && to(l) {
			l.sub.writeAudio(p)
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
