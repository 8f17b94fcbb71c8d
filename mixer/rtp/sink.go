package rtp

import (
	"sync"
	"time"

	"mixdown/codec"
	"mixdown/mixer"
)

const (
	maxPictures = 16
	maxSounds   = 32
	maxAgain    = 64

	// A picture goes out in bursts, so that what lies between does not drop its end.
	burst      = 10
	burstPause = time.Millisecond
)

// sink is what a leg sends: queues that the room and prompts fill, and the loop
// that empties them.
type sink struct {
	leg *Leg

	mu       sync.Mutex
	pictures []picture
	from     any // the seat that the newest picture taken comes from
	sounds   []sound
	repeats  []uint16
	stream   uint32 // encoder of the newest picture taken
	needKey  bool
	prompt   bool // the room's sound waits
	kick     chan struct{}
}

// picture is its packets, and the seat that they come from.
type picture struct {
	packets []*mixer.Packet
	from    any
}

// sound is one packet of it, and where it comes from.
type sound struct {
	packet *mixer.Packet
	origin any
}

func newSink(l *Leg) *sink { return &sink{leg: l, needKey: true, kick: make(chan struct{}, 1)} }

func (s *sink) rouse() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// video queues a room's picture. One that does not fit is dropped whole, with
// all up to the next keyframe.
func (s *sink) video(from any, packets []*mixer.Packet) {
	if len(packets) == 0 {
		return
	}
	s.mu.Lock()
	first := packets[0]
	if s.from != from || s.stream != first.Stream {
		s.needKey = s.needKey || !first.Keyframe
		s.from, s.stream = from, first.Stream
	}
	ask := false
	switch {
	case !s.leg.sending(codec.Video):
		s.needKey = true
	case s.needKey && !first.Keyframe:
		ask = true
	case len(s.pictures) == maxPictures:
		s.leg.meter.dropped.Inc()
		s.needKey, ask = true, true
	default:
		s.needKey = false
		s.pictures = append(s.pictures, picture{packets, from})
		s.rouse()
	}
	s.mu.Unlock()
	if ask {
		s.leg.wantPicture()
	}
}

// audio queues a packet of sound.
func (s *sink) audio(origin any, p *mixer.Packet, prompt bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.prompt != prompt || !s.leg.sending(codec.Audio) {
		return
	}
	if len(s.sounds) == maxSounds {
		s.leg.meter.dropped.Inc()
		return
	}
	s.sounds = append(s.sounds, sound{p, origin})
	s.rouse()
}

// prompting keeps the room's sound back, or lets it through again.
func (s *sink) prompting(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prompt = on
}

// again queues what the other end misses.
func (s *sink) again(seqs []uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repeats = append(s.repeats, seqs[:min(len(seqs), maxAgain-len(s.repeats))]...)
	s.rouse()
}

// run writes until the leg ends: sound, repeats, then pictures in bursts.
func (s *sink) run() {
	pause := time.NewTimer(time.Hour)
	defer pause.Stop()
	var sounds []sound
	var repeats []uint16
	var shown picture // what is left of it
	for {
		s.mu.Lock()
		sounds, s.sounds = s.sounds, sounds[:0]
		repeats, s.repeats = s.repeats, repeats[:0]
		if len(shown.packets) == 0 && len(s.pictures) > 0 {
			shown = s.pictures[0]
			n := copy(s.pictures, s.pictures[1:])
			s.pictures[n] = picture{}
			s.pictures = s.pictures[:n]
		}
		s.mu.Unlock()

		for _, q := range sounds {
			s.leg.write(codec.Audio, q.packet, q.origin)
		}
		s.leg.writeAgain(repeats)
		n := min(burst, len(shown.packets))
		for _, p := range shown.packets[:n] {
			s.leg.write(codec.Video, p, shown.from)
		}
		shown.packets = shown.packets[n:]
		if n > 0 {
			pause.Reset(burstPause)
		}
		select {
		case <-s.leg.done:
			return
		case <-s.kick:
		case <-pause.C:
		}
	}
}
