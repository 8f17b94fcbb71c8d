package record

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/jpeg"
	"os"
	"path"
	"sync"
	"time"

	"mixdown/codec"
	"mixdown/mixer"
	"mixdown/mixer/output"
)

const (
	watchEvery  = time.Second // limits and the disk
	posterAfter = 3 * time.Second
	flushEvery  = 800 * time.Millisecond // of fragments and clusters
	quietEvery  = 10 * time.Second       // between two events about a slow disk
	gop         = 2 * time.Second
)

// session is a recording in the making. Its goroutine owns all of it but what
// mu guards; requests come to it as functions.
type session struct {
	rec    *Recorder
	room   string // as in info, and never changed
	id     string // too
	format format
	film   *output.Film
	spec   mixer.RecordingSpec
	dir    string
	inbox  chan func()
	ended  chan struct{} // nothing is asked of it any more
	done   chan struct{} // it is complete
	ctx    context.Context
	cancel context.CancelFunc
	posted sync.WaitGroup

	sub      *mixer.Subscription // nil: paused
	timeline *timeline
	people   *people
	disk     bool // paused, because it is full
	moaned   time.Time
	dropped  uint64
	until    string // why it ends

	mu    sync.Mutex
	info  mixer.Recording
	files map[string]*file // that are being written
}

// describe returns the recording as it is now.
func (s *session) describe() mixer.Recording {
	c := s.film.Counts()
	s.mu.Lock()
	defer s.mu.Unlock()
	info := s.info
	info.Files = append([]mixer.RecordingFile{}, info.Files...)
	info.Length, info.Dropped, info.Size = c.Length.Seconds(), c.Dropped, 0
	for i := range info.Files {
		if f := s.files[info.Files[i].Name]; f != nil {
			info.Files[i].Size = f.size.Load()
		}
		info.Size += info.Files[i].Size
	}
	return info
}

// set changes the state, and tells.
func (s *session) set(state mixer.RecordingState, reason, event string) {
	s.mu.Lock()
	s.info.State, s.info.Reason = state, reason
	s.mu.Unlock()
	s.save()
	s.tell(event, reason)
}

func (s *session) save() {
	if err := save(s.rec.root, s.describe()); err != nil {
		s.rec.log.Error("recording's state not saved", "room", s.room, "recording", s.id, "error", err)
	}
}

func (s *session) tell(event, detail string) {
	info := s.describe()
	s.rec.notify(mixer.Event{Type: "recording." + event, Room: info.Room, Recording: &info, Detail: detail})
}

// open makes a part's container.
func (s *session) open(n int, tracks []codec.Track) (codec.Muxer, error) {
	name := "programme." + s.format.name
	if n > 0 {
		name = fmt.Sprintf("programme-%03d.%s", n+1, s.format.name)
	}
	f, err := s.create(name, "programme", s.format.media)
	if err != nil {
		return nil, err
	}
	s.timeline.add(Moment{At: s.film.Counts().Length.Seconds(), Wall: s.rec.now(), Event: eventFile, File: name})
	tags := map[string]string{"title": s.spec.Title, "creation_time": s.info.Started.UTC().Format(time.RFC3339)}
	if s.spec.Title == "" {
		tags["title"] = s.room
	}
	mux, err := s.rec.cfg.NewMuxer(f, codec.MuxConfig{Format: s.format.muxer, Options: s.format.options, Tags: tags, Tracks: tracks})
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &container{Muxer: mux, file: f, session: s}, nil
}

// create makes a file of the recording, and notes it.
func (s *session) create(name, kind, media string) (*file, error) {
	raw, err := s.rec.root.OpenFile(path.Join(s.dir, name), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o640)
	if err != nil {
		return nil, err
	}
	f := newFile(raw)
	s.mu.Lock()
	s.files[name] = f
	s.info.Files = append(s.info.Files, mixer.RecordingFile{Name: name, Kind: kind, Type: media})
	s.mu.Unlock()
	s.save()
	if s.rec.cfg.Store != nil && kind != "poster" {
		s.posted.Go(func() { s.rec.follow(s.rec.ctx, s.dir, name, media, f, f.stop) })
	}
	return f, nil
}

