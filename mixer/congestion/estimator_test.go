package congestion

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
)

// TestDecode reads what pion's recorder writes, over the wrap of both counters.
func TestDecode(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	recorder := twcc.NewRecorder(1)
	var d decoder
	type sent struct {
		seq uint16
		at  time.Duration
	}
	var want []sent
	got := map[uint16]Report{}
	at := time.Duration(1<<24-2) * referenceUnit
	start := at
	flush := func() {
		for _, p := range recorder.BuildFeedbackPacket() {
			raw, err := p.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			var fb rtcp.TransportLayerCC
			if err := fb.Unmarshal(raw); err != nil {
				t.Fatal(err)
			}
			reports, err := d.decode(&fb)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range reports {
				if !got[r.Seq].Arrived {
					got[r.Seq] = r
				}
			}
		}
	}
	for i := range 400 {
		seq := uint16(65400 + i)
		at += time.Duration(rng.IntN(40)) * time.Millisecond
		if rng.IntN(5) > 0 {
			recorder.Record(7, seq, at.Microseconds())
			want = append(want, sent{seq, at})
		}
		if i%20 == 19 {
			flush()
		}
	}
	if len(want) < 200 {
		t.Fatalf("only %d packets", len(want))
	}
	zero := got[want[0].seq].At - (want[0].at - start)
	for _, w := range want {
		r := got[w.seq]
		if off := r.At - (w.at - start) - zero; !r.Arrived || off < -time.Millisecond || off > time.Millisecond {
			t.Fatalf("packet %d: %+v, %v off", w.seq, r, off)
		}
	}
	for seq, r := range got {
		if r.Arrived && !func() bool {
			for _, w := range want {
				if w.seq == seq {
					return true
				}
			}
			return false
		}() {
			t.Fatalf("packet %d never arrived", seq)
		}
	}
}

// TestDecodeTruncated holds for feedback that promises more times than it has.
func TestDecodeTruncated(t *testing.T) {
	e := NewEstimator(DefaultLimits())
	e.Sent(1, 100, origin)
	_, err := e.decoder.decode(&rtcp.TransportLayerCC{
		BaseSequenceNumber: 1, PacketStatusCount: 3,
		PacketChunks: []rtcp.PacketStatusChunk{&rtcp.RunLengthChunk{
			PacketStatusSymbol: rtcp.TypeTCCPacketReceivedSmallDelta, RunLength: 3,
		}},
		RecvDeltas: []*rtcp.RecvDelta{{Type: rtcp.TypeTCCPacketReceivedSmallDelta, Delta: 250}},
	})
	if err == nil {
		t.Fatal("no error")
	}
	if got := e.Estimate(origin).Rate; got != DefaultLimits().Start {
		t.Fatalf("rate %d", got)
	}
}

// TestStrangeReports feeds numbers that were never sent, and twice what was.
func TestStrangeReports(t *testing.T) {
	e := NewEstimator(DefaultLimits())
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range 20_000 {
		now := origin.Add(time.Duration(i) * 7 * time.Millisecond)
		if i%3 == 0 {
			e.Sent(uint16(i*5), 1+rng.IntN(1200), now)
		}
		var reports []Report
		for range rng.IntN(20) {
			reports = append(reports, Report{uint16(rng.Uint32()), rng.IntN(2) == 0, time.Duration(rng.Int64N(int64(time.Hour)))})
		}
		e.Reports(reports, now)
		if r := e.Estimate(now); r.Rate < DefaultLimits().Min || r.Rate > DefaultLimits().Max || r.Pace < 0 || r.Loss < 0 || r.Loss > 1 {
			t.Fatalf("step %d: %+v", i, r)
		}
	}
}

// TestQuiet: a composite that stands still neither costs the estimate nor lets it
// grow beyond what the link was seen to carry.
func TestQuiet(t *testing.T) {
	for seed := range uint64(5) {
		w := link(1e6, 50*ms, 0.01)
		w.length = 90 * time.Second
		w.quiet = func(now time.Duration) bool { return now > 20*time.Second && now < 80*time.Second }
		f := run(w, seed+1)
		before, after := f.rates[190], f.rates[800]
		if float64(after) < 0.8*float64(before) || float64(after) > 1.1e6 {
			t.Errorf("seed %d: %d before, %d after a minute of rest", seed+1, before, after)
		}
	}
}

