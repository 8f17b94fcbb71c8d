package codec

// Follower is a sound encoder that can take another's place in a stream.
type Follower interface {
	// Follow takes over the state and the settings of other, which goes on
	// undisturbed: a decoder that heard other up to here does not notice that
	// what comes next is from somebody else. other is of the same codec, rate and
	// channels; the error says that it is not, and nothing has changed then.
	Follow(other AudioEncoder) error
}
