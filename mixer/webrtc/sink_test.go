package webrtc

import (
	"errors"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"mixdown/codec"
	"mixdown/mixer"
)

// recorder is where an outgoing stream writes in tests.
type recorder struct {
	packets []rtp.Packet
	fails   error
}

func (r *recorder) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	if r.fails != nil {
		return 0, r.fails
	}
	r.packets = append(r.packets, rtp.Packet{Header: *h, Payload: append([]byte(nil), payload...)})
	return len(payload) + h.MarshalSize(), nil
}

// newTestSink returns a sink whose goroutine does not run: tests drain it.
func newTestSink() (*sink, *recorder, *fakeSubscription, codec.Set) {
	codecs := fakeCodecs()
	p := &peer{meter: newMeter(), pacer: newPacer(func() {}), closed: make(chan struct{})}
	s := newSink(p)
	w := new(recorder)
	s.video = newOutgoing(w, 11, []format{{codecs[0], 96}}, p.meter.out.videoPackets, p.meter.out.videoBytes)
	s.video.history = new(history)
	s.audio = newOutgoing(w, 22, []format{{codecs[1], 111}}, p.meter.out.audioPackets, p.meter.out.audioBytes)
	sub := &fakeSubscription{keys: make(chan struct{}, 100), closed: make(chan struct{})}
	s.subscribed(sub)
	<-sub.keys
	return s, w, sub, codecs
}

// drain writes all that is queued, as the pacer does in its own time.
func (s *sink) drain(now time.Time) {
	s.speak(now)
	for more := true; more; {
		_, more = s.show(nil, now)
	}
	p := s.pacer
	p.urgent, p.fresh = p.urgent[:0], p.fresh[:0]
}

func TestSlowViewer(t *testing.T) {
	s, w, sub, codecs := newTestSink()
	now := time.Unix(1000, 0)
	pk := new(fakePacketizer)
	for i := range maxPictures + 5 {
		s.WriteVideo(picture(codecs[0], pk, 1, uint32(i), i == 0, 1500))
	}
	if q, k := testutil.ToFloat64(s.peer.meter.dropQueue), testutil.ToFloat64(s.peer.meter.dropKey); q != 1 || k != 4 {
		t.Fatalf("%v dropped at the full queue, %v after it; want 1 and 4", q, k)
	}
	s.drain(now)
	s.ask(now)
	if len(w.packets) != 2*maxPictures || len(sub.keys) != 1 {
		t.Fatalf("%d packets written, %d keyframes asked for", len(w.packets), len(sub.keys))
	}
	// Asked for at most twice a second, and withheld until it comes.
	s.WriteVideo(picture(codecs[0], pk, 1, 100, false, 10))
	s.ask(now.Add(100 * time.Millisecond))
	if len(sub.keys) != 1 {
		t.Fatal("asked again at once")
	}
	s.ask(now.Add(askEvery))
	if len(sub.keys) != 2 {
		t.Fatal("did not ask again")
	}
	w.packets = nil
	s.WriteVideo(picture(codecs[0], pk, 1, 101, true, 10))
	s.WriteVideo(picture(codecs[0], pk, 1, 102, false, 10))
	s.drain(now)
	s.ask(now.Add(time.Hour))
	if len(w.packets) != 2 || len(sub.keys) != 2 {
		t.Fatalf("%d packets after the keyframe, %d requests", len(w.packets), len(sub.keys))
	}
}

func TestWriteFails(t *testing.T) {
	s, w, sub, codecs := newTestSink()
	now := time.Unix(1000, 0)
	pk := new(fakePacketizer)
	w.fails = errors.New("no buffer space")
	s.WriteVideo(picture(codecs[0], pk, 1, 0, true, 2500))
	s.WriteVideo(picture(codecs[0], pk, 1, 1, false, 2500))
	s.drain(now)
	s.ask(now)
	if n := testutil.ToFloat64(s.peer.meter.dropWrite); n != 1 || len(sub.keys) != 1 {
		t.Fatalf("%v packets dropped, %d keyframes asked for; want one each", n, len(sub.keys))
	}
	w.fails = nil
	s.WriteVideo(picture(codecs[0], pk, 1, 2, false, 10))
	s.drain(now)
	if len(w.packets) != 0 {
		t.Fatal("went on without a keyframe")
	}
	s.WriteVideo(picture(codecs[0], pk, 1, 3, true, 10))
	s.drain(now)
	if len(w.packets) != 1 {
		t.Fatal("did not go on with the keyframe")
	}
}

