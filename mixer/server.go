package mixer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"image"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mixdown/codec"
	"mixdown/compositor"
)

// Server holds the rooms and what they share: the decoding pool, the fonts,
// the codecs.
type Server struct {
	cfg     Config
	codecs  codec.Set
	pool    *pool
	scaler  compositor.Scaler
	text    *compositor.Text
	metrics *metrics
	load    *load
	streams atomic.Uint32 // numbers encoders
	seed    maphash.Seed
	virtual bool // time is: tests set it, whose sound clocks run without a pause

	ctx    context.Context
	cancel context.CancelFunc
	mu     sync.Mutex // guards rooms and closed; never held while waiting for a room
	rooms  map[string]*Room
	closed bool
}

// NewServer returns a server without rooms.
func NewServer(cfg Config, codecs codec.Set) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	text, err := compositor.NewText(cfg.Fonts...)
	if err != nil {
		return nil, fmt.Errorf("fonts: %w", err)
	}
	s := &Server{
		cfg: cfg, codecs: codecs, pool: newPool(cfg.DecodeWorkers), text: text,
		scaler: compositor.YUV{}, metrics: newMetrics(), seed: maphash.MakeSeed(),
		rooms: map[string]*Room{}, load: newLoad(cfg.Budget),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Close ends all rooms and waits for their goroutines. It may be called twice.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	rooms := s.rooms
	s.rooms = map[string]*Room{}
	watched := s.load.done
	s.mu.Unlock()
	s.cancel()
	if watched != nil {
		<-watched
	}
	for _, r := range rooms {
		r.stop()
	}
	s.pool.close()
	return nil
}

// RoomConfig is what makes a room.
type RoomConfig struct {
	Name string `json:"name"`
}

// CreateRoom makes a room, or finds the one of that name (created false).
func (s *Server) CreateRoom(cfg RoomConfig) (created bool, err error) {
	if cfg.Name == "" {
		return false, errors.New("a room needs a name")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false, fmt.Errorf("room %q: server: %w", cfg.Name, ErrRoomClosed)
	}
	if s.rooms[cfg.Name] != nil {
		return false, nil
	}
	if s.load.done == nil { // the first room: now there is something to watch
		s.load.done = make(chan struct{})
		go s.watchLoad()
	}
	s.rooms[cfg.Name] = newRoom(s.ctx, s, cfg.Name)
	return true, nil
}

// DeleteRoom closes a room and everybody's sessions in it.
func (s *Server) DeleteRoom(room string) error {
	s.mu.Lock()
	r := s.rooms[room]
	delete(s.rooms, room)
	s.mu.Unlock()
	if r == nil {
		return fmt.Errorf("room %q: %w", room, ErrNoRoom)
	}
	r.stop()
	return nil
}

// Rooms lists the names of the rooms, sorted.
func (s *Server) Rooms() []string {
	var names []string
	for _, r := range s.all() {
		names = append(names, r.name)
	}
	return names
}

func (s *Server) all() []*Room {
	s.mu.Lock()
	defer s.mu.Unlock()
	rooms := make([]*Room, 0, len(s.rooms))
	for _, r := range s.rooms {
		rooms = append(rooms, r)
	}
	slices.SortFunc(rooms, func(a, b *Room) int { return strings.Compare(a.name, b.name) })
	return rooms
}

func (s *Server) room(name string) (*Room, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.rooms[name]; r != nil {
		return r, nil
	}
	return nil, fmt.Errorf("room %q: %w", name, ErrNoRoom)
}

// in runs fn on a room's goroutine.
func (s *Server) in(room string, fn func(*Room) error) error {
	r, err := s.room(room)
	if err != nil {
		return err
	}
	if closed := r.do(func() { err = fn(r) }); closed != nil {
		return closed
	}
	return err
}

// of runs fn on a room's goroutine for one of its members.
func (s *Server) of(room, id string, fn func(*Room, *member) error) error {
	return s.in(room, func(r *Room) error {
		if m := r.members[id]; m != nil && !m.id.Role.hidden() {
			return fn(r, m)
		}
		return fmt.Errorf("room %q: participant %q: %w", room, id, ErrNoParticipant)
	})
}

