// Package codec holds the values that media travel in and the contracts every
// codec is spoken to through. Nothing outside this tree knows a codec by name:
// the rest of the server holds a *Codec and asks it for what it can do.
package codec

import (
	"strings"
	"time"
)

// Kind tells pictures from sound.
type Kind uint8

const (
	Video Kind = iota + 1
	Audio
)

// String returns the SDP media name of the kind (RFC 8866, section 5.14).
func (k Kind) String() string {
	switch k {
	case Video:
		return "video"
	case Audio:
		return "audio"
	}
	return "unknown"
}

// Reach says whom a codec is for.
type Reach uint8

const (
	Everybody Reach = iota
	Legs            // plain RTP and SIP, not browsers, who all have better
	Inside          // pipelines in this process: its packets are larger than networks take
)

// Codec is one row of a Set: all that the server can do with one codec. A
// power that a codec does not have is nil.
type Codec struct {
	Name      string // RTP encoding name as SDP writes it, "VP8", "opus" (RFC 4855)
	Kind      Kind
	ClockRate uint32 // of RTP timestamps, Hz
	Channels  uint16 // as SDP signals them; 0 for video
	Fmtp      string // format parameters that the server offers and answers with
	Reach     Reach
	// Constant is the bit rate of sound that knows no other, and no repair, bit/s:
	// one encoder serves all who listen. 0: both are chosen.
	Constant int
	// Static is the payload type that the codec has by itself (RFC 3551, section
	// 6); nil: one is agreed on.
	Static *uint8
	// EvenKeyframes says that the encoder's rate control never lets a keyframe take
	// more than a second of the rate, and makes good pictures of what that leaves.
	// Bounded further, all its pictures get worse.
	EvenKeyframes bool

	// Negotiate reads the format parameters of who is to receive; ok is false if what
	// the encoder makes is not for it. nil: all take it, and Fmtp answers.
	Negotiate func(fmtp string) (t Terms, ok bool)

	// Payload is the RTP payload format.
	Payload Payload

	NewVideoDecoder func() (VideoDecoder, error)
	NewVideoEncoder func(VideoConfig) (VideoEncoder, error)
	NewAudioDecoder func(AudioFormat) (AudioDecoder, error)
	NewAudioEncoder func(AudioConfig) (AudioEncoder, error)
}

// Unit is one coded access unit: a whole picture, or one packet of sound.
type Unit struct {
	Codec     *Codec
	Data      []byte
	Keyframe  bool
	Temporal  uint8     // temporal layer, 0 is the base
	Layers    uint8     // how many of them the stream has; 0 while unknown
	Timestamp uint32    // RTP timestamp, in ticks of Codec.ClockRate
	Arrived   time.Time // when its last packet came in
	Captured  time.Time // the sender's capture time on this machine's clock; zero while unknown
}

// VideoDecoder turns access units into frames. It is called from one goroutine
// at a time. Bytes go in and planes come out, nothing else crosses: a decoder
// may live in another process.
type VideoDecoder interface {
	// Decode takes one access unit and returns the frame it completed, which the
	// caller releases, or nil if there is none yet. u.Data is not kept. After an
	// error the decoder goes on with the next keyframe.
	Decode(u Unit) (*Frame, error)
	// Close may be called twice.
	Close() error
}

// PixelLimiter is a VideoDecoder that refuses pictures beyond a size.
type PixelLimiter interface {
	// LimitPixels takes the most luma samples that a picture may have.
	LimitPixels(n int) error
}

// FilterSkipper is a VideoDecoder that can leave out its loop filter, which takes
// a quarter of the time and shows little where pictures are made much smaller.
type FilterSkipper interface {
	// SkipFilter sets whether the filter is left out from the next unit on. Keyframes
	// get it all the same; what refers to a picture without drifts from what was
	// sent, until the next one. It reports whether the decoder does as it was told.
	SkipFilter(on bool) (ok bool)
}

// VideoConfig says what a VideoEncoder is to make.
type VideoConfig struct {
	Width, Height int // even
	FPS           int
	Bitrate       int // bit/s
	Threads       int // 0 means 1
	// KeyInterval is the longest distance of two keyframes in frames; 0 means
	// only when one is asked for.
	KeyInterval int
	// MaxKeyframe bounds a keyframe's size as a multiple of the average frame's;
	// 0 leaves it to the codec.
	MaxKeyframe float64
	// TemporalLayers is 1 (or 0) for none.
	TemporalLayers int
	// MTU is the largest RTP payload the units will be cut into, bytes; 0 unknown.
	MTU int
}

// VideoEncoder turns frames into access units. It is called from one goroutine
// at a time.
type VideoEncoder interface {
	// Encode codes one frame of exactly the configured size. pts is the time on
	// the encoder's own line and must grow. With key the unit is a keyframe. The
	// unit's Data is valid until the next call; it is empty when rate control
	// dropped the frame. f is not kept.
	Encode(f *Frame, pts time.Duration, key bool) (Unit, error)
	// Close may be called twice.
	Close() error
}