// TestLongerWay: a way that becomes 150 ms longer is no queue for ever.
func TestLongerWay(t *testing.T) {
	e := NewEstimator(DefaultLimits())
	e.rate = 500_000
	var seq uint16
	var reports []Report
	for now := time.Duration(0); now < 40*time.Second; now += 10 * ms {
		way := 50 * ms
		if now > 20*time.Second {
			way = 200 * ms
		}
		e.Sent(seq, 500, moment(now))
		reports = append(reports, Report{seq, true, now + way})
		seq++
		if len(reports) == 10 {
			e.Reports(reports, moment(now+way))
			reports = reports[:0]
		}
	}
	if got := e.Estimate(moment(40 * time.Second)); got.Congested || got.Queue > 20*ms || got.Rate < 100_000 {
		t.Fatalf("%+v", got)
	}
}

// TestREMB: without transport-wide feedback the client's own estimate bounds.
func TestREMB(t *testing.T) {
	e := NewEstimator(DefaultLimits())
	e.ReceiverReport(0, 80*ms, origin)
	e.REMB(60_000, origin)
	if got := e.Estimate(origin).Rate; got != 60_000 {
		t.Fatalf("rate %d", got)
	}
	// It grows no faster than what is sent gives it reason to.
	e.REMB(2_000_000, origin.Add(time.Second))
	if got := e.Estimate(origin.Add(time.Second)).Rate; got != 60_000 {
		t.Fatalf("rate %d though nothing was sent", got)
	}
}

// A client whose feedback comes late is taken for one that sends reports only, and
// no longer than that: otherwise it is probed for seconds with what its link does
// not carry.
func TestLateFeedbackEndsReports(t *testing.T) {
	e := NewEstimator(DefaultLimits())
	at := func(n int) time.Time { return origin.Add(time.Duration(n) * 20 * time.Millisecond) }
	for i := range 50 {
		e.Sent(uint16(i), 200, at(i))
	}
	e.ReceiverReport(0, 700*time.Millisecond, at(50))
	if got := e.Estimate(at(50)); got.RoundTrip != 700*time.Millisecond {
		t.Errorf("round trip by reports: %v", got.RoundTrip)
	}
	var reports []Report
	for i := range 50 {
		reports = append(reports, Report{uint16(i), true, time.Duration(i)*20*time.Millisecond + 300*time.Millisecond})
	}
	e.Reports(reports, at(80))
	if got := e.Estimate(at(80)); got.RoundTrip != 31*20*time.Millisecond {
		t.Errorf("round trip by feedback: %v", got.RoundTrip)
	}
}

// What is known of a queue is old when nothing has been sent for a while.
func TestQueueEmptiesInSilence(t *testing.T) {
	e := NewEstimator(DefaultLimits())
	at := func(n int) time.Time { return origin.Add(time.Duration(n) * 20 * time.Millisecond) }
	var reports []Report
	for i := range 50 {
		e.Sent(uint16(i), 500, at(i)) // 200 kbit/s into 100
		reports = append(reports, Report{uint16(i), true, time.Duration(i)*40*time.Millisecond + 100*time.Millisecond})
	}
	e.Reports(reports, at(60))
	full := e.Estimate(at(50)).Queue
	if full < 700*time.Millisecond {
		t.Fatalf("queue of %v", full)
	}
	if got := e.Estimate(at(70)).Queue; got > full-300*time.Millisecond {
		t.Errorf("after 400 ms of nothing %v of %v", got, full)
	}
	e.Sent(50, 100, at(150))
	if got := e.Estimate(at(150)); got.Queue != 0 || got.Pace == 0 {
		t.Errorf("after two seconds of nothing: %+v", got)
	}
}

