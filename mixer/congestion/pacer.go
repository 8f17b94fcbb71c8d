package congestion

import (
	"time"
)

// Kind is what a packet is sent for, first things first.
type Kind uint8

const (
	Sound Kind = iota
	Repair
	Video
	Probe
)

// Item is one packet that is to go out now. A Probe has no packet: the caller
// makes one of about Size bytes on the wire, of padding or of something
// that is worth sending twice.
type Item[P any] struct {
	Kind   Kind
	Packet P
	Size   int
}

// Picture is the packets of one picture, in order.
type Picture struct {
	Keyframe bool
	Temporal uint8  // its temporal layer; 0 is the one that all others build on
	Stream   uint32 // which encoder made it
}

// What waits at most.
const (
	maxSounds   = 64
	maxPictures = 64
	longestWait = time.Second // of a picture, unless there are so few of them
	// A picture half sent is finished unless that takes longer.
	longestRest = 500 * time.Millisecond
	burst       = 5 * time.Millisecond  // of its rate may a pacer send at once,
	probeBurst  = 20 * time.Millisecond // and of a probe, which must not be slower than it is meant to be
	deepestDebt = 300 * time.Millisecond
	probeDebt   = 100 * time.Millisecond // of that, for what a probe sent too much
	echoAfter   = 25 * time.Millisecond
	// Up to that rate, bit/s, pictures follow sound at once: what goes out later stands before the
	// next. Above, that is little, and mouth to ear was none the shorter for it.
	alignBelow  = 60_000
	behind      = 8 * time.Millisecond  // which is right behind it: who asks does so every few ms
	soundLate   = 15 * time.Millisecond // until which that is waited for
	soundSeldom = 70 * time.Millisecond // what comes no oftener is not waited for
)

// queued is a picture that waits.
type queued[P any] struct {
	Picture
	packets []P
	bytes   int // left
	begun   bool
	at      time.Time
}

// echo is a packet that goes out once more by itself.
type echo[P any] struct {
	packet P
	at     time.Time
}

// Pacer decides what goes out when. Sound is never held up: it goes at once, and
// what it takes is missing from the rest. Then comes what was lost, then
// pictures, at no more than the rate that is set, so that no keyframe stands before sound in
// the link; then probes. What waits is bounded in time, and whole
// pictures are dropped: upper temporal layers first, and only then all up to the
// next keyframe.
//
// It is used under the caller's lock and never blocks. P is the caller's packet.
type Pacer[P any] struct {
	size func(P) int // bytes on the wire

	rate   float64 // bit/s; pictures stop at 0
	usual  float64 // what it will be again: by it what waits is judged
	credit float64 // bytes that may go at once; negative: owed
	filled time.Time

	sounds  []P
	sounded time.Time     // when the newest went out
	beat    time.Duration // from one to the next; 0: unknown
	spoken  int           // bytes of the newest
	beside  time.Time     // the one that has a report behind it
	before  float64       // what credit was before it, less what went out since
	repairs []P
	echoes  []echo[P] // repairs that go out once more, each in its time
	queue   []queued[P]
	bytes   int // in queue

	cluster Cluster
	probed  int // bytes sent of it
	probing bool
	plain   float64 // what credit would be without it

	patience time.Duration // with what waits

	layer   uint8     // the highest that is taken
	stream  uint32    // of the newest picture taken
	needKey bool      // nothing but a keyframe may come next
	mute    bool      // and that of another encoder
	keyed   time.Time // when the newest keyframe came

	// Dropped counts pictures: of upper layers, and others.
	DroppedLayers, Dropped uint64
	// DroppedSounds and DroppedRepairs count packets.
	DroppedSounds, DroppedRepairs uint64
}

// NewPacer returns a pacer that waits for a keyframe; size says what a packet
// takes on the wire.
func NewPacer[P any](size func(P) int) *Pacer[P] {
	return &Pacer[P]{size: size, layer: 255, needKey: true, patience: longestWait}
}

// SetRate sets what may go out, bit/s, sound included: now, and usually.
func (p *Pacer[P]) SetRate(bps, usual int, now time.Time) {
	p.fill(now)
	p.rate, p.usual = float64(bps), float64(usual)
	if bps == 0 {
		// Only sound goes out, and what it takes is in the queue that is waited for. A probe
		// would be of no use and stand before it.
		p.credit = max(p.credit, 0)
		p.probing = false
	}
}

