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
// session's goroutine owns it.
type people struct {
	session *session
	films   map[string]*recordee
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

func newPeople(s *session) *people { return &people{session: s, films: map[string]*recordee{}} }

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
		r := p.films[m.ID]
		if r != nil && (r.video != "") == m.Video {
			continue
		}
		p.end(m.ID)
		p.begin(m)
	}
	for id := range p.films {
		if !here[id] {
			p.end(id)
		}
	}
}

// probe waits for what a participant's pictures are coded in.
type probe struct {
	seen chan string
}

// WriteUnit implements mixer.Tap.
func (p probe) WriteUnit(u codec.Unit) {
	if u.Codec != nil && u.Codec.Kind == codec.Video {
		select {
		case p.seen <- u.Codec.Name:
		default:
		}
	}
}

// probeTime is how long a first picture is waited for.
const probeTime = 500 * time.Millisecond

// codecOf finds out what somebody's pictures are coded in, or "".
func (p *people) codecOf(m mixer.Member) string {
	if !m.Video {
		return ""
	}
	seen := probe{make(chan string, 1)}
	stop, err := p.session.rec.cfg.Rooms.Tap(p.session.room, m.ID, seen)
	if err != nil {
		return ""
	}
	defer stop()
	select {
	case name := <-seen.seen:
		return name
	case <-time.After(probeTime):
		return ""
	}
}

func (p *people) begin(m mixer.Member) {
	s := p.session
	sound := s.rec.cfg.Codecs.Find("opus")
	r := &recordee{done: make(chan struct{}), video: p.codecOf(m)}
	if m.Video && r.video == "" {
		return // the next state tries again
	}
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

func (p *people) end(id string) {
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
}
