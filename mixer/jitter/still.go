package jitter

import (
	"bytes"
	"slices"
)

const (
	// stillAfter is how many packets in a row are decoded to silence before one is
	// taken for it unheard: a decoder has then settled, and what it would predict
	// from changes no more.
	stillAfter = 25
	// stillKinds is how many different ones are known. libopus codes digital
	// silence of a voice as up to six packets, again and again.
	stillKinds = 8
	// stillBytes bounds what is kept of one.
	stillBytes = 256
	// stillPeak is what silence may be loud: decoders leave the last bit to chance.
	stillPeak = 1
)

// still tells silence without decoding it. Whoever is muted sends the same few
// packets over and over, each of which costs as much to decode as speech. One
// that is the same to the last byte as one of those that have just come out as
// silence, in a row of nothing else, is silence too. What the sender says of its
// level is not asked.
type still struct {
	run   int // packets in a row that were silence
	next  int // index into known
	known [stillKinds]struct {
		data    []byte
		samples int // per channel
	}
}

// is returns the length of a packet, samples per channel, that need not be
// decoded, 0 for others.
func (s *still) is(data []byte) int {
	if s.run < stillAfter {
		return 0
	}
	return s.find(data)
}

func (s *still) find(data []byte) int {
	for i := range s.known {
		if k := &s.known[i]; k.samples > 0 && bytes.Equal(k.data, data) {
			return k.samples
		}
	}
	return 0
}

// heard takes what a packet was decoded to.
func (s *still) heard(data []byte, pcm []int16, samples int) {
	loud := func(v int16) bool { return v < -stillPeak || v > stillPeak }
	if len(data) > stillBytes || slices.ContainsFunc(pcm, loud) {
		s.forget()
		return
	}
	if s.run++; s.find(data) > 0 {
		return
	}
	k := &s.known[s.next]
	k.data, k.samples = append(k.data[:0], data...), samples
	s.next = (s.next + 1) % stillKinds
}

// forget begins anew: the decoder is in another state.
func (s *still) forget() {
	if s.run == 0 {
		return
	}
	s.run = 0
	for i := range s.known {
		s.known[i].samples = 0
	}
}
