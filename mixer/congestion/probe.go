package congestion

import "time"

// How probes are made.
const (
	probeQueue  = 120 * time.Millisecond // that a probe may cause if it goes too far,
	probeLittle = 50 * time.Millisecond  // and on little rate, which takes long to get over it
	// Nor may those be longer that come after a failure: a browser holds all sound back for as long
	// as one half second in twenty needs, and three probes in twenty seconds are more than that.
	probeModest  = 60 * time.Millisecond
	probeLongest = 400 * time.Millisecond
	probeLeast   = 100 * time.Millisecond
	probePackets = 10
	probeAgain   = 300 * time.Millisecond
	probeSoon    = 3 * time.Second // after congestion or failure
	probeDoubt   = 2 * time.Second
	probeSeldom  = 6 * time.Second
	probeHopeful = 4 * time.Second // where the way carried far more a while ago
	probeHopes   = time.Minute
	probeGrown   = time.Second // after one that found more, if not all it looked for
	probeFurther = 1.2
	probeGrowth  = 2.0
	probeCareful = 1.5     // where one that goes too far is heard for long
	probeStart   = 3.0     // while nothing has failed yet
	probeSlow    = 100_000 // bit/s that are little
	probeThin    = 60_000  // below that a picture at all may hang on the next one
	probeGently  = 30_000  // up to that even the first probes are small
	// Where there is room for sound alone a probe is a tenth of a second that stands before it,
	// and a browser holds all of it back for as long as one in ten of them takes.
	probeTiny    = 40_000
	probePatient = 10 * time.Second
	probeTries   = 2 // before that: one alone is a few packets, which something else's may spoil
)

// Cluster is one probe: send Rate until Bytes are out or Until is over, sound
// and pictures included, and what is missing as padding or repeated packets of
// about Size bytes each.
type Cluster struct {
	Rate  int // bit/s
	Bytes int
	Size  int // bytes on the wire
	Until time.Time
}

// prober says when to look whether a link carries more, and how: a burst short
// enough that it leaves at most probeQueue behind if the link carries no more than is
// known (draft-ietf-rmcat-gcc has no probes; libwebrtc sends two in a row at
// 3 and 6 times the start rate and one every 5 s while the application
// sends little).
type prober struct {
	id     uint8 // of the newest cluster
	on     bool  // a cluster is out and not judged
	first  int64 // its packets, unwrapped; 0: none went out yet
	last   int64
	target int
	left   int // bytes
	until  time.Duration
	next   time.Duration // not before
	pause  time.Duration // after the next failure
	tried  bool          // one was judged
	failed bool          // one failed
	missed int           // so many in a row did
}

func newProber() prober { return prober{pause: probeSoon} }

// begin starts a cluster.
func (p *prober) begin(want int, rate float64, coarse bool, now time.Duration) (Cluster, bool) {
	if p.on || now < p.next {
		return Cluster{}, false
	}
	growth := probeGrowth
	switch {
	case !p.failed && rate > probeGently:
		growth = probeStart
	case p.failed && rate < probeThin:
		growth = 1.6
	case p.failed && rate < 2*probeSlow:
		growth = probeCareful
	}
	if coarse {
		growth = 1.3
	}
	target := min(max(float64(want), probeFurther*rate), growth*rate)
	queue, least := probeQueue, probeLeast
	switch {
	case p.failed && rate < 2*probeSlow:
		queue = probeLittle
	case p.failed:
		queue, least = probeModest, probeModest
	}
	length := time.Duration(float64(queue) / (target/rate - 1))
	length = min(max(length, least), probeLongest)
	if coarse {
		length = 1500 * time.Millisecond
	}
	bytes := int(target * length.Seconds() / 8)
	if p.id++; p.id == 0 {
		p.id = 1
	}
	p.on, p.target, p.left = true, int(target), bytes
	p.first, p.last = 0, 0
	p.until = now + length + length/2
	return Cluster{
		Rate: p.target, Bytes: bytes,
		Size: min(max(bytes/probePackets, 100), 1200),
	}, true
}

// active reports whether packets sent now belong to a cluster.
func (p *prober) active(now time.Duration) bool { return p.on && p.left > 0 && now < p.until }

// pending reports whether a cluster waits to be judged.
func (p *prober) pending() bool { return p.on }

// sent counts a packet and returns the number of its cluster.
func (p *prober) sent(size int, now time.Duration) uint8 {
	if !p.active(now) {
		return 0
	}
	p.left -= size
	return p.id
}

// span notes that packet n belongs to the cluster.
func (p *prober) span(n int64) {
	if p.first == 0 {
		p.first = n
	}
	p.last = n
}

// done ends a cluster. There is hope where the way carried far more a while ago.
func (p *prober) done(good, rose, hope bool, rate float64, now time.Duration) {
	p.on, p.tried = false, true
	if good {
		p.next, p.pause, p.missed = now, probeSoon, 0
		return
	}
	p.failed = true
	p.missed++
	if rose {
		p.next = now + probeGrown
		return
	}
	if rate < probeTiny && p.missed > probeTries {
		p.pause = max(p.pause, probePatient)
	}
	p.next = now + p.pause
	seldom := probeSeldom
	if hope {
		seldom = probeHopeful
	}
	if rate < 2*probeSlow {
		seldom = time.Duration(min(2*probeSlow/rate, 4) * float64(seldom))
	}
	longer := 2 * p.pause
	if rate < probeThin {
		longer = p.pause * 3 / 2
	}
	p.pause = min(longer, seldom)
}

// told takes what is known without a probe for the result of one. Where that says there
// is room for sound alone a single lost packet may have said it, and a picture waits for
// somebody to find out.
func (p *prober) told(rate float64, now time.Duration) {
	p.tried, p.failed = true, true
	p.next = now + probeSoon // the way's beginning is in it
	if rate < probeTiny {
		p.next = now + probeDoubt
	}
}

// again ends a cluster of which nothing became known.
func (p *prober) again(now time.Duration) {
	p.on = false
	p.next = now + probeAgain
}

// disturbed puts the next probe off after congestion.
func (p *prober) disturbed(now time.Duration) {
	p.failed = true
	p.next = max(p.next, now+probeSoon)
}

// hurry allows the next probe at once.
func (p *prober) hurry(now time.Duration) {
	p.on, p.failed, p.next, p.pause = false, false, now, probeSoon
}
