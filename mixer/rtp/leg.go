package rtp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"mixdown/codec"
	"mixdown/mixer"
)

// Reasons for the end of a leg, besides those that a room gives.
var (
	ErrSilent  = errors.New("nothing came from the other end")
	ErrHangup  = errors.New("hung up")
	ErrBye     = errors.New("the other end said goodbye")
	ErrClosing = errors.New("server is closing")

	errEnded = errors.New("the leg has ended")
)

// Leg is one end that speaks plain RTP. Its methods may be called from any
// goroutine.
//
// Its goroutines are a reader for each socket, the sink's writer, and run.
type Leg struct {
	id        string
	cname     string
	transport *Transport
	cfg       Config
	meter     *meter
	params    Params
	log       *slog.Logger
	source    *source
	sink      *sink

	done    chan struct{}
	once    sync.Once
	reason  error // why it ended; set before done is closed
	readers sync.WaitGroup

	signal   sync.Mutex // one signaling step at a time; taken before mu
	versions uint64     // of our description
	proto    string     // of an own offer

	play   sync.Mutex              // one prompt at a time
	silent context.CancelCauseFunc // ends the prompt that is being played; guarded by mu

	mu      sync.Mutex
	session mixer.Session
	lines   [4]*line // by role
	floor   *floor   // nil before slides were agreed on
	order   []place  // m-lines as they stand in SDP
	offered []offered
	local   string  // description that holds
	kind    string  // of it: "offer" or "answer"
	seat    *seat   // nil: in no room
	off     [2]bool // sound, pictures: switched off by who is at the other end
	tmmbr   int     // bit/s that the other end takes now; 0: no bound
}

// role says which of a leg's m-lines one is.
type role int

const (
	refused   role = 0
	soundLine      = role(codec.Audio)
	videoLine      = role(codec.Video)
	// slidesLine are pictures besides the camera's, which take its place while the
	// other end has the floor; floorLine is where it asks for that.
	slidesLine = 3
	floorLine  = 4
)

// kind is that of an m-line of RTP.
func (r role) kind() codec.Kind {
	if r == slidesLine {
		return codec.Video
	}
	return codec.Kind(r)
}

// place is one m-line of a leg's SDP.
type place struct {
	role role
	mid  string
}

// ID is unguessable.
func (l *Leg) ID() string { return l.id }

// Hangup ends the leg without waiting for it; nil stands for ErrHangup.
func (l *Leg) Hangup(reason error) {
	if reason == nil {
		reason = ErrHangup
	}
	l.once.Do(func() {
		l.reason = reason
		close(l.done)
	})
}

// Done is closed when the leg has ended.
func (l *Leg) Done() <-chan struct{} { return l.done }

func (l *Leg) ended() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// run is the leg from its making to its end.
func (l *Leg) run() {
	var writer sync.WaitGroup
	writer.Go(l.sink.run)
	l.loop()
	writer.Wait()

	l.signal.Lock() // nobody opens a line any more
	l.mu.Lock()
	at, lines, f := l.seat, l.lines, l.floor
	l.seat = nil
	l.mu.Unlock()
	l.signal.Unlock()
	l.source.pub.Store(nil)
	if at != nil {
		at.leave()
	}
	for _, n := range lines {
		if n == nil {
			continue
		}
		l.bye(n)
		_ = n.conn[forRTP].Close()
		_ = n.conn[forRTCP].Close()
	}
	if f != nil {
		f.close()
	}
	l.readers.Wait()
	if f != nil {
		l.transport.ports.free(f.port)
	}
	for _, n := range lines {
		if n != nil {
			l.transport.ports.free(n.port)
		}
	}
	l.source.close()
	l.log.Info("leg ended", "reason", l.reason)
	if l.params.Ended != nil {
		l.params.Ended(l, l.reason)
	}
}

// line returns the m-line of a role, opened at the first call. The caller holds
// signal.
func (l *Leg) line(r role) (*line, error) {
	if n := l.lines[r]; n != nil {
		return n, nil
	}
	if l.ended() {
		return nil, errEnded
	}
	rtp, rtcp, err := l.transport.ports.open()
	if err != nil {
		return nil, err
	}
	n := &line{leg: l, role: r, kind: r.kind(), pictures: l.source.of(r), out: newOutgoing()}
	n.port = portOf(rtp)
	n.conn[forRTP], n.conn[forRTCP] = rtp, rtcp
	// A keyframe comes in one burst; the kernel gives as much of this as it may.
	_ = rtp.SetReadBuffer(1 << 20)
	l.mu.Lock()
	l.lines[r] = n
	l.mu.Unlock()
	l.readers.Go(func() { n.read(forRTP) })
	l.readers.Go(func() { n.read(forRTCP) })
	return n, nil
}

