// Package record keeps recordings of rooms: a Film each, in a folder of its
// own below one root.
//
//	DIR/ROOM/ID/recording.json   what it is and how far
//	            programme.mp4    programme-002.mp4 and on where it is split
//	            timeline.json, timeline.vtt, chapters.vtt, poster.jpg
//	            NAME-1.mkv       of each participant, as received, if asked
package record

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"log/slog"
	"os"
	"path"
	"slices"
	"sync"
	"time"

	"mixdown/codec"
	"mixdown/mixer"
	"mixdown/mixer/output"
)

// Rooms is what recordings need of the mixer.
type Rooms interface {
	Subscribe(ctx context.Context, room string, who mixer.Identity, sink mixer.Sink, want mixer.Want) (*mixer.Subscription, error)
	Watch(ctx context.Context, room string) (<-chan mixer.State, error)
	Snapshot(ctx context.Context, room string) (image.Image, error)
	Programme(room string) (spec mixer.TierSpec, codec string)
	Tap(room, id string, tap mixer.Tap) (stop func(), err error)
}

// Config is what an operator decides about recordings.
type Config struct {
	Dir      string              // the root; it is made
	Spec     mixer.RecordingSpec // what a recording is that does not say
	MinFree  int64               // bytes of the disk that are left alone
	Most     int                 // recordings at once; 0: no bound
	Keep     time.Duration       // after which a recording is deleted; 0 never
	KeepSize int64               // bytes of all of them beyond which the oldest are; 0: no bound
	Rooms    Rooms
	Sound    codec.AudioFormat // of the rooms
	Codecs   codec.Set         // of sound in files
	NewMuxer codec.NewMuxer
	// Remux copies what plays of a file into a new one, and says how long it is.
	Remux func(in, out string, cfg codec.MuxConfig) (time.Duration, error)
	// Store is where recordings go as well; nil: nowhere. They stay here, too, if
	// KeepLocal.
	Store     Store
	KeepLocal bool
	Notify    func(mixer.Event) // is not to block
	Log       *slog.Logger
	Now       func() time.Time // nil means time.Now
}

// Recorder is all recordings of a server.
type Recorder struct {
	cfg  Config
	log  *slog.Logger
	root *os.Root
	work sync.WaitGroup // what begins, what completes recordings of before, and retention
	stop context.CancelFunc
	ctx  context.Context

	mu        sync.Mutex          // not held while a room or the disk is waited for
	live      map[string]*session // by ID
	beginning int                 // that will be
	auto      map[string]context.CancelFunc
	closed    bool
	count     struct{ started, done, failed, recovered, aside, events, dropped, parts uint64 }

	uploading sync.Mutex // guards what folders know of uploads
}

// Open opens the root. Recordings that a former process left unfinished are
// finished in the background.
func Open(cfg Config) (*Recorder, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Notify == nil {
		cfg.Notify = func(mixer.Event) {}
	}
	if err := os.MkdirAll(cfg.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("recordings: %w", err)
	}
	root, err := os.OpenRoot(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("recordings: %w", err)
	}
	r := &Recorder{cfg: cfg, log: cfg.Log, root: root, live: map[string]*session{}, auto: map[string]context.CancelFunc{}}
	r.ctx, r.stop = context.WithCancel(context.Background())
	r.work.Go(r.recover)
	r.work.Go(r.retain)
	return r, nil
}

// Close stops all recordings, which are complete then, and waits for them. It
// may be called twice.
func (r *Recorder) Close() error {
	r.mu.Lock()
	r.closed = true
	var all []*session
	for _, s := range r.live {
		all = append(all, s)
	}
	for _, stop := range r.auto {
		stop()
	}
	r.mu.Unlock()
	r.stop()
	for _, s := range all {
		_ = s.do(func() error { s.stop("the server stopped"); return nil })
	}
	for _, s := range all {
		<-s.done
	}
	r.work.Wait()
	return r.root.Close()
}

func (r *Recorder) now() time.Time { return r.cfg.Now().UTC().Truncate(time.Millisecond) }

