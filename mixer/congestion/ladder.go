package congestion

import "time"

// Overhead is what a packet takes beside its payload, bytes: IPv4 20, UDP 8,
// RTP 12, its extensions 12, SRTP 10 to 16 (RFC 3711; RFC 7714).
const Overhead = 64

// Tier is one rung: what an encoder of pictures makes.
type Tier struct {
	Name    string
	Bitrate int       // bit/s of payload
	FPS     float64   // may be below 1
	Payload int       // largest RTP payload, bytes
	Layers  []float64 // share of Bitrate of the temporal layers up to each; nil: there is one
}

// Tone is one rung of sound: what an Opus encoder makes.
type Tone struct {
	Bitrate int // bit/s
	Packet  time.Duration
}

// Wire is what sound takes with its headers, bit/s. At 20 ms they are 25.6 kbit/s.
func (t Tone) Wire() int {
	return t.Bitrate + int(Overhead*8/t.Packet.Seconds())
}

// Rungs is all that a client can be given, best first.
type Rungs struct {
	Tiers []Tier
	Tones []Tone
	// FECLoss are the losses that sound may be made for, 0 to 1, rising.
	FECLoss []float64
}

// Wire is what a tier takes with its headers up to a temporal layer, bit/s; half
// a packet of every picture is left empty.
func (t Tier) Wire(layer int) int {
	share, fps := 1.0, t.FPS
	if layer < len(t.Layers)-1 {
		share = t.Layers[layer]
		fps /= float64(int(1) << (len(t.Layers) - 1 - layer))
	}
	rate := float64(t.Bitrate) * share
	return int(rate*(1+Overhead/float64(t.Payload)) + fps*Overhead*8/2)
}

func (t Tier) top() int { return max(0, len(t.Layers)-1) }

// Choice is what a client gets.
type Choice struct {
	Tier  int   // index in Rungs.Tiers; -1: no pictures
	Layer uint8 // highest temporal layer to send
	Tone  int   // index in Rungs.Tones
	FEC   float64
	Lossy bool // the tier's twin for clients that lose much
	// Copies is how many former packets of sound each one is worth repeating.
	Copies int
}

// How a client moves.
const (
	upMargin   = 0.90 // of the estimate may a better rung take
	upSteady   = time.Second
	upPause    = 4 * time.Second // after any move
	upStart    = 500 * time.Millisecond
	upFailed   = 10 * time.Second // a rung left again so soon was too high
	upLongest  = time.Minute
	downSteady = 300 * time.Millisecond
	lastSteady = 4 * time.Second // before there are no pictures at all: a moment of something else
	// on the link costs them a while, and they wait meanwhile
	thinnest    = 5 * time.Second // on fewer layers; then the tier below is the better picture
	soundShare  = 0.3
	mendedShare = 0.34 // where some is lost: the cheap ones have no repair
	soundPause  = 4 * time.Second
	sankPause   = 500 * time.Millisecond // after a queue that is gone
	lossyOn     = 0.05
	lossyOff    = 0.03
	lossyPause  = 8 * time.Second
	maxCopies   = 2
	copiesShare = 0.12 // of the rate may they take
	// Reports, ICE's checks and the control connection take besides, bit/s: measured
	// 3 kbit/s at 30 and 50.
	besides    = 4_000
	fullMargin = 0.955
	fecOn      = 0.01
	fecKept    = 0.3 // of the loss that a class began at may it fall to
)

// Ladder puts one client on the rung that its link carries: down within a second
// and in steps of temporal layers at once, up after the estimate has carried the
// better rung with some room for a while, and never twice in a few seconds. A rung that had to
// be left soon after it was taken is tried again ever more seldom.
type Ladder struct {
	rungs Rungs
	best  int // no better tier than this
	low   int // no more than this, bit/s; 0: no bound

	now    Choice
	begun  time.Time
	moved  time.Time
	rose   time.Time // moved up last
	pause  time.Duration
	roomAt time.Time // since when a better rung fits
	tight  time.Time // since when the present one does not
	thin   time.Time // since when layers are missing
	toned  time.Time
	sank   bool      // since then sound is what it is for the sake of a queue
	lossAt time.Time // since when Lossy should be the other
	trial  bool      // nothing has failed yet
}

