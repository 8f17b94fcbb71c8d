package mixer

import "errors"

// ErrNoOutput is the answer to an output that is not there.
var ErrNoOutput = errors.New("no such output")

// OutputRequest asks for a room's programme to be sent somewhere, or to be kept
// ready for who fetches it.
type OutputRequest struct {
	URL    string // rtmp(s), srt, rtp, rtsp(s), http(s); empty: fetched from here, Format says how
	Key    string // put behind URL's path; shown to nobody
	Format string // hls or mpegts, without URL
	Name   string
	// Of the programme; zero values take those of the one that the room has already,
	// or else the configuration's.
	Layout        string
	Names         *bool
	Width, Height int
	FPS           float64
	Bitrate       int // bit/s of pictures
}

// States of an output.
const (
	OutputConnecting   = "connecting"
	OutputLive         = "live"
	OutputReconnecting = "reconnecting"
	OutputFailed       = "failed"
	OutputStopped      = "stopped"
)

// OutputState is one output as clients see it.
type OutputState struct {
	ID         string  `json:"id"`
	Name       string  `json:"name,omitempty"`
	Format     string  `json:"format" enum:"flv,mpegts,rtp,rtsp,hls" doc:"what is sent"`
	Target     string  `json:"target,omitempty" doc:"where to, without keys"`
	State      string  `json:"state" enum:"connecting,live,reconnecting,failed,stopped"`
	Error      string  `json:"error,omitempty" doc:"why it reconnects or failed"`
	Path       string  `json:"path,omitempty" doc:"where it is fetched from this server; hls: a playlist"`
	Page       string  `json:"page,omitempty" doc:"where people watch it"`
	Since      string  `json:"since,omitempty" doc:"when it went live (RFC 3339)"`
	Bytes      uint64  `json:"bytes" doc:"of pictures and sound that were sent"`
	Dropped    uint64  `json:"dropped" doc:"pictures and packets of sound left out because the target was slow"`
	Reconnects uint64  `json:"reconnects"`
	Clients    int     `json:"clients" doc:"who fetches it now; mpegts"`
	Layout     string  `json:"layout" enum:"gallery,speaker,screen"`
	Names      bool    `json:"names" doc:"of people on their pictures"`
	Width      int     `json:"width"`
	Height     int     `json:"height"`
	FPS        float64 `json:"fps"`
	Bitrate    int     `json:"bitrate" doc:"bit/s of pictures"`
}
