package mixer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"mixdown/mixer/congestion"
)

// behind is a Sink behind a link of its own, of a rate, a delay and a loss, with a
// queue that holds 500 ms: congestion control decides what the room gives it, as in
// mixer/webrtc, but no packet is made.
type behind struct {
	rate  float64 // bit/s
	delay time.Duration
	loss  float64
	rng   *rand.Rand
	free  time.Time // when the link has sent all
	way   []congestion.Report
	came  []time.Time // at the client
	began time.Time

	mu               sync.Mutex
	link             *congestion.Link[*Packet]
	wide             uint16
	pictures, sounds int // packets that came
	dropped, sent    int
}

func newBehind(rungs congestion.Rungs, rate float64, delay time.Duration, loss float64, seed uint64) *behind {
	return &behind{
		rate: rate, delay: delay, loss: loss, rng: rand.New(rand.NewPCG(seed, 20)), began: time.Now(),
		link: congestion.NewLink(rungs, congestion.DefaultLimits(), func(p *Packet) int { return congestion.Overhead + len(p.Payload) }),
	}
}

func (b *behind) Codecs() []string { return []string{"VP8", "opus"} }
func (b *behind) Close(error)      {}

func (b *behind) WriteVideo(picture []*Packet) {
	b.mu.Lock()
	defer b.mu.Unlock()
	first := picture[0]
	b.link.Video(congestion.Picture{Keyframe: first.Keyframe, Temporal: first.Temporal, Stream: first.Stream}, picture, time.Now())
}

func (b *behind) WriteAudio(p *Packet) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.link.Sound(p)
}

