package webrtc

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"mixdown/mixer"
	"mixdown/mixer/congestion"
)

const (
	testExtension = 5
	testComfort   = 13
)

// narrow is a link of a constant rate with a queue that holds 500 ms, and the
// receiver behind it, which sends transport-wide feedback.
type narrow struct {
	rate     float64 // bit/s
	free     time.Time
	recorder *twcc.Recorder
	began    time.Time
	waits    []time.Duration // of sound
	pictures int             // packets
	padding  int
	dropped  int
	wide     []uint16
	flight   []arrival
	sound    rtp.Header   // the newest of sound
	forgets  []rtp.Header // comfort noise
}

type arrival struct {
	ssrc uint32
	wide uint16
	at   time.Time
}

func (n *narrow) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	now := time.Now()
	size := h.MarshalSize() + len(payload) + gcmTag + 28
	e := h.GetExtension(testExtension)
	n.wide = append(n.wide, uint16(e[0])<<8|uint16(e[1]))
	if n.free.Before(now) {
		n.free = now
	}
	if h.SSRC == 22 {
		switch former := n.sound; {
		case former.SSRC != 0 && h.SequenceNumber != former.SequenceNumber+1:
			return 0, fmt.Errorf("sound %d after %d", h.SequenceNumber, former.SequenceNumber)
		case former.PayloadType == testComfort && h.Timestamp != former.Timestamp:
			return 0, fmt.Errorf("sound of %d after noise of %d", h.Timestamp, former.Timestamp)
		case h.PayloadType == testComfort:
			n.forgets = append(n.forgets, *h)
		}
		n.sound = *h
	}
	if n.free.Sub(now) > 500*time.Millisecond {
		n.dropped++
		return size, nil
	}
	switch {
	case h.SSRC == 22:
		n.waits = append(n.waits, n.free.Sub(now))
	case h.Padding:
		n.padding++
	default:
		n.pictures++
	}
	n.free = n.free.Add(time.Duration(float64(size*8) / n.rate * float64(time.Second)))
	n.flight = append(n.flight, arrival{h.SSRC, n.wide[len(n.wide)-1], n.free.Add(50 * time.Millisecond)})
	return size, nil
}

// feedback is what the receiver says of what has arrived.
func (n *narrow) feedback(now time.Time) []rtcp.Packet {
	for len(n.flight) > 0 && !n.flight[0].at.After(now) {
		a := n.flight[0]
		n.flight = n.flight[1:]
		n.recorder.Record(a.ssrc, a.wide, a.at.Sub(n.began).Microseconds())
	}
	return n.recorder.BuildFeedbackPacket()
}

// flowOver runs a sink over a link for a while: 25 pictures and 50 packets of
// sound a second, from the tier that the sink's newest fit allows.
func flowOver(t *testing.T, n *narrow, length time.Duration, change func(since time.Duration)) (fits []mixer.Fit, s *sink) {
	t.Helper()
	s, _, sub, codecs := newTestSink()
	sub.fits = make(chan mixer.Fit, 1000)
	n.recorder, n.began = twcc.NewRecorder(1), time.Now()
	s.video.writer, s.audio.writer = n, n
	s.video.carry(testExtension)
	s.audio.carry(testExtension)
	s.audio.comfort = testComfort
	s.flow = newFlow(rungs(newFakeRooms().Rungs()), true)
	s.flow.begin(time.Now())
	tier, key := 0, true
	pk := []*fakePacketizer{new(fakePacketizer), new(fakePacketizer)}
	size := []int{1_500_000 / 25 / 8, 150_000 / 25 / 8}
	for step := range int(length / (5 * time.Millisecond)) {
		now := time.Now()
		since := now.Sub(n.began)
		if change != nil {
			change(since)
		}
		for len(sub.fits) > 0 {
			f := <-sub.fits
			fits = append(fits, f)
			key = key || f.Tier != tier
			tier = f.Tier
		}
		for len(sub.keys) > 0 {
			<-sub.keys
			key = true
		}
		if step%8 == 0 && tier >= 0 {
			bytes := size[tier]
			if key {
				bytes *= 6
			}
			s.WriteVideo(picture(codecs[0], pk[tier], uint32(tier), uint32(step), key, bytes))
			key = false
		}
		if step%4 == 0 {
			s.WriteAudio(&mixer.Packet{Codec: codecs[1], Payload: make([]byte, 80), Timestamp: uint32(step) * 240, Time: now})
		}
		if step%20 == 0 {
			for _, p := range n.feedback(now) {
				s.handle(11, []rtcp.Packet{p}, now)
				s.handle(22, []rtcp.Packet{p}, now)
			}
			s.tick(now)
		}
		s.speak(now)
		s.show(nil, now)
		s.fit(now)
		s.ask(now)
		s.pacer.urgent, s.pacer.fresh = s.pacer.urgent[:0], s.pacer.fresh[:0]
		time.Sleep(5 * time.Millisecond)
	}
	if v := testutil.ToFloat64(s.peer.meter.dropWrite); v > 0 {
		t.Fatalf("%v packets could not be written", v)
	}
	for i, w := range n.wide {
		if w != n.wide[0]+uint16(i) {
			t.Fatalf("packet %d has the transport-wide number %d after %d", i, w, n.wide[i-1])
		}
	}
	return fits, s
}

