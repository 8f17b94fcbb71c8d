package congestion

import (
	"container/heap"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// weak is a link and what the client behind it does.
type weak struct {
	down, up hop
	feedback time.Duration // between two reports of the client
	coarse   bool          // no transport-wide feedback, only receiver reports
	length   time.Duration
	layers   []float64
	skew     float64                      // of the client's clock
	quiet    func(now time.Duration) bool // the composite stands still: pictures are a tenth
	cross    *tcp
	best     int
	low      int
	hint     bool          // the way's round trip is known before
	carries  int           // bit/s that a transfer before it said
	chatter  int           // bytes that the client sends at once when it comes
	speaks   bool          // it sends sound of its own
	changes  int           // bytes of the room's state that come at once, now and then
	shows    []step        // bit/s of the picture that it sends
	stalls   time.Duration // longest of the times in which the client does nothing: what comes meanwhile comes at their end
}

// event is something that happens at one end at a moment.
type event struct {
	at time.Duration
	n  int
	do func(now time.Duration)
}

type events struct {
	list []event
	n    int
}

func (e *events) Len() int { return len(e.list) }
func (e *events) Less(i, j int) bool {
	a, b := e.list[i], e.list[j]
	return a.at < b.at || a.at == b.at && a.n < b.n
}
func (e *events) Swap(i, j int) { e.list[i], e.list[j] = e.list[j], e.list[i] }
func (e *events) Push(x any)    { e.list = append(e.list, x.(event)) }
func (e *events) Pop() any {
	x := e.list[len(e.list)-1]
	e.list = e.list[:len(e.list)-1]
	return x
}
func (e *events) at(t time.Duration, do func(time.Duration)) {
	e.n++
	heap.Push(e, event{t, e.n, do})
}

// figures is what a run gave.
type figures struct {
	sent      float64         // bytes into the link against what it could carry, after settling
	drops     float64         // share of packets without room in the queue, after settling
	queues    []time.Duration // in the link, of every packet after settling
	tiers     []int           // every 100 ms
	rates     []int
	sounds    []time.Duration // from the room to the client, less the link's own delay
	early     time.Duration   // the longest of those before settling
	soundGap  time.Duration   // most by which a packet of sound came later than the one before it, over its interval
	soundLost float64
	late      []time.Duration // when packets of sound came that had waited for more than lateSound
	ears      []time.Duration // for how long a browser would keep sound, at every packet
	shown     []time.Duration
	first     time.Duration // picture
	freeze    time.Duration // longest time without a new picture, after the first
	frozen    float64       // share of the time in which a picture stood for more than half a second
	fps       float64
	keys      int
	padding   float64 // share of bytes
	repaired  int
}

func (f figures) p(q float64) time.Duration { return quantile(f.queues, q) }

func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	s := slices.Clone(d)
	slices.Sort(s)
	return s[min(int(q*float64(len(s))), len(s)-1)]
}

// reached is when the tier was at least as good as best for the first time from a moment on.
func (f figures) reached(best int, from time.Duration) time.Duration {
	for i := int(from / (100 * time.Millisecond)); i < len(f.tiers); i++ {
		if t := f.tiers[i]; t >= 0 && t <= best {
			return time.Duration(i)*100*time.Millisecond - from
		}
	}
	return never
}

// longest is the longest time without a new picture between two moments.
func (f figures) longest(from, to time.Duration) (gap time.Duration) {
	last := from
	for _, s := range f.shown {
		if s >= from && s <= to {
			gap = max(gap, s-last)
			last = s
		}
	}
	return max(gap, to-last)
}

// lateFor is for how long sound came late after a moment, in the 5 s after it.
func (f figures) lateFor(from time.Duration) (last time.Duration) {
	for _, at := range f.late {
		if at > from && at < from+5*time.Second {
			last = at - from
		}
	}
	return last
}

const (
	settled   = 8 * time.Second // is when a run counts
	lateSound = 150 * time.Millisecond
)