func TestSoundFirst(t *testing.T) {
	s, w, _, codecs := newTestSink()
	s.WriteVideo(picture(codecs[0], new(fakePacketizer), 1, 0, true, 5000))
	for range maxSounds + 3 {
		s.WriteAudio(&mixer.Packet{Codec: codecs[1], Payload: []byte{1, 0, 0}, Time: time.Now()})
	}
	s.drain(time.Now())
	if n := testutil.ToFloat64(s.peer.meter.dropAudio); n != 3 {
		t.Fatalf("%v packets of sound dropped, want 3", n)
	}
	for i, p := range w.packets {
		if want := uint32(22); i < maxSounds && p.SSRC != want {
			t.Fatalf("packet %d is a picture's, sound waits", i)
		}
	}
}

// TestKeyframeInBursts: a large picture goes out in parts, and sound in between;
// an ordinary one at once.
func TestKeyframeInBursts(t *testing.T) {
	s, w, _, codecs := newTestSink()
	now := time.Now()
	key := picture(codecs[0], new(fakePacketizer), 1, 0, true, 99_700)
	s.WriteVideo(key)
	var bursts int
	for more := true; more; bursts++ {
		before := len(w.packets)
		_, more = s.show(nil, now)
		if n := len(w.packets) - before; n > len(key)/burstShare+1 || more && n < burstLeast {
			t.Fatalf("burst %d has %d of %d packets", bursts, n, len(key))
		}
		s.WriteAudio(&mixer.Packet{Codec: codecs[1], Payload: []byte{1, 0, 0}, Time: now})
		s.speak(now)
		if last := w.packets[len(w.packets)-1]; last.SSRC != 22 {
			t.Fatal("sound waits for a picture")
		}
	}
	if bursts < 4 || bursts > 8 || len(w.packets) != len(key)+bursts {
		t.Fatalf("%d packets in %d bursts", len(w.packets)-bursts, bursts)
	}
	w.packets = nil
	s.WriteVideo(picture(codecs[0], new(fakePacketizer), 1, 1, false, (burstLeast-1)*997))
	if _, more := s.show(nil, now); more || len(w.packets) != burstLeast-1 {
		t.Fatalf("%d packets of a picture of %d go out at once", len(w.packets), burstLeast-1)
	}
	// A queue that is dropped leaves no count behind.
	s.WriteVideo(picture(codecs[0], new(fakePacketizer), 1, 2, true, 50_000))
	s.show(nil, now)
	s.cut()
	if s.waits != 0 || s.n != 0 {
		t.Fatalf("%d packets wait in %d pictures", s.waits, s.n)
	}
}

func TestMoveKeepsCounting(t *testing.T) {
	s, w, _, codecs := newTestSink()
	pks := []*fakePacketizer{{picture: 65530}, {picture: 7}, {picture: 30000}}
	for i := range 30 {
		s.WriteVideo(picture(codecs[0], pks[i/10], uint32(1+i/10), uint32(i)*3600, i%10 == 0, 1500))
		s.drain(time.Now())
	}
	first := w.packets[0]
	for i, p := range w.packets {
		want := uint16(65530 + i/2)
		if got := uint16(fakePayload{}.Counters(p.Payload)); got != want {
			t.Fatalf("packet %d: picture %d, want %d", i, got, want)
		}
		if p.SequenceNumber != first.SequenceNumber+uint16(i) || p.Timestamp-first.Timestamp != uint32(i/2)*3600 || p.PayloadType != 96 || p.SSRC != 11 {
			t.Fatalf("packet %d: %+v after %+v", i, p.Header, first.Header)
		}
	}
	// An encoder that does not begin with a keyframe is not shown.
	s.WriteVideo(picture(codecs[0], new(fakePacketizer), 9, 0, false, 10))
	s.drain(time.Now())
	if len(w.packets) != 60 {
		t.Fatal("moved without a keyframe")
	}
}