// SetLayer sets the highest temporal layer that is sent. The lower ones go on
// without a keyframe.
func (p *Pacer[P]) SetLayer(l uint8) { p.layer = l }

// SetPatience sets how long pictures may wait.
func (p *Pacer[P]) SetPatience(d time.Duration) { p.patience = d }

// Mute drops all pictures up to a keyframe of another encoder, because the
// present one's tier is more than the link carries.
func (p *Pacer[P]) Mute() {
	p.mute, p.needKey = true, true
	p.clear()
	clear(p.repairs)
	p.repairs, p.echoes = p.repairs[:0], p.echoes[:0]
}

// Outdated reports whether nothing needs a packet any more that went out at a moment:
// what comes next is a keyframe, or one has come since.
func (p *Pacer[P]) Outdated(at time.Time) bool { return p.mute || at.Before(p.keyed) }

// Unmute takes a keyframe of any encoder again.
func (p *Pacer[P]) Unmute() { p.mute = false }

// NeedsKeyframe reports whether pictures wait for one that is worth asking for:
// the one that ends muting is on its way by itself.
func (p *Pacer[P]) NeedsKeyframe() bool { return p.needKey && !p.mute }

// Halfway reports whether a picture is half out and goes on: nothing else of its
// stream may come between.
func (p *Pacer[P]) Halfway() bool { return len(p.queue) > 0 && p.queue[0].begun }

// Waiting is how long what waits will take.
func (p *Pacer[P]) Waiting() time.Duration {
	if p.bytes == 0 {
		return 0
	}
	return p.takes(p.bytes)
}

func (p *Pacer[P]) takes(bytes int) time.Duration {
	return time.Duration(float64(bytes) * 8 / max(p.rate, p.usual, 1000) * float64(time.Second))
}

// Sound queues a packet of sound.
func (p *Pacer[P]) Sound(packet P) {
	if len(p.sounds) == maxSounds {
		p.DroppedSounds++
		return
	}
	p.sounds = append(p.sounds, packet)
}

// Repair queues a packet that was sent before.
func (p *Pacer[P]) Repair(packet P) {
	if len(p.repairs) == maxSounds {
		p.DroppedRepairs++
		return
	}
	p.repairs = append(p.repairs, packet)
}

// Echo queues a repair that goes out a while after the one before it, so that one
// burst of losses does not take both.
func (p *Pacer[P]) Echo(packet P, now time.Time) {
	if len(p.echoes) < maxSounds {
		p.echoes = append(p.echoes, echo[P]{packet, now.Add(echoAfter)})
	}
}

// Video queues a picture. The slice is not kept.
func (p *Pacer[P]) Video(pic Picture, packets []P, now time.Time) {
	if pic.Stream != p.stream {
		if p.mute && !pic.Keyframe {
			return
		}
		p.needKey = p.needKey || !pic.Keyframe
	} else if p.mute {
		p.Dropped++
		return
	}
	switch {
	case p.needKey && !pic.Keyframe:
		p.Dropped++
		return
	case pic.Temporal > p.layer:
		p.DroppedLayers++
		return
	}
	p.stream, p.needKey, p.mute = pic.Stream, false, false
	if pic.Keyframe {
		p.clear() // nothing before it is needed any more
		p.keyed = now
	}
	if len(p.queue) == maxPictures {
		p.shed()
		if p.needKey {
			p.Dropped++
			return
		}
	}
	q := p.slot()
	q.Picture, q.at, q.begun, q.bytes = pic, now, false, 0
	q.packets = append(q.packets[:0], packets...)
	for _, packet := range packets {
		q.bytes += p.size(packet)
	}
	p.bytes += q.bytes
	p.bound(now)
}

// slot appends a picture and returns it; its slice is an old one's.
func (p *Pacer[P]) slot() *queued[P] {
	if n := len(p.queue); n < cap(p.queue) {
		p.queue = p.queue[:n+1]
	} else {
		p.queue = append(p.queue, queued[P]{})
	}
	return &p.queue[len(p.queue)-1]
}

