// Package rtp brings whoever speaks plain RTP into rooms: SIP phones, room
// systems, ffmpeg, GStreamer. A Leg is one such end; it is set up by SDP offer
// and answer in either direction, and may stand outside of any room for as long as
// it takes to ask for a PIN:
//
//	leg, answer, err := transport.Answer(ctx, mixer.Session{}, rtp.Params{Digit: pin}, offer)
//	leg.Play(ctx, welcome)                        // and digits come by Params.Digit
//	leg.Attach(ctx, mixer.Session{Room: "a", …})  // and from one room to another
//
//	UDP ─▶ line: SRTP, latch ─▶ source ─ jitter ─▶ Publication
//	UDP ◀─ line: SRTP ◀─ writer ◀─ sink's queues ◀─ Subscription
package rtp

import (
	"context"

	"mixdown/mixer"
)

// Params is what a signaling protocol knows of a leg besides the session. Its
// functions are called from the leg's goroutines, must not block, and may be nil.
type Params struct {
	// Digit is told each key that the other end presses (RFC 4733): 0 to 9, *, #, A
	// to D.
	Digit func(l *Leg, key byte)
	// Refresh asks the other end for a keyframe where RTCP cannot, as by
	// picture_fast_update (RFC 5168).
	Refresh func(l *Leg)
	// Ended is told the end of the leg, once, whoever ended it: silence
	// (ErrSilent), a room (mixer.ErrRemoved, mixer.ErrReplaced, …), Hangup's
	// reason.
	Ended func(l *Leg, reason error)
	// Local is this server's address as the other end sees it, where signaling
	// knows better than the configuration; empty otherwise.
	Local string
	// SRTP overrides the configured policy, for this leg; empty does not.
	SRTP Policy
	// AudioOnly refuses pictures.
	AudioOnly bool
}

// Answer takes an offer and makes a leg of it. Without a room in s the leg waits
// for Attach. s's Publish and Receive say what of the offer is taken up.
// Errors: mixer.ErrBadOffer, mixer.ErrNoCodec, mixer.ErrNoPorts, mixer.ErrFull.
func (t *Transport) Answer(ctx context.Context, s mixer.Session, p Params, offer string) (*Leg, string, error) {
	return nil, "", errNotYet
}

// Offer makes a leg and an offer for it, of all codecs: for dialing out, and for an
// INVITE without SDP. The leg sends nothing before Accept.
func (t *Transport) Offer(ctx context.Context, s mixer.Session, p Params) (*Leg, string, error) {
	return nil, "", errNotYet
}