func (r *Recorder) notify(e mixer.Event) {
	e.Time = r.now()
	r.mu.Lock()
	r.count.events++
	r.mu.Unlock()
	r.log.Info(e.Type, "room", e.Room, "recording", e.Recording.ID, "detail", e.Detail)
	r.cfg.Notify(e)
}

// plan fills in what a spec leaves open, and says what is wrong with it.
func (r *Recorder) plan(room string, spec mixer.RecordingSpec) (mixer.RecordingSpec, format, *codec.Codec, error) {
	d := r.cfg.Spec
	spec.Format = cmp.Or(spec.Format, d.Format)
	if p, name := r.cfg.Rooms.Programme(room); p.Width > 0 { // one encoder serves all
		d.Layout, d.Names = p.Layout, ptr(!p.Nameless)
		d.Width, d.Height, d.FPS, d.Bitrate = p.Width, p.Height, p.FPS, p.Bitrate
		if spec.Video == "" && takes(spec.Format, name) {
			spec.Video = name
		}
	}
	spec.Layout = cmp.Or(spec.Layout, d.Layout, mixer.Layouts()[0])
	spec.Names = cmp.Or(spec.Names, d.Names, ptr(true))
	spec.Width, spec.Height = cmp.Or(spec.Width, d.Width), cmp.Or(spec.Height, d.Height)
	spec.FPS, spec.Bitrate = cmp.Or(spec.FPS, d.FPS), cmp.Or(spec.Bitrate, d.Bitrate)
	spec.Split = cmp.Or(spec.Split, d.Split)
	spec.MaxLength, spec.MaxSize = cmp.Or(spec.MaxLength, d.MaxLength), cmp.Or(spec.MaxSize, d.MaxSize)
	f, err := find(&spec)
	if err != nil {
		return spec, f, nil, err
	}
	sound := r.cfg.Codecs.Find(spec.Audio)
	switch {
	case sound == nil:
		err = fmt.Errorf("audio %q: this server does not encode it: %w", spec.Audio, mixer.ErrBadRequest)
	case spec.Split < 0 || spec.Split > 0 && spec.Split < 10:
		err = fmt.Errorf("split: %v s, must be 0 or at least 10: %w", spec.Split, mixer.ErrBadRequest)
	case spec.MaxLength < 0 || spec.MaxSize < 0:
		err = fmt.Errorf("max_length and max_size must not be under 0: %w", mixer.ErrBadRequest)
	case !slices.Contains(mixer.Layouts(), spec.Layout):
		err = fmt.Errorf("layout %.20q is none of %q: %w", spec.Layout, mixer.Layouts(), mixer.ErrBadRequest)
	case len(spec.Title) > 500:
		err = fmt.Errorf("title: is over 500 bytes: %w", mixer.ErrBadRequest)
	}
	if f.video == nil {
		spec.Layout, spec.Names = "", nil
		spec.Width, spec.Height, spec.FPS, spec.Bitrate = 0, 0, 0, 0
	}
	return spec, f, sound, err
}

func ptr[T any](v T) *T { return &v }

// soundRate is what sound is encoded at where it is encoded anew, bit/s of a
// channel.
const soundRate = 96_000

// Start begins a recording. by is who asked for it.
func (r *Recorder) Start(ctx context.Context, room, by string, spec mixer.RecordingSpec) (mixer.Recording, error) {
	spec, format, sound, err := r.plan(room, spec)
	if err != nil {
		return mixer.Recording{}, err
	}
	left, err := free(r.cfg.Dir)
	if err == nil && left < r.cfg.MinFree {
		return mixer.Recording{}, fmt.Errorf("%d MB are free, recordings leave %d MB alone: %w", left>>20, r.cfg.MinFree>>20, mixer.ErrNoSpace)
	}
	id := newID(r.now())
	s := &session{
		rec: r, room: room, id: id, format: format, spec: spec,
		inbox: make(chan func()), ended: make(chan struct{}), done: make(chan struct{}), files: map[string]*file{},
		info: mixer.Recording{ID: id, Room: room, By: by, State: mixer.RecordingRuns, Spec: spec, Started: r.now(), Stored: "local"},
	}
	if s.dir, err = place(room, s.id); err != nil {
		return mixer.Recording{}, err
	}
	cfg := output.Config{
		Width: spec.Width, Height: spec.Height, Sound: sound, Takes: []string{"L16", "opus"}, Format: r.cfg.Sound,
		Bitrate: soundRate * r.cfg.Sound.Channels, Split: time.Duration(spec.Split * float64(time.Second)),
		Flush: flushEvery, Open: s.open, Closed: s.closed,
	}
	if sound.Name == "opus" {
		cfg.Takes = []string{"opus"}
	}
	if format.video != nil {
		cfg.Pictures = []string{spec.Video}
		cfg.Frame = time.Duration(float64(time.Second) / spec.FPS)
	}
	s.film = output.New(cfg)
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := r.begin(s); err != nil {
		s.cancel()
		return mixer.Recording{}, err
	}
	return s.describe(), nil
}

