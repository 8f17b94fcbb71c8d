// Package cast sends rooms' programmes to live services and pipelines, and
// keeps them ready for players. However many outputs a room has, its programme
// is coded once; each output has a queue and a goroutine of its own, so that one
// that is slow or dead touches neither the room nor the others.
package cast

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"mixdown/codec"
	"mixdown/mixer"
	"mixdown/mixer/outside"
)

// Config is what an operator decides about outputs.
type Config struct {
	Rooms   *mixer.Server
	Mux     codec.NewMuxer
	Dial    func(address string, limit time.Duration, cfg codec.MuxConfig) (codec.Muxer, error)
	Sound   *codec.Codec // AAC's row
	Rules   outside.Rules
	Roots   *x509.CertPool // for TLS; nil: the system's
	Max     int            // in all rooms
	PerRoom int
	Clients int           // of one output that is fetched as MPEG-TS
	Ports   [2]int        // that SRT may listen at, first and last; zeros: none
	Pause   time.Duration // before a lost target is tried again, for the first time; 0: 1 s

	// What a programme is like unless a request says otherwise.
	Width, Height int
	FPS           float64
	Bitrate       int // bit/s
	SoundBitrate  int // bit/s
	Channels      int
	Notify        func(mixer.Event) // of each change of state: output.live, …; nil: nobody. It must not block
	Log           *slog.Logger
}

func (c Config) ports() string {
	if c.Ports[1] == 0 {
		return "none"
	}
	return fmt.Sprintf("%d to %d", c.Ports[0], c.Ports[1])
}

// Outputs are the outputs of all rooms.
type Outputs struct {
	cfg    Config
	client *http.Client
	ctx    context.Context
	cancel context.CancelFunc

	mu        sync.Mutex // not held while a room is waited for
	all       map[string]*sender
	beginning map[string]int // outputs that will be, by room
	trunks    map[trunkKey]*trunk
	closed    bool
	wg        sync.WaitGroup
}

