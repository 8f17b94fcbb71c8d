// Package output is the sinks of a room that write its programme into
// containers, for those who keep it and those who send it on.
//
//	Tier ── whole pictures ──▶ Film: two queues ──▶ in order of time ──▶ codec.Muxer
//	sound clock ── packets ──▶                       as they are, or encoded anew
//
// Packet.Time is the one line that both are on, so what is seen and heard
// together stays so, whatever the picture rate does.
package output

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"mixdown/codec"
	"mixdown/mixer"
)

// Config is what makes a Film.
type Config struct {
	// Pictures are names of codecs, in order of preference; none: sound only.
	Pictures      []string
	Width, Height int
	Frame         time.Duration // that a picture is seen for, as a rule
	// Sound is the codec that is written. The room's packets of it are written as
	// they come; any other sound is encoded anew, at Bitrate. nil: no sound.
	Sound   *codec.Codec
	Takes   []string          // names of codecs of sound that are asked for, in order
	Format  codec.AudioFormat // of the room's sound
	Bitrate int               // bit/s
	// Split begins a new part at the first keyframe after so long; 0 never does.
	Split time.Duration
	// Flush is how often what was written is made safe, in time of the programme.
	Flush time.Duration
	// Room is how much may wait to be written: beyond it pictures are left out up
	// to a keyframe. 0 means 10 s.
	Room time.Duration
	// Open makes the container of a part, numbered from 0. It is called on Run's
	// goroutine, as are all methods of the Muxer.
	Open func(part int, tracks []codec.Track) (codec.Muxer, error)
	// Closed tells that a part is complete, or as far as err let it.
	Closed func(part int, p Part, err error)
}

// Part is one container as it was written.
type Part struct {
	Origin time.Time     // what its zero was on the room's clock
	Length time.Duration // to the end of its last picture or sound
}

// maxBytes bounds what waits to be written, beside Config.Room.
const maxBytes = 64 << 20

// reorder is how long one kind waits for the other: a picture comes later than
// the sound of its moment by the time that it takes to encode.
const reorder = 300 * time.Millisecond

// Film is a mixer.Sink that writes. Its owner runs Run, and calls End.
type Film struct {
	cfg  Config
	wake chan struct{}

	mu       sync.Mutex
	pictures []*mixer.Packet
	sounds   []*mixer.Packet
	bytes    int
	skipping bool // pictures, up to a keyframe
	cut      time.Time
	ended    bool
	reason   error

	// Run's goroutine only.
	part    *part
	number  int
	flushed time.Time // of the programme
	joined  bool      // a cut: what comes next follows on what is there

	length atomic.Int64              // ns, of all parts
	zero   atomic.Pointer[time.Time] // of all parts, as if there had been no cuts
	count  struct{ pictures, sounds, dropped, silence atomic.Uint64 }
}

// Counts are what became of a programme.
type Counts struct {
	Pictures, Sounds uint64        // written
	Dropped          uint64        // pictures and packets of sound left out because writing was slow
	Silence          uint64        // samples put in where no sound came
	Length           time.Duration // of what was written
}

// New returns a Film that has yet to Run.
func New(cfg Config) *Film {
	if cfg.Room == 0 {
		cfg.Room = 10 * time.Second
	}
	return &Film{cfg: cfg, wake: make(chan struct{}, 1)}
}

// Counts may be called at any time.
func (f *Film) Counts() Counts {
	c := &f.count
	return Counts{c.pictures.Load(), c.sounds.Load(), c.dropped.Load(), c.silence.Load(), time.Duration(f.length.Load())}
}

// Codecs implements mixer.Sink.
func (f *Film) Codecs() []string {
	names := append([]string{}, f.cfg.Pictures...)
	if f.cfg.Sound != nil {
		names = append(names, f.cfg.Takes...)
	}
	return names
}

// WriteVideo implements mixer.Sink. It wants pictures whole (Want.Programme).
func (f *Film) WriteVideo(picture []*mixer.Packet) {
	p := picture[0]
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return
	}
	full := f.bytes > maxBytes || len(f.pictures) > 0 && p.Time.Sub(f.pictures[0].Time) > f.cfg.Room
	if full || f.skipping && !p.Keyframe {
		f.skipping = true
		f.count.dropped.Add(1)
		return
	}
	f.skipping = false
	f.pictures = append(f.pictures, p)
	f.added(p)
}

// WriteAudio implements mixer.Sink.
func (f *Film) WriteAudio(p *mixer.Packet) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended || f.cfg.Sound == nil {
		return
	}
	if f.bytes > maxBytes || len(f.sounds) > 0 && p.Time.Sub(f.sounds[0].Time) > f.cfg.Room {
		f.count.dropped.Add(1)
		return
	}
	f.sounds = append(f.sounds, p)
	f.added(p)
}

func (f *Film) added(p *mixer.Packet) {
	f.bytes += len(p.Payload)
	f.rouse()
}

func (f *Film) rouse() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Close implements mixer.Sink: the room has ended the film.
func (f *Film) Close(reason error) { f.end(reason) }

// End lets Run write what waits, and return.
func (f *Film) End() { f.end(nil) }

func (f *Film) end(reason error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ended {
		f.ended, f.reason = true, reason
	}
	f.rouse()
}

// Reason is why the room ended the film, nil if it did not.
func (f *Film) Reason() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reason
}

// Cut makes what comes from now on follow directly on what came before: its
// owner has taken it out of the room, and will bring it back.
func (f *Film) Cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut = time.Now()
}

