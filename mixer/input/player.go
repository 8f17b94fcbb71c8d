package input

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"mixdown/codec"
	"mixdown/mixer"
)

const (
	// readAhead is how much is read before it is to be played.
	readAhead = time.Second
	// mostAhead is how far sound may be read ahead while no pictures come.
	mostAhead = 5 * time.Second
	// liveAhead is how much of a live stream may wait, and liveKeep what is kept
	// when it was more.
	liveAhead, liveKeep = 1500 * time.Millisecond, 400 * time.Millisecond
	// Sound that must be there before it is played.
	filePrebuffer, livePrebuffer = 100 * time.Millisecond, 300 * time.Millisecond
	// jumpFrom is a step of time that is none of the media's: a stream began anew.
	jumpFrom = 10 * time.Second
)

// player is one input's life: it opens, plays, reconnects and ends.
//
//	Media ─ read ─┬─ sound ─ decode ─▶ line ◀─ Pull ─ room's sound clock
//	              └─ pictures ─▶ screen ─ decode, wait ─▶ Publication
type player struct {
	in   *Inputs
	room string
	who  mixer.Identity
	kind mixer.Played
	ask  mixer.InputRequest
	log  *slog.Logger

	ctx    context.Context
	cancel context.CancelCauseFunc
	done   chan struct{}

	mu         sync.Mutex
	state      mixer.InputState
	ended      time.Time
	line       *line
	screen     *screen
	pub        *mixer.Publication
	seat       *seat
	paused     bool
	loop       bool
	volume     float64
	seek       *time.Duration
	before     time.Duration // shift of the loop's former round
	shift      time.Duration // of this round: what its times are put off by
	stalls     uint64        // of lines before this one
	dropped    uint64
	reconnects uint64
	rounds     uint64
	nudge      chan struct{}
}

// seat is a player's Source in its room, for as long as its media are open.
type seat struct {
	p    *player
	line *line // nil: no sound
}

func (s *seat) Voice() mixer.Voice {
	if s.line == nil {
		return nil
	}
	return s.line
}
func (s *seat) RequestKeyframe()    {} // pictures are decoded here
func (s *seat) Ask(mixer.Ask)       {}
func (s *seat) Plays() mixer.Played { return s.p.kind }

// Close implements mixer.Source: the room has taken the place away.
func (s *seat) Close(reason error) {
	if !errors.Is(reason, mixer.ErrReplaced) {
		s.p.cancel(reason)
	}
}

// run plays what is open and what follows until all is over.
func (p *player) run(o *opened) {
	defer close(p.done)
	defer p.cancel(nil)
	var err error
	lost := time.Now()
	for pause := time.Second; ; {
		if o != nil {
			began := time.Now()
			err = p.play(o)
			o.end()
			again := o.live || err != nil && p.ask.URL != ""
			if p.ctx.Err() != nil || !again {
				break
			}
			if time.Since(began) > 5*time.Second {
				pause = time.Second
			}
			lost = time.Now()
			p.mu.Lock()
			p.reconnects++
			p.mu.Unlock()
		}
		p.set(mixer.InputReconnecting, err)
		if time.Since(lost) > p.in.cfg.GiveUp {
			break
		}
		select {
		case <-p.ctx.Done():
		case <-time.After(pause + rand.N(pause/4)):
		}
		if p.ctx.Err() != nil {
			break
		}
		pause = min(2*pause, 30*time.Second)
		var failed error
		if o, failed = p.in.open(p.ctx, p.ask, p.resume()); failed != nil {
			o, err = nil, failed
		}
	}
	p.leave()
	switch {
	case p.ctx.Err() != nil:
		p.set(mixer.InputEnded, nil)
	case err != nil:
		p.set(mixer.InputFailed, err)
	default:
		p.set(mixer.InputEnded, nil)
	}
}

// resume is where a file that broke off is taken up again.
func (p *player) resume() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state.Live || p.state.Duration == 0 {
		return 0
	}
	return time.Duration(p.state.Position * float64(time.Second))
}

// leave gives up the place in the room.
func (p *player) leave() {
	p.mu.Lock()
	pub := p.pub
	p.pub, p.seat = nil, nil
	p.mu.Unlock()
	if pub != nil {
		pub.Close()
	}
}

// describe notes what was opened. The caller holds mu, or is the only one to know p.
func (p *player) describe(o *opened) {
	info := o.Info()
	p.state.Live = o.live
	p.state.Format, p.state.Pictures, p.state.Sound = info.Format, info.Pictures, info.Sound
	p.state.Width, p.state.Height, p.state.Duration = info.Width, info.Height, info.Duration.Seconds()
}

// enter takes a place in the room, or keeps the one there is.
func (p *player) enter(o *opened, l *line) (*mixer.Publication, error) {
	s := &seat{p: p}
	if l.sounds {
		s.line = l
	}
	pub, err := p.in.cfg.Rooms.Publish(p.ctx, p.room, p.who, s)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.pub, p.seat = pub, s
	p.mu.Unlock()
	return pub, nil
}

