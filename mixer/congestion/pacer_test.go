package congestion

import (
	"slices"
	"testing"
	"time"
)

func newTestPacer(rate int) *Pacer[*pkt] {
	p := NewPacer(func(p *pkt) int { return p.size })
	p.SetRate(rate, rate, origin)
	return p
}

func packets(n, size int) []*pkt {
	out := make([]*pkt, n)
	for i := range out {
		out[i] = &pkt{size: size}
	}
	return out
}

// drain takes what goes out until a moment, and says when each went.
func drain(p *Pacer[*pkt], from, to time.Duration, each func(now time.Duration, i Item[*pkt])) {
	for now := from; now < to; now += ms {
		for {
			i, ok := p.Next(moment(now))
			if !ok {
				break
			}
			each(now, i)
		}
	}
}

// TestSoundFirst: a keyframe of two seconds holds up no packet of sound, and
// both together keep to the rate.
func TestSoundFirst(t *testing.T) {
	p := newTestPacer(100_000)
	p.Video(Picture{Keyframe: true, Stream: 1}, packets(50, 500), origin)
	bytes, sounds := 0, 0
	for at := time.Duration(0); at < time.Second; at += 20 * ms {
		p.Sound(&pkt{size: 100, sound: true})
		first := true
		drain(p, at, at+20*ms, func(now time.Duration, i Item[*pkt]) {
			if first && (i.Kind != Sound || now != at) {
				t.Fatalf("at %v first comes %+v", now, i)
			}
			first = false
			bytes += i.Size
			if i.Kind == Sound {
				sounds++
			}
		})
	}
	if sounds != 50 || bytes < 12_000 || bytes > 13_500 {
		t.Fatalf("%d packets of sound, %d bytes in a second of 12500", sounds, bytes)
	}
}

// TestBehindSound: on little rate pictures go out right behind sound, where they hold up the next
// packet of it least, and take all the same what sound leaves. Where there is none, or much rate,
// they wait for nothing.
func TestBehindSound(t *testing.T) {
	const rate = 50_000
	for _, c := range []struct {
		name          string
		rate, sounds  int // packets of sound that there are
		worst, within time.Duration
	}{{"thin", rate, 250, 24 * ms, 20 * ms}, {"no sound", rate, 0, 0, 0}, {"sound ends", rate, 50, 24 * ms, 20 * ms}, {"much", 1_000_000, 250, 8 * ms, 40 * ms}} {
		p := newTestPacer(c.rate)
		p.SetPatience(time.Minute)
		p.Video(Picture{Keyframe: true, Stream: 1}, packets(2000, 250), origin)
		var free, worst, spoke, last time.Duration // when the link has sent all; sound's longest wait
		pictures := 0
		for at := time.Duration(0); at < 10*time.Second; at += 40 * ms {
			speaks := int(at/(40*ms)) < c.sounds
			if speaks {
				p.Sound(&pkt{size: 125, sound: true})
			}
			take := func(now time.Duration, i Item[*pkt]) {
				free = max(free, now)
				if i.Kind == Sound {
					worst, spoke = max(worst, free-now), now
				} else {
					pictures += i.Size
					last = now
					if since := now - spoke; speaks && at >= 80*ms && c.rate == rate && since > c.within {
						t.Errorf("%s: a picture's packet went out %v behind sound", c.name, since)
					}
				}
				free += time.Duration(i.Size*8) * time.Second / time.Duration(c.rate)
			}
			if i, ok := p.Next(moment(at)); ok { // sound is taken at once,
				take(at, i)
			}
			for now := at + 4*ms; now < at+40*ms; now += 5 * ms { // and the rest when its turn comes
				drain(p, now, now+ms, take)
			}
		}
		left := c.rate*10/8 - 125*c.sounds
		if worst > c.worst || float64(pictures) < 0.85*float64(min(left, 500_000)) || pictures > left+500 || last < 9800*ms && pictures < 500_000 {
			t.Errorf("%s: sound waited up to %v; %d bytes of pictures of %d, the last after %v", c.name, worst, pictures, left, last)
		}
	}
}

