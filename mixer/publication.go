package mixer

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"mixdown/codec"
)

// maxUnits is how many units of one sender may wait for a decoder: a third of
// a second at 25 fps, after which a keyframe is the faster way to catch up.
const maxUnits = 8

// Publication is a Source's place in a room: the way of a sender's pictures
// from coded units to the slot.
type Publication struct {
	room *Room
	who  *member
	src  Source
	slot slot

	plays   Played
	playing bool // plays, and is no person

	wanted  atomic.Bool // is on a canvas
	resting atomic.Bool // is only to be seen in stills

	// The room's goroutine only.
	toll   toll
	seen   struct{ units, missed, rested uint64 } // by measure
	stills time.Time                              // when the next one is asked for

	mu      sync.Mutex
	units   []codec.Unit
	inLine  bool // stands in the pool's line or is being decoded
	waitKey bool // units are of no use before the next keyframe
	closed  bool
	limiter limiter

	// Touched by the one pool thread that decodes for it.
	decoder codec.VideoDecoder
	speaks  *codec.Codec

	distance *distance

	count struct {
		units, decoded, dropped, unwanted, limited, errors, lost atomic.Uint64
		rested, missed                                           atomic.Uint64 // left out on purpose; dropped because the decoder was behind
		unfiltered                                               atomic.Uint64 // decoded without their loop filter
		decodeTime                                               atomic.Int64  // ns of computing
	}
}

func newPublication(r *Room, who *member, src Source) *Publication {
	p := &Publication{room: r, who: who, src: src, waitKey: true, limiter: newLimiter(r.server.cfg.Limits), distance: newDistance(who.order)}
	if player, ok := src.(Player); ok {
		p.plays, p.playing = player.Plays(), true
	}
	return p
}

// WriteUnit hands over one whole access unit in decoding order. It never
// blocks; when the decoder is behind, units are dropped up to the next
// keyframe, which is asked for. u.Data passes to the room.
func (p *Publication) WriteUnit(u codec.Unit) {
	p.count.units.Add(1)
	p.tap(u)
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	if !p.wanted.Load() {
		p.waitKey = true
		p.mu.Unlock()
		p.count.unwanted.Add(1)
		return
	}
	if p.resting.Load() && !u.Keyframe && (u.Layers < 2 || u.Temporal > 0) {
		// What is above the base layer may be left out without harm; without layers
		// nothing can be decoded before the next keyframe.
		p.waitKey = p.waitKey || u.Layers < 2
		p.mu.Unlock()
		p.count.rested.Add(1)
		return
	}
	if len(p.units) >= maxUnits {
		p.count.missed.Add(uint64(len(p.units)))
		p.count.dropped.Add(uint64(len(p.units)))
		p.units = p.units[:0]
		p.waitKey = true
	}
	if p.waitKey && !u.Keyframe {
		p.mu.Unlock()
		p.count.dropped.Add(1)
		p.src.RequestKeyframe()
		return
	}
	if !p.limiter.admit(time.Now()) {
		p.waitKey = true
		p.mu.Unlock()
		p.count.limited.Add(1)
		return
	}
	p.waitKey = false
	p.units = append(p.units, u)
	add := !p.inLine
	p.inLine = true
	p.mu.Unlock()
	if add {
		p.room.server.pool.add(p)
	}
}

// Lost tells that units are missing before the next one.
func (p *Publication) Lost() {
	p.count.lost.Add(1)
	if p.wanted.Load() && !p.resting.Load() {
		p.src.RequestKeyframe()
	}
}

// Close takes the source out of the room. It may be called twice, and after
// the room closed it.
func (p *Publication) Close() {
	p.room.do(func() { p.room.unpublish(p, nil) })
}

// want switches decoding on and off with the tile's place on a canvas.
func (p *Publication) want(on bool) {
	if p.wanted.Swap(on) == on || !on {
		return
	}
	p.mu.Lock()
	p.waitKey = true
	p.mu.Unlock()
	p.src.RequestKeyframe()
}

// rest sets whether the sender is only to be seen in stills and asks for the
// next one when it is time; order spreads the times. It reports a change.
func (p *Publication) rest(on bool, now time.Time, order uint64) (changed bool) {
	if changed = p.resting.Swap(on) != on; changed {
		phase := time.Duration(float64(order) * 0.618 * float64(stillsEvery))
		p.stills = now.Add(phase % stillsEvery)
		if !on {
			p.src.RequestKeyframe()
		}
	}
	if on && p.wanted.Load() && !now.Before(p.stills) {
		p.stills = now.Add(stillsEvery)
		p.src.RequestKeyframe()
	}
	return changed
}

