// Package input plays files, streams and pictures into rooms, as participants of
// their own, and announcements over them. What a client may have opened is
// decided here: files of one folder, and addresses that outside.Rules let
// through.
package input

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path"
	"slices"
	"sync"
	"time"

	"mixdown/codec"
	"mixdown/mixer"
	"mixdown/mixer/outside"
)

// Config is what an operator decides about inputs.
type Config struct {
	Rooms    *mixer.Server
	Open     func(codec.MediaSource, <-chan struct{}) (codec.Media, error) // codec/ffmpeg's
	Folder   string                                                        // of files; empty: none are played
	Rules    outside.Rules                                                 // of addresses
	Roots    *x509.CertPool                                                // for TLS; nil: the system's
	Max      int                                                           // in all rooms
	PerRoom  int
	GiveUp   time.Duration     // how long a source that died is looked for
	Channels int               // of the rooms' sound
	Pixels   int               // of the largest picture that is handed to a room
	Speaker  string            // espeak-ng's program; empty: texts cannot be spoken
	Notify   func(mixer.Event) // of each change of state: input.playing, announcement.ended, …; nil: nobody. It must not block
	Log      *slog.Logger
}

func (c Config) tls() *tls.Config { return &tls.Config{RootCAs: c.Roots} }

// keepEnded is how long an input that is over is still told of.
const keepEnded = 10 * time.Minute

// keepMost bounds how many of a room those are.
const keepMost = 20

// Inputs are the inputs of all rooms.
type Inputs struct {
	cfg    Config
	root   *os.Root
	client *http.Client
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	players map[string]*player // by ID
	opening map[string]int     // by room
	telling map[string]*telling
	closed  bool
	wg      sync.WaitGroup
}

// New returns Inputs without any.
func New(cfg Config) (*Inputs, error) {
	in := &Inputs{cfg: cfg, players: map[string]*player{}, opening: map[string]int{}, telling: map[string]*telling{}}
	if cfg.Folder != "" {
		root, err := os.OpenRoot(cfg.Folder)
		if err != nil {
			return nil, fmt.Errorf("inputs.folder: %w", err)
		}
		in.root = root
	}
	in.client = newClient(cfg.Rules, cfg)
	in.ctx, in.cancel = context.WithCancel(context.Background())
	return in, nil
}

// Close ends all inputs and waits for them. It may be called twice.
func (in *Inputs) Close() error {
	in.mu.Lock()
	in.closed = true
	in.mu.Unlock()
	in.cancel()
	in.wg.Wait()
	in.client.CloseIdleConnections()
	if in.root != nil {
		return in.root.Close()
	}
	return nil
}

// PlayIn opens what q names and plays it into a room as a participant. It
// returns when it is open, or with what is wrong.
func (in *Inputs) PlayIn(ctx context.Context, room string, q mixer.InputRequest) (mixer.InputState, error) {
	return in.start(ctx, room, q, mixer.Played{Kind: "input"})
}

// Announce plays q's sound once, over everybody's in the room, without a tile.
func (in *Inputs) Announce(ctx context.Context, room string, q mixer.InputRequest) (mixer.InputState, error) {
	q.Loop = false
	return in.start(ctx, room, q, mixer.Played{Kind: "announcement", Tileless: true, Over: true})
}

func (in *Inputs) start(ctx context.Context, room string, q mixer.InputRequest, kind mixer.Played) (st mixer.InputState, err error) {
	if named := slices.DeleteFunc([]string{q.URL, q.File, q.Text}, func(s string) bool { return s == "" }); len(named) != 1 {
		return st, fmt.Errorf("%w: give one of url, file and (for an announcement) text", mixer.ErrBadInput)
	}
	id := make([]byte, 6)
	rand.Read(id)
	who := mixer.Identity{ID: kind.Kind + "-" + hex.EncodeToString(id), Role: mixer.Participant, Invited: true}
	media := cmp.Or(q.File, q.Text)
	if q.URL != "" {
		media = shown(q.URL)
	}
	who.Name = cmp.Or(q.Name, path.Base(media))
	if err := in.cfg.Rooms.Admit(room, who); err != nil {
		return st, err
	}
	if err := in.reserve(room); err != nil {
		return st, err
	}
	defer in.release(room)
	p := &player{
		in: in, room: room, who: who, kind: kind, ask: q, loop: q.Loop, volume: q.Volume,
		done: make(chan struct{}), nudge: make(chan struct{}, 1),
		log: in.cfg.Log.With("room", room, "input", who.ID, "media", media),
		state: mixer.InputState{
			ID: who.ID, Kind: kind.Kind, Name: who.Name, Media: media, State: mixer.InputConnecting,
			Position: q.Start.Seconds(),
		},
	}
	p.ctx, p.cancel = context.WithCancelCause(in.ctx)
	// Whoever asked may go away while it opens.
	stop := context.AfterFunc(ctx, func() { p.cancel(context.Cause(ctx)) })
	o, err := in.open(p.ctx, q, q.Start)
	if !stop() && err == nil {
		o.end()
		err = context.Cause(ctx)
	}
	if err != nil {
		p.cancel(err)
		p.log.Info("input not opened", "error", err)
		return st, err
	}
	in.mu.Lock()
	if in.closed {
		in.mu.Unlock()
		o.end()
		return st, fmt.Errorf("room %q: %w", room, mixer.ErrRoomClosed)
	}
	p.describe(o)
	in.players[who.ID] = p
	in.wg.Go(func() { p.run(o) })
	in.mu.Unlock()
	return p.snapshot(), nil
}

