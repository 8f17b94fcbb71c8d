// Package mixer is the room: who is in it, its two clocks, its encoders and
// its fan-out. This file is the whole of what a transport or an output has to
// know; whoever reads it knows the server.
//
//	Source ── Unit ──▶ decoder ──▶ Slot ──▶ Tier: compose, encode, packetize ──▶ Sink
//	Source ◀─ Pull ── sound clock: levels, sum, mix-minus, encode ─────────────▶ Sink
//
// Pictures are pushed in and go by slot, sound is pulled by the room's clock.
package mixer

import (
	"errors"
	"time"

	"mixdown/codec"
)

// Identity is a person in a room. A second Publish or Subscribe of one ID
// takes over the place of the first.
type Identity struct {
	ID   string
	Name string
	Role Role
	// Invited says that a host brings it in: no lock keeps it out.
	Invited bool
}

// Role is what a token lets its bearer do.
type Role string

const (
	Host        Role = "host"        // all, and other people's microphones
	Participant Role = "participant" // publish and receive
	Viewer      Role = "viewer"      // receive only

	// No people, and given by no token: the room's State shows that there are
	// some, and not who. They take no place in a room that is full.
	Recorder Role = "recorder" // receives to keep
	Streamer Role = "streamer" // receives to send on
)

// hidden reports whether somebody of that role is no participant to people.
func (r Role) hidden() bool { return r == Recorder || r == Streamer }

// Source is what one participant sends, as a transport brings it in. Its
// pictures are handed to the Publication as they come; its sound is pulled.
// None of the methods may block, all may be called from any goroutine.
type Source interface {
	// Voice is the participant's sound, nil if it sends none.
	Voice() Voice
	// RequestKeyframe asks the sender for a picture that stands alone. The
	// mixer asks as often as it likes, the transport limits the rate.
	RequestKeyframe()
	// Ask tells the sender what it is worth sending.
	Ask(Ask)
	// Close ends the transport's session; reason is what its log shall say.
	Close(reason error)
}

// Voice is one participant's sound behind its jitter buffer.
type Voice interface {
	// Pull fills pcm, interleaved in the room's format, with the next 20 ms. It
	// is called on the room's sound clock only.
	Pull(pcm []int16) Heard
}

// Heard tells what a Pull gave and what is known of the sound behind it.
type Heard struct {
	Silent    bool          // pcm is all zeros
	Ahead     float64       // loudest level waiting in the buffer, dBov, from RFC 6464; -127 if unknown
	Playing   time.Time     // capture time of the first sample on this machine's clock; zero while unknown
	Delay     time.Duration // between arrival and playing
	Concealed time.Duration // how much of this pull was made up
}

// Ask is what the server wants from a sender: nobody uploads what nobody sees.
type Ask struct {
	Active  bool `json:"active"` // false: the picture is on no canvas
	Width   int  `json:"width"`  // of the tile, pixels
	Height  int  `json:"height"`
	FPS     int  `json:"fps"`
	Bitrate int  `json:"bitrate"` // bit/s
	// Uplink is what the sender's way here carries, sound and pictures, bit/s of RTP,
	// as far as that is known to be a bound; 0: it is not. It shares that out itself.
	Uplink int `json:"uplink,omitempty"`
}

// UplinkMeter is a Source that finds out what its sender's way here carries.
type UplinkMeter interface {
	// Uplink is that, bit/s of RTP; 0 while nothing bounds what is asked for.
	Uplink() int
}

// Sink takes a room's composite to one receiver. None of its methods may
// block: a slow sink drops whole frames and counts them.
type Sink interface {
	// Codecs are the names of the codecs that the receiver takes, both kinds, in
	// its order of preference.
	Codecs() []string
	// WriteVideo takes the packets of one picture, in order. They are shared and
	// must not be changed.
	WriteVideo(picture []*Packet)
	// WriteAudio takes one packet of sound.
	WriteAudio(p *Packet)
	// Close ends the transport's session; reason is what its log shall say.
	Close(reason error)
}

// Packet is one RTP packet's worth of a stream, made once and shared by all
// its listeners. A sink writes its own SSRC, sequence number and payload type;
// Timestamp goes out as it is, so that a layout's means the same to everybody.
type Packet struct {
	Codec     *codec.Codec
	Stream    uint32 // which encoder made it; another number, another encoder
	Payload   []byte
	Timestamp uint32    // in ticks of Codec.ClockRate, the same line for all encoders of a room
	Time      time.Time // what Timestamp stands for, on the clock that sender reports use
	Marker    bool
	Keyframe  bool
	Temporal  uint8
}

// Want is what a subscriber asks for at join.
type Want struct {
	Tier string // a name from the ladder, or SoundOnly; empty takes the default
	// Programme asks for a tier of its own instead of one from the ladder, which
	// neither the budget nor a link changes. All who want the same share one
	// encoder. Its codec is the first of Sink.Codecs that the server encodes, and
	// a keyframe comes every GOP. With an MTU of 0 pictures come whole, as coded:
	// one Packet each, for a Sink that muxes. Its Name does not matter.
	Programme *TierSpec
	Fit       Fit // what its link is known to carry; the transport says so
}

// Errors that callers branch on.
var (
	ErrNoRoom        = errors.New("no such room")
	ErrNoParticipant = errors.New("no such participant")
	ErrNoTier        = errors.New("no such tier")
	ErrBadProgramme  = errors.New("no tier can be like that")
	ErrProgramme     = errors.New("the room's recordings and outputs share one programme")
	ErrBadRate       = errors.New("bit rate out of bounds")
	ErrNoDenoiser    = errors.New("this server has no denoiser")
	ErrNoCodec       = errors.New("no codec in common")
	ErrNoLayout      = errors.New("no such layout")
	ErrFull          = errors.New("room is full")
	ErrLocked        = errors.New("the room is locked")
	ErrBusy          = errors.New("the server has all the work it can do")
	ErrReplaced      = errors.New("the same identity joined again")
	ErrRemoved       = errors.New("removed by a host")
	ErrRoomClosed    = errors.New("room closed")
	ErrForbidden     = errors.New("not allowed for this role")
)
