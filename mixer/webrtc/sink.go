package webrtc

import (
	"sync"
	"time"

	"mixdown/mixer"
)

// Lengths of a sink's queues.
const (
	maxPictures = 16
	maxSounds   = 32
	maxNACKs    = 256

	reportEvery = time.Second // sender and receiver reports
	askEvery    = 500 * time.Millisecond
	askSlowest  = 8 * time.Second
)

// sink is a peer's receiving side. The room's goroutines put whole pictures and
// packets of sound into its queues, its own goroutine writes them: sound first,
// then what was lost, then pictures. A picture that does not fit is dropped
// whole, and because the following ones build on it, so is all up to the next
// keyframe.
type sink struct {
	peer   *peer
	codecs []string
	video  *outgoing // nil if the client does not receive it; used by run only
	audio  *outgoing

	wake chan struct{}

	mu        sync.Mutex // a leaf: nothing is called while it is held
	sub       Subscription
	pictures  [maxPictures][]*mixer.Packet
	head, n   int
	current   int // packets of the first picture that are written
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
	return &sink{peer: p, wake: make(chan struct{}, 1), needKey: true, pause: askEvery}
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
	if first.Stream != s.stream {
		s.needKey = s.needKey || !first.Keyframe
		s.stream = first.Stream
	}
	switch {
	case s.needKey && !first.Keyframe:
		s.askKey = true
		s.peer.meter.dropKey.Inc()
	case s.n == maxPictures:
		s.cutOff()
		s.peer.meter.dropQueue.Inc()
	default:
		s.needKey, s.askKey = false, false
		slot := &s.pictures[(s.head+s.n)%maxPictures]
		*slot = append((*slot)[:0], picture...)
		s.n++
	}
	s.rouse()
}

// WriteAudio implements mixer.Sink.
func (s *sink) WriteAudio(p *mixer.Packet) {
	if s.audio == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
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

func (s *sink) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// subscribed gives the sink its place in the room.
func (s *sink) subscribed(sub Subscription) {
	s.mu.Lock()
	s.sub = sub
	s.mu.Unlock()
	sub.RequestKeyframe()
}

// leave ends the requests to the room.
func (s *sink) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sub = nil
}

func (s *sink) subscription() Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sub
}

// run writes until the peer closes.
func (s *sink) run(done <-chan struct{}) {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	reported := 0
	for {
		select {
		case <-done:
			return
		case <-s.wake:
			now := time.Now()
			s.drain(now)
			// The first report goes out with a stream's first packet: until it is there
			// a client cannot play sound and pictures in sync.
			if s.begun() > reported {
				reported = s.report(now)
			}
		case now := <-tick.C:
			s.report(now)
		}
		s.ask(time.Now())
	}
}

// drain writes all that is queued.
func (s *sink) drain(now time.Time) {
	for {
		sound, seqs, packet := s.next()
		switch {
		case sound != nil:
			if s.audio.write(sound, now) != nil {
				s.peer.meter.dropWrite.Inc()
			}
		case seqs != nil:
			s.resend(seqs, now)
		case packet != nil:
			if s.video.write(packet, now) != nil {
				s.peer.meter.dropWrite.Inc()
				s.cut()
			} else if packet.Keyframe && packet.Marker {
				s.through()
			}
		default:
			return
		}
	}
}

// next takes what goes out next from the queues.
func (s *sink) next() (sound *mixer.Packet, seqs []uint16, packet *mixer.Packet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sn > 0 {
		sound = s.sounds[s.shead]
		s.sounds[s.shead] = nil
		s.shead = (s.shead + 1) % maxSounds
		s.sn--
		return sound, nil, nil
	}
	if len(s.nacks) > 0 {
		seqs = s.nacks
		s.nacks = nil
		return nil, seqs, nil
	}
	if s.n > 0 {
		picture := s.pictures[s.head]
		packet = picture[s.current]
		if s.current++; s.current == len(picture) {
			s.drop()
		}
		return nil, nil, packet
	}
	return nil, nil, nil
}

// drop takes the first picture out of the queue. The caller holds mu.
func (s *sink) drop() {
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

func (s *sink) resend(seqs []uint16, now time.Time) {
	for _, q := range seqs {
		if s.video != nil && s.video.resend(q, now) {
			s.peer.meter.resent.Inc()
		} else {
			s.peer.meter.dropNACK.Inc()
		}
	}
}