// TestFlowNarrow: a client behind 400 kbit/s is moved to the tier that this
// carries, and its sound does not wait for pictures.
func TestFlowNarrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &narrow{rate: 400_000}
		var at int
		fits, s := flowOver(t, n, 30*time.Second, func(since time.Duration) {
			if since < 5*time.Second {
				at = len(n.waits)
			}
		})
		if len(fits) == 0 || fits[len(fits)-1].Tier != 1 {
			t.Fatalf("fits %v, want tier 1 at last", fits)
		}
		waits := slices.Sorted(slices.Values(n.waits[at:]))
		if len(waits) < 1200 || n.dropped > 20 {
			t.Fatalf("%d packets of sound went through, %d of all were dropped", len(waits), n.dropped)
		}
		if p95 := waits[len(waits)*95/100]; p95 > 200*time.Millisecond {
			t.Errorf("sound waits for %v (95th percentile)", p95)
		}
		if n.pictures < 300 || n.padding == 0 {
			t.Errorf("%d packets of pictures, %d of padding", n.pictures, n.padding)
		}
		if e := s.flow.estimate.Rate; e < 200_000 || e > 450_000 {
			t.Errorf("estimate %d", e)
		}
	})
}

// TestFlowGood: a link with room is known as one, gets the best tier and bursts.
func TestFlowGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &narrow{rate: 100e6}
		fits, s := flowOver(t, n, 15*time.Second, nil)
		if len(fits) == 0 || fits[len(fits)-1].Tier != 0 || slices.ContainsFunc(fits, func(f mixer.Fit) bool { return f.Tier != 0 }) {
			t.Fatalf("fits %v, want the best tier at once", fits)
		}
		if s.flow.estimate.Rate < 4_900_000 {
			t.Errorf("estimate %d", s.flow.estimate.Rate)
		}
		if len(n.forgets) > 0 {
			t.Errorf("the client was to forget how late sound came %d times", len(n.forgets))
		}
		if n.dropped > 0 || s.flow.link.Dropped > 25 || n.pictures < 15*25*7 {
			t.Errorf("%d packets and %d pictures dropped, %d packets of pictures", n.dropped, s.flow.link.Dropped, n.pictures)
		}
		at := len(n.wide)
		s.WriteVideo(picture(s.video.formats[0].codec, new(fakePacketizer), 0, 0, false, 7000))
		s.show(nil, time.Now())
		if got := len(n.wide) - at; got < 7 {
			t.Errorf("%d packets of an ordinary picture went out at once", got)
		}
	})
}

