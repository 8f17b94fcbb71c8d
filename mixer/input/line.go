package input

import (
	"sync"
	"time"

	"mixdown/mixer"
)

const (
	soundRate = 48_000
	tick      = 20 * time.Millisecond
	// unset is a time that is not known.
	unset = time.Duration(-1 << 62)
)

// line is the one line of time that an input's sound and pictures are on. Its
// sound is what moves it on, 20 ms at a time by the room's clock; without sound
// the wall clock does. When what is to be played has not come yet the whole line
// stands, so both stay together.
//
//	packets ─▶ push ─▶ ring ─▶ Pull ─▶ room's sound clock
//	                    └ position ─▶ screen
type line struct {
	channels int
	sounds   bool          // there is sound, which moves the line
	prebuf   time.Duration // that must be there before it starts, and again after a stall

	mu      sync.Mutex
	anchor  time.Time // capture time of the beginning: the same for sound and pictures
	ring    []int16
	head    time.Duration // time of the ring's first sample
	at      time.Time     // when head was read last; without sound, when position was head
	set     bool          // head is known
	running bool
	paused  bool
	ended   bool // nothing more will be pushed
	volume  float64
	stalls  uint64
}

func newLine(channels int, sounds bool, prebuf time.Duration, volume float64) *line {
	return &line{channels: channels, sounds: sounds, prebuf: prebuf, volume: volume, anchor: time.Now()}
}

func (l *line) samples(d time.Duration) int {
	return int(d*soundRate/time.Second) * l.channels
}

func (l *line) length(samples int) time.Duration {
	return time.Duration(samples/l.channels) * time.Second / soundRate
}

// tail is the time behind the ring's last sample. The caller holds mu.
func (l *line) tail() time.Duration { return l.head + l.length(len(l.ring)) }

// maxGap is how long a hole in the times of sound may be that is filled with
// silence; past it the times are wrong, not the sound.
const maxGap = 10 * time.Second

// push adds sound that begins at. Holes are filled, what overlaps is left out.
func (l *line) push(pcm []int16, at time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.set {
		if at == unset {
			at = 0
		}
		l.start(at)
	}
	if at != unset {
		switch off := at - l.tail(); {
		case off > 3*tick && off < maxGap:
			l.silence(off)
		case off < -3*tick && off > -maxGap:
			pcm = pcm[min(len(pcm), l.samples(-off)):]
		}
	}
	l.ring = append(l.ring, pcm...)
}

// pad fills the ring with silence up to a time, for sound that does not come.
func (l *line) pad(to time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.set {
		l.start(to)
	}
	if off := to - l.tail(); off > 0 && off < maxGap {
		l.silence(off)
	}
}

// silence appends d of it. The caller holds mu.
func (l *line) silence(d time.Duration) {
	l.ring = append(l.ring, make([]int16, l.samples(d))...)
}

// start sets where the line begins, if that is not known yet. The caller holds mu.
func (l *line) start(at time.Duration) {
	if !l.set {
		l.head, l.at, l.set = at, time.Now(), true
		l.anchor = l.at.Add(-at)
	}
}

// begin is start for media without sound, whose line runs at once.
func (l *line) begin(at time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.start(at)
	l.running = true
}

// ahead is how much sound waits.
func (l *line) ahead() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.length(len(l.ring))
}

// end is the time behind the last sound, unset if there was none.
func (l *line) end() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.set || !l.sounds {
		return unset
	}
	return l.tail()
}

// finish says that nothing more will be pushed.
func (l *line) finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
}

// catchUp leaves out sound so that no more than keep waits.
func (l *line) catchUp(keep time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if off := l.length(len(l.ring)) - keep; off > 0 {
		l.drop(l.samples(off))
		l.anchor = l.anchor.Add(-off)
	}
}

// slip holds the line back by d: pictures without sound came too late.
func (l *line) slip(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = l.at.Add(d)
	l.stalls++
}

// drop takes n samples off the front. The caller holds mu.
func (l *line) drop(n int) {
	l.head += l.length(n)
	l.ring = l.ring[:copy(l.ring, l.ring[n:])]
}

// reset empties the line, which goes on at a time: after a seek.
func (l *line) reset(at time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ring, l.set, l.running, l.ended = l.ring[:0], false, false, false
	l.start(at)
	l.running = !l.sounds
}

func (l *line) pause(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if on == l.paused {
		return
	}
	now := time.Now()
	if on && !l.sounds {
		l.head = l.position(now)
	}
	l.paused, l.at = on, now
	if !on {
		l.anchor = now.Add(-l.head)
	}
}

func (l *line) setVolume(v float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.volume = v
}

// now is where the line is at a moment, unset if it has not begun; running tells
// whether it moves.
func (l *line) now(now time.Time) (at time.Duration, running bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.set {
		return unset, false
	}
	return l.position(now), l.running && !l.paused
}

// position is now's. The caller holds mu.
func (l *line) position(now time.Time) time.Duration {
	if !l.running || l.paused {
		return l.head
	}
	d := now.Sub(l.at)
	if l.sounds {
		// at is when the tick before head was pulled.
		return l.head + max(-tick, min(d, tick)-tick)
	}
	return l.head + d
}

// captured is the capture time that stands for a time of the line.
func (l *line) captured(at time.Duration) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.anchor.Add(at)
}

// drained reports whether all has been played that will be.
func (l *line) drained() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended && len(l.ring) == 0
}

// stalled is how often the line stood because what was to be played had not come.
func (l *line) stalled() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stalls
}

// Pull implements mixer.Voice.
func (l *line) Pull(pcm []int16) mixer.Heard {
	l.mu.Lock()
	defer l.mu.Unlock()
	quiet := mixer.Heard{Silent: true, Ahead: -127}
	if !l.set || l.paused {
		clear(pcm)
		return quiet
	}
	if !l.running {
		if l.length(len(l.ring)) < l.prebuf && !l.ended {
			clear(pcm)
			return quiet
		}
		l.running = true
		l.anchor = time.Now().Add(-l.head)
	}
	n := min(len(pcm), len(l.ring))
	if n < len(pcm) && !l.ended {
		l.running = false
		l.stalls++
		clear(pcm)
		return quiet
	}
	copy(pcm, l.ring[:n])
	clear(pcm[n:])
	heard := mixer.Heard{Ahead: -127, Silent: n == 0, Playing: l.anchor.Add(l.head)}
	l.drop(n)
	l.at = time.Now()
	if l.volume != 1 {
		for i, v := range pcm[:n] {
			pcm[i] = int16(max(-32768, min(32767, float64(v)*l.volume)))
		}
	}
	return heard
}