// fallen is an estimator on a link of 1 Mbit/s that carries 150 kbit/s from one
// moment on, sent to at 880 for 0.1 s, at 20 since then until the first feedback of that comes; and
// what it is told afterwards: reports come half a second late, because the way back has
// a queue as well.
func fallen() (e *Estimator, late []Report, now time.Duration) {
	e = NewEstimator(DefaultLimits())
	e.rate, e.prober.tried = 1_000_000, true
	var reports []Report
	var seq uint16
	free := time.Duration(0)
	send := func(size int, rate float64) {
		e.Sent(seq, size, moment(now))
		free = max(free, now) + time.Duration(float64(size)*8/rate*float64(time.Second))
		reports = append(reports, Report{seq, true, free + 50*ms})
		seq++
	}
	for ; now < 3*time.Second; now += 5 * ms {
		send(550, 1e6)
		if len(reports) == 20 {
			e.Reports(reports, moment(now+60*ms))
			reports = reports[:0]
		}
	}
	for ; now < 3100*ms; now += 5 * ms {
		send(550, 150e3)
	}
	first := reports
	reports = nil
	for ; now < free+10*ms; now += 60 * ms {
		send(150, 150e3)
	}
	e.Reports(first, moment(now))
	return e, reports, now
}

// TestFallsAtOnce: one feedback of many packets is enough to know what is left.
func TestFallsAtOnce(t *testing.T) {
	e, _, now := fallen()
	if got := e.Estimate(moment(now)).Rate; got < 110_000 || got > 150_000 {
		t.Fatalf("%d bit/s of 150000", got)
	}
}

// TestLateWord: a queue that must be gone is neither waited for nor a reason
// to give way further, however late what is heard of it comes.
func TestLateWord(t *testing.T) {
	e, late, now := fallen()
	rate := e.Estimate(moment(now)).Rate
	now += 250 * ms
	if got := e.Estimate(moment(now)); got.Queue > 0 || got.Pace < rate/2 {
		t.Fatalf("the queue is empty: %+v", got)
	}
	e.Reports(late[:len(late)/2], moment(now))
	if got := e.Estimate(moment(now)).Rate; got != rate {
		t.Fatalf("%d bit/s after feedback of a queue that is gone, %d before", got, rate)
	}
}

// TestForgetsAFall: who plays the sound is to forget a fall once, when its queue is gone, and
// sooner where nothing is heard.
func TestForgetsAFall(t *testing.T) {
	for _, quiet := range []bool{true, false} {
		e, _, now := fallen()
		var at []time.Duration
		for from := now; now < from+3*time.Second; now += 20 * ms {
			if !e.Forget(quiet, moment(now)) {
				continue
			}
			if q := e.Estimate(moment(now)).Queue; q > lowQueue {
				t.Errorf("quiet %t: a queue of %v stands", quiet, q)
			}
			at = append(at, now-from)
		}
		if len(at) != 1 || quiet == (at[0] >= forgetLate) {
			t.Errorf("quiet %t: forgotten after %v", quiet, at)
		}
	}
	e, send := quick()
	for range 20 {
		heard := send(20, 20, func(sent time.Duration) time.Duration { return sent + 50*ms })
		if e.Forget(true, moment(heard)) {
			t.Fatal("there was no fall")
		}
	}
}

// quick is an estimator on a link of 1 Mbit/s that nearly that is sent over for 3 s, and send,
// which sends n times 550 bytes, one every 5 ms, that each arrive when at says; of so many is
// told.
func quick() (e *Estimator, send func(n, told int, at func(sent time.Duration) time.Duration) (heard time.Duration)) {
	e = NewEstimator(DefaultLimits())
	e.rate, e.prober.tried = 1_000_000, true
	var seq uint16
	now := time.Duration(0)
	send = func(n, told int, at func(sent time.Duration) time.Duration) (heard time.Duration) {
		var reports []Report
		for i := range n {
			e.Sent(seq, 550, moment(now))
			if i < told {
				reports = append(reports, Report{seq, true, at(now)})
				heard = reports[i].At + 50*ms
			}
			seq++
			now += 5 * ms
		}
		e.Reports(reports, moment(heard))
		return heard
	}
	for range 30 {
		send(20, 20, func(sent time.Duration) time.Duration { return sent + 50*ms })
	}
	return e, send
}

// TestFallsByFew: five packets, each of which waited longer than the one before it, are
// enough to know that the link carries far less; then nothing but sound, and the least of
// that, goes out until the queue is gone.
func TestFallsByFew(t *testing.T) {
	e, send := quick()
	free := time.Duration(0)
	now := send(40, 5, func(sent time.Duration) time.Duration {
		free = max(free, sent) + 29333*time.Microsecond // at 150 kbit/s
		return free + 50*ms
	})
	if got := e.Estimate(moment(now)); got.Rate < 110_000 || got.Rate > 160_000 || !got.Sinking || got.Pace != 0 {
		t.Fatalf("%+v of 150000", got)
	}
}