// reserve makes sure that one more may be opened.
func (in *Inputs) reserve(room string) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.forget(time.Now())
	all, here := 0, in.opening[room]
	for _, n := range in.opening {
		all += n
	}
	for _, p := range in.players {
		if !over(p.snapshot().State) {
			all++
			if p.room == room {
				here++
			}
		}
	}
	if all >= in.cfg.Max || here >= in.cfg.PerRoom {
		return fmt.Errorf("inputs: %w: %d of %d in the room, %d of %d in all", mixer.ErrTooMany, here, in.cfg.PerRoom, all, in.cfg.Max)
	}
	in.opening[room]++
	return nil
}

func (in *Inputs) release(room string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.opening[room]--; in.opening[room] == 0 {
		delete(in.opening, room)
	}
}

// forget drops what has been over for long. The caller holds mu.
func (in *Inputs) forget(now time.Time) {
	ended := map[string][]*player{}
	for id, p := range in.players {
		p.mu.Lock()
		at := p.ended
		p.mu.Unlock()
		switch {
		case at.IsZero():
		case now.Sub(at) > keepEnded:
			delete(in.players, id)
		default:
			ended[p.room] = append(ended[p.room], p)
		}
	}
	for _, list := range ended {
		slices.SortFunc(list, func(a, b *player) int { return b.ended.Compare(a.ended) })
		for _, p := range list[min(len(list), keepMost):] {
			delete(in.players, p.who.ID)
		}
	}
}

// Inputs lists a room's inputs and announcements, also those that ended lately.
func (in *Inputs) Inputs(room string) []mixer.InputState {
	in.mu.Lock()
	in.forget(time.Now())
	var here []*player
	for _, p := range in.players {
		if p.room == room {
			here = append(here, p)
		}
	}
	in.mu.Unlock()
	out := make([]mixer.InputState, 0, len(here))
	for _, p := range here {
		out = append(out, p.snapshot())
	}
	slices.SortFunc(out, func(a, b mixer.InputState) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// Input shows one.
func (in *Inputs) Input(room, id string) (mixer.InputState, error) {
	p, err := in.find(room, id)
	if err != nil {
		return mixer.InputState{}, err
	}
	return p.snapshot(), nil
}

func (in *Inputs) find(room, id string) (*player, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if p := in.players[id]; p != nil && p.room == room {
		return p, nil
	}
	return nil, fmt.Errorf("room %q: %w: %.80q", room, mixer.ErrNoInput, id)
}

// ChangeInput pauses, resumes, seeks, and sets loop and volume.
func (in *Inputs) ChangeInput(room, id string, c mixer.InputChange) (mixer.InputState, error) {
	p, err := in.find(room, id)
	if err != nil {
		return mixer.InputState{}, err
	}
	if err := p.change(c); err != nil {
		return mixer.InputState{}, fmt.Errorf("input %q: %w", id, err)
	}
	in.changed(room)
	return p.snapshot(), nil
}

// RemoveInput ends one and forgets it.
func (in *Inputs) RemoveInput(room, id string) error {
	p, err := in.find(room, id)
	if err != nil {
		return err
	}
	p.cancel(errRemoved)
	<-p.done
	in.mu.Lock()
	delete(in.players, id)
	in.mu.Unlock()
	in.changed(room)
	return nil
}

var errRemoved = errors.New("removed")

// telling is held while a room is told of its inputs: what is told last is what
// holds. No room waits for another.
type telling struct {
	sync.Mutex
	users int // the Inputs' mu guards it
}

// changed tells a room what is played into it.
func (in *Inputs) changed(room string) {
	in.mu.Lock()
	t := in.telling[room]
	if t == nil {
		t = &telling{}
		in.telling[room] = t
	}
	t.users++
	in.mu.Unlock()
	t.Lock()
	if err := in.cfg.Rooms.SetInputs(room, in.Inputs(room)); err != nil {
		in.cfg.Log.Debug("inputs not told", "room", room, "error", err)
	}
	t.Unlock()
	in.mu.Lock()
	defer in.mu.Unlock()
	if t.users--; t.users == 0 {
		delete(in.telling, room)
	}
}
