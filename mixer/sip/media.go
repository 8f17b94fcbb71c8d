package sip

import (
	"context"
	"net/netip"
	"time"

	"mixdown/mixer"
)

// Legs makes the media side of calls. cmd/mixdown brings one in: this package
// moves no media itself.
type Legs interface {
	// New returns a leg without a peer.
	New(ctx context.Context, o LegOptions) (Leg, error)
}

// LegOptions is what a leg has to know beforehand.
type LegOptions struct {
	Call  string     // id of the call, for the log
	Local netip.Addr // of this machine, as the peer sees it; goes into the SDP
	// Allow judges where the peer wants its media sent; nil: anywhere. A stranger's
	// call must not turn a stream on somebody else.
	Allow func(netip.Addr) error
	// Secure wants media encrypted, or no call.
	Secure bool
	// Hidden says that nobody else reads the SDP: keys may be offered.
	Hidden bool
}

// Leg is the media side of one call. Its methods may be called from any
// goroutine, and none waits for the peer.
type Leg interface {
	// Answer takes an offer, the first or a later one (RFC 3264), and returns the
	// answer. Hold is in it: a stream that the peer sets to sendonly or inactive.
	// An offer that cannot be used wraps mixer.ErrBadOffer or mixer.ErrNoCodec and
	// leaves what was agreed before.
	Answer(offer string) (answer string, err error)
	// Offer returns an offer of ours, the first or again.
	Offer() (string, error)
	// Accept takes the answer to the last Offer.
	Accept(answer string) error
	// Held reports whether the peer has put the call on hold.
	Held() bool
	// Play plays mono sound of 48 kHz to the peer instead of what it hears else,
	// and instead of what was played before. Nil ends it.
	Play(pcm []int16)
	// Digits are the keys that the peer pressed (RFC 4733), as 0-9, *, #, A-D.
	Digits() <-chan rune
	// Keyframes gets a value when the room wants a picture that stands alone and
	// the peer agreed on no feedback by RTCP to ask it with. It may be nil.
	Keyframes() <-chan struct{}
	// Refresh sends the peer a picture that stands alone.
	Refresh()
	// Enter makes the leg a participant of a room. Before, and after Leave, it
	// hears what is played only.
	Enter(room string, who mixer.Identity) error
	// Switch switches off or on, in whatever room the leg is, what its peer sends;
	// nil leaves as is. It outlasts hold and other agreements.
	Switch(audio, video *bool) error
	// Figures are for the call's record.
	Figures() LegFigures
	// Done is closed when the leg has ended by itself: its peer fell silent, or the
	// room closed it. Err says why.
	Done() <-chan struct{}
	Err() error
	// Close ends the leg. It may be called twice.
	Close(reason error)
}

// LegFigures is what became of a leg's media so far.
type LegFigures struct {
	Audio    string        `json:"audio,omitempty"` // names of the codecs
	Video    string        `json:"video,omitempty"`
	Secure   bool          `json:"secure"` // SRTP
	Received uint64        `json:"packets_received"`
	Sent     uint64        `json:"packets_sent"`
	Lost     uint64        `json:"packets_lost"`
	Jitter   time.Duration `json:"jitter_ns"`
	RTT      time.Duration `json:"rtt_ns,omitempty"`
}

// Rooms is what calls need of the server's rooms.
type Rooms interface {
	// Find tells of a room that may be called by its name without making it live:
	// its PIN, empty if it has none and is open to all. Without such a room the
	// error wraps mixer.ErrNoRoom.
	Find(room string) (pin string, err error)
	// ByPIN finds the room that a PIN opens, and what it makes of who has it.
	ByPIN(pin string) (room string, role mixer.Role, ok bool)
	// Open makes a room live that Find knows.
	Open(room string) error
	// Admit tells beforehand whether somebody would get in.
	Admit(room string, who mixer.Identity) error
	// SetCalls tells a room of its calls.
	SetCalls(room string, calls []mixer.Call) error
	Control
}

// Control is what the keys of a telephone do in a room.
type Control interface {
	State(room string) (mixer.State, error)
	SetMedia(room, id string, audio, video *bool) error
	Mute(room, id string, audio, video *bool) error
	SetHand(room, id string, up bool) error
	SetLayout(room, layout string) error
	SetLocked(room string, locked bool) error
}

// Signaler is a WebRTC transport: a call whose offer is a browser's goes there.
type Signaler interface {
	Offer(ctx context.Context, s mixer.Session, sdp string) (mixer.Answer, error)
	// Reoffer takes a further offer of a session: hold is in it.
	Reoffer(ctx context.Context, id, sdp string) (a mixer.Answer, held bool, err error)
	Hangup(ctx context.Context, id string) error
	Session(id string) (mixer.Session, bool)
}