var origin = time.Unix(1_700_000_000, 0)

// session is a run: our sender, the link, and a client as browsers are.
type session struct {
	w    *weak
	f    figures
	ev   events
	link *Link[*pkt]
	room *room

	twcc    uint16
	seq     uint16 // of the video stream
	sent    map[uint16]*sentVideo
	toneDue time.Duration
	pics    int
	last    [3]*picture // newest of each layer

	// The client.
	arrivals    map[uint16]time.Duration
	newest      int // unwrapped transport number
	reported    int
	highest     int // video number seen
	missing     map[int]*miss
	waiting     []*picture // complete, but what they refer to is not shown
	newestShown int
	lastShown   time.Duration
	lastSound   time.Duration
	ear         *ear
	asked       time.Duration
	intervalRR  [2]int
	stalled     [][2]time.Duration
}

type sentVideo struct {
	p     *pkt
	first time.Duration
}

type miss struct {
	since, asked time.Duration
	times        int
}

func run(w weak, seed uint64) figures {
	rng := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, n)) }
	w.down.rng, w.up.rng = rng(1), rng(2)
	if w.feedback == 0 {
		w.feedback = 100 * time.Millisecond
	}
	rungs := defaultRungs(w.layers)
	s := &session{
		w: &w, room: newRoom(rungs, rng(3)),
		sent: map[uint16]*sentVideo{}, arrivals: map[uint16]time.Duration{}, missing: map[int]*miss{},
		newest: -1, reported: -1, highest: -1, ear: newEar(),
	}
	for at := time.Duration(0); w.stalls > 0 && at < w.length; {
		at += time.Duration(rng(4 + uint64(len(s.stalled))).Int64N(int64(3 * time.Second)))
		to := at + time.Duration(rng(1<<32+uint64(len(s.stalled))).Int64N(int64(w.stalls)))
		s.stalled = append(s.stalled, [2]time.Duration{at, to})
		at = to
	}
	s.link = NewLink(rungs, DefaultLimits(), func(p *pkt) int { return p.size })
	s.link.Bound(w.best, w.low)
	s.ev.at(w.feedback, s.report)
	s.ev.at(0, s.besides)
	if w.carries > 0 {
		s.link.Carries(w.carries, moment(-time.Second))
	}
	if w.hint {
		s.link.Hint(w.down.delay+w.up.delay+40*time.Millisecond, moment(0))
	}
	for left := w.chatter; left > 0; left -= 1200 {
		w.up.pass(min(left, 1200), 0)
	}
	if w.changes > 0 {
		s.ev.at(0, s.change)
	}
	if w.speaks {
		s.ev.at(0, s.speak)
	}
	if w.shows != nil {
		s.ev.at(0, s.show)
	}
	if w.cross != nil {
		w.cross.start(s)
	}
	for now := time.Duration(0); now < w.length; now += time.Millisecond {
		for len(s.ev.list) > 0 && s.ev.list[0].at <= now {
			e := heap.Pop(&s.ev).(event)
			e.do(e.at)
		}
		s.step(now)
	}
	return s.end()
}

func moment(now time.Duration) time.Time { return origin.Add(now) }

// step is the sender's loop.
func (s *session) step(now time.Duration) {
	c := s.link.Step(moment(now))
	if now%(100*time.Millisecond) == 0 {
		s.f.tiers = append(s.f.tiers, s.room.cur)
		s.f.rates = append(s.f.rates, s.link.Estimate(moment(now)).Rate)
	}
	s.room.want(c.Tier)
	if s.link.NeedsKeyframe() && now-s.asked > 500*time.Millisecond {
		s.asked = now
		s.room.keyframe()
	}
	s.room.step(now, func(tier int, p Picture, bytes int) { s.video(tier, p, bytes, now) })
	tone := s.link.rungs.Tones[c.Tone]
	if now >= s.toneDue {
		s.toneDue = now + tone.Packet
		forget := s.link.Forget(false, moment(now))
		s.link.Sound(&pkt{size: Overhead + int(float64(tone.Bitrate)*tone.Packet.Seconds()/8), sound: true, forget: forget})
	}
	for {
		item, ok := s.link.Next(moment(now))
		if !ok {
			break
		}
		s.send(item, now)
	}
	s.nacks(now)
}

