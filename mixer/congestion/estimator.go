package congestion

import (
	"math"
	"time"
)

// Limits bounds an estimate; all in bit/s on the wire.
type Limits struct {
	Start, Min, Max int
}

// DefaultLimits are those of a client nobody knows anything of.
func DefaultLimits() Limits { return Limits{Start: 100_000, Min: 10_000, Max: 3_000_000} }

// How the estimator reads a link.
const (
	keep         = 0.92    // of what was delivered through a full queue is used afterwards
	trust        = 0.95    // of what was measured without one,
	trustLittle  = 0.85    // and by the few packets that a probe is on little rate, if they filled the link
	overPace     = 1.1     // pictures may go out at this times the estimate while the queue is empty
	slowPace     = 110_000 // below this, bit/s, pictures leave room for what goes besides: too much stands before sound for long
	slowShare    = 0.88    // and for an estimate that is too high by a little: what is sent too much stays in the queue
	drainTime    = 300 * time.Millisecond
	lowQueue     = 30 * time.Millisecond // below it the link counts as idle
	highQueue    = 50 * time.Millisecond // above it as overused
	oneWindow    = 80 * time.Millisecond // least length of the window of the queue's minimum
	maxWindow    = 500 * time.Millisecond
	perWindow    = 5                      // packets
	maxQueueHint = 100 * time.Millisecond // least queue that is guessed
	// Browsers report on little rate every 250 ms (libwebrtc,
	// RemoteEstimatorProxy), so late may be what they say first.
	longestReport = 250 * time.Millisecond
	regainAfter   = time.Second
	calmFor       = 8 * time.Second
	surely        = 15
	busyWindow    = 600 * time.Millisecond
	lossWindow    = 2 * time.Second
	pauseLeast    = 100 * time.Millisecond  // without a packet is one in which the queue falls
	foreign       = 2500 * time.Millisecond // a queue that does not fall for so long is not ours
	// Who is so far away, or stands behind a queue before anything of ours is in it, is
	// not sent the usual first probe: on 30 kbit/s that is a second of queue.
	farAway  = 500 * time.Millisecond
	farStart = 30_000 // bit/s
	// From so far away clients are told to say what their way seemed to carry (Carries), and
	// have that long for it, should a packet of it be lost.
	farEnough = 250 * time.Millisecond
	wordWait  = time.Second
)

// Estimator knows what the way to one client carries. It is fed with what
// was sent and with the client's feedback, on the caller's clock; it has no
// clock and no goroutine of its own, and is used by one goroutine at a time.
//
// The estimate is the highest rate for which there is evidence. It falls when
// a queue stands in the link, to what the link delivered meanwhile (as in
// draft-ietf-rmcat-gcc-02, section 5.5, and BBR's delivery rate), and it grows
// when more than it was sent and no queue came of that; so a client that is sent
// little neither loses its estimate nor gains one, and most growth is found by
// probes. The queue is the one-way delay against its minimum (RFC 6817, RFC 8298,
// section 4.1.2), of which again the minimum over a few packets is taken, because
// jitter only ever adds.
//
// Loss by itself means nothing: see lossModel.
type Estimator struct {
	limits Limits
	epoch  time.Time
	rate   float64 // bit/s

	flight   flight
	decoder  decoder
	base     baseline // one-way delays
	trip     baseline // round trips
	hint     time.Duration
	given    bool          // what the way carries was known before anything was sent
	said     bool          // the client has said what it knows of that
	word     time.Duration // from a packet to what is heard of it, lately: a queue on the way back counts
	loss     lossModel
	prober   prober
	coarse   coarse
	interval time.Duration // between two feedbacks
	age      time.Duration // of the oldest packet that a feedback is about when it comes, lately,
	swings   time.Duration // and by how much that differs from one to the next
	heard    time.Duration // when the last one came; 0: none yet
	silence  bool

	queue     time.Duration // standing in the link, newest known
	taken     float64       // bit/s that the link took when its queue was seen last
	after     int           // bytes sent after the newest packet of which anything is known
	last      time.Duration // when the newest packet of all was
	drain     bool          // until it is gone
	congested time.Duration // when the link was overused last
	lowered   time.Duration // when the estimate was by a queue last,
	judged    time.Duration
	former    float64       // from what, if that may have been somebody else's; 0: it was ours
	rising    time.Duration // when a better rate was found last
	fell      time.Duration // when the link turned out to carry far less
	forgot    time.Duration // when who plays the sound was last to forget how late it came
	cleared   time.Duration // until when the queue of the fall stood
	worst     time.Duration // and what it was at most
	highAt    time.Duration // since when the queue is high; 0: it is not
	highQueue time.Duration // and how long it was then
}

