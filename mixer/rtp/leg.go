package rtp

import (
	"context"
	"errors"

	"mixdown/mixer"
)

var errNotYet = errors.New("rtp: not yet")

// Reasons for the end of a leg, besides those that a room gives.
var (
	ErrSilent  = errors.New("nothing came from the other end")
	ErrHangup  = errors.New("hung up")
	ErrClosing = errors.New("server is closing")
)

// Transport holds the legs.
type Transport struct{}

// Leg is one end that speaks plain RTP. Its methods may be called from any
// goroutine.
type Leg struct{}

// ID is unguessable.
func (l *Leg) ID() string { return "" }

// Accept takes the answer to an offer of Offer or Reoffer, early media's too: it
// may be called again with another one.
func (l *Leg) Accept(answer string) error { return errNotYet }

// Update takes a further offer (a re-INVITE or UPDATE: hold, resume, other codecs,
// another address) and returns the answer. After an error what held before still
// holds.
func (l *Leg) Update(offer string) (answer string, err error) { return "", errNotYet }

// Reoffer returns an offer of what holds now, for a re-INVITE without SDP.
func (l *Leg) Reoffer() (offer string, err error) { return "", errNotYet }

// Attach brings the leg into a room, or from one into another, as its session
// says.
func (l *Leg) Attach(ctx context.Context, s mixer.Session) error { return errNotYet }

// Detach takes the leg out of its room. It stays.
func (l *Leg) Detach() {}

// Play sends a prompt in place of the room's sound, mono at 48 kHz, and returns when
// it has been sent, ctx ends or the leg does. A second Play ends the first.
func (l *Leg) Play(ctx context.Context, pcm []int16) error { return errNotYet }

// RequestKeyframe asks the room for a keyframe for the other end, as
// picture_fast_update does in signaling.
func (l *Leg) RequestKeyframe() {}

// Held reports whether the other end takes nothing at present (RFC 3264, section
// 8.4).
func (l *Leg) Held() bool { return false }

// Info returns what is to be told of the leg, with figures.
func (l *Leg) Info() mixer.Leg { return mixer.Leg{} }

// Hangup ends the leg without waiting for it; nil stands for ErrHangup.
func (l *Leg) Hangup(reason error) {}

// Done is closed when the leg has ended.
func (l *Leg) Done() <-chan struct{} { return nil }
