package webrtc

import (
	"testing"
	"time"
)

// wayUp is a bottleneck with a queue of so many seconds, and a sender before it.
type wayUp struct {
	rate, longest float64 // bit/s, s
	queue         float64 // s
	base          float64 // s
	now           time.Time
	u             uplink
	lost, sent    int
	on            []coming
}

// coming is a packet that is on its way.
type coming struct {
	at      time.Time
	bytes   int
	sound   bool
	transit float64 // s
}

// run sends a second of sound and pictures, bit/s, and returns what is allowed.
func (w *wayUp) run(sound, pictures float64) float64 {
	for range 50 {
		w.now = w.now.Add(20 * time.Millisecond)
		w.queue = max(0, w.queue-0.02)
		for i, bits := range []float64{sound / 50, pictures / 50} {
			w.sent++
			if w.queue+bits/w.rate > w.longest {
				w.lost++
				continue
			}
			w.queue += bits / w.rate
			w.on = append(w.on, coming{w.now.Add(time.Duration(w.queue * float64(time.Second))), int(bits / 8), i == 0, w.base + w.queue})
		}
		for len(w.on) > 0 && !w.on[0].at.After(w.now) {
			w.u.received(w.on[0].bytes)
			if w.on[0].sound {
				w.u.sound(w.on[0].transit)
			}
			w.on = w.on[1:]
		}
		w.u.look(w.now)
	}
	return w.u.cap
}

// A sender that fills a thin way up from its first packet is brought below what
// the way carries, and its queue goes; then it may send nearly all that fits.
func TestUplinkEmptiesAQueue(t *testing.T) {
	for _, rate := range []float64{30_000, 50_000, 150_000} {
		w := &wayUp{rate: rate, longest: 0.9, base: 5, now: time.Unix(1e9, 0)}
		allowed := w.run(33_000, 300_000)
		sound, below := 12_000.0, 0
		for range 10 {
			allowed = w.run(sound, max(0, allowed-sound))
		}
		if w.queue > 0.3 {
			t.Errorf("%.0f bit/s: %.2f s stand in the queue after 10 s, %.0f allowed", rate, w.queue, allowed)
		}
		w.lost, w.sent = 0, 0
		sum := 0.0
		for range 60 {
			allowed = w.run(sound, max(0, allowed-sound))
			sum += allowed
			if w.queue < 0.4 {
				below++
			}
		}
		if mean := sum / 60; mean < 0.7*rate || mean > 1.1*rate {
			t.Errorf("%.0f bit/s: %.0f are allowed", rate, mean)
		}
		if below < 57 || w.lost*100 > w.sent {
			t.Errorf("%.0f bit/s: a short queue for %d of 60 s, %d of %d lost", rate, below, w.lost, w.sent)
		}
	}
}

// A sender whose queue is short but never empty is brought a little below what the way carries,
// before a keyframe makes it a long one; where it stays all the same, once.
func TestUplinkLingers(t *testing.T) {
	w := &wayUp{rate: 50_000, longest: 0.9, now: time.Unix(1e9, 0)}
	for range 5 {
		w.run(16_000, 20_000)
	}
	w.queue = 0.13
	allowed := 0.0
	for range 4 {
		allowed = w.run(16_000, min(50_000, orAll(allowed))-16_000)
	}
	if allowed < 40_000 || allowed > 48_000 || w.queue > 0.12 {
		t.Errorf("%.0f of 50000 are allowed, %.2f s stand", allowed, w.queue)
	}
	w = &wayUp{rate: 500_000, longest: 0.9, now: time.Unix(1e9, 0)}
	for range 5 {
		w.run(33_000, 200_000)
	}
	w.base, allowed = 0.15, 0 // another way
	least := 1e9
	for range 20 {
		if allowed = w.run(33_000, min(200_000, orAll(allowed)-33_000)); allowed > 0 {
			least = min(least, allowed)
		}
	}
	if least < 200_000 {
		t.Errorf("%.0f of 233000 were allowed where the way became longer", least)
	}
}

// Who has room is never told anything, neither is loss that no queue goes with.
func TestUplinkLeavesRoomAlone(t *testing.T) {
	w := &wayUp{rate: 2_000_000, longest: 0.9, now: time.Unix(1e9, 0)}
	for range 120 {
		if allowed := w.run(33_000, 700_000); allowed != 0 {
			t.Fatalf("%.0f allowed", allowed)
		}
	}
	// Sound comes in a burst after a pause of the network, once.
	w.queue = 0.7
	for range 10 {
		w.run(33_000, 700_000)
	}
	for range 120 {
		if w.run(33_000, 700_000); w.u.allow(900_000) == 900_000 {
			return
		}
	}
	t.Errorf("two minutes after a pause %.0f are allowed", w.u.cap)
}