// NewEstimator returns the estimator of a client that has just come.
func NewEstimator(l Limits) *Estimator {
	return &Estimator{
		limits: l, rate: float64(l.Start),
		interval: 100 * time.Millisecond, congested: -time.Hour,
		prober: newProber(),
	}
}

// Hint tells the round trip of a link that nothing was sent over yet.
func (e *Estimator) Hint(trip time.Duration, at time.Time) {
	now := e.since(at)
	e.hint = trip
	if e.prober.tried {
		return
	}
	if trip >= farAway {
		e.rate = min(e.rate, farStart)
	}
	if trip >= farEnough && !e.said {
		e.prober.next = max(e.prober.next, now+wordWait)
	}
}

// Carries tells what the way seemed to carry at least before anything of ours was sent, bit/s,
// as a transfer does that took long. It is as good as a probe's result, and on such a
// way a first probe is half a second of queue, behind which all sound begins.
func (e *Estimator) Carries(bps int, at time.Time) {
	now := e.since(at)
	e.said = true
	// As much as is taken for granted says that the way is not thin, or that a packet of
	// what it was measured against was lost: a probe tells.
	switch {
	case e.prober.tried || e.prober.pending():
		return
	case trust*float64(bps) >= float64(e.limits.Start):
		e.prober.next = now
		return
	}
	e.rate = min(e.rate, max(trust*float64(bps), farStart))
	e.given = true
	e.prober.told(e.rate, now)
}

// since puts a moment on the estimator's own line, which begins at one second so
// that zero is never.
func (e *Estimator) since(now time.Time) time.Duration {
	if e.epoch.IsZero() {
		e.epoch = now.Add(-time.Second)
	}
	return now.Sub(e.epoch)
}

// Sent notes a packet: its transport-wide number (any 16 bit counter if
// the client sends no transport-wide feedback) and its size on the wire.
func (e *Estimator) Sent(seq uint16, size int, at time.Time) {
	now := e.since(at)
	e.queue, e.last = e.paused(now), now
	e.coarse.bytes += int64(size)
	e.after += size
	id := e.prober.sent(size, now)
	e.flight.add(seq, packet{at: now, size: int32(size), probe: id})
	if id > 0 {
		e.prober.span(e.flight.end - 1)
	}
}

// Reports takes what feedback says.
func (e *Estimator) Reports(reports []Report, at time.Time) {
	now := e.since(at)
	e.coarse.on = false // there is better, if late
	e.punctual(now)
	var newest *packet
	for _, r := range reports {
		n := e.flight.unwrap(r.Seq)
		p := e.flight.find(n)
		if p == nil || p.fate == arrived {
			continue
		}
		e.flight.seen = max(e.flight.seen, n)
		if !r.Arrived {
			p.fate = lost
			continue
		}
		p.fate = arrived // also what came late and was taken for lost
		p.delay = r.At - p.at
		e.base.add(p.delay, now)
		if newest == nil || p.at > newest.at {
			newest = p
		}
	}
	e.after = e.flight.beyond()
	if newest == nil {
		return
	}
	if e.hint > 0 && !e.trip.some {
		// The queue that stood when the first packets were sent is no part of the way. Where
		// the client said what that carries, nothing of ours can have filled it: it is the way back
		// that has one.
		if queue := now - newest.at - e.hint - longestReport; queue > maxQueueHint && !e.said {
			e.base.reset(newest.delay-queue, now)
		}
		e.trip.add(e.hint, now)
	}
	e.trip.add(now-newest.at, now)
	if e.word == 0 {
		e.word = now - newest.at
	}
	if d := now - newest.at - e.word; d > 0 {
		e.word += d / 16 // a queue that grows is not to be got used to
	} else {
		e.word += d / 4
	}
	if e.silence {
		e.resume(now)
	} else if e.heard > 0 {
		gap := min(now-e.heard, maxWindow)
		e.interval += (gap - e.interval) / 8
	}
	e.heard = now
	e.judge(now)
}