// bound keeps what waits under patience. A keyframe alone may take longer:
// dropping it for its size would help nobody.
func (p *Pacer[P]) bound(now time.Time) {
	first := &p.queue[0]
	late := now.Sub(first.at) > p.patience && !first.Keyframe
	if !late && (p.Waiting() <= p.patience || len(p.queue) == 1) {
		return
	}
	for layer := uint8(2); layer > 0; layer-- {
		p.thin(layer)
		if p.Waiting() <= p.patience {
			return
		}
	}
	rest := p.bytes
	if p.queue[0].Keyframe || p.queue[0].begun {
		rest -= p.queue[0].bytes
	}
	if late || p.takes(rest) > p.patience {
		p.shed()
	}
}

// thin drops pictures that have not begun from a temporal layer on. Nothing
// that stays builds on them as long as upper layers refer to nothing before the
// last picture of the lowest (as in the usual patterns, RFC 7741, section 4.2).
func (p *Pacer[P]) thin(layer uint8) {
	keep := 0
	for i := range p.queue {
		q := &p.queue[i]
		if q.Temporal >= layer && !q.begun {
			p.bytes -= q.bytes
			p.DroppedLayers++
			continue
		}
		if keep != i {
			p.queue[keep], p.queue[i] = p.queue[i], p.queue[keep]
		}
		keep++
	}
	p.queue = p.queue[:keep]
}

// shed drops what has not begun, up to the newest keyframe; if there is none,
// one is needed.
func (p *Pacer[P]) shed() {
	from := len(p.queue)
	for i := len(p.queue) - 1; i > 0; i-- {
		if p.queue[i].Keyframe {
			from = i
			break
		}
	}
	p.needKey = from == len(p.queue)
	if p.queue[0].Keyframe || p.queue[0].begun {
		p.cut(1, from)
		return
	}
	p.cut(0, from)
}

// cut drops the pictures i to j-1.
func (p *Pacer[P]) cut(i, j int) {
	for k := i; k < j; k++ {
		p.bytes -= p.queue[k].bytes
		p.Dropped++
	}
	keep := i
	for k := j; k < len(p.queue); k++ {
		p.queue[keep], p.queue[k] = p.queue[k], p.queue[keep]
		keep++
	}
	p.queue = p.queue[:keep]
}

// clear drops all, but finishes a picture that is half out if that is soon done.
func (p *Pacer[P]) clear() {
	if len(p.queue) == 0 {
		return
	}
	from := 0
	if p.queue[0].begun && p.takes(p.queue[0].bytes) < longestRest {
		from = 1
	}
	p.cut(from, len(p.queue))
}

// Probe sends a cluster.
func (p *Pacer[P]) Probe(c Cluster, now time.Time) {
	p.fill(now)
	p.cluster, p.probed, p.probing = c, 0, true
	p.plain = p.credit
	p.credit = max(p.credit, 0)
}

// pace is what goes out now, bit/s.
func (p *Pacer[P]) pace() float64 {
	if p.probing {
		return max(p.rate, float64(p.cluster.Rate))
	}
	return p.rate
}

// fill turns time into credit.
func (p *Pacer[P]) fill(now time.Time) {
	if p.filled.IsZero() {
		p.filled = now
	}
	pace := p.pace() / 8
	p.credit += now.Sub(p.filled).Seconds() * pace
	p.plain += now.Sub(p.filled).Seconds() * p.rate / 8
	p.filled = now
	if p.probing {
		p.credit = min(p.credit, pace*probeBurst.Seconds())
	} else if p.aligned(now) {
		p.credit = min(p.credit, pace*p.beat.Seconds()/3) // there are few moments at which it can be used
	} else {
		p.credit = min(p.credit, pace*burst.Seconds())
	}
	p.credit = max(p.credit, -max(pace*deepestDebt.Seconds(), 2500))
	if p.probing && !now.Before(p.cluster.Until) {
		p.probed = p.cluster.Bytes
		p.settle()
	}
}

// settle ends a probe that has had its time or its bytes. What it sent beyond the rate
// stands in the link, unless that carries more, and is owed: sound would stand behind it.
func (p *Pacer[P]) settle() {
	if p.probing && p.probed >= p.cluster.Bytes {
		p.probing = false
		p.credit = max(min(p.credit, p.plain), -p.rate/8*probeDebt.Seconds())
	}
}

