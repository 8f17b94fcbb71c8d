package mixer

import (
	"errors"
	"time"
)

// Errors of recordings that callers branch on.
var (
	ErrNoRecording = errors.New("no such recording")
	ErrBadRequest  = errors.New("cannot be recorded like that")
	ErrNoSpace     = errors.New("the disk is full")
	ErrState       = errors.New("not while it is like that")
)

// RecordingSpec is what a recording is to be. Zero values take those of the
// programme that the room has already, or else the configuration's.
type RecordingSpec struct {
	Format       string  `json:"format,omitempty"`       // mp4, mkv, webm; sound only: ogg, m4a
	Video        string  `json:"video,omitempty"`        // H264, VP8, VP9; the format's own if empty
	Audio        string  `json:"audio,omitempty"`        // AAC, opus; likewise
	Layout       string  `json:"layout,omitempty"`       // gallery, speaker or screen
	Names        *bool   `json:"names,omitempty"`        // of people on their pictures; absent is true
	Width        int     `json:"width,omitempty"`        // even
	Height       int     `json:"height,omitempty"`       // even
	FPS          float64 `json:"fps,omitempty"`          //
	Bitrate      int     `json:"bitrate,omitempty"`      // of pictures, bit/s
	Title        string  `json:"title,omitempty"`        //
	Split        float64 `json:"split,omitempty"`        // s after which another file begins; 0 never
	MaxLength    float64 `json:"max_length,omitempty"`   // s after which it stops; 0 never
	MaxSize      int64   `json:"max_size,omitempty"`     // bytes of all files after which it stops; 0 never
	Participants bool    `json:"participants,omitempty"` // one file for each of them as well, as they sent it
}

// RecordingState is where a recording is in its life.
type RecordingState string

const (
	RecordingRuns   RecordingState = "recording"
	RecordingPaused RecordingState = "paused"
	RecordingEnds   RecordingState = "finishing" // checksums, upload
	RecordingDone   RecordingState = "done"
	RecordingFailed RecordingState = "failed"
)

// Recording is one recording of a room, as it is on disk.
type Recording struct {
	ID        string          `json:"id"`
	Room      string          `json:"room"`
	By        string          `json:"by,omitempty"` // who started it
	State     RecordingState  `json:"state"`
	Reason    string          `json:"reason,omitempty"` // of the state, where there is one to tell
	Recovered bool            `json:"recovered,omitempty"`
	Spec      RecordingSpec   `json:"spec"`
	Started   time.Time       `json:"started"`
	Ended     time.Time       `json:"ended,omitzero"`
	Length    float64         `json:"length"`          // s of programme
	Size      int64           `json:"size"`            // bytes
	Dropped   uint64          `json:"dropped"`         // pictures and packets of sound left out because the disk was slow
	Stored    string          `json:"stored"`          // local, or what it was uploaded to
	Tries     int             `json:"tries,omitempty"` // starts of the server that could not upload it
	Files     []RecordingFile `json:"files"`
}

// RecordingFile is one file of a recording.
type RecordingFile struct {
	Name   string  `json:"name"`
	Kind   string  `json:"kind"` // programme, participant, timeline, chapters, poster
	Type   string  `json:"type"` // media type
	Size   int64   `json:"size"`
	Length float64 `json:"length,omitempty"` // s
	SHA256 string  `json:"sha256,omitempty"` // once it is complete
}

// Event is something that happened, for control channels and webhooks.
type Event struct {
	Type        string       `json:"type"` // recording.started, input.ended, output.live, …
	Room        string       `json:"room"`
	Time        time.Time    `json:"timestamp"`
	Recording   *Recording   `json:"recording,omitempty"`
	Input       *InputState  `json:"input,omitempty"`
	Output      *OutputState `json:"output,omitempty"`
	Participant string       `json:"participant,omitempty"` // its id
	Detail      string       `json:"detail,omitempty"`      // a reason, a name
}