// TestBeside: on little rate reports go out one behind each packet of sound, while that is on its way;
// where there is much, or no sound, at once.
func TestBeside(t *testing.T) {
	for _, c := range []struct {
		name string
		rate int
		beat time.Duration
		want string // every 10 ms after sound: whether there is room for one
	}{
		{"thin", 30_000, 60 * ms, "x.....x.....x....."},
		{"much", 300_000, 60 * ms, "xxxxxxxxxxxxxxxxxx"},
		{"no sound", 30_000, 0, "xxxxxxxxxxxxxxxxxx"},
	} {
		p := newTestPacer(c.rate)
		got := ""
		for at := time.Duration(0); at < 6*60*ms; at += 10 * ms {
			if c.beat > 0 && at%c.beat == 0 {
				p.Sound(&pkt{size: 150, sound: true})
				p.Next(moment(at))
			}
			if at < 3*60*ms {
				continue // until it is known how often sound comes
			}
			if p.Beside(moment(at + ms)) {
				got += "x"
			} else {
				got += "."
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	// One that is late finds its place as long as sound is on its way.
	p := newTestPacer(30_000)
	for at := time.Duration(0); at < 240*ms; at += 60 * ms {
		p.Sound(&pkt{size: 150, sound: true})
		p.Next(moment(at))
	}
	if !p.Beside(moment(180*ms + 35*ms)) {
		t.Error("no report goes out while 40 ms of sound are on their way")
	}
	for at := 240 * ms; at < 300*ms; at += 60 * ms {
		p.Sound(&pkt{size: 150, sound: true})
		p.Next(moment(at))
		if p.Beside(moment(at + 45*ms)) {
			t.Error("one goes out that holds up the next of sound")
		}
	}
}

// TestKeepsRate: with no credit saved up while there was nothing to send.
func TestKeepsRate(t *testing.T) {
	p := newTestPacer(1_000_000)
	drain(p, 0, 5*time.Second, func(time.Duration, Item[*pkt]) { t.Fatal("nothing was queued") })
	p.Video(Picture{Keyframe: true, Stream: 1}, packets(100, 1200), moment(5*time.Second))
	n := 0
	drain(p, 5*time.Second, 5*time.Second+100*ms, func(time.Duration, Item[*pkt]) { n++ })
	if n < 10 || n > 12 {
		t.Fatalf("%d packets of 1200 in 100 ms at 1 Mbit/s", n)
	}
	if w := p.Wake(moment(5*time.Second + 100*ms)); w <= 0 || w > 20*ms {
		t.Fatalf("wakes after %v", w)
	}
}

// TestBounded: upper layers go first, then all up to a keyframe, and one is asked for.
func TestBounded(t *testing.T) {
	p := newTestPacer(80_000) // 10 kB a second
	p.Video(Picture{Keyframe: true, Stream: 1}, packets(2, 500), origin)
	for i := range 30 {
		p.Video(Picture{Temporal: pattern3[i%4], Stream: 1}, packets(1, 500), origin)
	}
	if p.Waiting() > longestWait || p.DroppedLayers == 0 || p.Dropped != 0 || p.NeedsKeyframe() {
		t.Fatalf("waits %v, %d of upper layers and %d others dropped", p.Waiting(), p.DroppedLayers, p.Dropped)
	}
	for range 40 {
		p.Video(Picture{Stream: 1}, packets(1, 500), origin)
	}
	if p.Waiting() > longestWait || p.Dropped == 0 || !p.NeedsKeyframe() {
		t.Fatalf("waits %v, %d dropped, needs keyframe: %v", p.Waiting(), p.Dropped, p.NeedsKeyframe())
	}
	p.Video(Picture{Keyframe: true, Stream: 1}, packets(30, 500), origin)
	if p.NeedsKeyframe() || p.Waiting() < longestWait {
		t.Fatal("a large keyframe was not taken")
	}
}

// TestWholePictures: of no picture only a part goes out, whatever is dropped.
func TestWholePictures(t *testing.T) {
	p := newTestPacer(200_000)
	sent := map[int]int{}
	for i := range 200 {
		now := time.Duration(i) * 40 * ms
		key := p.NeedsKeyframe() || i%50 == 0
		list := packets(5, 400)
		for _, k := range list {
			k.index = i
		}
		p.Video(Picture{Keyframe: key, Temporal: pattern3[i%4], Stream: 1}, list, moment(now))
		drain(p, now, now+40*ms, func(_ time.Duration, it Item[*pkt]) { sent[it.Packet.index]++ })
	}
	drain(p, 8*time.Second, 12*time.Second, func(_ time.Duration, it Item[*pkt]) { sent[it.Packet.index]++ })
	for i, n := range sent {
		if n != 5 {
			t.Fatalf("%d of 5 packets of picture %d", n, i)
		}
	}
	if len(sent) < 30 || p.bytes != 0 {
		t.Fatalf("%d pictures, %d bytes left", len(sent), p.bytes)
	}
}

// TestMute: after a move down nothing of the old encoder goes out, and its
// keyframe is not asked for as if it were the new one's.
func TestMute(t *testing.T) {
	p := newTestPacer(100_000)
	p.Video(Picture{Keyframe: true, Stream: 1}, packets(3, 500), origin)
	p.Mute()
	p.Video(Picture{Keyframe: true, Stream: 1}, packets(3, 500), origin)
	p.Video(Picture{Stream: 2}, packets(3, 500), origin)
	if p.bytes != 0 {
		t.Fatal("something of the old encoder, or half of the new one, is queued")
	}
	p.Video(Picture{Keyframe: true, Stream: 2}, packets(3, 500), origin)
	if p.bytes != 1500 || p.NeedsKeyframe() {
		t.Fatalf("%d bytes of the new keyframe", p.bytes)
	}
}

// TestProbe: padding only for what pictures do not fill, at the cluster's rate and no
// longer than it.
func TestProbe(t *testing.T) {
	p := newTestPacer(100_000)
	p.Probe(Cluster{Rate: 800_000, Bytes: 10_000, Size: 500, Until: moment(time.Second)}, origin)
	p.Video(Picture{Keyframe: true, Stream: 1}, packets(8, 500), origin)
	video, probe, last := 0, 0, time.Duration(0)
	drain(p, 0, 2*time.Second, func(now time.Duration, i Item[*pkt]) {
		last = now
		switch i.Kind {
		case Video:
			if probe > 0 {
				t.Fatal("padding before pictures")
			}
			video += i.Size
		case Probe:
			probe += i.Size
		}
	})
	if video != 4000 || probe < 6000 || probe > 6500 || last < 80*ms || last > 120*ms {
		t.Fatalf("%d bytes of pictures, %d of padding, until %v", video, probe, last)
	}
}

// TestProbeBetweenTurns: a probe is as fast as it is meant to be where the pacer's turn comes
// some milliseconds late: what it says of the link hangs on that.
func TestProbeBetweenTurns(t *testing.T) {
	p := newTestPacer(75_000)
	c := Cluster{Rate: 112_000, Bytes: 1400, Size: 140, Until: moment(150 * ms)}
	p.Probe(c, origin)
	bytes, last := 0, time.Duration(0)
	for now := time.Duration(0); now < 150*ms; now += 17 * ms {
		drain(p, now, now+ms, func(at time.Duration, i Item[*pkt]) {
			bytes += i.Size
			last = at
		})
	}
	if bytes < c.Bytes || last > 120*ms {
		t.Errorf("%d bytes of %d, the last after %v: a tenth of a second is meant", bytes, c.Bytes, last)
	}
}

// What a probe sends beyond the rate stands in a link that carries no more, so that
// what comes next waits for it to be gone; sound does not.
func TestProbeIsOwed(t *testing.T) {
	p := newTestPacer(100_000)
	p.Video(Picture{Keyframe: true, Stream: 1}, packets(100, 250), origin)
	drain(p, 0, 500*ms, func(time.Duration, Item[*pkt]) {})
	p.Probe(Cluster{Rate: 180_000, Bytes: 2250, Size: 200, Until: moment(650 * ms)}, moment(500*ms))
	sent, again, sounded := 0, time.Duration(0), false
	drain(p, 500*ms, 800*ms, func(now time.Duration, i Item[*pkt]) {
		if sent < 2250 && sent+i.Size >= 2250 {
			p.Sound(&pkt{size: 100, sound: true})
			again = -now
		} else if again < 0 && i.Kind == Video {
			again += now
		}
		sounded = sounded || i.Kind == Sound
		sent += i.Size
	})
	// 1000 bytes too much, and the sound.
	if again < 70*ms || again > 110*ms || !sounded || sent > 300*100/8+400 {
		t.Errorf("pictures again after %v; %d bytes in 300 ms of 3750, sound %t", again, sent, sounded)
	}
}

// TestPausePaysNothing: while nothing but sound may go out there is no probe, and what sound
// takes is not owed afterwards: it is in the queue that was waited for.
func TestPausePaysNothing(t *testing.T) {
	p := newTestPacer(800_000)
	p.Probe(Cluster{Rate: 1_600_000, Bytes: 50_000, Size: 500, Until: moment(2 * time.Second)}, origin)
	p.Video(Picture{Keyframe: true, Stream: 1}, packets(100, 500), origin)
	for now := 50 * ms; now < 500*ms; now += 20 * ms {
		p.SetRate(0, 800_000, moment(now))
		p.Sound(&pkt{size: 150, sound: true})
		drain(p, now, now+20*ms, func(at time.Duration, i Item[*pkt]) {
			if i.Kind != Sound {
				t.Fatalf("%+v at %v", i, at)
			}
		})
	}
	p.SetRate(100_000, 100_000, moment(500*ms))
	var first time.Duration
	drain(p, 500*ms, time.Second, func(now time.Duration, i Item[*pkt]) {
		if first == 0 {
			first = now
		}
	})
	if first > 530*ms {
		t.Fatalf("the first picture afterwards waits until %v", first)
	}
}

func TestRepairs(t *testing.T) {
	e := Estimate{Rate: 100_000, RoundTrip: 300 * ms, Queue: 50 * ms}
	var r Repairs
	at := func(d time.Duration) bool { return r.Take(7, 500, origin, e, moment(d)) }
	if !at(300*ms) || at(400*ms) || at(600*ms) || !at(700*ms) {
		t.Fatal("repeats do not keep a round trip apart")
	}
	if at(5 * time.Second) {
		t.Fatal("an old packet was repeated")
	}
	r = Repairs{}
	n := 0
	for i := range 1000 {
		if r.Take(uint16(i), 500, moment(time.Duration(i)*10*ms), e, moment(time.Duration(i)*10*ms)) {
			n++
		}
	}
	// 10 s of 35 % of 12.5 kB, and what is saved up.
	if n < 80 || n > 100 {
		t.Fatalf("%d packets of 500 bytes in 10 s", n)
	}
	if r.Refused != uint64(1000-n) {
		t.Fatalf("%d refusals counted", r.Refused)
	}
}

// What feedback says is lost is to be repeated, once it is sure and unless
// another copy is on its way or has come.
func TestMissed(t *testing.T) {
	var r Repairs
	e := Estimate{Rate: 1_000_000, RoundTrip: 100 * ms}
	told := func(at time.Duration, from, to uint16, lost ...uint16) []uint16 {
		var reports []Report
		for n := from; n != to+1; n++ {
			reports = append(reports, Report{Seq: n, Arrived: !slices.Contains(lost, n)})
		}
		r.told(reports, moment(at))
		return r.Missed(moment(at))
	}
	for i := range uint16(10) { // transport-wide 65530 … 65539, pictures 100 … 109
		r.Carry(65530+i, 100+i, moment(0))
	}
	if got := told(100*ms, 65530, 65533, 65531, 65532); len(got) != 0 {
		t.Fatalf("%v is missed, two packets or less have come since", got)
	}
	if got := told(150*ms, 65534, 65535, 65535); !slices.Equal(got, []uint16{101}) {
		t.Fatalf("%v is missed, want 101", got)
	}
	// 102 comes late, and is told of once more.
	r.told([]Report{{Seq: 65532, Arrived: true}}, moment(160*ms))
	if !r.Take(101, 500, moment(0), e, moment(160*ms)) {
		t.Fatal("101 is not repeated")
	}
	r.Carry(4, 101, moment(160*ms)) // 65540
	if r.Take(101, 500, moment(0), e, moment(200*ms)) {
		t.Fatal("101 is repeated for a NACK that the repeat may have crossed")
	}
	for i := range uint16(3) {
		r.Carry(5+i, 110+i, moment(170*ms))
	}
	if got := told(260*ms, 0, 3); !slices.Equal(got, []uint16{105}) {
		t.Fatalf("%v is missed, want 105: 101 is on its way, 102 has come", got)
	}
	// The repeat is lost, too: nobody has to wait a round trip for that.
	var reports []Report
	for n := uint16(4); n < 8; n++ {
		reports = append(reports, Report{Seq: n, Arrived: n != 4})
	}
	r.told(reports, moment(200*ms))
	if got := r.Missed(moment(200 * ms)); !slices.Equal(got, []uint16{101}) {
		t.Fatalf("%v is missed, want 101", got)
	}
	if !r.Take(101, 500, moment(0), e, moment(200*ms)) {
		t.Fatal("101 waits although all of it is lost")
	}
}

// An echo goes out in its time, and before pictures.
func TestEcho(t *testing.T) {
	p := NewPacer(func(n int) int { return n })
	p.SetRate(1_000_000, 1_000_000, moment(0))
	p.Repair(500)
	p.Echo(501, moment(0))
	p.Video(Picture{Keyframe: true}, []int{400, 401}, moment(0))
	var got []int
	for now := time.Duration(0); now < 100*ms; now += ms {
		for item, ok := p.Next(moment(now)); ok; item, ok = p.Next(moment(now)) {
			if item.Packet == 501 && (now < echoAfter || item.Kind != Repair) {
				t.Fatalf("echo after %v, of kind %d", now, item.Kind)
			}
			got = append(got, item.Packet)
		}
		if p.Wake(moment(now)) < 0 && len(got) < 4 {
			t.Fatalf("after %v nothing is waited for", now)
		}
	}
	if !slices.Equal(got, []int{500, 400, 401, 501}) {
		t.Fatalf("sent %v", got)
	}
}

// TestOutdated: what a keyframe makes needless is not repeated, unless so much is lost that
// the keyframe itself may be late.
func TestOutdated(t *testing.T) {
	l := NewLink(defaultRungs(nil), DefaultLimits(), func(p int) int { return p })
	at := origin.Add(time.Second)
	l.Video(Picture{Keyframe: true, Stream: 1}, []int{100}, origin)
	if !l.Repair(1, 100, at, at) {
		t.Fatal("not repeated")
	}
	l.Mute()
	if _, ok := l.Next(at); ok {
		t.Fatal("something waits after muting")
	}
	if l.Repair(2, 100, at, at.Add(ms)) {
		t.Fatal("repeated while a keyframe is waited for")
	}
	l.Video(Picture{Keyframe: true, Stream: 2}, []int{100}, at.Add(10*ms))
	if l.Repair(3, 100, at, at.Add(20*ms)) {
		t.Fatal("repeated although a keyframe has come")
	}
	if !l.Repair(4, 100, at.Add(15*ms), at.Add(20*ms)) {
		t.Fatal("not repeated what came after the keyframe")
	}
	l.Ladder.now.Lossy = true
	if !l.Repair(5, 100, at, at.Add(20*ms)) {
		t.Fatal("not repeated where much is lost")
	}
}

// TestBackWithOldEncoder: who had no pictures for a while is shown a keyframe of the encoder
// that it had before as well.
func TestBackWithOldEncoder(t *testing.T) {
	l := NewLink(defaultRungs(nil), DefaultLimits(), func(p *pkt) int { return p.size })
	l.prober.tried = true
	now := origin
	until := func(rate float64, pictures bool) {
		t.Helper()
		l.Estimator.rate = rate
		for end := now.Add(30 * time.Second); (l.Choice().Tier >= 0) != pictures; now = now.Add(stepEvery) {
			if l.Step(now); now.After(end) {
				t.Fatalf("tier %d at %.0f bit/s", l.Choice().Tier, rate)
			}
		}
	}
	for range 2 {
		until(60_000, true)
		l.Video(Picture{Keyframe: true, Stream: 7}, packets(3, 100), now)
		if l.bytes == 0 {
			t.Fatal("a keyframe was not taken")
		}
		until(15_000, false)
		l.Video(Picture{Keyframe: true, Stream: 7}, packets(3, 100), now)
		if l.bytes > 0 {
			t.Fatal("a keyframe was taken that is too much")
		}
	}
}

// TestProbesOfThinLinks: where there is room for sound alone the first tries are soon, since a
// picture at all may hang on one and a few packets are easily spoiled; then they are rare.
func TestProbesOfThinLinks(t *testing.T) {
	p := newProber()
	now := time.Second
	for i, want := range []time.Duration{probeSoon, 2 * probeSoon, probePatient, time.Minute} {
		p.done(false, false, false, 33_000, now)
		if pause := p.next - now; pause > want || i > 1 && pause < probePatient {
			t.Errorf("after failure %d: %v", i+1, pause)
		}
		now = p.next
	}
	p.done(true, false, false, 33_000, now)
	p.done(false, false, false, 33_000, now)
	if pause := p.next - now; pause > probeSoon {
		t.Errorf("after a success and a failure: %v", pause)
	}
}