// NewLadder returns a ladder on which a client starts with sound alone.
func NewLadder(r Rungs) *Ladder {
	return &Ladder{rungs: r, trial: true, pause: upPause, now: Choice{Tier: -1, Tone: len(r.Tones) - 1}}
}

// Bound sets the best tier that may be given (an operator's, or the room's), and
// the most it may take altogether, bit/s (low-data switch); 0 and 0: no bounds.
func (l *Ladder) Bound(best, bps int) { l.best, l.low = best, bps }

// Best is the best tier that may be given, and FPS a tier's pictures a second.
func (l *Ladder) Best() int            { return l.best }
func (l *Ladder) FPS(tier int) float64 { return l.rungs.Tiers[tier].FPS }

// Choice is what the client gets now.
func (l *Ladder) Choice() Choice { return l.now }

// wire is what a tier and a tone take, bit/s, repairs of lost packets included.
func (l *Ladder) wire(tier, layer, tone int, loss float64) int {
	total := l.rungs.Tones[tone].Wire() + l.now.Copies*l.rungs.Tones[tone].Bitrate
	if tier >= 0 {
		total += int(float64(l.rungs.Tiers[tier].Wire(layer)) * (1 + 1.25*min(loss, 0.3)))
	}
	return total
}

// Useful is the rate that would let the client take the next rung that its link
// is not known to carry, with room; at the start, the best one. It is what
// probes are for; 0 if the best is carried.
func (l *Ladder) Useful(e Estimate) int {
	useful := 0
	for t := len(l.rungs.Tiers) - 1; t >= l.best; t-- {
		full := l.wire(t, l.rungs.Tiers[t].top(), l.cheap(float64(l.need(t))), e.Loss)
		if l.low > 0 && full > l.low {
			break
		}
		need := int(float64(full) / upMargin)
		if need <= e.Rate {
			continue
		}
		if useful = need * 11 / 10; !l.trial {
			break
		}
	}
	return useful
}

func (l *Ladder) need(t int) int { return l.rungs.Tiers[t].Wire(l.rungs.Tiers[t].top()) * 4 / 3 }

// cheap is the tone that leaves enough of a rate to pictures. The best one, of which
// nearly half is headers, is for what they leave: a better tier is more.
func (l *Ladder) cheap(rate float64) int {
	last := len(l.rungs.Tones) - 1
	for i := min(1, last); i < last; i++ {
		if float64(l.rungs.Tones[i].Wire()) <= soundShare*rate {
			return i
		}
	}
	return last
}

// fit is the best tier that a budget carries with all its layers, or -1.
func (l *Ladder) fit(budget float64, loss float64) int {
	tone := l.cheap(budget)
	for i := l.best; i < len(l.rungs.Tiers); i++ {
		if float64(l.wire(i, l.rungs.Tiers[i].top(), tone, loss)) <= budget {
			return i
		}
	}
	return -1
}

// rank orders tiers with none as the worst.
func (l *Ladder) rank(tier int) int {
	if tier < 0 {
		return len(l.rungs.Tiers)
	}
	return tier
}

// patience is how long pictures may wait before they are too many.
func (l *Ladder) patience() time.Duration {
	if l.now.Tier < 0 {
		return longestWait
	}
	return max(longestWait, time.Duration(1.5/l.rungs.Tiers[l.now.Tier].FPS*float64(time.Second)))
}