// run plays link, client and pacer until ctx ends.
func (b *behind) run(ctx context.Context, sub *Subscription) {
	var told Fit
	asked, reported := time.Now(), time.Now()
	for ctx.Err() == nil {
		now := time.Now()
		b.mu.Lock()
		c := b.link.Step(now)
		for item, ok := b.link.Next(now); ok; item, ok = b.link.Next(now) {
			b.send(item, now)
		}
		if now.Sub(reported) >= 100*time.Millisecond {
			reported = now
			b.report(now)
		}
		key := b.link.NeedsKeyframe() && c.Tier >= 0 && now.Sub(asked) > 500*time.Millisecond
		b.mu.Unlock()
		if fit := (Fit{Tier: c.Tier, Tone: c.Tone, Loss: c.FEC}); fit != told {
			told = fit
			sub.Fit(fit)
		}
		if key {
			asked = now
			sub.RequestKeyframe()
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (b *behind) send(item congestion.Item[*Packet], now time.Time) {
	n := b.wide
	b.wide++
	b.link.Sent(n, item.Size, now)
	if b.free.Before(now) {
		b.free = now
	}
	b.sent++
	full := b.free.Sub(now) > 500*time.Millisecond
	if full {
		b.dropped++
	} else {
		b.free = b.free.Add(time.Duration(float64(item.Size*8) / b.rate * float64(time.Second)))
	}
	lost := full || b.rng.Float64() < b.loss
	b.way = append(b.way, congestion.Report{Seq: n, Arrived: !lost, At: b.free.Add(b.delay).Sub(b.began)})
	b.came = append(b.came, b.free.Add(2*b.delay))
	switch {
	case lost:
	case item.Kind == congestion.Sound:
		b.sounds++
	case item.Kind == congestion.Video:
		b.pictures++
	}
}

// report brings the feedback that has come back by now.
func (b *behind) report(now time.Time) {
	n := 0
	for n < len(b.came) && !b.came[n].After(now) {
		n++
	}
	if n > 0 {
		b.link.Reports(b.way[:n], now)
		b.way, b.came = append(b.way[:0], b.way[n:]...), append(b.came[:0], b.came[n:]...)
	}
}

// crowd puts people behind links of those rates into the room and returns what
// the room did for them in 20 s, after 10 s to settle, and the computing it took.
func crowd(t *testing.T, rates []float64) (pictures uint64, cpu time.Duration) {
	t.Helper()
	small := func(cfg *Config) {
		for i := range cfg.Ladder {
			if os.Getenv("MIXDOWN_LINKS") != "" {
				break
			}
			cfg.Ladder[i].Width, cfg.Ladder[i].Height = 64, 36 // what is in them is not looked at
		}
	}
	inRoom(t, small, func(t *testing.T, s *Server) {
		talker := join(t, s, "r", red, 500, "slides")
		rungs := congestion.Rungs{FECLoss: []float64{0, 0.1, 0.2}}
		for _, spec := range s.cfg.Ladder {
			rungs.Tiers = append(rungs.Tiers, congestion.Tier{Name: spec.Name, Bitrate: spec.Bitrate, FPS: spec.FPS, Payload: spec.MTU})
		}
		for _, tone := range s.cfg.Sound.Tones {
			rungs.Tones = append(rungs.Tones, congestion.Tone{Bitrate: tone.Bitrate, Packet: tone.Packet})
		}
		ctx, stop := context.WithCancel(t.Context())
		var all sync.WaitGroup
		var clients []*behind
		var subs []*Subscription
		for i, rate := range rates {
			b := newBehind(rungs, rate, time.Duration(20+i*23%180)*time.Millisecond, float64(i%5)*0.01, uint64(i+1))
			sub, err := s.Subscribe(ctx, "a", Identity{ID: fmt.Sprint(i)}, b, Want{Fit: Fit{Tier: -1, Tone: len(rungs.Tones) - 1}})
			if err != nil {
				t.Fatal(err)
			}
			clients, subs = append(clients, b), append(subs, sub)
			all.Go(func() { b.run(ctx, sub) })
		}
		r, err := s.room("a")
		if err != nil {
			t.Fatal(err)
		}
		type done struct{ pictures, keyframes uint64 }
		tiers := func() map[*Tier]done {
			out := map[*Tier]done{}
			r.do(func() {
				for _, tier := range r.tiers {
					out[tier] = done{tier.count.pictures.Load(), tier.count.keyframes.Load()}
				}
			})
			return out
		}
		time.Sleep(10 * time.Second)
		before, spent := tiers(), computing(t)
		const measured = 20
		began := time.Now()
		for time.Since(began) < measured*time.Second {
			time.Sleep(time.Second)
			after := tiers()
			if n := len(after); n > len(rungs.Tiers) {
				t.Errorf("%d video encoders for %d tiers", n, len(rungs.Tiers))
			}
			// Each tone's, and the talker's own; and what somebody is just leaving.
			most := len(rungs.Tones) + 1
			n := soundEncoders(t, s)
			for tries := 0; n > most && tries < 5; tries++ {
				time.Sleep(150 * time.Millisecond)
				n = soundEncoders(t, s)
			}
			if n > most {
				t.Errorf("%d sound encoders for %d tones and one talker", n, len(rungs.Tones))
			}
		}
		cpu = computing(t) - spent
		for tier, d := range tiers() {
			pictures += d.pictures - before[tier].pictures
			if n := d.keyframes - before[tier].keyframes; n > measured/4+1 {
				t.Errorf("%s: %d keyframes in %d s, at most one in 4 s are to be", tier.key.spec.Name, n, measured)
			}
		}
		stop()
		all.Wait()
		for i, b := range clients {
			if share := float64(b.dropped) / float64(b.sent); share > 0.02 {
				t.Errorf("%.0f kbit/s: %.1f %% of its packets found the queue full", b.rate/1000, 100*share)
			}
			if b.sounds < 400 || b.rate > 60_000 && b.pictures < 50 {
				t.Errorf("%.0f kbit/s: %d packets of sound came, %d of pictures", b.rate/1000, b.sounds, b.pictures)
			}
			subs[i].Close()
		}
		talker.leave()
	})
	return pictures, cpu
}

// computing is what this process has taken of the cores.
func computing(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Twenty people on twenty links take no more encoders than there are tiers and tones,
// hardly more pictures than seven on seven links, and no more keyframes. With
// MIXDOWN_LINKS the tiers have their own sizes, and what is told of computing is
// that of a room; encryption and sockets are not in it.
func TestTwentyLinks(t *testing.T) {
	seven := []float64{3e6, 1.2e6, 600e3, 330e3, 180e3, 100e3, 50e3}
	var twenty []float64
	for i := range 20 {
		twenty = append(twenty, seven[i%7]*(1+0.12*float64(i/7)))
	}
	few, less := crowd(t, seven)
	many, more := crowd(t, twenty)
	t.Logf("%d pictures in %.1f s of computing for 7, %d in %.1f s for 20: %.2f times", few, less.Seconds(), many, more.Seconds(), more.Seconds()/less.Seconds())
	if float64(many) > 1.3*float64(few) {
		t.Errorf("%d pictures coded for 20 people, %d for 7", many, few)
	}
}
