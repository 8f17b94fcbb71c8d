// Package rtp brings whoever speaks plain RTP into rooms: SIP phones, room
// systems, ffmpeg, GStreamer. A Leg is one such end; it is set up by SDP offer
// and answer in either direction, and may stand outside of any room for as long as
// it takes to ask for a PIN:
//
//	leg, answer, err := transport.Answer(ctx, mixer.Session{Publish: true, Receive: true}, rtp.Params{Digit: pin}, offer)
//	leg.Play(ctx, welcome)                        // and digits come by Params.Digit
//	leg.Attach(ctx, mixer.Session{Room: "a", …})  // and from one room to another
//
//	UDP ─▶ line: SRTP, latch ─▶ source ─ jitter ─▶ Publication
//	UDP ◀─ line: SRTP ◀─ sink's queues ◀─ Subscription, or a prompt
package rtp

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"

	"mixdown/codec"
	"mixdown/mixer"
)

// Params is what a signaling protocol knows of a leg besides the session. Its
// functions are called from the leg's goroutines, must not block, and may be nil.
type Params struct {
	// Digit is told each key that the other end presses (RFC 4733): 0 to 9, *, #, A
	// to D.
	Digit func(l *Leg, key byte)
	// Refresh asks the other end for a keyframe where it agreed on no way by RTCP, as
	// by picture_fast_update (RFC 5168). At most every 500 ms.
	Refresh func(l *Leg)
	// Ended is told the end of the leg, once, whoever ended it: silence
	// (ErrSilent), a room (mixer.ErrRemoved, mixer.ErrReplaced, …), Hangup's
	// reason.
	Ended func(l *Leg, reason error)
	// Local is this server's IP address as the other end sees it, where signaling
	// knows better than the configuration; empty otherwise.
	Local string
	// SRTP overrides the configured policy, for this leg; empty does not.
	SRTP Policy
	// AudioOnly refuses pictures.
	AudioOnly bool
	// Allow judges addresses that the other end names for its media; nil: all may be
	// sent to.
	Allow func(netip.Addr) error
}

// Transport holds the legs. It implements prometheus.Collector.
type Transport struct {
	cfg    Config
	codecs codec.Set
	rooms  Rooms
	log    *slog.Logger
	meter  *meter
	ports  *ports

	wg     sync.WaitGroup // run of each leg
	mu     sync.Mutex
	legs   map[string]*Leg
	closed bool
}

// New takes all codecs that a server has, and uses those for legs.
func New(cfg Config, codecs codec.Set, rooms Rooms, log *slog.Logger) (*Transport, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Transport{
		cfg: cfg, codecs: codecs.For(codec.Legs), rooms: rooms, log: log, meter: newMeter(),
		ports: newPorts(cfg.First, cfg.Last), legs: map[string]*Leg{},
	}, nil
}

// Answer takes an offer and makes a leg of it. Without a room in s the leg waits
// for Attach. s's Publish and Receive say what of the offer is taken up.
// Errors: mixer.ErrBadOffer, mixer.ErrNoCodec, mixer.ErrNoPorts, mixer.ErrFull, and
// those of Attach.
func (t *Transport) Answer(ctx context.Context, s mixer.Session, p Params, offer string) (*Leg, string, error) {
	d, err := parse(offer)
	if err != nil {
		return nil, "", err
	}
	l, err := t.open(s, p)
	if err != nil {
		return nil, "", err
	}
	answer, err := l.answer(d)
	if err != nil {
		l.Hangup(err)
		return nil, "", err
	}
	if s.Room != "" {
		if err := l.Attach(ctx, s); err != nil {
			l.Hangup(err)
			return nil, "", err
		}
	}
	return l, answer, nil
}

// Offer makes a leg and an offer for it, of all codecs: for dialing out, and for an
// INVITE without SDP. With a room in s the leg joins it at the first Accept.
func (t *Transport) Offer(_ context.Context, s mixer.Session, p Params) (*Leg, string, error) {
	l, err := t.open(s, p)
	if err != nil {
		return nil, "", err
	}
	offer, err := l.firstOffer()
	if err != nil {
		l.Hangup(err)
		return nil, "", err
	}
	return l, offer, nil
}

// open makes a leg without lines.
func (t *Transport) open(s mixer.Session, p Params) (*Leg, error) {
	l := &Leg{
		id: rand.Text(), cname: rand.Text(), transport: t, cfg: t.cfg, meter: t.meter, params: p, session: s,
		source: newSource(), done: make(chan struct{}),
	}
	if l.params.SRTP == "" || l.params.SRTP == Preferred && t.cfg.SRTP != Optional {
		l.params.SRTP = t.cfg.SRTP
	}
	l.sink = newSink(l)
	l.log = t.log.With("leg", l.id[:8])
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
		return nil, ErrClosing
	case len(t.legs) >= t.cfg.MaxLegs:
		return nil, fmt.Errorf("rtp: %d legs: %w", len(t.legs), mixer.ErrFull)
	}
	t.legs[l.id] = l
	t.meter.legs.Inc()
	t.wg.Go(func() {
		l.run()
		t.mu.Lock()
		delete(t.legs, l.id)
		t.mu.Unlock()
		t.meter.legs.Dec()
	})
	return l, nil
}

// Leg returns the leg of an ID that has not ended, or nil.
func (t *Transport) Leg(id string) *Leg {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.legs[id]; l != nil && !l.ended() {
		return l
	}
	return nil
}

// Legs returns those that have not ended, in no order.
func (t *Transport) Legs() []*Leg {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []*Leg
	for _, l := range t.legs {
		if !l.ended() {
			out = append(out, l)
		}
	}
	return out
}

// Close ends all legs and waits for them. It may be called twice.
func (t *Transport) Close() error {
	t.mu.Lock()
	t.closed = true
	for _, l := range t.legs {
		l.Hangup(ErrClosing)
	}
	t.mu.Unlock()
	t.wg.Wait()
	return nil
}