func TestSharedPacketsStay(t *testing.T) {
	s, _, _, codecs := newTestSink()
	pic := picture(codecs[0], &fakePacketizer{picture: 5}, 1, 0, true, 10)
	moved := picture(codecs[0], &fakePacketizer{picture: 99}, 2, 1, true, 10)
	s.WriteVideo(pic)
	s.WriteVideo(moved)
	s.drain(time.Now())
	if got := (fakePayload{}).Counters(moved[0].Payload); got != 99 {
		t.Fatalf("the room's packet was changed to picture %d", got)
	}
}

func TestResendLimits(t *testing.T) {
	s, w, _, codecs := newTestSink()
	now := time.Unix(1000, 0)
	s.WriteVideo(picture(codecs[0], new(fakePacketizer), 1, 0, true, 1500))
	s.drain(now)
	seq := w.packets[0].SequenceNumber
	again := func(at time.Time) bool { return s.video.resend(seq, at) }
	if !again(now.Add(5 * time.Millisecond)) {
		t.Fatal("not sent again")
	}
	if again(now.Add(6 * time.Millisecond)) {
		t.Fatal("sent again while the last repeat is on its way")
	}
	for i := 1; i < maxResends; i++ {
		if !again(now.Add(time.Duration(i) * 100 * time.Millisecond)) {
			t.Fatalf("repeat %d not sent", i+1)
		}
	}
	if again(now.Add(900 * time.Millisecond)) {
		t.Fatal("sent more often than the limit")
	}
	if s.video.resend(seq+1, now.Add(maxAge+time.Millisecond)) {
		t.Fatal("sent again though too old")
	}
	if s.video.resend(seq+77, now) || s.video.resend(seq-1, now) {
		t.Fatal("sent what never was")
	}
	if w.packets[2].Header.Timestamp != w.packets[0].Timestamp || !equal(w.packets[2].Payload, w.packets[0].Payload) {
		t.Fatal("the repeat differs")
	}

	// No client gets more than the rate, however much it asks for.
	pk := new(fakePacketizer)
	for i := range historySize {
		s.WriteVideo(picture(codecs[0], pk, 1, uint32(i), true, 10))
		s.drain(now)
	}
	n := 0
	for q := range uint16(historySize) {
		if s.video.resend(w.packets[len(w.packets)-1].SequenceNumber-q, now.Add(time.Millisecond)) {
			n++
		}
	}
	if n == 0 || n > resendRate {
		t.Fatalf("%d repeats at once, at most %d", n, resendRate)
	}
}

func TestNackOfWhatIsGone(t *testing.T) {
	s, w, sub, codecs := newTestSink()
	now := time.Unix(1000, 0)
	pk := new(fakePacketizer)
	write := func(key bool) uint16 {
		s.WriteVideo(picture(codecs[0], pk, 1, 0, key, 10))
		s.drain(now)
		return w.packets[len(w.packets)-1].SequenceNumber
	}
	miss := func(seqs ...uint16) int {
		s.nack(seqs)
		s.drain(now)
		n := len(sub.keys)
		for range n {
			<-sub.keys
		}
		return n
	}
	write(true)
	old := write(false)
	now = now.Add(maxAge - time.Millisecond)
	if miss(old) != 0 {
		t.Fatal("a keyframe for what can be sent again")
	}
	now = now.Add(2 * time.Millisecond)
	fresh := write(false)
	if miss(old, fresh) != 1 {
		t.Fatal("no keyframe for what is gone")
	}
	write(true)
	if miss(old) != 0 {
		t.Fatal("another keyframe while one is on its way")
	}
}

func equal(a, b []byte) bool { return string(a) == string(b) }