// lineOf returns the m-line of a role, or nil.
func (l *Leg) lineOf(r role) *line {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines[r]
}

// all are the m-lines by role; some may be nil.
func (l *Leg) all() [4]*line {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines
}

// agreedOn returns what holds for a role, or nil.
func (l *Leg) agreedOn(r role) *agreement {
	if n := l.lineOf(r); n != nil {
		return n.agreed.Load()
	}
	return nil
}

// sending reports whether the other end takes a kind now.
func (l *Leg) sending(k codec.Kind) bool {
	a := l.agreedOn(role(k))
	return a != nil && a.sends
}

// Held reports whether the other end takes nothing at present (RFC 3264, section
// 8.4).
func (l *Leg) Held() bool {
	l.mu.Lock()
	receives := l.session.Receive
	l.mu.Unlock()
	a, v := l.agreedOn(soundLine), l.agreedOn(videoLine)
	return receives && (a != nil || v != nil) && !(a != nil && a.sends) && !(v != nil && v.sends)
}

// Attach brings the leg into a room, or from one into another, as its session
// says. Its Publish and Receive cannot be more than those that the leg was made
// with.
func (l *Leg) Attach(_ context.Context, s mixer.Session) error {
	l.signal.Lock()
	defer l.signal.Unlock()
	return l.attach(s)
}

// attach is Attach. The caller holds signal.
func (l *Leg) attach(s mixer.Session) error {
	if l.ended() {
		return errEnded
	}
	at := &seat{leg: l, session: s}
	audio, video := l.agreedOn(soundLine), l.agreedOn(videoLine)
	for _, a := range []*agreement{audio, video} {
		if a == nil {
			continue
		}
		for _, f := range a.formats {
			at.codecs = append(at.codecs, f.codec.Name)
		}
	}
	if len(at.codecs) == 0 {
		return fmt.Errorf("leg %s: nothing was agreed on yet: %w", l.id[:8], mixer.ErrNoCodec)
	}
	if audio != nil {
		at.voice = l.source.voiceFor(audio.formats[0].codec)
	}
	l.detach()
	rooms := l.transport.rooms
	var err error
	if s.Publish {
		if at.pub, err = rooms.Publish(s.Room, s.Identity, at); err != nil {
			return fmt.Errorf("room %q: %w", s.Room, err)
		}
	}
	if s.Receive {
		if at.sub, err = rooms.Subscribe(s.Room, s.Identity, at, s.Want); err != nil {
			at.leave()
			return fmt.Errorf("room %q: %w", s.Room, err)
		}
	}
	l.mu.Lock()
	l.seat, l.session = at, s
	l.mu.Unlock()
	if at.pub != nil {
		l.source.pub.Store(at)
		l.source.wantKey()
	}
	l.fit()
	l.noteMedia()
	l.log.Info("leg is in a room", "room", s.Room, "participant", s.Identity.ID, "codecs", at.codecs)
	return nil
}

// Detach takes the leg out of its room. It stays.
func (l *Leg) Detach() {
	l.signal.Lock()
	defer l.signal.Unlock()
	l.detach()
	l.mu.Lock()
	l.session.Room = ""
	l.mu.Unlock()
}

func (l *Leg) detach() {
	l.mu.Lock()
	at := l.seat
	l.seat = nil
	l.mu.Unlock()
	l.source.pub.Store(nil)
	if at != nil {
		at.leave()
	}
}

// place returns where the leg is, nil for nowhere.
func (l *Leg) place() *seat {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seat
}

// RequestKeyframe asks the room for a keyframe for the other end, as
// picture_fast_update does in signaling.
func (l *Leg) RequestKeyframe() { l.wantPicture() }

func (l *Leg) wantPicture() {
	if at := l.place(); at != nil && at.sub != nil {
		at.sub.RequestKeyframe()
	}
}

// films reports whether the other end sends its camera's pictures.
func (l *Leg) films() bool {
	a := l.agreedOn(videoLine)
	return a != nil && a.takes
}