// New returns Outputs without any.
func New(cfg Config) *Outputs {
	if cfg.Pause == 0 {
		cfg.Pause = time.Second
	}
	o := &Outputs{cfg: cfg, all: map[string]*sender{}, beginning: map[string]int{}, trunks: map[trunkKey]*trunk{}}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	o.client = &http.Client{
		Transport: &http.Transport{
			DialContext: cfg.Rules.DialContext, TLSClientConfig: &tls.Config{RootCAs: cfg.Roots},
			TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return o
}

// Close ends all outputs and waits for them. It may be called twice.
func (o *Outputs) Close() error {
	o.mu.Lock()
	o.closed = true
	all := o.all
	o.all = map[string]*sender{}
	o.mu.Unlock()
	o.cancel()
	for _, s := range all {
		o.end(s)
	}
	o.wg.Wait()
	o.client.CloseIdleConnections()
	return nil
}

// end stops an output and gives up its share of the programme.
func (o *Outputs) end(s *sender) {
	s.cancel()
	<-s.done
	o.mu.Lock()
	last := o.leave(s.trunk, s.key)
	o.mu.Unlock()
	if last {
		s.trunk.close()
	}
}

// leave gives up a share of a programme and reports whether it was the last, after which
// it is to be closed. The caller holds mu.
func (o *Outputs) leave(t *trunk, key trunkKey) (last bool) {
	t.users--
	if t.users == 0 && o.trunks[key] == t {
		delete(o.trunks, key)
	}
	return t.users == 0
}

// StartOutput begins to send a room's programme, or to keep it ready. It does not
// wait for the target.
func (o *Outputs) StartOutput(ctx context.Context, room string, q mixer.OutputRequest) (st mixer.OutputState, err error) {
	key := trunkKey{
		room: room, layout: mixer.Layouts()[0], width: o.cfg.Width, height: o.cfg.Height, fps: o.cfg.FPS, bitrate: o.cfg.Bitrate,
	}
	if p, _ := o.cfg.Rooms.Programme(room); p.Width > 0 { // one encoder serves all
		key.layout, key.nameless = cmp.Or(p.Layout, key.layout), p.Nameless
		key.width, key.height, key.fps, key.bitrate = p.Width, p.Height, p.FPS, p.Bitrate
	}
	key.layout = cmp.Or(q.Layout, key.layout)
	key.width, key.height = cmp.Or(q.Width, key.width), cmp.Or(q.Height, key.height)
	key.fps, key.bitrate = cmp.Or(q.FPS, key.fps), cmp.Or(q.Bitrate, key.bitrate)
	if q.Names != nil {
		key.nameless = !*q.Names
	}
	id := make([]byte, 16) // who knows it may fetch
	rand.Read(id)
	s := &sender{
		o: o, room: room, key: key, branch: newBranch(), done: make(chan struct{}),
		state: mixer.OutputState{
			ID: hex.EncodeToString(id), Name: q.Name, Format: q.Format, State: mixer.OutputConnecting,
			Layout: key.layout, Names: !key.nameless, Width: key.width, Height: key.height, FPS: key.fps, Bitrate: key.bitrate,
		},
	}
	switch {
	case q.URL != "" && q.Format == "":
		if s.url, s.to, err = address(q); err != nil {
			return st, err
		}
		if s.listens() {
			if _, _, err := o.listener(s.url); err != nil {
				return st, err
			}
		}
		s.state.Format, s.state.Target = s.to.format, shown(s.url, s.to)
	case q.URL != "":
		return st, fmt.Errorf("%w: give url or format: what is sent follows from the address", mixer.ErrBadInput)
	case q.Format == "hls":
		s.hls = &hls{}
	case q.Format == "mpegts":
	default:
		return st, fmt.Errorf("%w: without url, format is hls or mpegts", mixer.ErrBadInput)
	}
	s.log = o.cfg.Log.With("room", room, "output", s.state.ID[:8], "target", cmp.Or(s.state.Target, q.Format))

	return o.start(ctx, s)
}

// start joins an output's programme, and lets it run.
func (o *Outputs) start(ctx context.Context, s *sender) (st mixer.OutputState, err error) {
	if s.trunk, err = o.join(ctx, s.key); err != nil {
		return st, err
	}
	ctx, s.cancel = context.WithCancel(o.ctx)
	o.mu.Lock()
	o.began(s.room)
	late := o.closed
	if late {
		close(s.done)
	} else {
		o.all[s.state.ID] = s
		o.wg.Go(func() { s.begin(ctx) })
	}
	o.mu.Unlock()
	defer o.wg.Done()
	if late {
		o.end(s)
		return st, fmt.Errorf("room %q: %w", s.room, mixer.ErrRoomClosed)
	}
	return s.snapshot(), nil
}

// join takes a share of a programme, which begins with the first. If it can, began
// and wg.Done must follow: Close waits for what begins.
func (o *Outputs) join(ctx context.Context, key trunkKey) (*trunk, error) {
	t, first, err := o.share(key)
	if err != nil {
		return nil, err
	}
	if first {
		t.run(ctx, o, key)
	}
	<-t.begun
	if t.err != nil {
		o.mu.Lock()
		if o.trunks[key] == t {
			delete(o.trunks, key) // who asks next tries anew
		}
		o.leave(t, key)
		o.began(key.room)
		o.mu.Unlock()
		o.wg.Done()
		return nil, t.err
	}
	return t, nil
}

// share finds the programme of a key, or makes the first of it.
func (o *Outputs) share(key trunkKey) (t *trunk, first bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil, false, fmt.Errorf("room %q: %w", key.room, mixer.ErrRoomClosed)
	}
	all, here := len(o.all), o.beginning[key.room]
	for _, n := range o.beginning {
		all += n
	}
	for _, other := range o.all {
		if other.room == key.room {
			here++
		}
	}
	if all >= o.cfg.Max || here >= o.cfg.PerRoom {
		return nil, false, fmt.Errorf("outputs: %w: %d of %d in the room, %d of %d in all", mixer.ErrTooMany, here, o.cfg.PerRoom, all, o.cfg.Max)
	}
	if t = o.trunks[key]; t != nil {
		select {
		case <-t.done: // its room was closed, and may be there again
			t = nil
		default:
		}
	}
	if first = t == nil; first {
		t = newTrunk()
		o.trunks[key] = t
	}
	t.users++
	o.beginning[key.room]++
	o.wg.Add(1)
	return t, first, nil
}

// began notes that an output that was to begin has, or will not. The caller holds mu.
func (o *Outputs) began(room string) {
	if o.beginning[room]--; o.beginning[room] == 0 {
		delete(o.beginning, room)
	}
}

// begin runs what is sent; what is fetched as MPEG-TS has nothing to do by itself.
func (s *sender) begin(ctx context.Context) {
	if s.url != nil || s.hls != nil {
		s.run(ctx)
		return
	}
	defer close(s.done)
	s.set(mixer.OutputLive, nil)
	select {
	case <-ctx.Done():
	case <-s.trunk.done:
	}
	s.over(ctx)
}

// Outputs lists a room's outputs.
func (o *Outputs) Outputs(room string) []mixer.OutputState {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := []mixer.OutputState{}
	for _, s := range o.all {
		if s.room == room {
			out = append(out, s.snapshot())
		}
	}
	slices.SortFunc(out, func(a, b mixer.OutputState) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

func (o *Outputs) find(room, id string) (*sender, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s := o.all[id]; s != nil && s.room == room {
		return s, nil
	}
	return nil, fmt.Errorf("room %q: %w", room, mixer.ErrNoOutput)
}

// Output shows one.
func (o *Outputs) Output(room, id string) (mixer.OutputState, error) {
	s, err := o.find(room, id)
	if err != nil {
		return mixer.OutputState{}, err
	}
	return s.snapshot(), nil
}

// RemoveOutput ends one and forgets it.
func (o *Outputs) RemoveOutput(room, id string) error {
	s, err := o.find(room, id)
	if err != nil {
		return err
	}
	o.mu.Lock()
	mine := o.all[id] == s
	delete(o.all, id)
	o.mu.Unlock()
	if mine {
		o.end(s)
	}
	return nil
}

// SDP describes an RTP output (RFC 8866).
func (o *Outputs) SDP(room, id string) (string, error) {
	s, err := o.find(room, id)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sdp == "" {
		return "", fmt.Errorf("%w: %s has no description; RTP outputs have one once they are live", mixer.ErrNotNow, s.state.Format)
	}
	return s.sdp, nil
}

// HLS returns a file of an output's playlist, by its name.
func (o *Outputs) HLS(room, id, name string) ([]byte, error) {
	s, err := o.find(room, id)
	if err != nil {
		return nil, err
	}
	var data []byte
	if s.hls != nil {
		if name == "index.m3u8" {
			data = []byte(s.hls.playlist())
		} else {
			data = s.hls.file(name)
		}
	}
	if len(data) == 0 {
		return nil, fmt.Errorf("%w: it has no %.40q now", mixer.ErrNoOutput, name)
	}
	return data, nil
}

// Fetch writes an output's MPEG-TS to a client until either ends.
func (o *Outputs) Fetch(ctx context.Context, room, id string, w io.Writer) error {
	s, err := o.find(room, id)
	if err != nil {
		return err
	}
	if s.url != nil || s.hls != nil {
		return fmt.Errorf("%w: it is not fetched as MPEG-TS", mixer.ErrNoOutput)
	}
	if n := s.clients.Add(1); int(n) > o.cfg.Clients {
		s.clients.Add(-1)
		return fmt.Errorf("output: %w: %d fetch it", mixer.ErrTooMany, n-1)
	}
	defer s.clients.Add(-1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-s.done:
		case <-o.ctx.Done():
		case <-ctx.Done():
		}
		cancel()
	}()
	select {
	case <-s.trunk.ready:
	case <-ctx.Done():
		return nil
	}
	m, err := o.cfg.Mux(w, codec.MuxConfig{Format: "mpegts", Options: atOnce, Tracks: s.trunk.described()})
	if err != nil {
		return err
	}
	defer m.Close()
	b := newBranch()
	s.trunk.attach(b)
	defer func() { s.trunk.detach(b); s.spilt.Add(b.dropped.Load()) }()
	_ = s.pump(ctx, m, b, nil) // a client that goes away is no error
	return nil
}