// Admit tells beforehand whether somebody would get into a room: ErrBusy while
// the budget is spent and nothing is left to save. Whoever has been admitted, or
// is in the room already, may publish and subscribe.
func (s *Server) Admit(room string, who Identity) error {
	return s.in(room, func(r *Room) error {
		if err := r.admit(who); err != nil {
			return err
		}
		if r.members[who.ID] == nil && s.load.full.Load() {
			s.load.refused.Add(1)
			return fmt.Errorf("room %q: %w", room, ErrBusy)
		}
		return nil
	})
}

// Publish makes src the Source of who in a room; a former one is closed with
// ErrReplaced. The room must exist.
func (s *Server) Publish(ctx context.Context, room string, who Identity, src Source) (p *Publication, err error) {
	err = s.in(room, func(r *Room) error {
		p, err = r.publish(who, src)
		return err
	})
	return p, err
}

// Subscribe makes sink the Sink of who in a room, likewise.
func (s *Server) Subscribe(ctx context.Context, room string, who Identity, sink Sink, want Want) (sub *Subscription, err error) {
	spec, err := s.cfg.wanted(want)
	if err != nil {
		return nil, err
	}
	err = s.in(room, func(r *Room) error {
		sub, err = r.subscribe(who, sink, spec, want.Fit)
		return err
	})
	return sub, err
}

// State tells who is in a room and what is where.
func (s *Server) State(room string) (st State, err error) {
	err = s.in(room, func(r *Room) error {
		st = r.state()
		return nil
	})
	return st, err
}

// Watch sends the room's State now and after each change, the newest only,
// until ctx ends or the room closes (the channel is closed).
func (s *Server) Watch(ctx context.Context, room string) (<-chan State, error) {
	w := make(chan State, 1)
	var found *Room
	err := s.in(room, func(r *Room) error {
		found = r
		r.watchers[w] = struct{}{}
		offerState(w, r.state())
		return nil
	})
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() {
		found.do(func() {
			delete(found.watchers, w)
			close(w)
		})
	})
	return w, nil
}

// Mute mutes or unmutes a participant's sound and picture; nil leaves as is.
func (s *Server) Mute(room, id string, audio, video *bool) error {
	return s.of(room, id, func(r *Room, m *member) error {
		set(&m.audioMuted, audio)
		set(&m.videoHidden, video)
		r.update()
		return nil
	})
}

// SetMedia notes what a participant itself says it is sending: a camera that
// was switched off becomes a name tile at once; nil leaves as is.
func (s *Server) SetMedia(room, id string, audio, video *bool) error {
	return s.of(room, id, func(r *Room, m *member) error {
		set(&m.audioOff, not(audio))
		set(&m.videoOff, not(video))
		r.update()
		return nil
	})
}

// SetScreen notes that a participant's picture is a screen from now on, or no
// longer.
func (s *Server) SetScreen(room, id string, on bool) error {
	return s.of(room, id, func(r *Room, m *member) error {
		switch {
		case on == !m.screen.IsZero():
			return nil
		case m.pub == nil:
			return fmt.Errorf("room %q: participant %q sends nothing: %w", room, id, ErrNoParticipant)
		case on:
			m.screen = time.Now()
		default:
			m.screen = time.Time{}
		}
		r.update()
		return nil
	})
}

// Programme is what those who record or send on a room's programme share, and
// its codec; Width is 0 while nobody does.
func (s *Server) Programme(room string) (spec TierSpec, codec string) {
	_ = s.in(room, func(r *Room) error {
		for _, m := range r.members {
			if m.sub != nil && m.sub.spec.Name == programme && len(m.sub.video) > 0 {
				spec, codec = m.sub.spec, m.sub.video[0].Name
			}
		}
		return nil
	})
	return spec, codec
}

func set(flag *atomic.Bool, to *bool) {
	if to != nil {
		flag.Store(*to)
	}
}

func not(b *bool) *bool {
	if b == nil {
		return nil
	}
	n := !*b
	return &n
}