// A queue that was full before the first sound came is found by what is lost,
// and loss on a long way that has room costs a few seconds once a minute: on a short
// one there is no time for a queue.
func TestUplinkTestsASuspicion(t *testing.T) {
	w := &wayUp{rate: 50_000, longest: 0.9, queue: 0.9, now: time.Unix(1e9, 0)}
	allowed := 0.0
	for range 20 {
		before := w.sent - w.lost
		allowed = w.run(16_000, max(10_000, min(60_000, orAll(allowed))-16_000))
		w.u.report(1-float64(w.sent-w.lost-before)/100, 300*time.Millisecond, w.now)
	}
	if w.queue > 0.4 || allowed == 0 {
		t.Errorf("%.2f s stand after 20 s, %.0f allowed", w.queue, allowed)
	}

	for _, c := range []struct {
		rtt         time.Duration
		least, most int
	}{{100 * time.Millisecond, 0, 0}, {400 * time.Millisecond, 1, 12}} {
		w = &wayUp{rate: 2_000_000, longest: 0.9, now: time.Unix(1e9, 0)}
		spared := 0
		for range 120 {
			if w.run(33_000, 700_000) > 0 {
				spared++
			}
			w.u.report(0.2, c.rtt, w.now)
		}
		if spared < c.least || spared > c.most {
			t.Errorf("a way of %v that loses has less for %d of 120 s", c.rtt, spared)
		}
	}
}

// A queue that was full before the first sound came shows in what a round trip takes beyond
// ICE's; where that is so because the way became longer nothing is held back for it.
func TestUplinkHeldAgainstRoundTrips(t *testing.T) {
	ms := func(s float64) time.Duration { return time.Duration(s*1000) * time.Millisecond }
	w := &wayUp{rate: 50_000, longest: 0.9, queue: 0.9, now: time.Unix(1e9, 0)}
	allowed := 0.0
	for range 12 {
		allowed = w.run(16_000, max(0, min(60_000, orAll(allowed))-16_000))
		w.u.around(ms(w.queue), w.now)
	}
	if w.queue > 0.1 || allowed == 0 || allowed > 50_000 {
		t.Errorf("%.2f s stand after 12 s, %.0f allowed", w.queue, allowed)
	}
	if u := &w.u; u.longer || u.queue > 100*time.Millisecond {
		t.Errorf("longer %v, a queue of %v", u.longer, u.queue)
	}

	w = &wayUp{rate: 2_000_000, longest: 0.9, now: time.Unix(1e9, 0)}
	spared := 0
	for i := range 60 {
		if w.run(33_000, 700_000) > 0 {
			spared++
		}
		longer := ms(w.queue)
		if i > 20 {
			longer += 400 * time.Millisecond // down, say
		}
		w.u.around(longer, w.now)
	}
	if spared == 0 || spared > 12 || !w.u.longer {
		t.Errorf("a way that became longer has less for %d of 60 s", spared)
	}
}

func TestUplinkFollowsAChange(t *testing.T) {
	w := &wayUp{rate: 1_000_000, longest: 0.9, now: time.Unix(1e9, 0)}
	for range 30 {
		w.run(33_000, 400_000)
	}
	w.rate = 60_000
	allowed := 0.0
	for range 8 {
		allowed = w.run(33_000, max(400_000*1e-9, min(400_000, orAll(allowed)-33_000)))
	}
	if allowed == 0 || allowed > 70_000 {
		t.Errorf("8 s after the fall to 60 kb/s %.0f are allowed", allowed)
	}
}

// What the way carries when it has become too little is known at once, from what comes out
// of its queue: what came before does not count, and neither does a former queue's rate.
func TestUplinkFallsAtOnce(t *testing.T) {
	for _, former := range []bool{false, true} {
		w := &wayUp{rate: 500_000, longest: 0.7, now: time.Unix(1e9, 0)}
		if former { // a queue that was somebody else's
			w.rate = 300_000
			for range 3 {
				w.run(33_000, 400_000)
			}
			w.rate = 500_000
			for range 120 {
				w.run(33_000, 200_000)
			}
		}
		for range 10 {
			w.run(33_000, 200_000)
		}
		w.rate = 75_000
		w.run(33_000, 200_000)
		if allowed := w.run(33_000, 200_000); allowed == 0 || allowed > 75_000 {
			t.Errorf("2 s after the fall to 75 kb/s %.0f are allowed (a queue before: %v)", allowed, former)
		}
	}
}

func orAll(allowed float64) float64 {
	if allowed == 0 {
		return 1e9
	}
	return allowed
}
