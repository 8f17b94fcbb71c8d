package mixer

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// Room is one meeting. Its goroutine owns who is in it and what is drawn for
// whom; whoever wants something of it sends a function to run there. Media
// never passes through that goroutine: the clocks read what it publishes.
type Room struct {
	name   string
	server *Server
	log    *slog.Logger
	epoch  time.Time // where both media lines begin
	bases  struct{ video, audio uint32 }

	inbox  chan func()
	fits   chan struct{} // a receiver has told what its link carries
	cancel context.CancelFunc
	done   chan struct{}

	// The goroutine's own.
	ctx       context.Context
	members   map[string]*member
	arrivals  uint64
	canvases  map[string]*canvas
	tiers     map[tierKey]*Tier
	opened    int            // tiers so far, for their phases
	leader    *member        // who has the large place where speakers have one
	rates     map[string]int // bit/s of tiers by name, where not the ladder's
	sound     *soundClock
	soundSpec SoundSpec // replaced whole
	watchers  map[chan State]struct{}
	version   uint64
	dynamics  uint64          // fingerprint of what changes without an update
	snapshots int             // being taken
	savings   []Saving        // in order of steps; replaced, never changed
	calls     []Call          // replaced, never changed
	inputs    []InputState    // likewise
	places    map[string]bool // by id: who may come back into the locked room; nil: it is not locked
	layout    string          // that people see; one of Layouts
	moveHold  time.Duration   // of keyframes for those who change tier

	lastLog atomic.Int64 // ns; media errors are logged once a second at most
}

const housekeeping = 250 * time.Millisecond

func newRoom(ctx context.Context, s *Server, name string) *Room {
	r := &Room{
		name: name, server: s, log: s.cfg.Log.With("room", name), epoch: time.Now(),
		inbox: make(chan func()), fits: make(chan struct{}, 1), done: make(chan struct{}),
		members: map[string]*member{}, canvases: map[string]*canvas{},
		tiers: map[tierKey]*Tier{}, rates: map[string]int{}, watchers: map[chan State]struct{}{},
		soundSpec: s.cfg.Sound, layout: gallery,
	}
	// RFC 3550, section 5.1: timestamps begin anywhere.
	r.bases.video, r.bases.audio = rand.Uint32(), rand.Uint32()
	r.moveHold = s.cfg.KeyframeHold
	r.ctx, r.cancel = context.WithCancel(ctx)
	r.canvases[gallery] = newCanvas(gallery)
	go r.run()
	return r
}

// do runs fn on the room's goroutine and waits for it. The goroutine itself,
// and what it calls, must not use it.
func (r *Room) do(fn func()) error {
	ran := make(chan struct{})
	select {
	case r.inbox <- func() { fn(); close(ran) }:
		<-ran
		return nil
	case <-r.done:
		return fmt.Errorf("room %q: %w", r.name, ErrRoomClosed)
	}
}

// stop ends the room and waits until all its goroutines are gone.
func (r *Room) stop() {
	r.cancel()
	<-r.done
}

func (r *Room) run() {
	defer close(r.done)
	tick := time.NewTicker(housekeeping)
	defer tick.Stop()
	for {
		select {
		case fn := <-r.inbox:
			fn()
		case <-r.fits:
			r.refit()
		case now := <-tick.C:
			r.housekeep(now)
		case <-r.ctx.Done():
			r.shutdown()
			return
		}
	}
}

// shutdown: people first, so that nothing listens to what stops after.
func (r *Room) shutdown() {
	for _, m := range r.members {
		r.drop(m, ErrRoomClosed)
	}
	r.update()
	for _, t := range r.tiers {
		t.stop()
		r.server.metrics.ended(t, nil)
	}
	if r.sound != nil {
		r.sound.stop()
	}
	for w := range r.watchers {
		close(w)
	}
}

// videoTime and audioTime put a time on the room's RTP lines. Both have the
// same origin, so equal times are equal moments.
func (r *Room) videoTime(t time.Time) uint32 { return r.bases.video + rtpTicks(t.Sub(r.epoch), 90_000) }

func (r *Room) audioTime(t time.Time, rate uint32) uint32 {
	return r.bases.audio + rtpTicks(t.Sub(r.epoch), rate)
}

func rtpTicks(d time.Duration, rate uint32) uint32 {
	const part = time.Microsecond // keeps days of time within 64 bits
	return uint32(int64(d/part) * int64(rate) / int64(time.Second/part))
}

// logNow logs an error of the media path, at most once a second.
func (r *Room) logNow(what string, err error) {
	now := time.Now().UnixNano()
	if last := r.lastLog.Load(); now-last > int64(time.Second) && r.lastLog.CompareAndSwap(last, now) {
		r.log.Warn("media error", "in", what, "error", err)
	}
}