// TestFallIsNotGoneBackTo: that the queue is gone says nothing of a rate that was before the fall.
func TestFallIsNotGoneBackTo(t *testing.T) {
	e, send := quick()
	free := time.Duration(0)
	now := send(40, 5, func(sent time.Duration) time.Duration {
		free = max(free, sent) + 29333*time.Microsecond
		return free + 50*ms
	})
	now += 2 * time.Second // it empties
	for i := range 100 {
		e.Sent(uint16(640+i), 150, moment(now))
		e.Reports([]Report{{uint16(640 + i), true, now + 50*ms}}, moment(now+100*ms))
		now += 40 * ms
	}
	if got := e.Estimate(moment(now)).Rate; got > 160_000 {
		t.Fatalf("%d bit/s of 150000, of which 30000 were sent", got)
	}
}

// TestFirstProbeWaits: far away it is made when the client has said what its way seemed to carry, or
// has said nothing for a second.
func TestFirstProbeWaits(t *testing.T) {
	for _, c := range []struct {
		trip  time.Duration
		says  int // bit/s; 0: nothing
		waits bool
	}{{200 * ms, 0, false}, {400 * ms, 0, true}, {400 * ms, 100_000_000, false}, {400 * ms, 48_000, true}} {
		e := NewEstimator(DefaultLimits())
		e.Hint(c.trip, moment(0))
		if c.says > 0 {
			e.Carries(c.says, moment(100*ms))
		}
		if _, ok := e.Probe(300_000, moment(500*ms)); ok == c.waits {
			t.Errorf("%v away, %d said: a probe after half a second: %v", c.trip, c.says, ok)
		}
		if got := e.Estimate(moment(500 * ms)); c.says == 48_000 && (!got.Known || got.Rate > 48_000) {
			t.Errorf("told of 48000: %+v", got)
		}
		if _, ok := e.Probe(300_000, moment(1100*ms)); !ok && c.waits && c.says == 0 {
			t.Errorf("%v away: no probe after a second without a word", c.trip)
		}
	}
}

// TestDoubt: who said that there is room for sound alone is probed sooner than who said more.
func TestDoubt(t *testing.T) {
	for says, sooner := range map[int]bool{31_000: true, 48_000: false} {
		e := NewEstimator(DefaultLimits())
		e.Hint(400*ms, moment(0))
		e.Carries(says, moment(100*ms))
		if _, ok := e.Probe(300_000, moment(2*time.Second)); ok {
			t.Errorf("told of %d: probed within the way's beginning", says)
		}
		if _, ok := e.Probe(300_000, moment(2200*ms)); ok != sooner {
			t.Errorf("told of %d: a probe after two seconds: %v", says, ok)
		}
	}
}

// TestBackIsFull: where the client has said what the way carries, what is late of the first feedback
// stood in the way back, which its own first pictures fill.
func TestBackIsFull(t *testing.T) {
	for says, kept := range map[int]bool{0: false, 110_000: true} {
		e := NewEstimator(DefaultLimits())
		e.Hint(300*ms, moment(0))
		if says > 0 {
			e.Carries(says, moment(0))
		}
		var reports []Report
		for i := range 20 {
			at := time.Duration(i) * 60 * ms
			e.Sent(uint16(i), 180, moment(at))
			reports = append(reports, Report{uint16(i), true, at + 150*ms})
		}
		e.Reports(reports, moment(1140*ms+300*ms+longestReport+600*ms))
		if got := e.Estimate(moment(2300 * ms)).Rate; got >= 100_000 != kept {
			t.Errorf("told of %d: %d bit/s", says, got)
		}
	}
}

// TestStandsStill: what was held up comes all at once and says nothing of the rate.
func TestStandsStill(t *testing.T) {
	e, send := quick()
	before := e.Estimate(moment(3 * time.Second)).Rate
	start := 3 * time.Second
	now := send(50, 50, func(sent time.Duration) time.Duration { return max(sent+50*ms, start+300*ms+(sent-start)/100) })
	if got := e.Estimate(moment(now)); got.Rate != before || got.Sinking {
		t.Fatalf("%+v, %d before", got, before)
	}
}

