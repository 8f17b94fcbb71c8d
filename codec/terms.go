package codec

// Terms are what a receiver's format parameters come to.
type Terms struct {
	Fmtp string // to answer with
	// Bounds of the pictures that it takes; 0: none.
	Pixels    int // of one, in whole macroblocks of 256
	PixelRate int // of a second
	Bitrate   int // bit/s
	// Payload reads what the other end sends, if the row's own does not: with what
	// its parameters say of the stream.
	Payload Payload
	// Split says that it takes no payload that holds several units.
	Split bool
	// Rank orders formats of one codec that a receiver offers side by side: the
	// highest is the best for what the encoder makes.
	Rank int
}

// Splitter is a payload format with payloads that hold several units.
type Splitter interface {
	// Split returns what payload holds, each to go out by itself, or nil if that is
	// payload as it is.
	Split(payload []byte) [][]byte
}