// container closes a file behind its muxer, and gives it its chapters before. Where
// writing failed it leaves what was flushed: of the rest a part may be missing, at
// which players take offence.
type container struct {
	codec.Muxer
	file    *file
	session *session
	flushed int64 // bytes
	failed  bool
}

func (c *container) Write(track int, u codec.Unit, at, length time.Duration) error {
	err := c.Muxer.Write(track, u, at, length)
	c.failed = c.failed || err != nil
	return err
}

func (c *container) Flush() error {
	err := c.Muxer.Flush()
	if c.failed = c.failed || err != nil; !c.failed {
		c.flushed = c.file.size.Load()
	}
	return err
}

// chapterer is a Muxer that takes chapters at the end.
type chapterer interface {
	SetChapters([]codec.Chapter) error
}

func (c *container) Close() error {
	var err error
	if m, ok := c.Muxer.(chapterer); ok && c.session.film.Counts().Length > 0 && c.session.spec.Split == 0 {
		s := c.session
		err = m.SetChapters(chapters(read(s.rec.root, s.dir), s.film.Counts().Length))
	}
	err = errors.Join(err, c.Muxer.Close())
	if c.failed && c.flushed > 0 {
		err = errors.Join(err, c.file.Truncate(c.flushed))
		c.file.size.Store(c.flushed)
	}
	return errors.Join(err, c.file.Close())
}

// closed notes how long a part became.
func (s *session) closed(n int, p output.Part, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.info.Files {
		if f := &s.info.Files[i]; f.Kind == "programme" {
			if n--; n < 0 {
				f.Length = p.Length.Seconds()
				break
			}
		}
	}
}

// join brings the film into the room.
func (s *session) join() error {
	who := mixer.Identity{ID: "recorder-" + s.id, Name: "recorder", Role: mixer.Recorder}
	var want mixer.Want
	if s.format.video != nil {
		want.Programme = &mixer.TierSpec{Width: s.spec.Width, Height: s.spec.Height, FPS: s.spec.FPS, Bitrate: s.spec.Bitrate, GOP: gop,
			Layout: s.spec.Layout, Nameless: !*s.spec.Names}
	}
	sub, err := s.rec.cfg.Rooms.Subscribe(s.ctx, s.room, who, s.film, want)
	if err != nil {
		return err
	}
	s.sub = sub
	return nil
}

func (s *session) leave() {
	if s.sub != nil {
		s.sub.Close()
		s.sub = nil
	}
}

// run lasts as long as the recording.
func (s *session) run(states <-chan mixer.State) {
	defer close(s.done)
	filmed := make(chan error, 1)
	go func() { filmed <- s.film.Run() }()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var seen <-chan sight
	if s.people != nil {
		seen = s.people.seen
	}
	for {
		select {
		case fn := <-s.inbox:
			fn()
		case v := <-seen:
			s.people.saw(v)
		case st, ok := <-states:
			if !ok {
				states = nil
				break
			}
			if s.sub != nil {
				s.timeline.note(st, max(0, s.film.At(s.rec.now())), s.rec.now())
			}
			if s.people != nil {
				s.people.follow(st)
			}
		case <-tick.C:
			s.watch()
		case err := <-filmed:
			s.finish(err)
			return
		}
	}
}

// do runs fn on the session's goroutine.
func (s *session) do(fn func() error) (err error) {
	ran := make(chan struct{})
	select {
	case s.inbox <- func() { err = fn(); close(ran) }:
		<-ran
		return err
	case <-s.ended: // completing it, and uploading, may take long
		return fmt.Errorf("recording %q has ended: %w", s.id, mixer.ErrState)
	}
}

func (s *session) pause(reason string) error {
	if s.sub == nil {
		return fmt.Errorf("recording %q is paused already: %w", s.id, mixer.ErrState)
	}
	at := max(0, s.film.At(s.rec.now()))
	s.leave()
	s.film.Cut()
	if s.people != nil {
		s.people.close() // what is sent in a pause is for nobody
	}
	s.timeline.add(Moment{At: at.Seconds(), Wall: s.rec.now(), Event: eventPause})
	s.set(mixer.RecordingPaused, reason, "paused")
	return nil
}