// punctual learns how old the oldest packet is that a feedback is about when it comes (as RFC 6298,
// section 2, learns how long an acknowledgement takes).
func (e *Estimator) punctual(now time.Duration) {
	p := e.flight.unheard()
	if p == nil {
		return
	}
	age := now - p.at
	if e.age == 0 {
		e.age, e.swings = age, age/2
		return
	}
	age = min(age, 2*e.age)
	e.swings += (max(age-e.age, e.age-age) - e.swings) / 4
	e.age += (age - e.age) / 8
}

// paused is what is left of the queue that was measured: where nothing is
// sent nothing is measured either, and ours empties.
func (e *Estimator) paused(now time.Duration) time.Duration {
	if pause := now - e.last; pause > pauseLeast {
		return max(0, e.queue-pause)
	}
	return e.queue
}

// standing is the queue that a packet would meet now. What is heard of it may be old
// where the way back has a queue of its own; meanwhile it empties at the rate that
// was seen, but for what was sent.
func (e *Estimator) standing(now time.Duration) time.Duration {
	q := e.paused(now)
	p := e.flight.find(e.flight.seen)
	if !e.drain || e.taken == 0 || p == nil {
		return q
	}
	rate := min(e.rate, e.taken)
	return min(q, max(0, e.queue+time.Duration(float64(e.after)*8/rate*float64(time.Second))-(now-p.at)))
}

// emptied reports whether the queue that is heard of must be gone meanwhile.
func (e *Estimator) emptied(now time.Duration) bool { return e.drain && e.standing(now) < e.low()/2 }

// low and high are the queues below which a link counts as idle and above which
// as overused. A large packet of our own is not a queue.
func (e *Estimator) low() time.Duration { return lowQueue + e.serial(300) }

func (e *Estimator) high() time.Duration { return highQueue + e.serial(600) }

// serial is how long so many bytes take.
func (e *Estimator) serial(bytes float64) time.Duration {
	return min(time.Duration(bytes*8/e.rate*float64(time.Second)), 120*time.Millisecond)
}

// judge makes an estimate of what feedback brought.
func (e *Estimator) judge(now time.Duration) {
	v := e.look(now)
	if !v.some {
		e.probed(now)
		return
	}
	e.queue = v.queue
	if e.falls(now) {
		e.probed(now)
		return
	}
	if e.fell > 0 && now-e.fell < sinkFor {
		v.queue = max(v.queue, e.newestQueue()) // the window reaches back to before
		e.queue = v.queue
	}
	high := e.high()
	gone := v.queue > e.low() && e.emptied(now) // what is heard of is
	if e.prober.pending() {
		high += probeQueue // a queue of the probe's own making
	}
	switch {
	case !e.prober.tried && v.queue > e.high()+probeQueue && v.rate > 0 && v.rate < e.rate:
		// Nothing is known yet but this.
		e.overused(now)
		e.lower(v, now)
	case v.queue > high && (v.before == never || v.queue >= v.before-5*time.Millisecond):
		if !gone {
			e.overused(now)
			e.lower(v, now)
		}
	case !gone && v.over >= 3 && e.loss.excess(v.over, v.full) > 0.05:
		// A short queue overflows before it is long, and empties before it is
		// measured; then one step at a time.
		if v.rate > 0 {
			e.lower(v, now)
		} else if now-e.congested > 3*e.interval+e.RoundTrip() {
			e.cut(keep * e.rate)
		}
		e.overused(now)
	default:
		if v.queue < e.low() {
			e.drain = false
		}
		e.tryLoss(v, now)
		e.regain(v, now)
	}
	e.strange(v, now)
	e.probed(now)
	if !e.drain {
		e.grow(now)
	}
}

func (e *Estimator) overused(now time.Duration) {
	e.drain, e.congested = true, now
	e.prober.disturbed(now)
}

