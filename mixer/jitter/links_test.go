package jitter

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// path says how many ms a packet that is sent at a moment is on its way; below
// zero it is lost.
type path func(now int) int

// fifo keeps packets in order, as one queue on the way does.
func fifo(p path) path {
	last := 0
	return func(now int) int {
		d := p(now)
		if d < 0 {
			return d
		}
		last = max(last, now+d)
		return last - now
	}
}

// lossy loses a share of packets, each for itself.
func lossy(share float64, r *rand.Rand, p path) path {
	return func(now int) int {
		if r.Float64() < share {
			return -1
		}
		return p(now)
	}
}

// bursty loses the same share in runs of mean length (Gilbert's model).
func bursty(share, length float64, r *rand.Rand, p path) path {
	bad := false
	return func(now int) int {
		if bad {
			bad = r.Float64() >= 1/length
		} else {
			bad = r.Float64() < share/(1-share)/length
		}
		if bad {
			return -1
		}
		return p(now)
	}
}

func even(most int, r *rand.Rand) path { return func(int) int { return 30 + r.IntN(most+1) } }

func normal(sigma float64, r *rand.Rand) path {
	return func(int) int { return 30 + int(math.Abs(r.NormFloat64())*sigma) }
}

func steady(int) int { return 30 }

// held stops the link for length ms in every period; what was sent meanwhile
// comes at once behind it.
func held(period, length int, p path) path {
	return func(now int) int {
		if at := now % period; at >= period-length {
			return max(p(now), period-at+30)
		}
		return p(now)
	}
}

// cut loses all for length ms in every period.
func cut(period, length int, p path) path {
	return func(now int) int {
		if now%period >= period-length {
			return -1
		}
		return p(now)
	}
}

// batched lets packets through every so many ms, as some radios do.
func batched(every int) path {
	return func(now int) int { return 30 + (every-now%every)%every }
}

// what a link does to sound: a minute of it behind ten seconds.
type measured struct {
	concealed, silent float64 // % of the time
	mean, most        int     // delay, ms
	behind            int     // what plays against the fastest packet, mean, ms
	stretched         int     // ms
	stats             PlayoutStats
}

func measure(l *link) (m measured) {
	l.run(10_000)
	before := l.p.Stats()
	l.run(60_000)
	m.behind = int(l.behind.Milliseconds()) / (60_000 / l.every)
	s := l.p.Stats()
	var sum time.Duration
	for _, d := range l.delays {
		sum += d
	}
	m.concealed = l.concealed.Seconds() / 60 * 100
	m.silent = float64(l.silent*l.every) / 600
	m.mean = int(sum.Milliseconds()) / max(len(l.delays), 1)
	m.most = int(l.most().Milliseconds())
	m.stretched = int((s.Inserted + s.Removed - before.Inserted - before.Removed).Milliseconds())
	m.stats = s
	return m
}