// measure takes the counters: what decoding costs a second and what resting
// saves, how many units were for a decoder and how many of those it did not get
// to, since it was last called, period ago.
func (p *Publication) measure(period time.Duration) (cost, saved time.Duration, units, missed uint64) {
	c := &p.count
	done := c.decoded.Load() + c.errors.Load()
	p.toll.note(done, p.spent())
	m := c.missed.Load()
	units, missed = done+m-p.seen.units, m-p.seen.missed
	p.seen.units, p.seen.missed = done+m, m
	rested := c.rested.Load()
	if period > 0 {
		cost = time.Duration(float64(p.toll.each) * float64(units) / period.Seconds())
		saved = time.Duration(float64(p.toll.each) * float64(rested-p.seen.rested) / period.Seconds())
	}
	p.seen.rested = rested
	return cost, saved, units, missed
}

// spent is its computing time so far.
func (p *Publication) spent() time.Duration { return time.Duration(p.count.decodeTime.Load()) }

// end stops decoding; the decoder is closed by the pool, which may be using it.
func (p *Publication) end() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.closed = true
	p.units = nil
	p.room.server.metrics.ended(nil, p)
	add := !p.inLine
	p.inLine = true
	p.mu.Unlock()
	p.slot.close()
	if add {
		p.room.server.pool.add(p)
	}
}

// decodeNext decodes one unit on a pool thread and reports whether more wait.
func (p *Publication) decodeNext() bool {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		if p.decoder != nil {
			p.decoder.Close()
			p.decoder = nil
		}
		return false
	}
	if len(p.units) == 0 { // dropped while p stood in line
		p.inLine = false
		p.mu.Unlock()
		return false
	}
	u := p.units[0]
	n := copy(p.units, p.units[1:])
	p.units[n] = codec.Unit{}
	p.units = p.units[:n]
	p.mu.Unlock()

	spent := threadTime()
	frame, err := p.decode(u)
	if frame != nil {
		p.count.decoded.Add(1)
		width, height := frame.Width, frame.Height
		frame = p.distance.reduce(frame, p.room.server.scaler)
		p.slot.put(frame, width, height, time.Now())
	}
	spent = threadTime() - spent
	p.count.decodeTime.Add(int64(spent))

	p.mu.Lock()
	p.limiter.decode.spend(spent, time.Now())
	if err != nil {
		p.waitKey = true
	}
	more := len(p.units) > 0 || p.closed
	p.inLine = more
	p.mu.Unlock()
	if err != nil {
		p.count.errors.Add(1)
		p.room.logNow("decode", fmt.Errorf("participant %q: %w", p.who.id.ID, err))
		p.src.RequestKeyframe()
	}
	return more
}

func (p *Publication) decode(u codec.Unit) (*codec.Frame, error) {
	if p.decoder == nil || p.speaks != u.Codec {
		if p.decoder != nil {
			p.decoder.Close()
			p.decoder = nil
		}
		if u.Codec == nil || u.Codec.NewVideoDecoder == nil {
			return nil, fmt.Errorf("decode: %w", ErrNoCodec)
		}
		d, err := u.Codec.NewVideoDecoder()
		if err != nil {
			return nil, fmt.Errorf("open %s decoder: %w", u.Codec.Name, err)
		}
		if l, ok := d.(codec.PixelLimiter); ok {
			if err := l.LimitPixels(p.room.server.cfg.Limits.Pixels); err != nil {
				d.Close()
				return nil, fmt.Errorf("open %s decoder: %w", u.Codec.Name, err)
			}
		}
		p.decoder, p.speaks = d, u.Codec
	}
	unfiltered, restore := p.distance.prepare(p.decoder, u.Keyframe)
	if restore {
		p.src.RequestKeyframe()
	}
	f, err := p.decoder.Decode(u)
	if err != nil {
		return f, err // it names the codec
	}
	if f != nil {
		p.distance.width, p.distance.height = f.Width, f.Height
	}
	if unfiltered {
		p.count.unfiltered.Add(1)
	}
	return f, nil
}
