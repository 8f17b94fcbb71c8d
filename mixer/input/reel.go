package input

import (
	"context"
	"errors"
	"io"
	"time"

	"mixdown/codec"
	"mixdown/mixer"
)

// look is how often a reel that is far enough ahead looks again.
const look = 20 * time.Millisecond

// reel reads one opening of media ahead of what is played.
type reel struct {
	p      *player
	o      *opened
	info   codec.MediaInfo
	line   *line
	screen *screen          // nil: no pictures
	sound  codec.MediaSound // nil: no sound

	pcm    []int16
	shift  time.Duration // put on all times: rounds of a loop, and steps of time that were none
	from   time.Duration // sound before it is not played: of a seek
	last   [3]time.Duration
	end    time.Duration // of what was read, on the line
	errors uint64        // packets of sound that could not be decoded
}

// bad is how many packets could not be decoded. The screen has ended.
func (r *reel) bad() uint64 {
	if r.screen != nil {
		return r.errors + r.screen.errors
	}
	return r.errors
}

// run reads to the end, and stays until all of it was played. io.EOF is that.
func (r *reel) run(ctx context.Context) error {
	r.last = [3]time.Duration{unset, unset, unset}
	r.from, r.end = unset, 0
	r.p.mu.Lock()
	start := r.p.seekFrom()
	r.p.mu.Unlock()
	r.begin(start)
	for {
		if at, ok := r.p.sought(); ok {
			if err := r.jump(at); err != nil {
				return err
			}
		}
		if r.full() && !r.wait(ctx) {
			return context.Cause(ctx)
		}
		if r.full() {
			continue
		}
		packet, err := r.o.Read()
		switch {
		case err == nil:
			r.take(packet)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, io.EOF) && r.below() == nil:
			again, err := r.finish(ctx)
			if !again {
				return err
			}
		case errors.Is(err, io.EOF):
			return r.below()
		default:
			return err
		}
	}
}

// below is what went wrong under the container.
func (r *reel) below() error {
	if r.o.failed == nil {
		return nil
	}
	return r.o.failed()
}

// begin sets where the line starts; without sound it runs at once.
func (r *reel) begin(at time.Duration) {
	if at > 0 {
		r.from = at
		if r.screen != nil {
			r.screen.jump(at)
		}
	}
	if !r.line.sounds && r.info.Still {
		r.line.begin(max(0, at))
	}
}

// jump goes to another place of the media.
func (r *reel) jump(at time.Duration) error {
	if err := r.o.Seek(at); err != nil {
		return err
	}
	if r.sound != nil {
		r.sound.Flush()
	}
	if r.screen != nil {
		r.screen.jump(at)
	}
	r.last = [3]time.Duration{unset, unset, unset}
	r.shift, r.from, r.end = 0, at, at
	r.line.reset(at)
	r.p.round(0, 0, false)
	return nil
}

// full reports whether enough is read for now.
func (r *reel) full() bool {
	n, span, crammed := 0, time.Duration(0), false
	if r.screen != nil {
		n, span, crammed = r.screen.waiting()
	}
	ahead := r.line.ahead()
	if r.o.live {
		if ahead > liveAhead {
			r.line.catchUp(liveKeep)
		}
		if r.screen != nil && (crammed || span > mostAhead) {
			r.screen.thin()
		}
		return false
	}
	switch {
	case r.sound == nil:
		return crammed || span > readAhead
	case ahead > mostAhead, ahead > readAhead && (r.screen == nil || n > 0):
		return true
	case crammed:
		if ahead > 0 {
			return true
		}
		r.screen.thin() // sound is far behind in the file: pictures must not wait for it for ever
	}
	return false
}

// wait pauses until there may be room; false is the end.
func (r *reel) wait(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-r.p.nudge:
	case <-time.After(look):
	}
	return true
}

