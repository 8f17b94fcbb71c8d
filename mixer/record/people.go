package record

import (
	"fmt"
	"sync"
	"time"

	"mixdown/codec"
	"mixdown/mixer"
	"mixdown/mixer/output"
)

// people is one file for each participant of a recording, as received. The
// session's goroutine owns it, and waits for nobody's pictures.
type people struct {
	session *session
	films   map[string]*recordee
	probes  map[string]*probe // of who is to send pictures
	seen    chan sight        // for the session's goroutine, which calls saw
	count   int
}

// recordee is one participant's file. Nothing is decoded.
type recordee struct {
	film  *output.Film
	stop  func()
	video string // codec of its pictures; empty: it sends none
	done  chan struct{}
	lines [2]line // of pictures and sound

	mu sync.Mutex // of lines: both kinds come on goroutines of their own
}

// line puts RTP timestamps on this machine's clock: by sender reports, which say
// what was captured together, and before there are any by what came in fastest.
type line struct {
	known  bool
	first  uint32
	last   int64 // ticks since first
	offset time.Time
	at     time.Time
}

// place is the time of a unit.
func (l *line) place(u codec.Unit) time.Time {
	if !l.known {
		*l = line{known: true, first: u.Timestamp, offset: u.Arrived}
	}
	l.last += int64(int32(u.Timestamp - l.first - uint32(l.last)))
	rate := int64(u.Codec.ClockRate)
	d := time.Duration(l.last/rate*int64(time.Second) + l.last%rate*int64(time.Second)/rate)
	if o := u.Arrived.Add(-d); o.Before(l.offset) || o.Sub(l.offset) > time.Second {
		l.offset = o // came faster than all before; or the sender began anew
	}
	at := l.offset.Add(d)
	if !u.Captured.IsZero() {
		at = u.Captured
	}
	if at.After(l.at) {
		l.at = at
	} else {
		l.at = l.at.Add(time.Millisecond)
	}
	return l.at
}

func newPeople(s *session) *people {
	return &people{session: s, films: map[string]*recordee{}, probes: map[string]*probe{}, seen: make(chan sight, 16)}
}

// follow begins a file for who sends and has none, and one anew for who sends
// something else than before.
func (p *people) follow(st mixer.State) {
	if p.session.sub == nil {
		return // paused
	}
	here := map[string]bool{}
	for _, m := range st.Participants {
		if !m.Publishes {
			continue
		}
		here[m.ID] = true
		r, probe := p.films[m.ID], p.probes[m.ID]
		switch {
		case m.Video && r != nil && r.video != "":
		case m.Video && probe != nil:
			probe.of = m
		case m.Video:
			p.look(m)
		case r == nil || r.video != "":
			p.end(m.ID)
			p.begin(m, "")
		case probe != nil:
			p.forget(m.ID)
		}
	}
	for id := range p.films {
		if !here[id] {
			p.end(id)
		}
	}
	for id := range p.probes {
		if !here[id] {
			p.forget(id)
		}
	}
}

// probe waits for a picture of a participant, to know its codec: that of a file
// cannot change.
type probe struct {
	of   mixer.Member
	to   chan<- sight
	stop func()
	late *time.Timer
}

// sight is what a probe saw: a codec, or "" when it has waited for long enough.
type sight struct {
	by    *probe
	codec string
}

// WriteUnit implements mixer.Tap.
func (p *probe) WriteUnit(u codec.Unit) {
	if u.Codec != nil && u.Codec.Kind == codec.Video {
		select {
		case p.to <- sight{p, u.Codec.Name}:
		default: // the next picture has the same
		}
	}
}

// probeTime is how long sound waits for a first picture, to be in one file with it.
const probeTime = 500 * time.Millisecond

// look puts a probe on somebody.
func (p *people) look(m mixer.Member) {
	s := p.session
	probe := &probe{of: m, to: p.seen}
	var err error
	if probe.stop, err = s.rec.cfg.Rooms.Tap(s.room, m.ID, probe); err != nil {
		return // has left
	}
	probe.late = time.AfterFunc(probeTime, func() {
		select {
		case p.seen <- sight{by: probe}:
		case <-s.done:
		}
	})
	p.probes[m.ID] = probe
}