// Switch switches off or on what the other end sends, whatever it sends then, in
// this room and in those to come; nil leaves as is.
func (l *Leg) Switch(audio, video *bool) error {
	l.mu.Lock()
	for i, on := range []*bool{audio, video} {
		if on != nil {
			l.off[i] = !*on
		}
	}
	l.mu.Unlock()
	return l.showMedia()
}

// showMedia tells the room what the other end sends and does not want switched
// off: without pictures its tile is its name.
func (l *Leg) showMedia() error {
	l.mu.Lock()
	at, off := l.seat, l.off
	l.mu.Unlock()
	if at == nil || at.pub == nil {
		return nil
	}
	a := l.agreedOn(soundLine)
	audio := a != nil && a.takes && !off[0]
	video := l.films() && !off[1] || l.source.showsSlides()
	if err := l.transport.rooms.SetMedia(at.session.Room, at.session.Identity.ID, &audio, &video); err != nil {
		return fmt.Errorf("what leg %s sends could not be told: %w", l.id[:8], err)
	}
	return nil
}

// noteMedia is showMedia for who cannot help it.
func (l *Leg) noteMedia() {
	if err := l.showMedia(); err != nil {
		l.log.Debug("leg is leaving", "error", err)
	}
}

// renegotiated follows another agreement. The caller holds signal.
func (l *Leg) renegotiated() error {
	l.mu.Lock()
	at, s := l.seat, l.session
	l.mu.Unlock()
	if at == nil {
		return nil
	}
	var codecs []string
	for _, r := range []role{soundLine, videoLine} {
		if a := l.agreedOn(r); a != nil {
			for _, f := range a.formats {
				codecs = append(codecs, f.codec.Name)
			}
		}
	}
	if !slices.Equal(codecs, at.codecs) || at.voice == nil && l.agreedOn(soundLine) != nil {
		return l.attach(s)
	}
	l.fit()
	l.noteMedia()
	l.source.wantKey()
	l.wantPicture()
	return nil
}

// limited takes a bit rate that the other end allows.
func (l *Leg) limited(bps int) {
	l.mu.Lock()
	l.tmmbr = bps
	l.mu.Unlock()
	l.fit()
}

// fit tells the room which tier the other end takes.
func (l *Leg) fit() {
	at := l.place()
	if at == nil || at.sub == nil {
		return
	}
	at.sub.Fit(mixer.Fit{Tier: l.tier()})
}

// tier is the best index of the ladder that the other end takes, -1 for none.
func (l *Leg) tier() int {
	a := l.agreedOn(videoLine)
	if a == nil || !a.sends {
		return -1
	}
	l.mu.Lock()
	limit := l.tmmbr
	l.mu.Unlock()
	if a.limit > 0 && (limit == 0 || a.limit < limit) {
		limit = a.limit
	}
	return a.tier(l.transport.rooms.Rungs().Tiers, limit)
}

// tier is the best of a ladder that fits what was agreed on and a bit rate, 0 for
// any. If only the rate does not fit, it is the cheapest.
func (a *agreement) tier(ladder []mixer.TierSpec, limit int) int {
	cheapest := -1
	for i, t := range ladder {
		pixels := (t.Width + 15) / 16 * ((t.Height + 15) / 16) * 256
		fits, rate := true, limit
		for _, f := range a.formats {
			b := f.terms
			if b.Pixels > 0 && pixels > b.Pixels || b.PixelRate > 0 && float64(pixels)*t.FPS > float64(b.PixelRate) {
				fits = false
			}
			if b.Bitrate > 0 && (rate == 0 || b.Bitrate < rate) {
				rate = b.Bitrate
			}
		}
		switch {
		case !fits:
		case rate == 0 || t.Bitrate <= rate:
			return i
		default:
			cheapest = i
		}
	}
	return cheapest
}

// silence ends a leg that has said nothing for too long.
func (l *Leg) silence(now time.Time) {
	var heard time.Time
	waits := false
	for _, n := range l.all() {
		if n == nil {
			continue
		}
		a := n.agreed.Load()
		if a == nil {
			continue
		}
		waits = waits || a.takes
		if at := time.Unix(0, n.heard.Load()); at.After(heard) {
			heard = at
		}
	}
	switch since := now.Sub(heard); {
	case heard.IsZero():
	case l.source.bye.Load() && since > byeGrace:
		l.Hangup(ErrBye)
	case waits && since > l.cfg.Silence:
		l.Hangup(ErrSilent)
	}
}
