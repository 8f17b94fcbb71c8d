package codec

import (
	"io"
	"time"
)

// MediaSource says where media are read from. Either Reader or URL is set.
type MediaSource struct {
	// Reader is the bytes of a file or of a stream without an end. Seeking needs
	// an io.Seeker. Media closes it if it is an io.Closer.
	Reader io.Reader
	// Name is the address that Reader's bytes came from, which relative ones in a
	// playlist are taken from; a file's name.
	Name string
	// Open opens what a playlist names: the bytes from offset on, up to end if
	// that is over 0. nil: nothing else is opened.
	Open func(url string, offset, end int64) (io.ReadCloser, error)
	// URL is an address that the library below connects to itself. Whoever gives
	// it has seen to it that it leads where it may.
	URL string
	// Options are the library's own for URL, by its names.
	Options map[string]string
	// Live is a stream that comes at its own pace.
	Live bool
	// Timeout bounds each pause in what comes, and twice of it the opening; 0: 10 s.
	Timeout time.Duration
}

// MediaInfo is what there is in Media.
type MediaInfo struct {
	Format    string        // the container's short name
	Pictures  string        // the codec of the pictures; empty: there are none
	Sound     string        // the codec of the sound; likewise
	Width     int           // of the pictures, as shown
	Height    int           //
	Still     bool          // one picture
	Duration  time.Duration // 0: unknown, such as of what is live
	Seekable  bool
	FrameRate float64 // pictures a second, 0: unknown
}

// Media is an opened file or stream. Read, Seek and Close are called from one
// goroutine at a time, each of the decoders from one, and Interrupt from any.
type Media interface {
	Info() MediaInfo
	// Read returns the next packet, which the caller frees; io.EOF at the end.
	Read() (MediaPacket, error)
	// Seek goes to the last point at or before at from which pictures can be
	// decoded.
	Seek(at time.Duration) error
	// NewPictures and NewSound open decoders of what Info names. They outlive
	// nothing: close them before Close.
	NewPictures(maxPixels int) (MediaPictures, error)
	NewSound(AudioFormat) (MediaSound, error)
	// Interrupt makes a Read, Seek or opening that blocks return soon, with an error.
	Interrupt()
	// Close may be called twice.
	Close() error
}

// MediaPacket is one coded packet of Media.
type MediaPacket interface {
	Kind() Kind
	Time() time.Duration // of decoding, since the beginning; grows within a stream
	Key() bool
	Size() int // bytes
	// Free may be called twice.
	Free()
}

// MediaPicture is a decoded picture and its time since the beginning.
type MediaPicture struct {
	*Frame
	At time.Duration
}

// MediaPictures decodes the pictures of one Media, in order of showing.
type MediaPictures interface {
	// Decode takes a packet, or nil at the end, and appends what became ready; the
	// caller releases the frames.
	Decode(p MediaPacket, dst []MediaPicture) ([]MediaPicture, error)
	// Flush forgets what came before a seek.
	Flush()
	// Close may be called twice.
	Close() error
}

// MediaSound decodes the sound of one Media.
type MediaSound interface {
	// Decode takes a packet, or nil at the end, and appends its samples,
	// interleaved; at is the time of the first, if there is any.
	Decode(p MediaPacket, dst []int16) (pcm []int16, at time.Duration, err error)
	// Flush forgets what came before a seek.
	Flush()
	// Close may be called twice.
	Close() error
}