// play plays one opening of the media to its end. nil is the end.
func (p *player) play(o *opened) error {
	info := o.Info()
	prebuffer := filePrebuffer
	if o.live {
		prebuffer = livePrebuffer
	}
	if p.kind.Tileless {
		info.Pictures = ""
	}
	if info.Pictures == "" && info.Sound == "" {
		return fmt.Errorf("%w: there is no sound in it", mixer.ErrBadInput)
	}
	p.mu.Lock()
	l := newLine(p.in.cfg.Channels, info.Sound != "", prebuffer, p.volume)
	if p.paused {
		l.pause(true)
	}
	p.mu.Unlock()
	pub, err := p.enter(o, l)
	if err != nil {
		return err
	}
	r := &reel{p: p, o: o, info: info, line: l}
	ctx, cancel := context.WithCancel(p.ctx)
	var wg sync.WaitGroup
	defer func() {
		cancel()
		wg.Wait() // the screen closes its decoder
		if r.sound != nil {
			r.sound.Close()
		}
		if bad := r.bad(); bad > 0 {
			p.log.Warn("input had packets that could not be decoded", "packets", bad)
		}
	}()
	if info.Sound != "" {
		if r.sound, err = o.NewSound(codec.AudioFormat{Rate: soundRate, Channels: p.in.cfg.Channels}); err != nil {
			return fmt.Errorf("%w: %w", mixer.ErrBadInput, err)
		}
	}
	if info.Pictures != "" {
		dec, err := o.NewPictures(p.in.cfg.Pixels)
		if err != nil {
			return fmt.Errorf("%w: %w", mixer.ErrBadInput, err)
		}
		r.screen = newScreen(l, pub, dec)
		wg.Go(func() { r.screen.run(ctx) })
	}
	p.mu.Lock()
	p.line, p.screen, p.shift, p.before = l, r.screen, 0, 0
	p.describe(o)
	state := mixer.InputPlaying
	if p.paused {
		state = mixer.InputPaused
	}
	p.mu.Unlock()
	p.set(state, nil)
	err = r.run(ctx)
	p.mu.Lock()
	p.state.Position = p.position().Seconds()
	p.stalls += l.stalled()
	if r.screen != nil {
		p.dropped += r.screen.dropped()
	}
	p.line, p.screen = nil, nil
	p.mu.Unlock()
	if err != nil && o.failed != nil {
		if below := o.failed(); below != nil && p.ctx.Err() == nil {
			err = below
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err == nil && o.live && p.ctx.Err() == nil {
		err = errors.New("the stream ended")
	}
	return err
}

// position is where the media are. The caller holds mu.
func (p *player) position() time.Duration {
	if p.line == nil {
		return time.Duration(p.state.Position * float64(time.Second))
	}
	at, _ := p.line.now(time.Now())
	switch {
	case at == unset:
		return 0
	case at < p.shift:
		at -= p.before
	default:
		at -= p.shift
	}
	return max(0, at)
}

// set notes a new state, and tells the room.
func (p *player) set(state string, err error) {
	p.mu.Lock()
	p.state.State, p.state.Error = state, ""
	if err != nil {
		p.state.Error = err.Error()
	}
	if over(state) {
		p.ended = time.Now()
	}
	p.mu.Unlock()
	if err != nil {
		p.log.Warn("input "+state, "error", err)
	} else {
		p.log.Info("input " + state)
	}
	p.in.changed(p.room)
	if p.in.cfg.Notify != nil {
		st := p.snapshot()
		p.in.cfg.Notify(mixer.Event{Type: p.kind.Kind + "." + state, Room: p.room, Time: time.Now().UTC(), Input: &st, Detail: st.Error})
	}
}

func over(state string) bool { return state == mixer.InputEnded || state == mixer.InputFailed }

// snapshot is the state as clients see it.
func (p *player) snapshot() mixer.InputState {
	p.mu.Lock()
	defer p.mu.Unlock()
	st := p.state
	st.Position = float64(p.position().Milliseconds()) / 1000
	st.Loop, st.Volume, st.Reconnects, st.Repetitions = p.loop, p.volume, p.reconnects, p.rounds
	st.Stalls, st.Dropped = p.stalls, p.dropped
	if p.line != nil {
		st.Stalls += p.line.stalled()
	}
	if p.screen != nil {
		st.Dropped += p.screen.dropped()
	}
	return st
}

// change carries out what a host asks for.
func (p *player) change(c mixer.InputChange) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if over(p.state.State) {
		return fmt.Errorf("%w: the input has %s", mixer.ErrNotNow, p.state.State)
	}
	if p.state.Live && (c.Paused != nil && *c.Paused || c.Position != nil || c.Loop != nil && *c.Loop) {
		return fmt.Errorf("%w: what is live cannot be paused, sought or repeated; mute the participant", mixer.ErrNotNow)
	}
	if c.Position != nil {
		if p.state.Duration == 0 || p.line == nil {
			return fmt.Errorf("%w: it has no known length, so there is nowhere to go to", mixer.ErrNotNow)
		}
		if end := time.Duration(p.state.Duration * float64(time.Second)); *c.Position > end {
			return fmt.Errorf("%w: %v is behind its end at %v", mixer.ErrBadInput, *c.Position, end)
		}
		p.seek = c.Position
	}
	if c.Loop != nil {
		p.loop = *c.Loop
	}
	if c.Volume != nil {
		p.volume = *c.Volume
		if p.line != nil {
			p.line.setVolume(p.volume)
		}
	}
	if c.Paused != nil && *c.Paused != p.paused {
		p.paused = *c.Paused
		if p.line != nil {
			p.line.pause(p.paused)
			p.state.State = mixer.InputPlaying
			if p.paused {
				p.state.State = mixer.InputPaused
			}
		}
	}
	select {
	case p.nudge <- struct{}{}:
	default:
	}
	if p.screen != nil {
		p.screen.nudge()
	}
	return nil
}