// TestMissedFeedback: a link that is known to carry much and is not heard of for a third of a
// second gets nothing but sound, before it is known what it carries. One that loses much
// is waited for.
func TestMissedFeedback(t *testing.T) {
	e, _ := quick()
	for i := range 90 {
		e.Sent(uint16(600+i), 550, moment(3*time.Second+time.Duration(i)*5*ms))
	}
	if got := e.Estimate(moment(3450 * ms)); !got.Sinking || got.Pace != 0 {
		t.Fatalf("%+v", got)
	}
	e.loss.inherent = 0.1
	if got := e.Estimate(moment(3450 * ms)); got.Sinking || got.Pace == 0 {
		t.Fatalf("feedback may be lost: %+v", got)
	}
}

// TestPunctual: who is always heard of in time is missed sooner than who is not.
func TestPunctual(t *testing.T) {
	missed := func(swings time.Duration) time.Duration {
		e := NewEstimator(DefaultLimits())
		e.rate, e.prober.tried = 1_000_000, true
		var sent []Report
		coming := map[time.Duration][]Report{}
		for now := time.Duration(0); now < 4*time.Second; now += 5 * ms {
			n := uint16(now / (5 * ms))
			if e.Sent(n, 550, moment(now)); e.Estimate(moment(now)).Sinking {
				return now - 3*time.Second
			}
			if sent = append(sent, Report{n, true, now + 50*ms}); len(sent) == 10 && now < 3*time.Second {
				coming[now+60*ms+swings*time.Duration(n/10%2)] = sent
				sent = nil
			}
			if reports := coming[now]; reports != nil {
				e.Reports(reports, moment(now))
			}
		}
		t.Fatalf("swings of %v: never missed", swings)
		return 0
	}
	always, seldom := missed(0), missed(40*ms)
	if always > 200*ms || seldom < always+50*ms {
		t.Errorf("missed after %v where it is always in time, %v where it is not", always, seldom)
	}
}

// TestFallsAmid: packets that the link carried before it fell say nothing of what it carries now.
func TestFallsAmid(t *testing.T) {
	e, send := quick()
	free, n := time.Duration(0), 0
	now := send(40, 8, func(sent time.Duration) time.Duration {
		takes := 5500 * time.Microsecond // hardly too little, and then at 150 kbit/s
		if n++; n > 4 {
			takes = 29333 * time.Microsecond
		}
		free = max(free, sent) + takes
		return free + 50*ms
	})
	if got := e.Estimate(moment(now)).Rate; got < 110_000 || got > 150_000 {
		t.Fatalf("%d bit/s of 150000", got)
	}
}

// TestLossTest: that nothing is lost while less is sent tells a policer only where that is no chance,
// and as long as it may be, is looked at further.
func TestLossTest(t *testing.T) {
	for _, c := range []struct {
		run     float64 // mean length of a loss, packets
		lost    []int   // of 100 in each look
		policed bool
	}{{1, []int{0}, true}, {1.5, []int{0, 0}, true}, {5, []int{0, 0, 0, 0}, true}, {5, []int{0, 0, 15}, false}, {1, []int{12}, false}, {20, []int{0, 0, 0, 0, 0}, false}} {
		e := NewEstimator(DefaultLimits())
		e.rate = 400_000
		l := &e.loss
		l.begun, l.run, l.inherent = time.Second, c.run, 0.1
		l.trial.at, l.trial.before, l.trial.loss, l.trial.got = 10*time.Second, 900_000, 0.2, 700_000
		if _, ok := e.Probe(900_000, time.Now()); ok {
			t.Error("probes while it is looked at what is lost")
		}
		if e.raise(800_000, 11*time.Second); e.rate != 400_000 {
			t.Errorf("goes to %.0f bit/s while it is looked at what is lost", e.rate)
		}
		for i, lost := range c.lost {
			if l.trial.at == 0 || l.until > 0 {
				t.Errorf("losses of %v packets: decided after %d looks", c.run, i)
			}
			e.tryLoss(view{n: 100, lost: lost, sent: 300_000}, 10*time.Second+lossTrial+time.Duration(i)*lossWindow)
		}
		if policed := e.rate < 900_000; policed != c.policed || policed != (l.until > 0) || l.trial.at > 0 {
			t.Errorf("losses of %v packets: %.0f bit/s, a ceiling of %.0f", c.run, e.rate, l.ceiling)
		}
	}
}