// take hands one packet on.
func (r *reel) take(packet codec.MediaPacket) {
	kind := packet.Kind()
	at := packet.Time()
	if at > unset {
		r.steady(kind, at)
		at += r.shift
		r.end = max(r.end, at)
	}
	switch {
	case kind == codec.Audio && r.sound != nil:
		r.hear(packet)
	case kind == codec.Video && r.screen != nil:
		if r.sound != nil && at > unset {
			// Where sound is missing pictures do not wait for it.
			if end := r.line.end(); at-max(end, 0) > readAhead && (end != unset || at > readAhead) {
				r.line.pad(at - readAhead/2)
			}
		}
		if !r.line.sounds && at > unset {
			r.line.begin(max(at, r.from))
		}
		r.screen.push(item{packet, r.shift})
	default:
		packet.Free()
	}
}

// steady makes up for a step in a stream's times that is none of its media.
func (r *reel) steady(kind codec.Kind, at time.Duration) {
	last := r.last[kind]
	r.last[kind] = at
	if last == unset || r.info.Still {
		return
	}
	if step := at - last; step > jumpFrom || step < -jumpFrom {
		r.shift = r.end - at
		r.last = [3]time.Duration{unset, unset, unset}
		r.last[kind] = at
	}
}

// hear decodes a packet of sound, or with nil what the decoder still has.
func (r *reel) hear(packet codec.MediaPacket) {
	pcm, at, err := r.sound.Decode(packet, r.pcm[:0])
	if packet != nil {
		packet.Free()
	}
	r.pcm = pcm
	if err != nil {
		r.errors++
		return // a packet that cannot be decoded is a hole
	}
	if len(pcm) == 0 {
		return
	}
	if at > unset {
		at += r.shift
		if r.from > unset && at < r.from {
			cut := min(len(pcm), r.line.samples(r.from-at))
			pcm, at = pcm[cut:], at+r.line.length(cut)
		}
	} else {
		at = unset
	}
	r.line.push(pcm, at)
	if end := r.line.end(); end != unset {
		r.end = max(r.end, end)
	}
}

// finish is the end of the media: it begins again, or waits until all was
// played.
func (r *reel) finish(ctx context.Context) (again bool, err error) {
	if r.sound != nil {
		r.hear(nil)
		r.sound.Flush()
	}
	if r.screen != nil {
		r.screen.push(item{nil, r.shift})
	}
	if !r.info.Still && r.p.repeats() && r.end > r.shift {
		if err := r.o.Seek(0); err != nil {
			return false, err
		}
		before := r.shift
		r.shift, r.from = r.end+r.frame(), unset
		r.last = [3]time.Duration{unset, unset, unset}
		if r.screen != nil {
			r.screen.mu.Lock()
			r.screen.from = unset
			r.screen.mu.Unlock()
		}
		r.p.round(before, r.shift, true)
		return true, nil
	}
	r.line.finish()
	for {
		played := !r.line.sounds || r.line.drained()
		if r.screen != nil {
			played = played && r.screen.idle() && !r.info.Still
		}
		if played {
			return false, io.EOF
		}
		if !r.wait(ctx) {
			return false, context.Cause(ctx)
		}
		if at, ok := r.p.sought(); ok {
			return true, r.jump(at)
		}
	}
}

// frame is how long the last picture stays, where no sound says how long a round is.
func (r *reel) frame() time.Duration {
	if r.sound != nil || r.info.FrameRate <= 0 {
		return 0
	}
	return time.Duration(float64(time.Second) / r.info.FrameRate)
}

// What a reel asks of its player.

// seekFrom is where the media were opened at. The caller holds mu.
func (p *player) seekFrom() time.Duration {
	if at := p.state.Position; at > 0 && p.state.Duration > 0 && !p.state.Live {
		return time.Duration(at * float64(time.Second))
	}
	return unset
}

// sought takes a seek that was asked for.
func (p *player) sought() (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seek == nil {
		return 0, false
	}
	at := *p.seek
	p.seek = nil
	return at, true
}

func (p *player) repeats() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.loop
}

// round notes that another round of a loop was begun, or none.
func (p *player) round(before, shift time.Duration, counts bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before, p.shift = before, shift
	if counts {
		p.rounds++
	}
}

var _ mixer.Source = (*seat)(nil)
