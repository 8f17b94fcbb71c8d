package mixer

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mixdown/codec"
	"mixdown/compositor"
)

// tierKey tells tiers apart: who shares all of it shares an encoder.
type tierKey struct {
	canvas string
	codec  string
	spec   TierSpec
	twin   bool // the one for who loses much
}

// Tier is one encoder with its own picture and clock. Everybody who listens
// to it gets the same packets, made once.
type Tier struct {
	room   *Room
	key    tierKey
	canvas *canvas
	codec  *codec.Codec
	stream uint32
	phase  time.Duration

	listeners atomic.Pointer[[]*Subscription] // replaced by the room's goroutine
	emptied   time.Time                       // when the last listener left; the room's goroutine only
	toll      toll                            // too
	deadlines uint64                          // that measure has seen; too
	lateness  time.Duration                   // too

	divide atomic.Int32            // every so many deadlines make a picture; replaced by the room's goroutine
	policy atomic.Pointer[Refresh] // too

	mu      sync.Mutex
	keyDue  time.Time // zero: no keyframe is asked for
	lastKey time.Time
	bitrate int // asked for, 0 once it is set

	// Touched by run only.
	picture *compositor.Picture
	encoder codec.VideoEncoder
	cutter  codec.Packetizer
	shots   []compositor.Shot
	places  []compositor.Rect
	staged  bool // places are a stage's
	faces   []Face
	fresh   []bool
	shown   []compositor.Shot // ID and Seq of what stands in each place
	number  uint64            // of the picture

	cancel context.CancelFunc
	done   chan struct{}

	count struct {
		pictures, skipped, dropped, keyframes, tiles, bytes, packets, errors atomic.Uint64
		composeTime, encodeTime                                              atomic.Int64 // ns of computing
		deadlines                                                            atomic.Uint64
		lateness                                                             atomic.Int64 // ns, of all deadlines
	}
}

func newTier(ctx context.Context, r *Room, key tierKey, c *canvas, cod *codec.Codec, phase time.Duration) *Tier {
	t := &Tier{
		room: r, key: key, canvas: c, codec: cod, phase: phase,
		stream: r.server.streams.Add(1), bitrate: key.spec.Bitrate, done: make(chan struct{}),
	}
	t.listeners.Store(&[]*Subscription{})
	t.divide.Store(1)
	t.policy.Store(&Refresh{})
	ctx, t.cancel = context.WithCancel(ctx)
	go t.run(ctx)
	return t
}

// stop ends the tier's goroutine and waits for it.
func (t *Tier) stop() {
	t.cancel()
	<-t.done
}

// requestKey asks for a keyframe, no sooner than hold after the last one;
// requests in between are folded into it.
func (t *Tier) requestKey(hold time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	due := t.lastKey.Add(max(hold, 1)) // no keyframe yet and no hold would be the zero time
	if t.keyDue.IsZero() || due.Before(t.keyDue) {
		t.keyDue = due
	}
}

// setBitrate changes the encoder's rate from its next picture on.
func (t *Tier) setBitrate(bps int) {
	t.mu.Lock()
	t.bitrate = bps
	t.mu.Unlock()
}

func (t *Tier) run(ctx context.Context) {
	defer close(t.done)
	mediaThread()
	defer t.close()
	interval, stride := t.key.spec.beat()
	clock := newClock(time.Now().Add(t.phase%interval), interval, timerSleep)
	for deadlines := 0; ; {
		deadline, skipped, ok := clock.wait(ctx, interval)
		if !ok {
			return
		}
		t.count.skipped.Add(uint64(skipped))
		t.count.deadlines.Add(1)
		t.count.lateness.Add(int64(time.Since(deadline) + time.Duration(skipped)*interval))
		deadlines++
		switch {
		case deadlines%(stride*int(t.divide.Load())) == 0:
		case stride > 1 && !t.empty() && t.keyWanted(deadline):
			deadlines = 0
		default:
			continue
		}
		if err := t.step(deadline); err != nil {
			t.count.errors.Add(1)
			t.room.logNow("tier", fmt.Errorf("tier %s %s of canvas %q: %w", t.key.name(), t.key.codec, t.key.canvas, err))
		}
	}
}

// slowBeat is how long a tier looks away at most: whoever moves to one of a
// picture every 2 s has it at once, and all its listeners with it.
const slowBeat = 200 * time.Millisecond

