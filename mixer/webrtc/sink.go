package webrtc

import (
	"sync"
	"time"

	"mixdown/mixer"
	"mixdown/mixer/congestion"
)

// Lengths of a sink's queues.
const (
	maxPictures = 16
	maxSounds   = 32
	maxNACKs    = 256

	reportEvery  = time.Second             // sender and receiver reports
	reportSeldom = 2500 * time.Millisecond // on a link of little rate
	askEvery     = 500 * time.Millisecond
	askSlowest   = 8 * time.Second
)

// sink is a peer's receiving side. The room's goroutines put whole pictures and
// packets of sound into its queues, the pacer writes them. A picture that does
// not fit is dropped whole, and because the following ones build on it, so is
// all up to the next keyframe.
type sink struct {
	peer   *peer
	pacer  *pacer
	codecs []string
	video  *outgoing // nil if the client does not receive it; used by the pacer only
	audio  *outgoing

	// Of the pacer.
	stairs    stairs
	reported  int // streams that a report has gone out for
	reportDue time.Time

	mu        sync.Mutex // nothing but the pacer's is taken while it is held
	flow      *flow      // nil: all goes out in bursts
	sub       Subscription
	left      bool // the peer has closed
	held      bool // the client takes nothing for now
	missed    bool // it did so, and no keyframe has come since
	speaks    bool // stands in the pacer's line with sound, repeats, or a question
	shows     bool // and with pictures
	pictures  [maxPictures][]*mixer.Packet
	head, n   int
	current   int // packets of the first picture that are written
	waits     int // packets of all pictures that are not
	sounds    [maxSounds]*mixer.Packet
	shead, sn int
	nacks     []uint16
	stream    uint32 // encoder of the newest picture taken
	needKey   bool   // nothing but a keyframe may come next
	askKey    bool   // and the room has to be asked for it
	asked     time.Time
	pause     time.Duration // until it may be asked again
	failing   bool          // no keyframe has gone out since the last drop
}

var _ mixer.Sink = (*sink)(nil)

func newSink(p *peer) *sink {
	return &sink{peer: p, pacer: p.pacer, needKey: true, pause: askEvery}
}

// Codecs implements mixer.Sink.
func (s *sink) Codecs() []string { return s.codecs }

// Close implements mixer.Sink.
func (s *sink) Close(reason error) { s.peer.close(reason) }

// WriteVideo implements mixer.Sink.
func (s *sink) WriteVideo(picture []*mixer.Packet) {
	if len(picture) == 0 || s.video == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	first := picture[0]
	if s.held {
		return
	}
	if s.missed && !first.Keyframe {
		s.askKey = true
		s.rouse()
		return
	}
	s.missed = false
	if s.flow != nil && s.flow.governs {
		s.flowVideo(picture, time.Now())
		return
	}
	if first.Stream != s.stream {
		s.needKey = s.needKey || !first.Keyframe
		s.stream = first.Stream
	}
	switch {
	case s.needKey && !first.Keyframe:
		s.askKey = true
		s.peer.meter.dropKey.Inc()
		s.rouse()
	case s.n == maxPictures:
		s.cutOff()
		s.peer.meter.dropQueue.Inc()
		s.rouse()
	default:
		s.needKey, s.askKey = false, false
		slot := &s.pictures[(s.head+s.n)%maxPictures]
		*slot = append((*slot)[:0], picture...)
		s.n++
		s.waits += len(picture)
		if !s.shows {
			s.shows = true
			s.pacer.rouse(s, false)
		}
	}
}

// WriteAudio implements mixer.Sink.
func (s *sink) WriteAudio(p *mixer.Packet) {
	if s.audio == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held {
		return
	}
	if s.sn == maxSounds {
		s.peer.meter.dropAudio.Inc()
		return
	}
	s.sounds[(s.shead+s.sn)%maxSounds] = p
	s.sn++
	s.rouse()
}

// nack queues what the client misses.
func (s *sink) nack(seqs []uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range seqs {
		if len(s.nacks) == maxNACKs {
			s.peer.meter.dropNACK.Inc()
			continue
		}
		s.nacks = append(s.nacks, q)
	}
	s.rouse()
}

// rouse puts the sink in line for what cannot wait. The caller holds mu.
func (s *sink) rouse() {
	if !s.speaks {
		s.speaks = true
		s.pacer.rouse(s, true)
	}
}

// subscribed gives the sink its place in the room.
func (s *sink) subscribed(sub Subscription) {
	s.mu.Lock()
	s.sub = sub
	s.mu.Unlock()
	sub.RequestKeyframe()
}

// leave ends the requests to the room, and the writing.
func (s *sink) leave() {
	s.pacer.remove(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sub, s.left = nil, true
}

func (s *sink) subscription() Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sub
}