// forget takes a probe away.
func (p *people) forget(id string) {
	if probe := p.probes[id]; probe != nil {
		delete(p.probes, id)
		probe.late.Stop()
		probe.stop()
	}
}

// saw begins a file with pictures of the codec that was seen; or one with sound
// alone for who says that it sends pictures and does not, until it does.
func (p *people) saw(v sight) {
	m := v.by.of
	switch {
	case p.probes[m.ID] != v.by: // taken away since
	case v.codec != "":
		p.end(m.ID)
		p.begin(m, v.codec)
	case p.films[m.ID] == nil:
		p.begin(m, "")
	}
}

// begin begins somebody's file, with pictures of a codec or with sound alone.
func (p *people) begin(m mixer.Member, video string) {
	s := p.session
	sound := s.rec.cfg.Codecs.Find("opus")
	r := &recordee{done: make(chan struct{}), video: video}
	p.count++
	name := fmt.Sprintf("%s-%d.mkv", plain("p"+m.Name), p.count)
	cfg := output.Config{
		Width: m.Width, Height: m.Height, Frame: 40 * time.Millisecond, Sound: sound, Takes: []string{"opus"},
		Format: s.rec.cfg.Sound, Bitrate: soundRate * s.rec.cfg.Sound.Channels, Flush: flushEvery,
		Open: func(_ int, tracks []codec.Track) (codec.Muxer, error) {
			f, err := s.create(name, "participant", "video/x-matroska")
			if err != nil {
				return nil, err
			}
			mux, err := s.rec.cfg.NewMuxer(f, codec.MuxConfig{Format: "matroska", Tags: map[string]string{"title": m.Name, "identity": m.ID}, Tracks: tracks})
			if err != nil {
				f.Close()
				return nil, err
			}
			return &closer{mux, f}, nil
		},
		Closed: func(_ int, part output.Part, _ error) {
			s.mu.Lock()
			for i := range s.info.Files {
				if s.info.Files[i].Name == name {
					s.info.Files[i].Length = part.Length.Seconds()
				}
			}
			s.mu.Unlock()
			at := s.film.At(part.Origin).Seconds()
			s.timeline.add(Moment{At: max(0, at), Wall: part.Origin, Event: eventFile, ID: m.ID, Name: m.Name, File: name, Offset: max(0, -at)})
		},
	}
	if r.video != "" {
		cfg.Pictures = []string{r.video}
		if cfg.Width == 0 {
			cfg.Width, cfg.Height = 640, 360 // until a decoder says better
		}
	}
	r.film = output.New(cfg)
	stop, err := s.rec.cfg.Rooms.Tap(s.room, m.ID, r)
	if err != nil {
		return // has left
	}
	r.stop = stop
	p.films[m.ID] = r
	go func() {
		defer close(r.done)
		if err := r.film.Run(); err != nil {
			s.rec.log.Error("participant's file failed", "room", s.room, "recording", s.id, "participant", m.ID, "error", err)
		}
	}()
}

// closer closes a file behind its muxer.
type closer struct {
	codec.Muxer
	file *file
}

// Close implements codec.Muxer.
func (c *closer) Close() error {
	err := c.Muxer.Close()
	if failed := c.file.Close(); err == nil {
		err = failed
	}
	return err
}

// WriteUnit implements mixer.Tap.
func (r *recordee) WriteUnit(u codec.Unit) {
	if u.Codec == nil || u.Codec.ClockRate == 0 || u.Arrived.IsZero() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := &mixer.Packet{Codec: u.Codec, Payload: u.Data, Timestamp: u.Timestamp, Keyframe: u.Keyframe}
	if u.Codec.Kind == codec.Audio {
		p.Time = r.lines[1].place(u)
		r.film.WriteAudio(p)
		return
	}
	if u.Codec.Name != r.video {
		return
	}
	p.Time = r.lines[0].place(u)
	r.film.WriteVideo([]*mixer.Packet{p})
}

// end ends somebody's file, and what is waited for to begin one.
func (p *people) end(id string) {
	p.forget(id)
	r := p.films[id]
	if r == nil {
		return
	}
	delete(p.films, id)
	r.stop()
	r.film.End()
	<-r.done
}

func (p *people) close() {
	for id := range p.films {
		p.end(id)
	}
	for id := range p.probes {
		p.forget(id)
	}
}