func (s *session) resume() error {
	if s.sub != nil {
		return fmt.Errorf("recording %q is not paused: %w", s.id, mixer.ErrState)
	}
	if left, err := free(s.rec.cfg.Dir); err == nil && left < s.rec.cfg.MinFree {
		return fmt.Errorf("%d MB are free, recordings leave %d MB alone: %w", left>>20, s.rec.cfg.MinFree>>20, mixer.ErrNoSpace)
	}
	if err := s.join(); err != nil {
		return err
	}
	s.disk = false
	s.timeline.add(Moment{At: s.film.Counts().Length.Seconds(), Wall: s.rec.now(), Event: eventResume})
	s.set(mixer.RecordingRuns, "", "resumed")
	return nil
}

// stop lets the film end; run goes on to finish.
func (s *session) stop(reason string) {
	if s.until == "" {
		s.until = reason
	}
	s.leave()
	s.film.End()
}

// watch looks at what a second may change.
func (s *session) watch() {
	info := s.describe()
	left, err := free(s.rec.cfg.Dir)
	switch {
	case err != nil:
	case left < s.rec.cfg.MinFree && s.sub != nil:
		s.disk = true
		_ = s.pause(fmt.Sprintf("disk: %d MB are free, less than the %d MB that recordings leave alone", left>>20, s.rec.cfg.MinFree>>20))
	case s.disk && left > s.rec.cfg.MinFree+s.rec.cfg.MinFree/4:
		_ = s.resume() // or the room has gone, and says so
	}
	if info.Dropped > s.dropped && s.rec.now().Sub(s.moaned) > quietEvery {
		s.moaned, s.dropped = s.rec.now(), info.Dropped
		s.tell("dropping", "the disk is too slow: pictures are left out")
	}
	switch {
	case s.spec.MaxLength > 0 && info.Length >= s.spec.MaxLength:
		s.stop("its longest length")
	case s.spec.MaxSize > 0 && info.Size >= s.spec.MaxSize:
		s.stop("its largest size")
	}
}

// finish makes what was recorded complete.
func (s *session) finish(err error) {
	close(s.ended)
	s.leave()
	s.cancel()
	s.posted.Wait()
	if s.people != nil {
		s.people.close()
	}
	s.timeline.out.Close()
	_ = s.rec.root.Remove(path.Join(s.dir, reserve))
	reason := s.until
	if r := s.film.Reason(); r != nil && reason == "" {
		reason = r.Error()
	}
	state := mixer.RecordingDone
	if err != nil {
		state, reason = mixer.RecordingFailed, err.Error()
		s.rec.log.Error("recording failed", "room", s.room, "recording", s.id, "error", err)
	}
	s.mu.Lock()
	s.info.Ended = s.rec.now()
	s.mu.Unlock()
	s.set(mixer.RecordingEnds, reason, "finishing")
	final := s.describe()
	s.mu.Lock()
	clear(s.files)
	s.mu.Unlock()
	s.rec.complete(&final, state, reason, s.update)
	s.rec.ended(s, final)
}

// update shows how far completing is.
func (s *session) update(rec mixer.Recording) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.info = rec
}

// poster keeps a picture of the room.
func (s *session) poster() {
	select {
	case <-s.ctx.Done():
		return
	case <-time.After(posterAfter):
	}
	img, err := s.rec.cfg.Rooms.Snapshot(s.ctx, s.room)
	if err != nil {
		return // it is an ornament
	}
	var b bytes.Buffer
	if jpeg.Encode(&b, img, &jpeg.Options{Quality: 85}) != nil {
		return
	}
	f, err := s.create("poster.jpg", "poster", "image/jpeg")
	if err != nil {
		return
	}
	_, err = f.Write(b.Bytes())
	if err = errors.Join(err, f.Close()); err != nil {
		s.rec.log.Debug("poster not written", "error", err)
	}
}