// BitrateSetter is an encoder whose rate can change while it runs.
type BitrateSetter interface {
	// SetBitrate takes bit/s, from the next frame on.
	SetBitrate(bps int) error
}

// LossSetter is a sound encoder that adds repair for an expected packet loss.
type LossSetter interface {
	// SetLoss takes the expected share of lost packets, 0 to 1.
	SetLoss(share float64) error
}

// DTXSetter is a sound encoder that can make next to nothing of silence.
type DTXSetter interface {
	// SetDTX begins or ends that, from the next frame on.
	SetDTX(on bool) error
}

// AudioFormat is the shape of PCM: interleaved 16-bit samples.
type AudioFormat struct {
	Rate     int // Hz
	Channels int
}

// AudioDecoder turns packets of sound into interleaved PCM of its format. It
// is called from one goroutine at a time.
type AudioDecoder interface {
	// Decode fills pcm and returns the number of samples per channel.
	Decode(packet []byte, pcm []int16) (int, error)
	// DecodeFEC fills all of pcm with the repair that packet carries for the
	// packet before it, or conceals where it carries none.
	DecodeFEC(packet []byte, pcm []int16) error
	// Conceal fills all of pcm with sound that hides a loss.
	Conceal(pcm []int16) error
	// Samples returns the samples per channel that packet holds.
	Samples(packet []byte) (int, error)
	// Close may be called twice.
	Close() error
}

// Repeater is a sound decoder that can tell whether DecodeFEC has something to
// repair with.
type Repeater interface {
	// Repeats reports whether packet carries a repair for the packet before it.
	Repeats(packet []byte) bool
}

// Comforter is a sound decoder whose sender may describe the noise of its pauses
// instead of sending them (RFC 3389).
type Comforter interface {
	// Comfort takes such a description: until the next Decode, Conceal makes noise
	// as it says.
	Comfort(description []byte) error
}

// AudioConfig says what an AudioEncoder is to make.
type AudioConfig struct {
	AudioFormat
	Bitrate    int           // bit/s
	Frame      time.Duration // length of one packet
	Complexity int           // 0 to 10
	FEC        bool          // in-band repair
	Loss       float64       // expected share of lost packets, 0 to 1
	DTX        bool          // send next to nothing in silence
	Most       int           // bytes of one packet; 0: as many as it takes
}

// AudioEncoder turns PCM into packets of sound. It is called from one
// goroutine at a time.
type AudioEncoder interface {
	// Encode takes exactly one frame of interleaved PCM. The result is valid
	// until the next call.
	Encode(pcm []int16) ([]byte, error)
	// Close may be called twice.
	Close() error
}

// Payload is a codec's RTP payload format. It holds no state and is shared.
type Payload interface {
	NewPacketizer() Packetizer
	NewDepacketizer() Depacketizer
	// Counters reads the codec's own counters (such as VP8's PictureID and
	// TL0PICIDX) from a payload.
	Counters(payload []byte) Counters
	// Follow returns the shift after which first continues last by one picture.
	Follow(last, first Counters) Counters
	// Shift adds by to the counters in payload, in place. The length of the
	// payload does not change.
	Shift(payload []byte, by Counters)
}

// Counters are a codec's own running numbers, packed as its Payload likes.
type Counters uint64

// Packetizer cuts access units into RTP payloads. It counts the pictures of
// one stream.
type Packetizer interface {
	// Packetize returns u's payloads in order, each at most mtu bytes and
	// freshly allocated: the caller owns them. The last one takes the marker bit.
	Packetize(u Unit, mtu int) ([][]byte, error)
}

// Depacketizer puts access units together from RTP payloads in order.
type Depacketizer interface {
	// Begins reports whether payload can be the first of an access unit.
	Begins(payload []byte) bool
	// Append adds the coded bytes in payload to unit and returns it.
	Append(unit, payload []byte) ([]byte, error)
	// Keyframe reports whether a whole unit is a keyframe.
	Keyframe(unit []byte) bool
}

// Set is the codecs a server runs, in order of preference.
type Set []*Codec

// Find returns the codec of that RTP encoding name, which SDP compares without
// case, or nil.
func (s Set) Find(name string) *Codec {
	for _, c := range s {
		if strings.EqualFold(c.Name, name) {
			return c
		}
	}
	return nil
}

// For returns the codecs of that reach and of any wider one, in order of
// preference.
func (s Set) For(r Reach) Set {
	var out Set
	for _, c := range s {
		if c.Reach <= r {
			out = append(out, c)
		}
	}
	return out
}

// Of returns the codecs of one kind, in order of preference.
func (s Set) Of(k Kind) Set {
	var out Set
	for _, c := range s {
		if c.Kind == k {
			out = append(out, c)
		}
	}
	return out
}