// speak writes sound, and what was lost.
func (s *sink) speak(now time.Time) {
	for {
		s.forget(now)
		sound, seqs := s.nextSound(now)
		switch {
		case sound != nil:
			if s.audio.write(sound, now) != nil {
				s.peer.meter.dropWrite.Inc()
			}
		case seqs != nil:
			s.resend(seqs, now)
		default:
			return
		}
	}
}

// nextSound takes what goes out before pictures.
func (s *sink) nextSound(now time.Time) (sound *mixer.Packet, seqs []uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sn > 0 && !s.left {
		sound = s.sounds[s.shead]
		s.sounds[s.shead] = nil
		s.shead = (s.shead + 1) % maxSounds
		s.sn--
		s.flowSound(sound, now)
		return sound, nil
	}
	if len(s.nacks) > 0 && !s.left {
		seqs = s.nacks
		s.nacks = nil
		return nil, seqs
	}
	s.speaks = false
	return nil, nil
}

// show writes one burst of pictures and reports whether there is more. burst is
// room for it.
func (s *sink) show(burst []*mixer.Packet, now time.Time) (_ []*mixer.Packet, more bool) {
	if s.flow != nil {
		s.flowOut(now)
	}
	burst = s.nextBurst(burst)
	for _, p := range burst {
		s.count(s.video, wireSize(p), now)
		if s.video.write(p, now) != nil {
			s.peer.meter.dropWrite.Inc()
			s.cut()
			s.refit(true, now)
			break
		}
		if p.Keyframe && p.Marker {
			s.through()
		}
		if p.Marker {
			s.refit(false, now)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shows = (s.n > 0 || s.flow != nil && s.flow.busy(now)) && !s.left
	return burst, s.shows
}

// nextBurst takes the packets that may go out at once.
func (s *sink) nextBurst(burst []*mixer.Packet) []*mixer.Packet {
	s.mu.Lock()
	defer s.mu.Unlock()
	for size := max(burstLeast, s.waits/burstShare); s.n > 0 && len(burst) < size && !s.left; {
		picture := s.pictures[s.head]
		n := min(size-len(burst), len(picture)-s.current)
		burst = append(burst, picture[s.current:s.current+n]...)
		s.waits -= n
		if s.current += n; s.current == len(picture) {
			s.drop()
		}
	}
	return burst
}

// wrote follows writing. The first report goes out with a stream's first packet:
// until it is there a client cannot play sound and pictures in sync.
func (s *sink) wrote(now time.Time) {
	if n := s.begun(); n > s.reported {
		s.report(now)
		s.reported = n
	}
	s.fit(now)
	s.ask(now)
}

// drop takes the first picture out of the queue. The caller holds mu.
func (s *sink) drop() {
	s.waits -= len(s.pictures[s.head]) - s.current
	clear(s.pictures[s.head])
	s.head = (s.head + 1) % maxPictures
	s.n--
	s.current = 0
}

// cut drops what is queued up to the next keyframe, after a packet did not go
// out.
func (s *sink) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current > 0 {
		s.drop()
	}
	for s.n > 0 && !s.pictures[s.head][0].Keyframe {
		s.drop()
		s.peer.meter.dropKey.Inc()
	}
	if s.n == 0 {
		s.cutOff()
	}
}

// through notes that a whole keyframe went out.
func (s *sink) through() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pause, s.failing = askEvery, false
}

// cutOff withholds all up to the next keyframe. A client that cannot even take
// keyframes asks ever less often: everybody in its tier pays for them. The
// caller holds mu.
func (s *sink) cutOff() {
	if s.failing && !s.needKey {
		s.pause = min(2*s.pause, askSlowest)
	}
	s.failing, s.needKey, s.askKey = true, true, true
}

// resend sends again what the client misses. What cannot be had any more is as
// good as a request for a keyframe: the client would ask in vain for a second
// before it sends one.
func (s *sink) resend(seqs []uint16, now time.Time) {
	age, keyed, queued := maxAge, false, false
	if s.flow != nil {
		age, keyed, queued = s.repair(seqs, now)
	}
	if s.video != nil && !keyed && s.video.past(seqs, age, now) {
		if sub := s.subscription(); sub != nil {
			sub.RequestKeyframe()
		}
	}
	if queued {
		return
	}
	for _, q := range seqs {
		if s.flow != nil && s.video != nil {
			s.count(s.video, congestion.Overhead, now)
		}
		if s.video != nil && s.video.resend(q, now) {
			s.peer.meter.resent.Inc()
		} else {
			s.peer.meter.dropNACK.Inc()
		}
	}
}