// Remove ends a participant's sessions with reason ErrRemoved.
func (s *Server) Remove(room, id string) error {
	return s.of(room, id, func(r *Room, m *member) error {
		r.drop(m, ErrRemoved)
		delete(r.places, id)
		r.update()
		return nil
	})
}

// SetTier moves a participant to a tier of the ladder by name, or to SoundOnly.
func (s *Server) SetTier(room, id, tier string) error {
	spec, err := s.cfg.tier(tier)
	if err != nil {
		return err
	}
	return s.of(room, id, func(r *Room, m *member) error {
		if m.sub == nil {
			return fmt.Errorf("room %q: participant %q receives nothing: %w", room, id, ErrNoParticipant)
		}
		m.sub.ask(spec)
		return nil
	})
}

// SetBitrate changes the rate of a room's tier while it runs, in bit/s; 0 goes
// back to the ladder's.
func (s *Server) SetBitrate(room, tier string, bps int) error {
	spec, err := s.cfg.tier(tier)
	if err == nil && tier == SoundOnly {
		err = fmt.Errorf("tier %q: has no pictures: %w", tier, ErrNoTier)
	}
	if err != nil {
		return err
	}
	if bps != 0 && (bps < minBitrate || bps > maxBitrate) {
		return fmt.Errorf("tier %q: %w: %d bit/s is not in %d…%d", tier, ErrBadRate, bps, minBitrate, maxBitrate)
	}
	return s.in(room, func(r *Room) error {
		r.rates[spec.Name] = bps
		for key, t := range r.tiers {
			if key.spec.Name == spec.Name {
				t.setBitrate(cmp.Or(bps, spec.Bitrate))
				r.ease(t, key.spec)
			}
		}
		return nil
	})
}

// SetSound switches levelling and noise suppression in a room while it runs;
// nil leaves one as it is.
func (s *Server) SetSound(room string, level, denoise *bool) error {
	if denoise != nil && *denoise && s.cfg.NewDenoiser == nil {
		return fmt.Errorf("room %q: %w", room, ErrNoDenoiser)
	}
	return s.in(room, func(r *Room) error {
		if level != nil {
			r.soundSpec.Level = *level
		}
		if denoise != nil {
			r.soundSpec.Denoise = *denoise
		}
		if r.sound != nil {
			spec := r.soundSpec
			r.sound.spec.Store(&spec)
		}
		r.publishState()
		return nil
	})
}

// SetCalls tells a room's members of its telephone calls, which are not the
// room's own.
func (s *Server) SetCalls(room string, calls []Call) error {
	return s.in(room, func(r *Room) error {
		r.calls = calls
		r.publishState()
		return nil
	})
}

// Tiers lists the names of the ladder, best first.
func (s *Server) Tiers() []string {
	var names []string
	for _, t := range s.cfg.Ladder {
		names = append(names, t.Name)
	}
	return names
}

// Snapshot returns a copy of the room's gallery as it is now.
func (s *Server) Snapshot(ctx context.Context, room string) (image.Image, error) {
	r, err := s.room(room)
	if err != nil {
		return nil, err
	}
	return r.snapshot(ctx)
}

// common returns the codecs of a kind that the server encodes and a receiver
// takes, in the server's order.
func (s *Server) common(k codec.Kind, takes []string) (both codec.Set) {
	for _, c := range s.codecs.Of(k) {
		if c.NewVideoEncoder == nil && c.NewAudioEncoder == nil {
			continue
		}
		if slices.ContainsFunc(takes, func(name string) bool { return strings.EqualFold(name, c.Name) }) {
			both = append(both, c)
		}
	}
	return both
}

// LowData is the tier for who wants to spend little: the lowest whose pictures
// still move.
func (s *Server) LowData() string {
	ladder := s.cfg.Ladder
	for i := len(ladder) - 1; i > 0; i-- {
		if ladder[i].FPS >= movingFPS {
			return ladder[i].Name
		}
	}
	return ladder[len(ladder)-1].Name
}

// movingFPS is from where on pictures pass for moving.
const movingFPS = 2