func TestReports(t *testing.T) {
	s, _, sub, codecs := newTestSink()
	now := time.Unix(1_700_000_000, 250_000_000)
	if s.video.report(now) != nil {
		t.Fatal("report before the first packet")
	}
	pic := picture(codecs[0], new(fakePacketizer), 1, 90_000, true, 10)
	pic[0].Time = now.Add(-2 * time.Second)
	s.WriteVideo(pic)
	s.drain(now)
	sr := s.video.report(now)
	if got := sr.RTPTime; got != 90_000+180_000 {
		t.Fatalf("timestamp %d two seconds after 90000", got)
	}
	// The client answers 80 ms later, having kept the report for 30.
	rr := rtcp.ReceptionReport{SSRC: 11, FractionLost: 64, LastSenderReport: uint32(sr.NTPTime >> 16), Delay: 65536 * 30 / 1000}
	s.handle(11, []rtcp.Packet{&rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{rr}}}, now.Add(80*time.Millisecond))
	if rtt := time.Duration(s.video.quality.rtt.Load()); rtt < 49*time.Millisecond || rtt > 51*time.Millisecond {
		t.Fatalf("round trip %v, want 50 ms", rtt)
	}
	if s.video.quality.lost.Load() != 64 {
		t.Fatal("loss not taken")
	}
	s.handle(11, []rtcp.Packet{&rtcp.FullIntraRequest{FIR: []rtcp.FIREntry{{SSRC: 11}, {SSRC: 5}}}}, now)
	s.handle(5, []rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: 5}}, now)
	if len(sub.keys) != 1 {
		t.Fatalf("%d keyframes asked for by one FIR", len(sub.keys))
	}
}

func BenchmarkSink(b *testing.B) {
	s, _, _, codecs := newTestSink()
	s.video.writer, s.audio.writer = discardRTP{}, discardRTP{}
	for _, moved := range []bool{false, true} {
		name := "as is"
		if moved {
			name = "shifted"
		}
		b.Run(name, func(b *testing.B) {
			s.video.shift = 0
			if moved {
				s.video.shift = 5
			}
			s.video.last = nil
			pic := picture(codecs[0], new(fakePacketizer), 1, 0, true, 997*10)
			now := time.Now()
			b.ReportAllocs()
			for range b.N {
				s.WriteVideo(pic)
				s.drain(now)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000/float64(len(pic)), "µs/packet")
		})
	}
}

type discardRTP struct{}

func (discardRTP) WriteRTP(h *rtp.Header, p []byte) (int, error) { return len(p), nil }

// BenchmarkFanOut writes to one client over loopback, all of SRTP, ICE and the
// kernel included.
func BenchmarkFanOut(b *testing.B) {
	rooms := newFakeRooms()
	tr := newTransport(b, rooms)
	c := newClient(b, clientConfig{receive: true})
	c.join(tr, viewer)
	sub := wait(b, rooms.subs, "subscription")
	p := tr.peer(c.answer.ID)
	tr.mu.Lock()
	o := newOutgoing(p.sink.video.writer, p.sink.video.ssrc, p.sink.video.formats, tr.meter.out.videoPackets, tr.meter.out.videoBytes)
	tr.mu.Unlock()
	o.history = new(history)
	pic := picture(tr.codecs[0], new(fakePacketizer), 1, 0, true, 1100*10)
	_ = sub
	now := time.Now()
	go func() {
		for range c.rtp {
		}
	}()
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if err := o.write(pic[i%len(pic)], now); err != nil {
			b.Fatal(err)
		}
	}
}

// TestStalledClient: who cannot take even keyframes asks for ever fewer of them.
func TestStalledClient(t *testing.T) {
	s, w, sub, codecs := newTestSink()
	w.fails = errors.New("full")
	pk := new(fakePacketizer)
	now := start
	for i := range uint32(60 * 10) { // a minute; the room answers each request at once
		key := len(sub.keys) > 0 || i == 0
		for len(sub.keys) > 0 {
			<-sub.keys
		}
		s.WriteVideo(picture(codecs[0], pk, 1, i, key, 10))
		s.drain(now)
		s.ask(now)
		now = now.Add(100 * time.Millisecond)
	}
	if n := testutil.ToFloat64(s.peer.meter.dropWrite); n < 5 || n > 14 {
		t.Fatalf("%v keyframes tried in a minute", n)
	}
	w.fails = nil
	s.WriteVideo(picture(codecs[0], pk, 1, 0, true, 10))
	s.drain(now)
	if s.pause != askEvery {
		t.Fatalf("still waits %v between requests", s.pause)
	}
}