// begin makes the folder and brings a session to life. The lock is not held
// meanwhile: a room that takes its time is to keep no other one's recording waiting.
func (r *Recorder) begin(s *session) error {
	if err := r.enter(); err != nil {
		return err
	}
	defer r.work.Done()
	states, err := r.prepare(s)
	r.mu.Lock()
	r.beginning--
	late := r.closed
	if err == nil && !late {
		r.live[s.id] = s
		r.count.started++
	}
	r.mu.Unlock()
	if err == nil && late {
		s.leave()
		err = errors.Join(errClosed, s.discard())
	}
	if err != nil {
		return err
	}
	s.posted.Go(func() {
		s.save()
		s.tell("started", "")
		if s.format.video != nil {
			s.poster()
		}
	})
	go s.run(states)
	return nil
}

var errClosed = fmt.Errorf("the server is stopping: %w", mixer.ErrBusy)

// enter counts a recording that begins: Close waits for it.
func (r *Recorder) enter() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	running := len(r.live) + r.beginning
	switch {
	case r.closed:
		return errClosed
	case r.cfg.Most > 0 && running >= r.cfg.Most:
		return fmt.Errorf("%d recordings are running, which is all there may be: %w", running, mixer.ErrBusy)
	}
	r.beginning++
	r.work.Add(1)
	return nil
}

// prepare makes the folder and brings the film into the room, or leaves nothing.
func (r *Recorder) prepare(s *session) (<-chan mixer.State, error) {
	states, err := r.cfg.Rooms.Watch(s.ctx, s.room)
	if err != nil {
		return nil, err
	}
	if err := r.root.MkdirAll(s.dir, 0o750); err != nil {
		return nil, err
	}
	if s.timeline, err = newTimeline(r.root, s.dir, cmp.Or(s.spec.Layout, mixer.Layouts()[0])); err != nil {
		return nil, errors.Join(err, r.root.RemoveAll(s.dir))
	}
	err = r.root.WriteFile(path.Join(s.dir, reserve), make([]byte, reserveSize), 0o640)
	if err == nil {
		err = s.join()
	}
	if err != nil {
		return nil, errors.Join(err, s.discard())
	}
	if s.spec.Participants {
		s.people = newPeople(s)
	}
	return states, nil
}

// discard removes what prepare made.
func (s *session) discard() error {
	s.timeline.out.Close()
	return s.rec.root.RemoveAll(s.dir)
}

// ended forgets a session that is complete.
func (r *Recorder) ended(s *session, final mixer.Recording) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.live, s.id)
	r.count.dropped += final.Dropped
	if final.State == mixer.RecordingFailed {
		r.count.failed++
	} else {
		r.count.done++
	}
}

func (r *Recorder) session(room, id string) *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.live[id]; s != nil && s.room == room {
		return s
	}
	return nil
}

// change does something to a recording that runs.
func (r *Recorder) change(room, id string, fn func(*session) error) (mixer.Recording, error) {
	s := r.session(room, id)
	if s == nil {
		rec, err := load(r.root, room, id)
		if err == nil {
			err = fmt.Errorf("recording %q is %s: %w", id, rec.State, mixer.ErrState)
		}
		return rec, err
	}
	err := s.do(func() error { return fn(s) })
	return s.describe(), err
}