// TestFlowFalls: when the link becomes narrow the client comes down, and goes up
// again after it. Once the queue of the fall is gone, whoever plays the sound is to forget it.
func TestFlowFalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &narrow{rate: 5e6}
		var fits []int
		got, s := flowOver(t, n, 60*time.Second, func(since time.Duration) {
			n.rate = 5e6
			if since > 10*time.Second && since < 30*time.Second {
				n.rate = 400_000
			}
		})
		for _, f := range got {
			if len(fits) == 0 || fits[len(fits)-1] != f.Tier {
				fits = append(fits, f.Tier)
			}
		}
		if len(fits) < 3 || fits[0] != 0 || !slices.Contains(fits, 1) || fits[len(fits)-1] != 0 {
			t.Fatalf("tiers %v, want the best, less, and the best again", fits)
		}
		if len(n.forgets) != 1 {
			t.Errorf("comfort noise %d times, want once", len(n.forgets))
		}
		if v := testutil.ToFloat64(s.peer.meter.forgets); v != 1 {
			t.Errorf("%v forgotten falls are counted", v)
		}
	})
}

// TestSinkingAsksNothing: who is about to leave its tier asks it for no keyframe, which all the
// others there would get.
func TestSinkingAsksNothing(t *testing.T) {
	s, _, _, codecs := newTestSink()
	s.flow = newFlow(rungs(newFakeRooms().Rungs()), true)
	s.flow.begin(time.Now())
	s.flow.choice.Tier = 0
	pk := new(fakePacketizer)
	for _, sinking := range []bool{true, false} {
		s.flow.estimate.Sinking = sinking
		s.WriteVideo(picture(codecs[0], pk, 0, 0, false, 1000))
		if s.askKey == sinking {
			t.Errorf("sinking %t, asks %t", sinking, s.askKey)
		}
	}
}

// TestKeyframeOnItsWay: who misses what is too old to be sent again asks for a keyframe, but
// not while one waits for its time.
func TestKeyframeOnItsWay(t *testing.T) {
	s, _, sub, codecs := newTestSink()
	now := time.Now()
	s.flow = newFlow(rungs(newFakeRooms().Rungs()), true)
	s.flow.begin(now)
	s.flow.choice.Tier = 0
	for _, waits := range []bool{false, true} {
		if waits {
			s.WriteVideo(picture(codecs[0], new(fakePacketizer), 0, 0, true, 1000))
		}
		s.resend([]uint16{7}, now)
		if asked := len(sub.keys) > 0; asked == waits {
			t.Errorf("a keyframe waits %t, another is asked for %t", waits, asked)
		}
		for len(sub.keys) > 0 {
			<-sub.keys
		}
	}
}

// TestFlowSilent: who agreed on feedback and sends none gets what everybody got
// before there was any.
func TestFlowSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &narrow{rate: 100e6}
		s, _, sub, codecs := newTestSink()
		sub.fits = make(chan mixer.Fit, 1000)
		s.video.writer, s.audio.writer = n, n
		s.video.carry(testExtension)
		s.audio.carry(testExtension)
		s.flow = newFlow(rungs(newFakeRooms().Rungs()), true)
		s.flow.begin(time.Now())
		time.Sleep(wordWithin + time.Millisecond)
		s.tick(time.Now())
		s.fit(time.Now())
		for len(sub.fits) > 0 {
			if f := <-sub.fits; f != (mixer.Fit{}) {
				t.Fatalf("told the room %+v", f)
			}
		}
		s.WriteVideo(picture(codecs[0], new(fakePacketizer), 1, 0, true, 30_000))
		s.drain(time.Now())
		if n.pictures != 31 {
			t.Fatalf("%d packets written, want all 31", n.pictures)
		}
	})
}

