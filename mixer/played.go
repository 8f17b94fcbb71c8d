package mixer

import (
	"errors"
	"time"

	"mixdown/codec"
)

// Played says what a Source brings in that is no person's camera and
// microphone: a film, a picture, an announcement. Its sound is heard as it is,
// beside the voices: no gate, no levelling, and it is nobody's floor to take.
type Played struct {
	Kind     string // as the room's state calls it: "input", "announcement"
	Tileless bool   // it has no place on any canvas
	Over     bool   // everybody else's sound is turned down under its own
}

// Player is a Source that plays something.
type Player interface {
	Plays() Played
}

// WriteFrame hands over a decoded picture, for sources that decode themselves;
// the reference passes to the room. Decoding it took spent of computing time,
// which counts towards the budget. f.Captured is compared with the sound's
// Heard.Playing as with units.
func (p *Publication) WriteFrame(f *codec.Frame, spent time.Duration) {
	now := time.Now()
	p.count.units.Add(1)
	p.count.decodeTime.Add(int64(spent))
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		f.Release()
	case !p.limiter.admit(now):
		p.count.limited.Add(1)
		f.Release()
	default:
		p.limiter.decode.spend(spent, now)
		p.count.decoded.Add(1)
		p.slot.put(f, f.Width, f.Height, now)
	}
}

// Wanted reports whether the pictures are on a canvas.
func (p *Publication) Wanted() bool { return p.wanted.Load() }

// Errors of inputs that callers branch on.
var (
	ErrNoInput  = errors.New("no such input")
	ErrBadInput = errors.New("input not usable")                                      // its text says why
	ErrNotNow   = errors.New("not possible in this state")                            // likewise
	ErrRefused  = errors.New("not allowed by this server's configuration")            // likewise
	ErrTooMany  = errors.New("as many as this server's configuration allows already") // likewise
)

// InputRequest asks for something to be played into a room. Exactly one of URL
// and File is set; for an announcement it may be Text instead.
type InputRequest struct {
	URL    string
	File   string // below the server's folder of media
	Text   string // to be spoken
	Voice  string // of Text, as espeak-ng names it; empty: the default
	Name   string // on its tile; empty: what is played
	Loop   bool
	Start  time.Duration
	Volume float64 // 1 is as it is
}

// InputChange changes an input that runs; nil leaves as is.
type InputChange struct {
	Paused   *bool
	Loop     *bool
	Position *time.Duration
	Volume   *float64
}

// States of an input.
const (
	InputConnecting   = "connecting"
	InputPlaying      = "playing"
	InputPaused       = "paused"
	InputReconnecting = "reconnecting"
	InputEnded        = "ended"
	InputFailed       = "failed"
)

// InputState is one input as clients see it.
type InputState struct {
	ID          string  `json:"id"` // also of its participant
	Kind        string  `json:"kind" enum:"input,announcement"`
	Name        string  `json:"name"`
	Media       string  `json:"media" doc:"what is played, without credentials"`
	State       string  `json:"state" enum:"connecting,playing,paused,reconnecting,ended,failed"`
	Error       string  `json:"error,omitempty" doc:"why it failed, or reconnects"`
	Live        bool    `json:"live" doc:"comes at its own pace: no pause, no seeking"`
	Loop        bool    `json:"loop"`
	Volume      float64 `json:"volume"`
	Position    float64 `json:"position" doc:"seconds"`
	Duration    float64 `json:"duration,omitempty" doc:"seconds; absent if it has no known end"`
	Format      string  `json:"format,omitempty"`
	Pictures    string  `json:"pictures,omitempty" doc:"codec"`
	Sound       string  `json:"sound,omitempty" doc:"codec"`
	Width       int     `json:"width,omitempty"`
	Height      int     `json:"height,omitempty"`
	Stalls      uint64  `json:"stalls" doc:"times that what was to be played had not come yet"`
	Dropped     uint64  `json:"dropped" doc:"pictures that were too late to be shown"`
	Reconnects  uint64  `json:"reconnects"`
	Repetitions uint64  `json:"repetitions" doc:"of the loop"`
}

// SetInputs replaces what the room's state tells of its inputs.
func (s *Server) SetInputs(room string, inputs []InputState) error {
	return s.in(room, func(r *Room) error {
		r.inputs = inputs
		r.publishState()
		return nil
	})
}