// Next takes what is to be sent now; ok is false if nothing is.
func (p *Pacer[P]) Next(now time.Time) (item Item[P], ok bool) {
	if len(p.sounds) > 0 {
		item = Item[P]{Kind: Sound, Packet: pop(&p.sounds)}
		item.Size = p.size(item.Packet)
		p.fill(now)
		p.spend(item.Size)
		p.keepBeat(item.Size, now)
		return item, true
	}
	p.fill(now)
	if !p.ready(now) {
		return item, false
	}
	switch {
	case len(p.repairs) > 0:
		item = Item[P]{Kind: Repair, Packet: pop(&p.repairs)}
		item.Size = p.size(item.Packet)
	case len(p.echoes) > 0 && !now.Before(p.echoes[0].at):
		item = Item[P]{Kind: Repair, Packet: pop(&p.echoes).packet}
		item.Size = p.size(item.Packet)
	case len(p.queue) > 0 && p.rate > 0:
		q := &p.queue[0]
		item = Item[P]{Kind: Video, Packet: pop(&q.packets)}
		item.Size = p.size(item.Packet)
		q.begun = true
		q.bytes -= item.Size
		p.bytes -= item.Size
		if len(q.packets) == 0 {
			p.advance()
		}
	case p.probing:
		item = Item[P]{Kind: Probe, Size: p.cluster.Size}
	default:
		return item, false
	}
	p.spend(item.Size)
	return item, true
}

// keepBeat notes a packet of sound.
func (p *Pacer[P]) keepBeat(size int, now time.Time) {
	gap := now.Sub(p.sounded)
	p.sounded, p.spoken, p.before = now, size, p.credit+float64(size)
	switch {
	case gap > soundSeldom:
		p.beat = 0
	case gap > soundLate || p.beat == 0: // and not two at once
		p.beat = gap
	}
}

// aligned reports whether the rest goes out right behind sound.
func (p *Pacer[P]) aligned(now time.Time) bool {
	return p.beat > 0 && p.usual < alignBelow && !p.probing && now.Sub(p.sounded) < p.beat+soundLate
}

// ready reports whether something besides sound may go out now. Behind sound that is so if it
// was before. Later it waits for the next of sound: it would hold that up by more.
func (p *Pacer[P]) ready(now time.Time) bool {
	switch {
	case p.pace() <= 0:
		return false
	case !p.aligned(now):
		return p.credit >= 0
	}
	return !p.stands(now) && max(p.before, p.credit) >= 0
}

// stands reports whether what is sent now would stand before the next of sound.
func (p *Pacer[P]) stands(now time.Time) bool {
	return p.aligned(now) && now.Sub(p.sounded) > max(behind, p.takes(p.spoken))
}

// Beside takes the place of one report, if there is one now: on a link so thin that it is heard there
// is one right behind each packet of sound.
func (p *Pacer[P]) Beside(now time.Time) bool {
	if !p.aligned(now) {
		return true
	}
	if p.stands(now) || p.beside.Equal(p.sounded) {
		return false
	}
	p.beside = p.sounded
	return true
}

func (p *Pacer[P]) spend(size int) {
	p.credit -= float64(size)
	p.before -= float64(size)
	p.plain -= float64(size)
	p.probed += size
	p.settle()
}

// advance takes the first picture off.
func (p *Pacer[P]) advance() {
	for k := 1; k < len(p.queue); k++ {
		p.queue[k-1], p.queue[k] = p.queue[k], p.queue[k-1]
	}
	p.queue = p.queue[:len(p.queue)-1]
}

// Wake is how long to wait until Next may have something; negative: until
// something is queued.
func (p *Pacer[P]) Wake(now time.Time) time.Duration {
	switch {
	case len(p.sounds) > 0:
		return 0
	case len(p.queue) == 0 && len(p.repairs) == 0 && !p.probing && len(p.echoes) > 0:
		return min(max(p.echoes[0].at.Sub(now), time.Millisecond), 20*time.Millisecond)
	case len(p.queue) == 0 && len(p.repairs) == 0 && !p.probing:
		return -1
	case p.pace() < 1000:
		return 20 * time.Millisecond
	}
	p.fill(now)
	if p.stands(now) {
		return min(p.sounded.Add(p.beat+soundLate).Sub(now)+time.Microsecond, 20*time.Millisecond)
	}
	if p.ready(now) {
		return 0
	}
	owed := max(0, -p.credit) * 8 / p.pace()
	return min(time.Duration(owed*float64(time.Second))+time.Microsecond, 20*time.Millisecond)
}

// pop takes the first element.
func pop[P any](s *[]P) P {
	var none P
	first := (*s)[0]
	n := copy(*s, (*s)[1:])
	(*s)[n] = none
	*s = (*s)[:n]
	return first
}