// Step looks at the link, several times a second, and says what the client gets.
// waiting is how long its pictures wait in the pacer.
func (l *Ladder) Step(e Estimate, waiting time.Duration, now time.Time) Choice {
	if l.begun.IsZero() {
		l.begun, l.moved, l.toned = now, now, now
	}
	rate := float64(e.Rate)
	if l.low > 0 {
		rate = min(rate, float64(l.low))
	}
	if e.Known || now.Sub(l.begun) > 2*time.Second && !e.Silent {
		l.picture(rate, e, waiting, now)
		l.sound(rate, e, now)
	}
	l.losses(e.Loss, now)
	l.copies(rate)
	return l.now
}

func (l *Ladder) picture(rate float64, e Estimate, waiting time.Duration, now time.Time) {
	if e.Silent {
		l.roomAt, l.tight = time.Time{}, time.Time{}
		return // after the outage it shall go on as it was
	}
	cur := l.now.Tier
	if l.rank(cur) < l.best {
		l.move(l.best, now)
		return
	}
	if cur >= 0 {
		tone := l.cheap(rate)
		top := l.rungs.Tiers[cur].top()
		need := float64(l.wire(cur, top, tone, e.Loss))
		if need > rate || waiting > l.patience() {
			if l.tight.IsZero() {
				l.tight = now
			}
			l.roomAt = time.Time{}
			l.down(rate, need, e, now)
			return
		}
		l.tight = time.Time{}
		if int(l.now.Layer) < top {
			l.restore(rate, tone, e, waiting, now)
			return
		}
	}
	want := l.fit(rate*upMargin, e.Loss)
	if l.rank(want) >= l.rank(cur) || e.Congested || waiting > l.patience()/2 {
		l.roomAt = time.Time{}
		return
	}
	if l.roomAt.IsZero() {
		l.roomAt = now
	}
	pause, steady := l.pause, upSteady
	if l.trial {
		pause, steady = upStart, upStart
	}
	if l.trial && want == l.best {
		steady = 0 // there is nothing better to wait for
	} else if e.Rising && now.Sub(l.roomAt) < 3*upSteady {
		return // one move is better than two
	}
	if now.Sub(l.roomAt) >= steady && now.Sub(l.moved) >= pause {
		l.move(want, now)
		l.rose = now
	}
}

// down gives up layers at once and the tier if that is not enough or lasts.
func (l *Ladder) down(rate, need float64, e Estimate, now time.Time) {
	cur, tone := l.now.Tier, l.cheap(rate)
	for layer := int(l.now.Layer) - 1; layer >= 0; layer-- {
		if layer >= l.rungs.Tiers[cur].top() {
			continue
		}
		l.now.Layer = uint8(layer)
		if l.thin.IsZero() {
			l.thin = now
		}
		if float64(l.wire(cur, layer, tone, e.Loss)) <= rate {
			break
		}
	}
	fits := float64(l.wire(cur, int(l.now.Layer), tone, e.Loss)) <= rate
	far, steady := rate < 0.6*need, downSteady
	if cur == len(l.rungs.Tiers)-1 {
		steady = lastSteady
	}
	switch {
	case fits && (l.thin.IsZero() || now.Sub(l.thin) < thinnest):
		return
	case !far && now.Sub(l.tight) < steady:
		return
	}
	want := l.fit(rate*upMargin, e.Loss) // one move is better than two
	if l.rank(want) <= l.rank(cur) {
		// It fits, and its pictures wait all the same: they are larger than they
		// should be.
		want = cur + 1
		if want == len(l.rungs.Tiers) || now.Sub(l.moved) < upPause {
			return
		}
	}
	l.trial = false
	if !l.rose.IsZero() && now.Sub(l.rose) < upFailed {
		l.pause = min(2*l.pause, upLongest)
	} else {
		l.pause = upPause
	}
	l.rose = time.Time{}
	l.move(want, now)
}

