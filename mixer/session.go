package mixer

import (
	"errors"
	"time"
)

// Errors of a signaler that callers branch on.
var (
	ErrBadOffer  = errors.New("offer not usable")                        // 400: its text says why
	ErrNoSession = errors.New("no such session")                         // 404
	ErrStale     = errors.New("ICE session has changed since that ETag") // 412
)

// Session is who wants what from a transport that is set up by an SDP offer.
// It is plain data: a transport may run in another process.
type Session struct {
	Room     string
	Identity Identity
	Publish  bool // the client's tracks come in
	Receive  bool // the room's mix goes out
	Want     Want
}

// Answer is a transport's reply to an offer.
type Answer struct {
	ID   string // of the session, for Patch and Hangup; unguessable
	SDP  string
	ETag string // of the ICE session (RFC 9725, section 4.3.1)
}

// State is all that a member of a room may know of it. It is sent whole.
type State struct {
	Room         string        `json:"room"`
	Version      uint64        `json:"version"`
	Participants []Member      `json:"participants"`
	Speaker      string        `json:"speaker,omitempty"`
	Levelling    bool          `json:"levelling"` // brings talkers to a common loudness
	Denoising    bool          `json:"denoising"` // takes noise out of every sender's sound
	Recording    bool          `json:"recording"` // somebody keeps what is seen and heard
	Streaming    bool          `json:"streaming"` // or sends it on
	Locked       bool          `json:"locked"`    // newcomers are kept out
	Layout       string        `json:"layout"`    // of what people see: one of Layouts
	Layouts      []CanvasState `json:"layouts"`
	Inputs       []InputState  `json:"inputs,omitempty"`  // what is played into the room; positions are those of the last change
	Savings      []Saving      `json:"savings,omitempty"` // while the server's budget is spent, in order
	Calls        []Call        `json:"calls,omitempty"`   // telephone calls, oldest first
}

// Member is one participant in a State.
type Member struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Role      Role      `json:"role"`
	Kind      string    `json:"kind,omitempty"` // "input" or "announcement"; absent: a person
	Publishes bool      `json:"publishes"`
	Receives  bool      `json:"receives"`
	Audio     bool      `json:"audio"`            // sends sound and is not muted
	Video     bool      `json:"video"`            // sends a picture and is not muted
	Screen    bool      `json:"screen,omitempty"` // its picture is a screen
	Muted     bool      `json:"muted"`            // sound muted by a host
	Hidden    bool      `json:"hidden"`           // picture muted by a host
	Hand      time.Time `json:"hand,omitzero"`    // since when it is raised; absent: it is not
	Open      bool      `json:"open"`             // is in the sum now
	Level     float64   `json:"level"`            // dBov
	Tier      string    `json:"tier,omitempty"`   // a name of the ladder; with " twin", that tier's encoder for who loses much
	Codec     string    `json:"codec,omitempty"`  // of the pictures it receives
	Canvas    string    `json:"canvas,omitempty"`
	Ask       *Ask      `json:"ask,omitempty"`
	Width     int       `json:"width,omitempty"` // of the pictures it sends
	Height    int       `json:"height,omitempty"`
}

// CanvasState says what is where on a canvas, in thousandths of its size.
type CanvasState struct {
	Canvas    string `json:"canvas"`
	Timestamp uint32 `json:"timestamp"` // of the room's video line, 90 kHz, from which it holds
	Tiles     []Tile `json:"tiles"`
}

// Tile is one place of a canvas.
type Tile struct {
	ID   string `json:"id,omitempty"`
	More int    `json:"more,omitempty"`
	X    int    `json:"x"`
	Y    int    `json:"y"`
	W    int    `json:"w"`
	H    int    `json:"h"`
}

// Call is one telephone call of a room.
type Call struct {
	ID       string    `json:"id"`
	Room     string    `json:"room,omitempty"` // empty in the lobby
	Outgoing bool      `json:"outgoing"`       // placed from the room
	State    CallState `json:"state" enum:"dialing,ringing,asking,connected,held,ended"`
	Peer     string    `json:"peer"`               // its address, or number
	Name     string    `json:"name"`               // on the tile
	Identity string    `json:"identity,omitempty"` // of the participant, once it is one
	Code     int       `json:"code,omitempty"`     // status of RFC 3261 that it ended with
	Reason   string    `json:"reason,omitempty"`   // why it ended
	Started  time.Time `json:"started"`
	Answered time.Time `json:"answered,omitzero"`
}

// CallState is how far a call is.
type CallState string

const (
	CallDialing   CallState = "dialing"   // asked for, nothing heard yet
	CallRinging   CallState = "ringing"   // there
	CallAsking    CallState = "asking"    // answered; a voice asks for the PIN
	CallConnected CallState = "connected" // in the room
	CallHeld      CallState = "held"      // put on hold by the peer
	CallEnded     CallState = "ended"
)

// CallOrder asks for a call from a room.
type CallOrder struct {
	To   string // an address or a number
	From string // as the callee shall see it; empty: as configured
	Name string // on the tile; empty: what the callee is called
}

// Errors of calls that callers branch on.
var (
	ErrNotAllowed = errors.New("configuration does not allow this call") // 403
	ErrBadAddress = errors.New("no address to call")                     // 422
	ErrNoCall     = errors.New("no such call")                           // 404
)