// Run writes until End, or until writing fails.
func (f *Film) Run() error {
	tick := time.NewTicker(reorder / 3)
	defer tick.Stop()
	for {
		p, done := f.next()
		switch {
		case p != nil:
			if err := f.write(p); err != nil {
				f.end(nil)
				return errors.Join(err, f.close(err))
			}
			continue
		case done:
			return f.close(nil)
		}
		select {
		case <-f.wake:
		case <-tick.C:
		}
	}
}

// next takes the oldest packet that waits, once it is sure that it is.
func (f *Film) next() (p *mixer.Packet, done bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	from := &f.pictures
	switch {
	case len(f.pictures) == 0 && len(f.sounds) == 0:
		return nil, f.ended
	case len(f.pictures) == 0:
		from = &f.sounds
	case len(f.sounds) == 0:
	default:
		if f.sounds[0].Time.Before(f.pictures[0].Time) {
			from = &f.sounds
		}
	}
	p = (*from)[0]
	alone := (len(f.pictures) == 0) != (len(f.sounds) == 0) && len(f.cfg.Pictures) > 0 && f.cfg.Sound != nil
	if alone && !f.ended && time.Since(p.Time) < reorder {
		return nil, false
	}
	(*from)[0] = nil
	if *from = (*from)[1:]; len(*from) == 0 {
		*from = nil
	}
	f.bytes -= len(p.Payload)
	if !f.cut.IsZero() && p.Time.After(f.cut) {
		f.cut, f.joined = time.Time{}, true
	}
	return p, false
}

// write puts one packet where it belongs.
func (f *Film) write(p *mixer.Packet) error {
	picture := p.Codec.Kind == codec.Video
	leads := picture || len(f.cfg.Pictures) == 0 // begins parts
	switch {
	case leads && (p.Keyframe || !picture):
		if f.part != nil && f.joined {
			f.part.origin = p.Time.Add(-f.part.end)
			f.joined = false
			f.rezero(p.Time)
		}
		if f.part != nil && f.cfg.Split > 0 && p.Time.Sub(f.part.origin) >= f.cfg.Split {
			if err := f.close(nil); err != nil {
				return err
			}
		}
		if f.part == nil {
			if err := f.open(p); err != nil {
				return err
			}
		}
	case f.part == nil || f.joined:
		return nil // before the first keyframe
	}
	before := f.part.end
	var err error
	if picture {
		err = f.part.picture(p)
		f.count.pictures.Add(1)
	} else {
		var silence int
		silence, err = f.part.sound.write(p, p.Time.Sub(f.part.origin))
		f.part.end = max(f.part.end, f.part.sound.end())
		f.count.silence.Add(uint64(silence))
		f.count.sounds.Add(1)
	}
	if err != nil {
		return err
	}
	f.length.Add(int64(f.part.end - before))
	if d := p.Time.Sub(f.flushed); d >= f.cfg.Flush || d < 0 {
		f.flushed = p.Time
		return f.part.mux.Flush()
	}
	return nil
}

func (f *Film) open(p *mixer.Packet) error {
	var tracks []codec.Track
	if len(f.cfg.Pictures) > 0 {
		tracks = append(tracks, codec.Track{Codec: p.Codec, Width: f.cfg.Width, Height: f.cfg.Height})
	}
	made := &part{origin: p.Time, began: p.Time, frame: f.cfg.Frame}
	if f.cfg.Sound != nil {
		s, err := newSound(len(tracks), f.cfg)
		if err != nil {
			return err
		}
		made.sound = s
		tracks = append(tracks, s.track)
	}
	mux, err := f.cfg.Open(f.number, tracks)
	if err != nil {
		made.sound.close()
		return fmt.Errorf("part %d: %w", f.number, err)
	}
	made.mux = mux
	if made.sound != nil {
		made.sound.mux = mux
	}
	f.part, f.flushed = made, p.Time
	f.rezero(p.Time)
	return nil
}

// rezero notes that what is seen at t comes right after what there is.
func (f *Film) rezero(t time.Time) {
	zero := t.Add(-time.Duration(f.length.Load()))
	f.zero.Store(&zero)
}

// At says where in the programme, all parts of it, a moment is: below 0 if it was
// before its beginning, and 0 while it has not begun.
func (f *Film) At(t time.Time) time.Duration {
	zero := f.zero.Load()
	if zero == nil {
		return 0
	}
	return t.Sub(*zero)
}

// close ends the part that is being written.
func (f *Film) close(failed error) error {
	p := f.part
	if p == nil {
		return nil
	}
	f.part = nil
	var err error
	if failed == nil {
		err = p.sound.finish()
	}
	err = errors.Join(err, p.mux.Close())
	p.sound.close()
	if f.cfg.Closed != nil {
		f.cfg.Closed(f.number, Part{Origin: p.began, Length: p.end}, errors.Join(failed, err))
	}
	f.number++
	return err
}

// part is a container in the making.
type part struct {
	mux    codec.Muxer
	began  time.Time
	origin time.Time // its zero; cuts move it
	end    time.Duration
	frame  time.Duration
	sound  *sound // nil: none
}

func (p *part) picture(k *mixer.Packet) error {
	at := k.Time.Sub(p.origin)
	p.end = max(p.end, at+p.frame)
	return p.mux.Write(0, codec.Unit{Codec: k.Codec, Data: k.Payload, Keyframe: k.Keyframe}, at, p.frame)
}
