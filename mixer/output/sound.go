package output

import (
	"errors"
	"fmt"
	"time"

	"mixdown/codec"
	"mixdown/mixer"
)

const (
	// slack is how far a packet may be beside its place without a mend, samples
	// of 48 kHz: less is how times are rounded.
	slack = 48
	// maxSilence bounds the silence that is put in at one place: a room that stood
	// still for longer has a hole.
	maxSilence = 10 * time.Minute
)

// sound is the track of sound of a part: without holes, so that a player's
// clock, which it is, runs on.
type sound struct {
	mux   codec.Muxer
	index int
	track codec.Track
	rate  int64
	next  int64 // sample that comes next, from the part's zero

	// Where the room's packets are not written as they are.
	enc    codec.AudioEncoder
	frame  int // samples of one packet of enc
	pcm    []int16
	made   int64 // samples of what enc has given
	dec    codec.AudioDecoder
	speaks *codec.Codec
	buf    []int16

	quiet []byte // one packet of silence
}

// quietFrame is the length of a packet of silence.
const quietFrame = 20 * time.Millisecond

func newSound(index int, cfg Config) (*sound, error) {
	s := &sound{index: index, rate: int64(cfg.Format.Rate), track: codec.Track{Codec: cfg.Sound, Format: cfg.Format, Bitrate: cfg.Bitrate}}
	enc, err := cfg.Sound.NewAudioEncoder(codec.AudioConfig{AudioFormat: cfg.Format, Bitrate: cfg.Bitrate, Frame: quietFrame, Complexity: 5})
	if err != nil {
		return nil, err
	}
	if f, ok := enc.(codec.Framer); ok {
		s.frame = f.FrameSamples()
	} else {
		s.frame = int(quietFrame * time.Duration(s.rate) / time.Second)
	}
	if h, ok := enc.(codec.Header); ok {
		s.track.Header = h.Header()
	}
	s.enc = enc
	return s, nil
}

func (s *sound) end() time.Duration {
	return time.Duration(s.next) * time.Second / time.Duration(s.rate)
}

// write adds what is heard from at on, and returns how many samples of silence
// it put before it.
func (s *sound) write(p *mixer.Packet, at time.Duration) (silence int, err error) {
	n, err := s.decode(p)
	if err != nil {
		return 0, nil // counted by who hears it; a hole is filled by the next one
	}
	from := int64(at) * s.rate / int64(time.Second)
	if from < 0 && from+int64(n) <= 0 {
		return 0, nil // before the part
	}
	if hole := from - s.next; hole > slack && hole < int64(maxSilence/time.Second)*s.rate {
		if silence, err = s.silence(int(hole)); err != nil {
			return silence, err
		}
	} else if hole >= int64(maxSilence/time.Second)*s.rate {
		s.next = from
	}
	if p.Codec == s.track.Codec {
		return silence, s.pass(p, n, from)
	}
	pcm := s.buf[:n*s.track.Format.Channels]
	if over := s.next - from; over > slack { // heard already
		if over >= int64(n) {
			return silence, nil
		}
		pcm = pcm[int(over)*s.track.Format.Channels:]
	}
	return silence, s.encode(pcm)
}

// decode returns how many samples a packet has, and leaves them in buf if they
// are to be encoded anew.
func (s *sound) decode(p *mixer.Packet) (int, error) {
	if s.speaks != p.Codec {
		if s.dec != nil {
			s.dec.Close()
			s.dec = nil
		}
		if p.Codec.NewAudioDecoder == nil {
			return 0, fmt.Errorf("decode %s: no decoder", p.Codec.Name)
		}
		d, err := p.Codec.NewAudioDecoder(s.track.Format)
		if err != nil {
			return 0, err
		}
		s.dec, s.speaks = d, p.Codec
	}
	n, err := s.dec.Samples(p.Payload)
	if err != nil || p.Codec == s.track.Codec {
		return n, err
	}
	if need := n * s.track.Format.Channels; len(s.buf) < need {
		s.buf = make([]int16, need)
	}
	return s.dec.Decode(p.Payload, s.buf[:n*s.track.Format.Channels])
}

// pass writes a packet as it is.
func (s *sound) pass(p *mixer.Packet, n int, from int64) error {
	if s.next-from > slack {
		if s.next-from >= int64(n)/2 {
			return nil // there is sound already
		}
	}
	err := s.put(p.Payload, s.next, n)
	s.next += int64(n)
	return err
}

func (s *sound) put(data []byte, from int64, n int) error {
	second := int64(time.Second)
	at := from/s.rate*second + (from%s.rate)*second/s.rate
	return s.mux.Write(s.index, codec.Unit{Codec: s.track.Codec, Data: data, Keyframe: true}, time.Duration(at), time.Duration(int64(n)*second/s.rate))
}

// encode adds PCM and writes the packets that are full.
func (s *sound) encode(pcm []int16) error {
	ch := s.track.Format.Channels
	s.next += int64(len(pcm) / ch)
	s.pcm = append(s.pcm, pcm...)
	for len(s.pcm) >= s.frame*ch {
		data, err := s.enc.Encode(s.pcm[:s.frame*ch])
		if err != nil {
			return err
		}
		n := copy(s.pcm, s.pcm[s.frame*ch:])
		s.pcm = s.pcm[:n]
		if err := s.give(data); err != nil {
			return err
		}
	}
	return nil
}

func (s *sound) give(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	err := s.put(data, s.made, s.frame)
	s.made += int64(s.frame)
	return err
}

// silence fills a hole of n samples.
func (s *sound) silence(n int) (int, error) {
	if s.speaks != s.track.Codec {
		return n, s.encode(make([]int16, n*s.track.Format.Channels))
	}
	if s.quiet == nil {
		for range 5 { // encoders come to rest
			q, err := s.enc.Encode(make([]int16, s.frame*s.track.Format.Channels))
			if err != nil {
				return 0, err
			}
			s.quiet = append(s.quiet[:0], q...)
		}
	}
	filled := 0
	for ; n-filled >= s.frame; filled += s.frame {
		if err := s.put(s.quiet, s.next, s.frame); err != nil {
			return filled, err
		}
		s.next += int64(s.frame)
	}
	s.next += int64(n - filled) // under one packet
	return filled, nil
}

// finish writes what is not a whole frame yet, and what the encoder holds back.
func (s *sound) finish() error {
	if s == nil || s.speaks == s.track.Codec {
		return nil
	}
	if len(s.pcm) > 0 {
		full := s.frame * s.track.Format.Channels
		if err := s.encodeLast(append(s.pcm, make([]int16, full-len(s.pcm))...)); err != nil {
			return err
		}
	}
	if _, ok := s.enc.(codec.Framer); !ok {
		return nil // holds nothing back
	}
	for range 4 {
		data, err := s.enc.Encode(nil)
		if err != nil || len(data) == 0 {
			return nil
		}
		if err := s.give(data); err != nil {
			return err
		}
	}
	return nil
}

func (s *sound) encodeLast(pcm []int16) error {
	data, err := s.enc.Encode(pcm)
	return errors.Join(err, s.give(data))
}

func (s *sound) close() {
	if s == nil {
		return
	}
	if s.enc != nil {
		s.enc.Close()
	}
	if s.dec != nil {
		s.dec.Close()
	}
}