func (s *session) video(tier int, p Picture, bytes int, now time.Duration) {
	if s.w.quiet != nil && s.w.quiet(now) {
		bytes /= 10
	}
	if p.Keyframe {
		s.f.keys++
	}
	t := s.link.rungs.Tiers[tier]
	n := max(1, (bytes+t.Payload-1)/t.Payload)
	pic := &picture{Picture: p, n: s.pics, at: now, tier: tier, pkts: n, have: make([]bool, n)}
	s.pics++
	switch {
	case p.Keyframe:
		s.last = [3]*picture{pic, pic, pic}
	default:
		pic.refs = s.last[p.Temporal]
		if p.Temporal < 2 {
			pic.refs = s.last[0]
		}
		for l := int(p.Temporal); l < 3; l++ {
			s.last[l] = pic
		}
	}
	packets := make([]*pkt, n)
	for i := range packets {
		packets[i] = &pkt{size: Overhead + bytes/n, pic: pic, index: i}
	}
	s.link.Video(p, packets, moment(now))
}

// send puts one packet on the link.
func (s *session) send(item Item[*pkt], now time.Duration) {
	p, size := item.Packet, item.Size
	if p == nil {
		p = &pkt{size: size}
	}
	if item.Kind == Video {
		p.seq = s.seq
		s.sent[s.seq] = &sentVideo{p, now}
		delete(s.sent, s.seq-2000)
		s.seq++
	}
	number := s.twcc
	s.twcc++
	s.link.Sent(number, size, moment(now))
	if item.Kind == Video || item.Kind == Repair {
		s.link.Carry(number, p.seq, moment(now))
	}
	rate, _ := s.w.down.rate(now)
	way := s.w.down.pass(size, now)
	if now >= settled {
		s.f.sent += float64(size)
		if item.Kind == Probe {
			s.f.padding += float64(size)
		}
		if way.drop {
			if !s.unsettled(now) {
				s.f.drops++
			}
		} else if rate > 0 {
			s.f.queues = append(s.f.queues, way.queued)
		}
	}
	if way.drop || way.lost {
		if item.Kind == Sound {
			s.f.soundLost++
		}
		return
	}
	at := now
	for _, st := range s.stalled {
		if way.arrives >= st[0] && way.arrives < st[1] {
			way.arrives = st[1]
		}
	}
	s.ev.at(way.arrives, func(now time.Duration) { s.arrive(number, item.Kind, p, at, now) })
}

// unsettled is 3 s after a change of the rate.
func (s *session) unsettled(now time.Duration) bool {
	for _, st := range s.w.down.steps {
		if now >= st.from && now < st.from+3*time.Second {
			return true
		}
	}
	return false
}

// arrive is the client's reception.
func (s *session) arrive(number uint16, kind Kind, p *pkt, sent, now time.Duration) {
	n := s.newest + int(int16(number-uint16(s.newest)))
	s.newest = max(s.newest, n)
	s.arrivals[number] = time.Duration(float64(now)*(1+s.w.skew)) - 17*time.Hour
	if n <= s.reported {
		s.reported = n - 1
	}
	s.intervalRR[0]++
	switch {
	case p.sound:
		if p.forget {
			s.ear = newEar()
		}
		keeps := s.ear.hear(now, now-sent)
		if sent < settled {
			s.f.early = max(s.f.early, now-sent-s.w.down.delay)
		}
		if sent >= settled {
			s.f.ears = append(s.f.ears, keeps)
			s.f.sounds = append(s.f.sounds, now-sent-s.w.down.delay)
		}
		if now-sent-s.w.down.delay > lateSound {
			s.f.late = append(s.f.late, now)
		}
		if s.lastSound > settled {
			s.f.soundGap = max(s.f.soundGap, now-s.lastSound)
		}
		s.lastSound = now
	case p.pic != nil:
		s.take(p, now)
	}
}