// TestPadding: it has numbers of its own and is sent again like any packet.
func TestPadding(t *testing.T) {
	s, w, _, codecs := newTestSink()
	now := time.Now()
	pic := picture(codecs[0], new(fakePacketizer), 1, 0, true, 2500)
	for _, p := range pic {
		if err := s.video.write(p, now); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.video.pad(200, now); err != nil {
		t.Fatal(err)
	}
	p := w.packets[len(w.packets)-1]
	if !p.Header.Padding || len(p.Payload) != 200 || p.Payload[199] != 200 || p.SequenceNumber != w.packets[0].SequenceNumber+uint16(len(pic)) ||
		p.Timestamp != pic[0].Timestamp || p.PayloadType != 96 {
		t.Fatalf("padding is %+v with %d bytes", p.Header, len(p.Payload))
	}
	if !s.video.resend(p.SequenceNumber, now) {
		t.Fatal("not sent again")
	}
	if again := w.packets[len(w.packets)-1]; again.SequenceNumber != p.SequenceNumber || !again.Header.Padding || again.Payload[len(again.Payload)-1] != byte(len(again.Payload)) {
		t.Fatalf("sent again as %+v", again.Header)
	}
}

// TestFlowClient: pion as a client over the loopback network, from the offer to
// the best tier.
func TestFlowClient(t *testing.T) {
	rooms := newFakeRooms()
	tr, err := New(Config{CongestionControl: true}, fakeCodecs(), rooms, discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	c := newClient(t, clientConfig{receive: true, feedback: true})
	c.join(tr, mixer.Session{Room: "r", Identity: mixer.Identity{ID: "v"}, Receive: true})
	sub := wait(t, rooms.subs, "subscription")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		pk := new(fakePacketizer)
		tick := time.NewTicker(40 * time.Millisecond)
		defer tick.Stop()
		for i := uint32(0); ; i++ {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			sub.sink.WriteVideo(picture(tr.codecs[0], pk, 1, i*3600, i%25 == 0, 5000))
			for range 2 {
				sub.sink.WriteAudio(&mixer.Packet{Codec: tr.codecs[1], Payload: make([]byte, 80), Time: time.Now()})
			}
		}
	}()
	fit := wait(t, sub.fits, "fit")
	for fit.Tier != 0 { // a machine that is slow today may look like a link that is
		fit = wait(t, sub.fits, "fit of the best tier")
	}
	p := wait(t, c.rtp, "picture")
	for p.Header.Padding {
		p = wait(t, c.rtp, "picture")
	}
	s := wait(t, c.sound, "sound")
	close(stop)
	<-stopped
	for _, p := range []*rtp.Packet{p, s} {
		if len(p.GetExtensionIDs()) != 1 {
			t.Errorf("header extensions %v, want the transport-wide number", p.GetExtensionIDs())
		}
	}
}

// TestFlowReports: a client without transport-wide feedback is governed by its
// receiver reports, from the first one on.
func TestFlowReports(t *testing.T) {
	now := time.Unix(1000, 0)
	s, _, _, _ := newTestSink()
	s.flow = newFlow(rungs(newFakeRooms().Rungs()), false)
	s.flow.begin(now)
	s.tick(now)
	if s.flow.governs {
		t.Fatal("governed without feedback")
	}
	s.handle(11, []rtcp.Packet{&rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{{SSRC: 11, FractionLost: 25}}}}, now)
	s.tick(now.Add(time.Millisecond))
	if !s.flow.governs {
		t.Fatal("not governed by reports")
	}
	s.flow.tcp = true
	s.tick(now.Add(2 * time.Millisecond))
	if s.flow.governs {
		t.Fatal("governed by reports over TCP")
	}
	s.flow.agree = true
	s.tick(now.Add(3 * time.Millisecond))
	if !s.flow.governs || !s.flow.paced.Load() {
		t.Fatal("not governed by transport-wide feedback over TCP")
	}
}

// TestCarries: what a page tells of its link holds for its session, and for what is given first.
func TestCarries(t *testing.T) {
	s, _, _, _ := newTestSink()
	s.flow = newFlow(rungs(newFakeRooms().Rungs()), true)
	mine := &peer{id: "1", sink: s, session: mixer.Session{Room: "r", Identity: mixer.Identity{ID: "a"}}}
	tr := &Transport{peers: map[string]*peer{"1": mine, "2": {id: "2", session: mine.session}}}
	tr.Carries("r", "b", 30_000)
	tr.Carries("q", "a", 30_000)
	if e := s.flow.link.Estimate(time.Now()); e.Known {
		t.Fatal("somebody else's was taken")
	}
	tr.Carries("r", "a", 50_000)
	now := time.Now()
	s.flow.link.Hint(time.Second, now)
	s.flow.begin(now)
	s.flow.step(now)
	if e := s.flow.estimate; !e.Known || e.Rate < 45_000 || e.Rate > 50_000 {
		t.Fatalf("estimate %+v", e)
	}
}