// lower takes what was delivered while a queue stood. Few packets are what a
// moment of somebody else's traffic can falsify: then what was sent at the
// lowered rate has to come back before it is lowered again.
func (e *Estimator) lower(v view, now time.Duration) {
	if v.rate == 0 || v.measured < surely && v.newest < e.lowered {
		return
	}
	deepest := v.deepest()
	if !e.prober.tried {
		deepest = 0.2 // nothing is known yet
	}
	before, calm := e.rate, now-e.lowered
	if e.taken == 0 || e.taken > v.rate || calm > regainAfter {
		e.taken = v.rate
	}
	e.cut(max(keep*v.rate, e.rate*deepest))
	if e.rate < farFall*before && before > fastRate && e.prober.tried {
		e.fallen(now)
	}
	switch e.former = math.Sqrt(before * e.rate); {
	case v.measured >= surely || !e.prober.tried:
		e.former = 0
	case calm > calmFor:
		e.former = trust * before // that it carried all the time
	}
	e.lowered = now
}

// regain goes back to what was known before a cut of which little was measured,
// once there is no queue: what made it has gone, or shows again.
func (e *Estimator) regain(v view, now time.Duration) {
	dt := min(now-e.judged, maxWindow)
	e.judged = now
	if e.former <= e.rate || v.queue >= e.low() || now-e.congested < regainAfter || e.loss.trial.at > 0 {
		return
	}
	e.rate = min(e.rate+e.former/4*dt.Seconds(), e.former)
}

func (e *Estimator) cut(rate float64) {
	e.rate = max(min(e.rate, rate), float64(e.limits.Min))
}

func (e *Estimator) raise(rate float64, now time.Duration) {
	if e.loss.trial.at > 0 {
		return // what more is sent may be lost for that, and the trial tells nothing
	}
	if rate > 1.1*e.rate {
		e.rising = now
	}
	if now < e.loss.until {
		rate = min(rate, e.loss.ceiling)
	}
	e.rate = min(max(e.rate, rate), float64(e.limits.Max))
}

// strange finds the queue that is not ours: it stays although next to nothing
// is sent. Then the way itself became longer, or somebody else fills it, and giving way
// further helps nobody (draft-ietf-rmcat-gcc-02, section 5.4, adapts its threshold
// for this).
func (e *Estimator) strange(v view, now time.Duration) {
	bound := e.high()
	if e.drain {
		bound = e.low() // between the two it would be waited for for ever
	}
	if v.queue < bound {
		e.highAt = 0
		return
	}
	if e.highAt == 0 {
		e.highAt, e.highQueue = now, v.queue
		return
	}
	since := now - e.highAt
	if since < foreign {
		return
	}
	if v.queue > e.highQueue-since/10 {
		e.base.reset(e.base.value()+v.queue, now)
		e.drain, e.queue = false, 0
		e.prober.hurry(now)
	}
	e.highAt = 0
}

// grow raises the estimate by the newest packets, if they were sent faster than
// it and no queue came of them.
func (e *Estimator) grow(now time.Duration) {
	hi := e.flight.seen
	var end time.Duration
	for n, count := hi, 0; n >= e.flight.oldest(); n-- {
		p := e.flight.find(n)
		if p == nil || p.fate == unknown {
			continue
		}
		if end == 0 {
			end = p.at
		}
		if count++; end-p.at > 200*time.Millisecond && count >= 8 {
			if sent, carried := e.carried(n, hi, 0); sent > 1.03*e.rate {
				e.raise(trust*carried, now)
			}
			return
		}
		if end-p.at > maxWindow {
			return
		}
	}
}

// probed judges a probe once all its packets are known.
func (e *Estimator) probed(now time.Duration) {
	p := &e.prober
	if !p.pending() || p.active(now) {
		return
	}
	whole := p.last > 0 && e.flight.seen >= p.last
	if !whole && now-p.until < e.RoundTrip()+3*e.interval+200*time.Millisecond {
		return
	}
	sent, carried := e.carried(p.first, p.last, p.id)
	if sent == 0 {
		p.again(now) // its feedback was lost
		return
	}
	before, share := e.rate, trust
	if e.rate < probeThin && carried < 0.9*sent {
		share = trustLittle
	}
	if carried > e.rate {
		e.raise(share*carried, now)
	}
	// Who sends may be held up itself; then it got as far as it was sent.
	p.done(e.rate >= 0.85*min(float64(p.target), sent), e.rate > 1.2*before, e.hope(now), e.rate, now)
}