func (s *session) take(p *pkt, now time.Duration) {
	n := max(s.highest, 0) + int(int16(p.seq-uint16(max(s.highest, 0))))
	if m := s.missing[n]; m != nil {
		delete(s.missing, n)
		s.f.repaired++
	}
	if s.highest >= 0 && n > s.highest+1 && n-s.highest < 200 {
		for i := s.highest + 1; i < n; i++ {
			s.missing[i] = &miss{since: now, asked: -time.Hour}
		}
	}
	s.highest = max(s.highest, n)
	pic := p.pic
	if !pic.have[p.index] {
		pic.have[p.index] = true
		pic.got++
	}
	if pic.got == pic.pkts && !pic.good {
		s.decode(pic, now)
	}
}

// decode shows a picture whose references are there.
func (s *session) decode(pic *picture, now time.Duration) {
	pic.good = true
	s.waiting = append(s.waiting, pic)
	for found := true; found; {
		found = false
		keep := s.waiting[:0]
		for _, w := range s.waiting {
			switch {
			case w.n < s.newestShown:
			case w.Keyframe || w.refs != nil && w.refs.shown > 0:
				w.shown, found = now, true
				s.newestShown, s.lastShown = w.n, now
				s.f.shown = append(s.f.shown, now)
			default:
				keep = append(keep, w)
			}
		}
		s.waiting = keep
	}
}

// nacks is the client's asking for what it misses: at once, then every round
// trip; after a second without a picture, for a keyframe.
func (s *session) nacks(now time.Duration) {
	if now%(5*time.Millisecond) != 0 {
		return
	}
	trip := s.w.down.delay + s.w.up.delay
	for _, n := range slices.Sorted(maps.Keys(s.missing)) {
		m := s.missing[n]
		if now-m.since > 2*time.Second {
			delete(s.missing, n)
			continue
		}
		if now-m.asked < max(trip, 50*time.Millisecond) || m.times == 10 {
			continue
		}
		m.asked = now
		m.times++
		if way := s.w.up.pass(80, now); !way.lost && !way.drop {
			seq := uint16(n)
			s.ev.at(way.arrives, func(now time.Duration) { s.repair(seq, now) })
		}
	}
	if s.highest >= 0 && now-s.lastShown > 1500*time.Millisecond && len(s.waiting)+len(s.missing) > 0 && now-s.asked > 2*time.Second {
		s.asked = now
		s.ev.at(now+s.w.up.delay, func(time.Duration) { s.room.keyframe() })
	}
}

func (s *session) repair(seq uint16, now time.Duration) {
	if v := s.sent[seq]; v != nil {
		s.link.Repair(seq, v.p, moment(v.first), moment(now))
	}
}

// besides is what else goes to the client: feedback on what it sends, and what
// the control channel says.
func (s *session) besides(now time.Duration) {
	s.ev.at(now+250*time.Millisecond, s.besides)
	size := 110
	if s.w.down.rng.IntN(8) == 0 {
		size += 250
	}
	s.w.down.pass(size, now)
}

// change is what is told of the room, by TCP.
func (s *session) change(now time.Duration) {
	s.ev.at(now+2500*time.Millisecond, s.change)
	for left := s.w.changes; left > 0; left -= 1200 {
		s.w.down.pass(min(left, 1200), now)
	}
}

// speak is the client's own sound, and what goes with it.
func (s *session) speak(now time.Duration) {
	s.ev.at(now+60*time.Millisecond, s.speak)
	s.w.up.pass(180, now)
}