// TestRises: a link that turns out to carry more gets pictures of the best tier at once only if it
// carries enough for one of its keyframes.
func TestRises(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, rate := range []int{45_000, 400_000} {
		f := newFlow(rungs(newFakeRooms().Rungs()), true)
		f.begin(now)
		f.rose, f.estimate = true, congestion.Estimate{Known: true, Rate: rate}
		if got := f.rises(now); got != (rate > 100_000) {
			t.Errorf("%d bit/s: %t", rate, got)
		}
	}
}

// TestFitTellsOfLosses: the room learns who loses much, in each of the cases.
func TestFitTellsOfLosses(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, rises := range []bool{false, true} {
		f := newFlow(rungs(newFakeRooms().Rungs()), true)
		f.begin(now)
		f.choice.Lossy = true
		if rises {
			f.rose, f.estimate = true, congestion.Estimate{Known: true, Rate: 400_000}
		}
		if fit, due := f.fit(now); !due || !fit.Lossy {
			t.Errorf("rises %t: %+v, due %t", rises, fit, due)
		}
	}
}

// TestInStep: who has not the tier it asked for is not told when pictures were
// made; if it was told before, that they were made later.
func TestInStep(t *testing.T) {
	now := time.Unix(1000, 0)
	f := newFlow(rungs(newFakeRooms().Rungs()), true)
	f.begin(now)
	for _, c := range []struct {
		name  string
		tier  int
		told  bool
		later time.Duration
	}{
		{"it is not known yet what they will be", -1, false, behind},
		{"a lower tier", 1, false, behind},
		{"the tier asked for", 0, true, behind},
		{"fallen", 1, true, lead},
		{"without any", -1, true, lead},
		{"risen again", 0, true, behind},
	} {
		f.choice.Tier = c.tier
		if told, later := f.inStep(now); told != c.told || later != c.later {
			t.Errorf("%s: told %t, that they were made %v later; want %t, %v", c.name, told, later, c.told, c.later)
		}
	}
}

// TestReportLater: a report that puts pictures later says so of their time alone,
// and round trips come out as they are.
func TestReportLater(t *testing.T) {
	s, _, _, codecs := newTestSink()
	now := time.Unix(1000, 0)
	o := s.video
	o.last = &mixer.Packet{Codec: codecs[0], Time: now}
	back := func(r *rtcp.SenderReport, after time.Duration) time.Duration {
		o.quality.rtt.Store(0)
		o.received(rtcp.ReceptionReport{LastSenderReport: uint32(r.NTPTime >> 16)}, now.Add(after))
		return time.Duration(o.quality.rtt.Load()).Round(time.Millisecond)
	}
	first := o.report(now)
	o.later = lead
	second := o.report(now)
	if got := second.NTPTime - first.NTPTime; second.RTPTime != first.RTPTime || got>>32 != 0 || time.Duration(got*1e9>>32).Round(time.Millisecond) != lead {
		t.Errorf("%d more of 2^-32 s for the same RTP time, want %v", got, lead)
	}
	if got := back(first, 50*time.Millisecond); got != 0 {
		t.Errorf("%v by a report of before", got)
	}
	if got := back(second, 50*time.Millisecond); got != 50*time.Millisecond {
		t.Errorf("round trip %v, want 50 ms", got)
	}
	o.later = 0
	third := o.report(now.Add(time.Second))
	if got := back(second, 50*time.Millisecond); got != 0 {
		t.Errorf("%v by a report of before", got)
	}
	if got := back(third, 1050*time.Millisecond); got != 50*time.Millisecond {
		t.Errorf("round trip %v, want 50 ms", got)
	}
}

// TestReportOfSound: sound is reported where pictures are not.
func TestReportOfSound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _, codecs := newTestSink()
		s.flow = newFlow(rungs(newFakeRooms().Rungs()), true)
		s.flow.begin(time.Now())
		s.flow.choice.Tier, s.flow.estimate.Loss = 1, 0.5
		s.audio.last = &mixer.Packet{Codec: codecs[1], Time: time.Now()}
		s.video.last = &mixer.Packet{Codec: codecs[0], Time: time.Now()}
		out := s.reports(time.Now())
		if len(out) != 2 {
			t.Fatalf("%d packets, want a report and names", len(out))
		}
		if r, ok := out[0].(*rtcp.SenderReport); !ok || r.SSRC != 22 {
			t.Fatalf("%v, want the report of sound", out[0])
		}
	})
}