// Pause lets a recording leave out what comes until Resume.
func (r *Recorder) Pause(room, id string) (mixer.Recording, error) {
	return r.change(room, id, func(s *session) error { return s.pause("asked for") })
}

// Resume goes on with a paused one.
func (r *Recorder) Resume(room, id string) (mixer.Recording, error) {
	return r.change(room, id, (*session).resume)
}

// Stop ends a recording. It is complete when its state is done.
func (r *Recorder) Stop(room, id string) (mixer.Recording, error) {
	return r.change(room, id, func(s *session) error { s.stop("asked for"); return nil })
}

// Get returns a recording.
func (r *Recorder) Get(room, id string) (mixer.Recording, error) {
	if s := r.session(room, id); s != nil {
		return s.describe(), nil
	}
	return load(r.root, room, id)
}

// List returns the recordings of a room, oldest first.
func (r *Recorder) List(room string) []mixer.Recording {
	all := list(r.root, room)
	for i, rec := range all {
		if s := r.session(rec.Room, rec.ID); s != nil {
			all[i] = s.describe()
		}
	}
	return all
}

// File opens a file of a recording to read; one that is being recorded ends
// where it has got to.
func (r *Recorder) File(room, id, name string) (io.ReadSeekCloser, mixer.RecordingFile, error) {
	rec, err := r.Get(room, id)
	if err != nil {
		return nil, mixer.RecordingFile{}, err
	}
	i := slices.IndexFunc(rec.Files, func(f mixer.RecordingFile) bool { return f.Name == name })
	if i < 0 {
		return nil, mixer.RecordingFile{}, fmt.Errorf("recording %q has no file %.80q: %w", id, name, mixer.ErrNoRecording)
	}
	dir, err := place(room, id)
	if err != nil {
		return nil, rec.Files[i], err
	}
	f, err := r.root.Open(path.Join(dir, name))
	if errors.Is(err, os.ErrNotExist) && r.cfg.Store != nil && rec.Stored != "local" {
		stored, err := r.cfg.Store.Open(r.ctx, path.Join(dir, name))
		return stored, rec.Files[i], err
	}
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("file %q is not on this server any more, see stored: %w", name, mixer.ErrNoRecording)
	}
	if err != nil {
		return nil, rec.Files[i], err
	}
	return f, rec.Files[i], nil
}

// Delete removes a recording that has ended, here and where it was stored.
func (r *Recorder) Delete(ctx context.Context, room, id string) error {
	if r.session(room, id) != nil {
		return fmt.Errorf("recording %q runs; stop it first: %w", id, mixer.ErrState)
	}
	rec, err := load(r.root, room, id)
	if err != nil {
		return err
	}
	return r.remove(ctx, rec, "deleted")
}

func (r *Recorder) remove(ctx context.Context, rec mixer.Recording, why string) error {
	dir, err := place(rec.Room, rec.ID)
	if err != nil {
		return err
	}
	if r.cfg.Store != nil && rec.Stored != "local" {
		for _, f := range rec.Files {
			if err := r.cfg.Store.Delete(ctx, path.Join(dir, f.Name)); err != nil {
				return err
			}
		}
	}
	if err := r.root.RemoveAll(dir); err != nil {
		return err
	}
	r.notify(mixer.Event{Type: "recording.deleted", Room: rec.Room, Recording: &rec, Detail: why})
	return nil
}

// Check says what Start would find wrong with a spec.
func (r *Recorder) Check(room string, spec mixer.RecordingSpec) error {
	spec, _, _, err := r.plan(room, spec)
	return cmp.Or(err, Check(spec))
}

// Check says what is wrong with a spec that leaves nothing open.
func Check(spec mixer.RecordingSpec) error {
	f, err := find(&spec)
	if err != nil {
		return err
	}
	if f.video != nil && (spec.Width < 16 || spec.Height < 16 || spec.Width%2+spec.Height%2 != 0 || spec.FPS <= 0 || spec.Bitrate < 10_000) {
		return fmt.Errorf("%dx%d, %v pictures a second of %d bit/s: %w", spec.Width, spec.Height, spec.FPS, spec.Bitrate, mixer.ErrBadRequest)
	}
	return nil
}