// show is the client's own picture.
func (s *session) show(now time.Duration) {
	rate := 0.0
	for _, st := range s.w.shows {
		if st.from <= now {
			rate = st.rate
		}
	}
	s.ev.at(now+40*time.Millisecond, s.show)
	for left := int(rate / 8 / 25); left > 0; left -= 1200 {
		s.w.up.pass(min(left, 1200), now)
	}
}

// report sends feedback.
func (s *session) report(now time.Duration) {
	s.ev.at(now+s.w.feedback, s.report)
	if s.w.coarse {
		s.receiver(now)
		return
	}
	if s.newest <= s.reported {
		return
	}
	var reports []Report
	for n := s.reported + 1; n <= s.newest; n++ {
		at, ok := s.arrivals[uint16(n)]
		reports = append(reports, Report{uint16(n), ok, at.Truncate(250 * time.Microsecond)})
		delete(s.arrivals, uint16(n-1000))
	}
	s.reported = s.newest
	if way := s.w.up.pass(60+2*len(reports), now); !way.lost && !way.drop {
		s.ev.at(way.arrives, func(now time.Duration) {
			s.link.Reports(reports, moment(now))
			for _, seq := range s.link.Missed(moment(now)) {
				s.repair(seq, now)
			}
		})
	}
}

// receiver sends a receiver report.
func (s *session) receiver(now time.Duration) {
	expected := s.newest - s.intervalRR[1]
	if expected <= 0 {
		return
	}
	loss := max(0, 1-float64(s.intervalRR[0])/float64(expected))
	s.intervalRR[0], s.intervalRR[1] = 0, s.newest
	// The round trip of a sender report that left now.
	down := s.w.down.delay + max(0, s.w.down.free-now)
	if way := s.w.up.pass(60, now); !way.lost && !way.drop {
		trip := down + way.arrives - now
		s.ev.at(way.arrives, func(now time.Duration) { s.link.ReceiverReport(loss, trip, moment(now)) })
	}
}

// end turns counts into figures.
func (s *session) end() figures {
	f := s.f
	var bits float64
	for t := settled; t < s.w.length; t += 10 * time.Millisecond {
		rate, _ := s.w.down.rate(t)
		bits += rate / 100
	}
	n := float64(len(f.queues)) + f.drops
	if f.sent > 0 {
		f.padding /= f.sent
	}
	f.sent /= bits / 8
	f.drops /= max(n, 1)
	if len(f.shown) > 0 {
		f.first = f.shown[0]
	}
	f.freeze = f.longest(settled, s.w.length)
	shown, before := 0, settled
	for _, t := range f.shown {
		if t >= settled {
			if shown++; t-before > 500*time.Millisecond {
				f.frozen += float64(t-before) / float64(s.w.length-settled)
			}
			before = t
		}
	}
	f.fps = float64(shown) / (s.w.length - settled).Seconds()
	return f
}

// tcp is a stranger's download through the same queue: slow start, then Reno,
// with a packet of 1200 bytes and its own round trip.
type tcp struct {
	from, to time.Duration
	window   float64
	flight   int
	recover  time.Duration
	slow     bool
}

func (t *tcp) start(s *session) {
	t.window, t.slow = 4, true
	s.ev.at(t.from, func(now time.Duration) { t.send(s, now) })
}

func (t *tcp) send(s *session, now time.Duration) {
	for now < t.to && t.flight < int(t.window) {
		t.flight++
		way := s.w.down.pass(1200, now)
		back := way.arrives + s.w.up.delay
		if way.drop || way.lost {
			trip := s.w.down.delay + s.w.up.delay + max(0, s.w.down.free-now)
			s.ev.at(now+trip, func(now time.Duration) {
				t.flight--
				if now >= t.recover {
					t.window, t.slow = max(2, t.window/2), false
					t.recover = now + trip
				}
				t.send(s, now)
			})
			continue
		}
		s.ev.at(back, func(now time.Duration) {
			t.flight--
			if t.slow {
				t.window++
			} else {
				t.window += 1 / t.window
			}
			t.send(s, now)
		})
	}
}