// restore brings a layer back.
func (l *Ladder) restore(rate float64, tone int, e Estimate, waiting time.Duration, now time.Time) {
	next := int(l.now.Layer) + 1
	if float64(l.wire(l.now.Tier, next, tone, e.Loss)) > 0.95*rate || e.Congested || waiting > l.patience()/2 {
		l.roomAt = time.Time{}
		return
	}
	if l.roomAt.IsZero() {
		l.roomAt = now
	}
	if now.Sub(l.roomAt) >= upSteady {
		l.now.Layer = uint8(next)
		l.roomAt = time.Time{}
		if next == l.rungs.Tiers[l.now.Tier].top() {
			l.thin = time.Time{}
		}
	}
}

func (l *Ladder) move(tier int, now time.Time) {
	l.now.Tier, l.now.Layer = tier, 0
	if tier >= 0 {
		l.now.Layer = uint8(l.rungs.Tiers[tier].top())
	}
	l.moved = now
	l.roomAt, l.tight, l.thin = time.Time{}, time.Time{}, time.Time{}
}

// sound gives sound what pictures leave, and its share in any case. Beside pictures
// only the longest packets, which are heard as delay, are left for more than that share.
func (l *Ladder) sound(rate float64, e Estimate, now time.Time) {
	left := min(upMargin*rate, fullMargin*rate-besides)
	switch {
	case l.now.Tier >= 0:
		left -= float64(l.wire(l.now.Tier, int(l.now.Layer), l.now.Tone, e.Loss) - l.rungs.Tones[l.now.Tone].Wire())
	case l.fit(left, e.Loss) >= 0: // pictures are about to come
		left = soundShare * rate
	}
	last := len(l.rungs.Tones) - 1
	want := last
	for i, t := range l.rungs.Tones {
		room := left
		switch {
		case l.now.Tier < 0:
		case i >= last-1:
			room = max(left, soundShare*rate)
		case i > 0 && l.now.FEC > 0 && e.Loss < lossyOn: // for who loses much there are copies
			room = mendedShare * rate
		default:
			room = soundShare * rate
		}
		if i == l.now.Tone {
			room += (1 - upMargin) * rate // it has it already
		}
		if float64(t.Wire()) <= room {
			want = i
			break
		}
	}
	if e.Sinking { // the less is sent, the sooner sound comes in time again
		l.now.Tone, l.toned, l.sank = len(l.rungs.Tones)-1, now, true
		return
	}
	pause := l.calm(soundPause)
	if l.sank {
		pause = sankPause
	}
	switch {
	case want > l.now.Tone, want < l.now.Tone && now.Sub(l.toned) >= pause && (l.sank || !e.Congested):
		l.now.Tone, l.toned, l.sank = want, now, false
	}
}

func (l *Ladder) calm(d time.Duration) time.Duration {
	if l.trial {
		return upStart
	}
	return d
}

// copies repeats sound for who loses much, if that does not cost the pictures.
func (l *Ladder) copies(rate float64) {
	l.now.Copies = 0
	for l.now.Lossy && l.now.Copies < maxCopies && float64((l.now.Copies+1)*l.rungs.Tones[l.now.Tone].Bitrate) < copiesShare*rate {
		l.now.Copies++
	}
}

// losses chooses what sound and pictures are made for.
func (l *Ladder) losses(loss float64, now time.Time) {
	want, pause := loss > lossyOn, time.Second
	if l.now.Lossy {
		want, pause = loss > lossyOff, lossyPause
	}
	if want == l.now.Lossy {
		l.lossAt = time.Time{}
	} else if l.lossAt.IsZero() {
		l.lossAt = now
	} else if now.Sub(l.lossAt) >= pause {
		l.now.Lossy = want
		l.lossAt = time.Time{}
	}
	// The class whose loss is not much below what is measured. Repair is worth
	// having for one packet in a hundred, and made for less than a tenth Opus has
	// none at the rates of a weak link.
	made := l.rungs.FECLoss[0]
	for i, f := range l.rungs.FECLoss[1:] {
		least := 0.5 * f
		if i == 0 {
			least = fecOn
		}
		if l.now.FEC >= f {
			least *= fecKept
		}
		if loss >= least {
			made = f
		}
	}
	l.now.FEC = made
}