// beat returns the interval of a tier's clock, and how many of them there are from
// one picture to the next.
func (t TierSpec) beat() (interval time.Duration, stride int) {
	every := t.interval()
	stride = int((every + slowBeat - 1) / slowBeat)
	return every / time.Duration(stride), stride
}

// keyWanted reports whether a keyframe is due.
func (t *Tier) keyWanted(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.keyDue.IsZero() && !now.Before(t.keyDue)
}

// step draws, encodes and hands out the picture of one deadline.
func (t *Tier) step(now time.Time) error {
	if t.empty() {
		return nil // whoever comes asks for a keyframe, so nothing is missed
	}
	if err := t.open(); err != nil {
		return err
	}
	start := threadTime()
	tiles, err := t.compose(now)
	t.count.composeTime.Add(int64(threadTime() - start))
	t.count.tiles.Add(uint64(tiles))
	if err != nil {
		// The tile that failed is drawn as a name; the picture goes on.
		t.count.errors.Add(1)
		t.room.logNow("compose", err)
	}

	key, bitrate := t.due(now)
	if set, ok := t.encoder.(codec.BitrateSetter); ok && bitrate > 0 {
		if err := set.SetBitrate(bitrate); err != nil {
			return fmt.Errorf("set %d bit/s: %w", bitrate, err)
		}
	}
	start = threadTime()
	if t.number == 1 && t.key.spec.FPS <= slowFPS {
		// Rate control misses with its second picture, by a factor of two to four,
		// which here takes seconds. So the first one goes in twice.
		before := min(t.key.spec.interval(), now.Sub(t.room.epoch)) / 2
		if _, err := t.encoder.Encode(t.picture.Frame(), now.Sub(t.room.epoch)-before, true); err != nil {
			return fmt.Errorf("encode: %w", err)
		}
		key = true
	}
	unit, err := t.encoder.Encode(t.picture.Frame(), now.Sub(t.room.epoch), key)
	t.count.encodeTime.Add(int64(threadTime() - start))
	if err != nil {
		t.requestKey(0)
		return fmt.Errorf("encode: %w", err)
	}
	if len(unit.Data) == 0 {
		if key {
			t.requestKey(0)
		}
		t.count.dropped.Add(1)
		return nil
	}
	t.count.pictures.Add(1)
	t.count.bytes.Add(uint64(len(unit.Data)))
	if unit.Keyframe {
		t.count.keyframes.Add(1)
		t.mu.Lock()
		t.lastKey, t.keyDue = now, time.Time{}
		t.mu.Unlock()
	}
	packets, err := t.packetize(unit, now)
	if err != nil {
		return fmt.Errorf("packetize: %w", err)
	}
	for _, s := range *t.listeners.Load() {
		s.writeVideo(t, packets, unit.Keyframe)
	}
	return nil
}

// slowFPS is the rate up to which a picture that is too large shows.
const slowFPS = 2

// open makes the encoder at the first picture and after an error of opening.
func (t *Tier) open() error {
	if t.encoder != nil {
		return nil
	}
	spec := t.key.spec
	cfg := codec.VideoConfig{
		Width: spec.Width, Height: spec.Height, FPS: spec.codecFPS(), Bitrate: spec.Bitrate, Threads: 1, MTU: spec.MTU,
	}
	if !t.codec.EvenKeyframes {
		cfg.MaxKeyframe = spec.maxKeyframe()
	}
	enc, err := t.codec.NewVideoEncoder(cfg)
	if err != nil {
		return fmt.Errorf("open encoder: %w", err)
	}
	t.encoder = enc
	t.picture = compositor.NewPicture(spec.Width, spec.Height, t.room.server.scaler, t.room.server.text)
	if spec.Nameless {
		t.picture.HideNames()
	}
	t.cutter = t.codec.Payload.NewPacketizer()
	return nil
}

func (t *Tier) close() {
	if t.encoder != nil {
		t.encoder.Close()
		t.picture.Close()
	}
}

func (t *Tier) compose(now time.Time) (int, error) {
	p := t.canvas.plan.Load()
	// A picture is seen until the next one: the middle of that time is what its
	// sound is to meet. A picture that stands for seconds meets none.
	half := min(t.key.spec.interval()*time.Duration(t.divide.Load()), slowBeat) / 2
	t.shots = p.shoot(t.shots, now.Add(half), &t.room.server.cfg)
	defer releaseShots(t.shots)
	if len(t.places) != len(t.shots) || t.staged != p.stage {
		t.places, t.staged = p.places(t.key.spec.Width, t.key.spec.Height), p.stage
	}
	t.keep(p, now)
	return t.picture.Compose(t.places, t.shots)
}