// TestLinks holds what is heard over a link against what that link allows.
func TestLinks(t *testing.T) {
	var table strings.Builder
	fmt.Fprintf(&table, "\n%-38s %9s %7s %6s %6s %6s %8s %5s %5s %5s %5s\n", "link", "concealed", "silent", "mean", "max", "behind", "stretch", "late", "FEC", "RED", "NACK")
	for _, test := range []struct {
		name  string
		ptime int
		path  func(*rand.Rand) path
		// bounds
		concealed  float64 // %
		mean, most int     // ms
		stretched  int     // ms a minute
	}{
		{"clean", 20, func(r *rand.Rand) path { return steady }, 0, 45, 50, 50},
		{"clean, 10 ms", 10, func(r *rand.Rand) path { return steady }, 0, 45, 50, 50},
		{"clean, 60 ms", 60, func(r *rand.Rand) path { return steady }, 0, 45, 50, 50},
		{"clean, 120 ms", 120, func(r *rand.Rand) path { return steady }, 0, 45, 50, 50},
		{"1 % loss", 20, func(r *rand.Rand) path { return lossy(.01, r, steady) }, 0, 45, 50, 50},
		{"5 % loss", 20, func(r *rand.Rand) path { return lossy(.05, r, steady) }, 0.7, 45, 70, 250},
		{"10 % loss", 20, func(r *rand.Rand) path { return lossy(.10, r, steady) }, 2, 45, 90, 600},
		{"20 % loss", 20, func(r *rand.Rand) path { return lossy(.20, r, steady) }, 8.4, 55, 110, 2250},
		{"30 % loss", 20, func(r *rand.Rand) path { return lossy(.30, r, steady) }, 17.1, 70, 140, 3500},
		{"5 % loss in bursts of 3", 20, func(r *rand.Rand) path { return bursty(.05, 3, r, steady) }, 5.3, 55, 160, 1250},
		{"10 % loss in bursts of 5", 20, func(r *rand.Rand) path { return bursty(.10, 5, r, steady) }, 9.9, 60, 160, 1800},
		{"30 % loss in bursts of 3", 20, func(r *rand.Rand) path { return bursty(.30, 3, r, steady) }, 28.5, 85, 160, 3500},
		{"5 % loss, copies 1", 20, func(r *rand.Rand) path { return lossy(.05, r, steady) }, 0.4, 45, 70, 250},
		{"10 % loss, copies 1", 20, func(r *rand.Rand) path { return lossy(.10, r, steady) }, 1.1, 45, 90, 600},
		{"20 % loss, copies 1", 20, func(r *rand.Rand) path { return lossy(.20, r, steady) }, 4.6, 50, 110, 2250},
		{"30 % loss, copies 1", 20, func(r *rand.Rand) path { return lossy(.30, r, steady) }, 9.6, 65, 170, 3650},
		{"30 % loss, copies 2", 20, func(r *rand.Rand) path { return lossy(.30, r, steady) }, 4.2, 70, 160, 1800},
		{"10 % loss in bursts of 5, copies 1", 20, func(r *rand.Rand) path { return bursty(.10, 5, r, steady) }, 9.4, 65, 170, 2600},
		{"30 % loss in bursts of 3, copies 2", 20, func(r *rand.Rand) path { return bursty(.30, 3, r, steady) }, 16.5, 95, 180, 3850},
		{"2 % loss, 60 ms packets, copies 1", 60, func(r *rand.Rand) path { return lossy(.02, r, steady) }, 0.1, 85, 90, 100},
		{"1 % loss, round trip 110", 20, func(r *rand.Rand) path { return lossy(.01, r, steady) }, 0.9, 45, 50, 50},
		{"20 % loss, round trip 110", 20, func(r *rand.Rand) path { return lossy(.20, r, steady) }, 8.5, 155, 190, 850},
		{"20 % loss, copies 1, round trip 110", 20, func(r *rand.Rand) path { return lossy(.20, r, steady) }, 1.7, 190, 210, 250},
		{"20 % loss, copies 1, round trip 110 in vain", 20, func(r *rand.Rand) path { return lossy(.20, r, steady) }, 6.5, 100, 210, 1600},
		{"20 % loss, copies 1, round trip 400", 20, func(r *rand.Rand) path { return lossy(.20, r, steady) }, 7.3, 55, 110, 1900},
		{"20 % loss, 60 ms packets, copies 1, round trip 110", 60, func(r *rand.Rand) path { return lossy(.20, r, steady) }, 2.4, 225, 270, 350},
		{"10 % loss in bursts of 5, copies 1, round trip 110", 20, func(r *rand.Rand) path { return bursty(.10, 5, r, steady) }, 2.6, 250, 340, 600},
		{"outage 300 ms every 10 s, round trip 110", 20, func(r *rand.Rand) path { return cut(10_000, 300, steady) }, 1.6, 45, 50, 50},
		{"jitter 20 ms", 20, func(r *rand.Rand) path { return fifo(even(20, r)) }, 0.5, 35, 50, 50},
		{"jitter 50 ms", 20, func(r *rand.Rand) path { return fifo(even(50, r)) }, 0.5, 40, 70, 50},
		{"jitter 100 ms", 20, func(r *rand.Rand) path { return fifo(even(100, r)) }, 0.5, 65, 140, 50},
		{"jitter 150 ms", 20, func(r *rand.Rand) path { return fifo(even(150, r)) }, 0.5, 70, 170, 100},
		{"jitter 50 ms, reordered", 20, func(r *rand.Rand) path { return even(50, r) }, 0.5, 40, 70, 50},
		{"jitter 150 ms, reordered", 20, func(r *rand.Rand) path { return even(150, r) }, 0.5, 95, 180, 50},
		{"jitter sigma 40 ms, reordered", 20, func(r *rand.Rand) path { return normal(40, r) }, 0.5, 90, 150, 600},
		{"jitter 100 ms, 60 ms packets", 60, func(r *rand.Rand) path { return fifo(even(100, r)) }, 0.5, 75, 140, 200},
		{"jitter 100 ms, 10 % loss", 20, func(r *rand.Rand) path { return lossy(.10, r, fifo(even(100, r))) }, 1.6, 70, 150, 350},
		{"batches every 80 ms", 20, func(r *rand.Rand) path { return batched(80) }, 0, 55, 90, 50},
		{"outage 300 ms every 10 s", 20, func(r *rand.Rand) path { return cut(10_000, 300, steady) }, 1.6, 45, 50, 50},
		{"held 300 ms every 10 s", 20, func(r *rand.Rand) path { return held(10_000, 300, steady) }, 1.8, 55, 240, 2200},
		{"held 1 s every 20 s", 20, func(r *rand.Rand) path { return held(20_000, 1000, steady) }, 0.9, 75, 680, 3800},
		{"jitter 100 ms, 10 % loss, pulls 10 ms", 20, func(r *rand.Rand) path { return lossy(.10, r, fifo(even(100, r))) }, 3, 75, 180, 600},
	} {
		l := newLink(t, test.ptime)
		l.late = test.path(rand.New(rand.NewPCG(1, 8)))
		if _, after, ok := strings.Cut(test.name, "copies "); ok {
			l.copies = int(after[0] - '0')
		}
		if _, after, ok := strings.Cut(test.name, "round trip "); ok {
			fmt.Sscan(after, &l.rtt)
			l.tape.bare = true
			l.deaf = strings.HasSuffix(after, "in vain")
		}
		if strings.HasSuffix(test.name, "pulls 10 ms") {
			l.every = 10
			l.pcm = l.pcm[:480]
		}
		m := measure(l)
		fmt.Fprintf(&table, "%-38s %7.2f %% %5.2f %% %3d ms %3d ms %3d ms %5d ms %5d %5d %5d %5d\n",
			test.name, m.concealed, m.silent, m.mean, m.most, m.behind, m.stretched, m.stats.Late, m.stats.Repaired, m.stats.Copied, m.stats.Recovered)
		if m.concealed > test.concealed || m.mean > test.mean || m.most > test.most || m.stretched > test.stretched {
			t.Errorf("%s: %.2f %% concealed, delay %d ms, at most %d ms, %d ms stretched; bounds %.2f %%, %d, %d, %d ms; %+v",
				test.name, m.concealed, m.mean, m.most, m.stretched, test.concealed, test.mean, test.most, test.stretched, m.stats)
		}
	}
	t.Log(table.String())
}
