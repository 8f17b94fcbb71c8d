package codec

import (
	"errors"
	"io"
	"time"
)

// Track is one stream of a container: pictures, or sound.
type Track struct {
	Codec         *Codec
	Width, Height int         // of pictures
	Format        AudioFormat // of sound
	Bitrate       int         // bit/s, for formats that say so; 0 while unknown
	// Header is what a decoder has to know before the first unit (H.264's
	// parameter sets, AAC's AudioSpecificConfig). nil: the muxer finds it in the
	// first keyframe, or makes it.
	Header []byte
}

// Chapter is a part of a programme with a title.
type Chapter struct {
	From, To time.Duration
	Title    string
}

// MuxConfig says what a Muxer is to make.
type MuxConfig struct {
	Format   string            // libavformat's name of a muxer: "mp4", "matroska", "mpegts", "flv", …
	Options  map[string]string // of that muxer, and of the protocol where it opens an address
	Tags     map[string]string // "title" and such
	Chapters []Chapter         // as far as they are known before the first unit
	Tracks   []Track
}

// Muxer writes coded units into a container. It is called from one goroutine
// at a time.
type Muxer interface {
	// Write adds a unit of a track, an index of MuxConfig.Tracks, that is seen or
	// heard from pts on. Units of one track come in order of pts; the tracks among
	// each other within half a second, after which one does not wait for another.
	// Nothing is written before the first keyframe of a track of pictures:
	// ErrEarly. u.Data is not kept.
	Write(track int, u Unit, pts, duration time.Duration) error
	// Flush ends a fragment or cluster: all that came until now is in the output,
	// and plays, whatever happens to the process.
	Flush() error
	// Close writes the end. It may be called twice.
	Close() error
}

// ErrEarly is Muxer.Write's answer to what comes before the first keyframe.
var ErrEarly = errors.New("no keyframe of pictures yet")

// NewMuxer opens a Muxer that writes to out, from the goroutine that calls it.
// Where out is an io.WriterAt as well, it goes back to put sizes and an index
// in at Close; if not, it only appends.
type NewMuxer func(out io.Writer, cfg MuxConfig) (Muxer, error)

// Framer is a sound encoder whose frames have a length of their own.
type Framer interface {
	// FrameSamples is how many samples per channel Encode takes.
	FrameSamples() int
}

// Header is an encoder whose decoder has to know something before the first
// unit.
type Header interface {
	// Header is what goes into Track.Header.
	Header() []byte
}