// keep leaves what stands in the places that the policy does not draw now. A
// keyframe codes all of them anyway.
func (t *Tier) keep(p *plan, now time.Time) {
	t.faces = t.faces[:0]
	canvas := float64(t.key.spec.Width * t.key.spec.Height)
	for i := range t.shots {
		share := 0.
		if i < len(t.places) {
			share = float64(t.places[i].W*t.places[i].H) / canvas
		}
		m := p.seats[i].who
		t.faces = append(t.faces, Face{m != nil && m.attended(now), share})
	}
	policy := *t.policy.Load()
	if t.keyWanted(now) {
		policy = Refresh{}
	}
	t.fresh = policy.Due(t.fresh, t.number, t.faces)
	t.number++
	if len(t.shown) != len(t.shots) {
		t.shown = make([]compositor.Shot, len(t.shots))
	}
	for i := range t.shots {
		shot, shown := &t.shots[i], &t.shown[i]
		if t.fresh[i] || shot.ID != shown.ID {
			*shown = compositor.Shot{ID: shot.ID, Seq: shot.Seq}
		}
		shot.Seq = shown.Seq // an equal one is not drawn again
	}
}

// measure takes the counters: how many deadlines there were since it was last
// called, which was period ago, and how late they were, summed, in intervals.
func (t *Tier) measure(period time.Duration) (deadlines int, late float64) {
	c := &t.count
	t.toll.note(c.pictures.Load()+c.dropped.Load(), t.spent())
	n, lateness := c.deadlines.Load(), time.Duration(c.lateness.Load())
	interval, _ := t.key.spec.beat()
	if overdue := period - interval; n > 0 && n == t.deadlines && overdue > 0 {
		return 1, float64(overdue) / float64(interval) // it got to none at all
	}
	deadlines, late = int(n-t.deadlines), float64(lateness-t.lateness)/float64(interval)
	t.deadlines, t.lateness = n, lateness
	return deadlines, late
}

// spent is its computing time so far.
func (t *Tier) spent() time.Duration {
	return time.Duration(t.count.composeTime.Load() + t.count.encodeTime.Load())
}

// due takes what was asked of the encoder: a keyframe, a new rate (0: none).
func (t *Tier) due(now time.Time) (key bool, bitrate int) {
	key = t.keyWanted(now)
	t.mu.Lock()
	defer t.mu.Unlock()
	// By time and not by pictures: a clock that is late leaves some out.
	if gop := t.key.spec.GOP; gop > 0 && now.Sub(t.lastKey) >= gop-t.key.spec.interval()/2 {
		key = true
	}
	bitrate, t.bitrate = t.bitrate, 0
	return key, bitrate
}

func (t *Tier) packetize(u codec.Unit, now time.Time) ([]*Packet, error) {
	payloads := [][]byte{u.Data}
	if t.key.spec.MTU > 0 {
		var err error
		if payloads, err = t.cutter.Packetize(u, t.key.spec.MTU); err != nil {
			return nil, err
		}
	} else {
		payloads[0] = slices.Clone(u.Data) // which is the encoder's
	}
	made := make([]Packet, len(payloads))
	out := make([]*Packet, len(payloads))
	ts := t.room.videoTime(now)
	for i, payload := range payloads {
		made[i] = Packet{
			Codec: t.codec, Stream: t.stream, Payload: payload, Timestamp: ts, Time: now,
			Marker: i == len(payloads)-1, Keyframe: u.Keyframe, Temporal: u.Temporal,
		}
		out[i] = &made[i]
	}
	t.count.packets.Add(uint64(len(out)))
	return out, nil
}

// add and remove change who listens; the room's goroutine calls them.
func (t *Tier) add(s *Subscription) {
	old := *t.listeners.Load()
	if slices.Contains(old, s) {
		return
	}
	next := append(slices.Clone(old), s)
	t.listeners.Store(&next)
}

func (t *Tier) remove(s *Subscription, now time.Time) {
	next := slices.DeleteFunc(slices.Clone(*t.listeners.Load()), func(o *Subscription) bool { return o == s })
	if t.listeners.Store(&next); len(next) == 0 {
		t.emptied = now
	}
}

func (t *Tier) empty() bool { return len(*t.listeners.Load()) == 0 }