// RoundTrip is the shortest one seen lately, without waiting for feedback.
func (e *Estimator) RoundTrip() time.Duration {
	if e.coarse.on {
		return e.coarse.trip.value()
	}
	return e.trip.value()
}

// resume follows silence: what was known is old.
func (e *Estimator) resume(now time.Duration) {
	e.silence = false
	if now-e.heard > 2*time.Second {
		e.rate = max(e.rate/2, float64(e.limits.Min))
	}
	e.loss.forget(now)
	e.prober.hurry(now)
}

// Estimate is what is known of a link at one moment.
type Estimate struct {
	Rate      int           // what the link carries, bit/s on the wire
	Pace      int           // what may go into it now, sound included
	Loss      float64       // share of packets lost lately, 0 to 1
	Queue     time.Duration // that stands in it
	RoundTrip time.Duration // of an empty link
	Congested bool          // overused within the last second
	Rising    bool          // a better rate was just found, and there may be more
	Silent    bool          // nothing is heard of the client: an outage
	Sinking   bool          // it just fell far, and the queue of that stands, or must: feedback is missing
	Known     bool          // something was measured
}

// Estimate says what is known now.
func (e *Estimator) Estimate(at time.Time) Estimate {
	now := e.since(at)
	out := Estimate{
		Rate: int(e.rate), Loss: e.loss.recent, Queue: e.standing(now), RoundTrip: e.RoundTrip(),
		Congested: now-e.congested < time.Second, Rising: e.rising > 0 && now-e.rising < 700*time.Millisecond, Known: e.prober.tried || e.coarse.on,
	}
	pace := e.rate * overPace
	if e.rate < slowPace {
		pace = max(min(e.rate-besides, slowShare*e.rate), 0.7*e.rate)
	}
	if e.drain || out.Queue > e.low() {
		pace = e.rate * max(0, 1-float64(max(0, out.Queue-e.low()/2))/float64(drainTime))
	}
	switch late := e.overdue(now); {
	case late > 500*time.Millisecond:
		out.Silent = late > time.Second
		e.silence = e.silence || out.Silent
		pace = 0
	case late > 0 && e.emptied(now): // the way back has a queue
		pace = min(pace, e.rate*0.7)
	case late > 300*time.Millisecond:
		out.Sinking = e.fast()
		pace = 0
	case late > 0 && e.loss.recent > lossyOn: // so may feedback be
		pace = min(pace, e.rate*0.3)
	case late > 0 && e.fast():
		out.Sinking = late > lateSurely
		pace = 0
	case late > 0:
		pace = min(pace, e.rate*0.1)
	}
	if e.fell > 0 && now-e.fell < sinkFor && out.Queue > sinkQueue {
		out.Sinking, pace = true, 0 // what is behind the newest that was heard of is longer still
	}
	out.Pace = int(pace)
	return out
}

// overdue is for how long feedback should have come: a link that suddenly
// carries less shows it first in what does not come back (as a window of
// unacknowledged bytes does in RFC 8298).
func (e *Estimator) overdue(now time.Duration) time.Duration {
	if e.coarse.on {
		return e.coarse.overdue(now)
	}
	limit := 700 * time.Millisecond
	if e.given {
		limit += e.hint
	}
	if e.heard > 0 {
		limit = max(e.trip.value(), e.word) + 2*e.interval + 100*time.Millisecond
		if e.fast() {
			limit = max(e.trip.value(), e.word) + e.interval*3/2 + lateAllowed
			if e.age > 0 {
				limit = min(limit, e.age+4*e.swings+lateLeast)
			}
		}
		if e.loss.recent > lossyOn { // it may be lost
			limit += e.interval
		}
	}
	if p := e.flight.unheard(); p != nil {
		return now - p.at - limit
	}
	return -limit
}

// Probe begins a probe if there is reason for one: want is the rate that would be of
// use, bit/s.
func (e *Estimator) Probe(want int, at time.Time) (Cluster, bool) {
	now := e.since(at)
	want = min(want, e.limits.Max)
	if float64(want) <= e.rate || e.drain || e.loss.trial.at > 0 || e.standing(now) > e.low() || e.overdue(now) > 0 {
		return Cluster{}, false
	}
	c, ok := e.prober.begin(want, e.rate, e.coarse.on, now)
	c.Until = at.Add(e.prober.until - now)
	return c, ok
}
