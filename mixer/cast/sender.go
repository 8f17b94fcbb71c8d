package cast

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"mixdown/codec"
	"mixdown/mixer"
	"mixdown/mixer/outside"
)

const (
	// lastPause bounds the pauses between tries, which are doubled from Config.Pause
	// on, with up to a quarter on top.
	lastPause = 30 * time.Second
	// steady is how long a connection must have lasted for the next pause to be the
	// first again, in first pauses.
	steady = 10
	// margin is where a connection's time begins: decoders' padding of sound comes
	// before it.
	margin = 100 * time.Millisecond
)

// sender is one output's life: connect, send, and connect again.
type sender struct {
	o      *Outputs
	room   string
	url    *url.URL // nil: it is fetched
	to     target
	trunk  *trunk
	key    trunkKey
	branch *branch
	hls    *hls // nil: none
	log    *slog.Logger
	cancel context.CancelFunc
	done   chan struct{}

	bytes      atomic.Uint64
	reconnects atomic.Uint64
	clients    atomic.Int32
	spilt      atomic.Uint64 // dropped by clients that are gone

	mu    sync.Mutex
	state mixer.OutputState
	sdp   string
}

// run sends until ctx or the room ends.
func (s *sender) run(ctx context.Context) {
	defer close(s.done)
	for pause := s.o.cfg.Pause; ; {
		began := time.Now()
		err := s.send(ctx)
		if s.over(ctx) {
			return
		}
		if errors.Is(err, mixer.ErrRefused) || errors.Is(err, mixer.ErrBadInput) || errors.Is(err, outside.ErrRefused) {
			s.set(mixer.OutputFailed, err)
			return
		}
		s.reconnects.Add(1)
		s.set(mixer.OutputReconnecting, err)
		if time.Since(began) > steady*s.o.cfg.Pause {
			pause = s.o.cfg.Pause
		}
		wait := pause + rand.N(pause/4)
		if s.listens() {
			wait = 50 * time.Millisecond // nobody is bothered
		} else {
			pause = min(2*pause, lastPause)
		}
		select {
		case <-ctx.Done():
		case <-s.trunk.done:
		case <-time.After(wait):
		}
		if s.over(ctx) {
			return
		}
	}
}

func (s *sender) listens() bool { return s.url != nil && s.url.Query().Get("mode") == "listener" }

// over reports whether there is nothing to send any more, and notes it.
func (s *sender) over(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		s.set(mixer.OutputStopped, nil)
		return true
	case <-s.trunk.done:
		err := s.trunk.film.Reason()
		if err == nil {
			err = errors.New("the programme ended")
		}
		s.set(mixer.OutputFailed, err)
		return true
	default:
		return false
	}
}

// send makes one connection and sends until it breaks.
func (s *sender) send(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.trunk.done:
		return nil
	case <-s.trunk.ready:
	}
	l, err := s.connect(ctx)
	if err != nil {
		return err
	}
	broken := context.AfterFunc(ctx, func() { interrupt(l.Muxer) })
	defer func() {
		broken()
		l.Muxer.Close()
		if l.cause != nil && err != nil {
			if below := l.cause(); below != nil {
				err = below
			}
		}
		if l.close != nil {
			l.close()
		}
	}()
	s.trunk.attach(s.branch)
	defer s.trunk.detach(s.branch)
	go func() {
		select {
		case <-s.trunk.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	return s.pump(ctx, l, s.branch, func() {
		if l.sdp != nil {
			if text, err := l.sdp(); err == nil {
				s.mu.Lock()
				s.sdp = text
				s.mu.Unlock()
			}
		}
		s.set(mixer.OutputLive, nil)
	})
}

func (s *sender) connect(ctx context.Context) (*line, error) {
	tracks := s.trunk.described()
	if s.hls != nil {
		return &line{Muxer: s.hls.begin(s.o.cfg.Mux, tracks)}, nil
	}
	return s.to.open(ctx, s.o, s.url, tracks)
}

// described are the programme's tracks, once they are known.
func (t *trunk) described() []codec.Track {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tracks
}

// pump writes what a branch gives, in a time of its own that begins with the first
// keyframe.
func (s *sender) pump(ctx context.Context, m codec.Muxer, b *branch, live func()) error {
	base := time.Duration(-1)
	for {
		p, ok := b.take(ctx)
		if !ok {
			return ctx.Err()
		}
		if base < 0 {
			base = p.pts - margin
		}
		if p.pts < base {
			continue
		}
		if err := m.Write(p.track, p.Unit, p.pts-base, p.dur); err != nil {
			return err
		}
		s.bytes.Add(uint64(len(p.Data)))
		if live != nil && p.track == 0 {
			live()
			live = nil
		}
	}
}

func (s *sender) set(state string, err error) {
	s.mu.Lock()
	was := s.state.State
	s.state.State, s.state.Error = state, ""
	if err != nil {
		s.state.Error = err.Error()
	}
	if state == mixer.OutputLive {
		s.state.Since = time.Now().UTC().Format(time.RFC3339)
	}
	s.mu.Unlock()
	if was == state {
		return
	}
	if err != nil {
		s.log.Warn("output "+state, "error", err)
	} else {
		s.log.Info("output " + state)
	}
	if s.o.cfg.Notify != nil {
		st := s.snapshot()
		st.ID = st.ID[:8] // the whole lets who knows it fetch
		s.o.cfg.Notify(mixer.Event{Type: "output." + state, Room: s.room, Time: time.Now().UTC(), Output: &st, Detail: st.Error})
	}
}

// snapshot is the state as clients see it.
func (s *sender) snapshot() mixer.OutputState {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.state
	st.Bytes, st.Reconnects, st.Clients = s.bytes.Load(), s.reconnects.Load(), int(s.clients.Load())
	st.Dropped = s.branch.dropped.Load() + s.spilt.Load()
	return st
}
