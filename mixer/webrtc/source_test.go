package webrtc

import (
	"testing"
	"time"

	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"mixdown/codec"
	"mixdown/mixer"
	"mixdown/mixer/jitter"
	"mixdown/mixer/stream"
)

// newTestSource returns a source without a connection: tests give it packets
// and take steps.
func newTestSource() (*source, *fakePublication, codec.Set) {
	codecs := fakeCodecs()
	clock := new(jitter.Sender)
	s := &source{
		peer: &peer{meter: newMeter(), closed: make(chan struct{})}, ssrc: 1, kick: make(chan struct{}, 1),
		video:     agreed{codecs: []format{{codecs[0], 96}, {codecs[0], 97}}, transport: 3},
		audio:     agreed{codecs: []format{{codecs[1], 111}}, audioLevel: 1, red: 63, plain: 111, nack: true},
		voice:     stream.NewVoice(codecs[1], clock),
		assembler: jitter.NewAssembler(jitter.AssemblerConfig{Sender: clock}),
		recorder:  twcc.NewRecorder(1), began: start,
	}
	pub := &fakePublication{units: make(chan codec.Unit, 1000), lost: make(chan struct{}, 1000), closed: make(chan struct{})}
	return s, pub, codecs
}

var start = time.Unix(1_700_000_000, 0)

// sender makes the packets of one SSRC.
type sender struct {
	t    *testing.T
	s    *source
	ssrc uint32
	pt   uint8
	seq  uint16
	pk   fakePacketizer
}

func (n *sender) picture(ts uint32, key bool, now time.Time) {
	n.t.Helper()
	payloads, _ := n.pk.Packetize(codec.Unit{Data: make([]byte, 1500), Keyframe: key}, 1000)
	for i, b := range payloads {
		p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: n.pt, SSRC: n.ssrc, SequenceNumber: n.seq, Timestamp: ts, Marker: i == len(payloads)-1}, Payload: b}
		_ = p.SetExtension(3, []byte{byte(n.seq >> 8), byte(n.seq)})
		raw, err := p.Marshal()
		if err != nil {
			n.t.Fatal(err)
		}
		n.seq++
		n.s.packet(raw, now)
	}
}

func TestUnitsBeforePublish(t *testing.T) {
	s, pub, _ := newTestSource()
	n := &sender{t: t, s: s, ssrc: 5, pt: 96}
	for i := range uint32(maxPending + 3) {
		n.picture(i*3000, i == 0, start)
	}
	s.published(pub)
	if len(pub.units) != maxPending {
		t.Fatalf("%d units kept, want %d", len(pub.units), maxPending)
	}
	if u := <-pub.units; !u.Keyframe {
		t.Fatal("the first one is missing")
	}
	if n := testutil.ToFloat64(s.peer.meter.dropPending); n != 3 {
		t.Fatalf("%v counted as dropped, want 3", n)
	}
}

func TestOtherSSRC(t *testing.T) {
	s, pub, _ := newTestSource()
	s.published(pub)
	a := &sender{t: t, s: s, ssrc: 5, pt: 96}
	b := &sender{t: t, s: s, ssrc: 6, pt: 97, seq: 40000}
	now := start
	a.picture(0, true, now)
	// Both at once: the second is a stranger.
	for i := range uint32(3) {
		b.picture(i*3000, true, now)
		a.picture(3000+i*3000, false, now)
	}
	if len(pub.units) != 4 {
		t.Fatalf("%d units, want the four of the first sender", len(pub.units))
	}
	if n := testutil.ToFloat64(s.peer.meter.badStream); n != 6 {
		t.Fatalf("%v packets refused, want 6", n)
	}
	// The first falls silent, the second, with another payload type, takes over.
	now = now.Add(time.Second)
	b.picture(90_000, true, now)
	s.step(new(loop), now.Add(100*time.Millisecond)) // the first packet of a stream may wait for earlier ones
	if len(pub.units) != 5 {
		t.Fatal("the other stream was not taken up")
	}
	// A sender that changes at once is taken up within a few pictures.
	c := &sender{t: t, s: s, ssrc: 7, pt: 96}
	for i := range uint32(8) {
		c.picture(i*3000, true, now)
	}
	s.step(new(loop), now.Add(200*time.Millisecond))
	if len(pub.units) < 6 {
		t.Fatal("the third stream was not taken up")
	}
}

func TestFeedback(t *testing.T) {
	s, pub, _ := newTestSource()
	s.published(pub)
	n := &sender{t: t, s: s, ssrc: 5, pt: 96}
	l := new(loop)
	now := start
	s.step(l, now)
	if s.RequestKeyframe(); len(plis(s.step(l, now))) != 0 {
		t.Fatal("asked an unknown SSRC for a keyframe")
	}
	n.picture(0, false, now)
	now = now.Add(tickEvery)
	if got := plis(s.step(l, now)); len(got) != 1 || got[0].MediaSSRC != 5 {
		t.Fatalf("PLIs %v, want one", got)
	}
	for range int(keyEvery/tickEvery) - 1 {
		now = now.Add(tickEvery)
		if len(plis(s.step(l, now))) != 0 {
			t.Fatal("asked again too soon")
		}
	}
	now = now.Add(tickEvery)
	if len(plis(s.step(l, now))) != 1 {
		t.Fatal("did not ask again")
	}
	asked := 0
	for range int(3 * keySeldom / tickEvery) {
		now = now.Add(tickEvery)
		asked += len(plis(s.step(l, now)))
	}
	if most := int(keyQuiet/keyEvery) + 3; asked < 3 || asked > most {
		t.Fatalf("asked %d times while no pictures come at all, want 3 to %d", asked, most)
	}
	n.picture(3000, true, now)
	now = now.Add(time.Second)
	out := s.step(l, now)
	if len(plis(out)) != 0 {
		t.Fatal("asked though the keyframe is there")
	}
	var reports, feedbacks int
	for _, p := range out {
		switch p := p.(type) {
		case *rtcp.ReceiverReport:
			reports++
			if len(p.Reports) != 1 || p.Reports[0].SSRC != 5 || p.Reports[0].TotalLost != 0 || uint16(p.Reports[0].LastSequenceNumber) != n.seq-1 {
				t.Fatalf("%+v", p.Reports)
			}
		case *rtcp.TransportLayerCC:
			feedbacks++
		}
	}
	if reports != 1 || feedbacks != 1 {
		t.Fatalf("%d receiver reports, %d feedbacks", reports, feedbacks)
	}

	// What nobody sees costs next to nothing.
	s.Ask(mixer.Ask{Active: true, Bitrate: 700_000})
	if got := rembs(s.step(l, now)); len(got) != 1 || got[0] != 700_000+soundShare {
		t.Fatalf("REMB %v", got)
	}
	s.Ask(mixer.Ask{})
	if got := rembs(s.step(l, now)); len(got) != 1 || got[0] > 150_000 {
		t.Fatalf("REMB %v for nothing", got)
	}
	if got := rembs(s.step(l, now)); len(got) != 0 {
		t.Fatal("REMB without a change")
	}
}

func plis(ps []rtcp.Packet) (out []*rtcp.PictureLossIndication) {
	for _, p := range ps {
		if v, ok := p.(*rtcp.PictureLossIndication); ok {
			out = append(out, v)
		}
	}
	return out
}

func rembs(ps []rtcp.Packet) (out []float32) {
	for _, p := range ps {
		if v, ok := p.(*rtcp.ReceiverEstimatedMaximumBitrate); ok {
			out = append(out, v.Bitrate)
		}
	}
	return out
}

func TestVoice(t *testing.T) {
	s, _, _ := newTestSource()
	pcm := make([]int16, 960)
	if h := s.voice.Pull(pcm); !h.Silent {
		t.Fatalf("heard %+v before anything came", h)
	}
	now := time.Now() // Pull looks at the clock itself
	for i := range uint16(10) {
		p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 111, SSRC: 9, SequenceNumber: i, Timestamp: uint32(i) * 960}, Payload: []byte{1, 2, 3}}
		_ = p.SetExtension(1, []byte{0x80 | 33})
		raw, _ := p.Marshal()
		s.packet(raw, now.Add(-200*time.Millisecond+time.Duration(i)*20*time.Millisecond))
	}
	loud, ahead := false, -127.0
	for range 10 {
		h := s.voice.Pull(pcm)
		loud = loud || pcm[480] != 0
		ahead = max(ahead, h.Ahead)
	}
	if !loud || ahead != -33 {
		t.Fatalf("sound %t, level ahead %v, want -33", loud, ahead)
	}
	// A room that mixes in stereo.
	stereo := make([]int16, 2*960)
	for range 5 {
		s.voice.Pull(stereo)
	}
	if n := s.voice.Channels(); n != 2 {
		t.Fatalf("decodes to %d channels for a room in stereo", n)
	}
	s.voice.Close()
	s.voice.Close()
	if h := s.voice.Pull(pcm); !h.Silent {
		t.Fatal("sound after the end")
	}
}

func TestBadRTP(t *testing.T) {
	s, pub, _ := newTestSource()
	s.published(pub)
	for _, raw := range [][]byte{nil, {0x80}, make([]byte, 12), append([]byte{0x90, 96}, make([]byte, 10)...), append([]byte{0x80, 50}, make([]byte, 20)...)} {
		s.packet(raw, start)
	}
	m := s.peer.meter
	if n := testutil.ToFloat64(m.badRTP) + testutil.ToFloat64(m.badType); n != 5 {
		t.Fatalf("%v counted, want 5", n)
	}
}

func FuzzRTP(f *testing.F) {
	p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 96, SSRC: 1}, Payload: []byte{3, 0, 0, 1}}
	_ = p.SetExtension(3, []byte{0, 1})
	raw, _ := p.Marshal()
	f.Add(raw)
	p.PayloadType = 111
	raw, _ = p.Marshal()
	f.Add(raw)
	p.PayloadType, p.Payload = 63, []byte{0x80 | 111, 960 >> 6, 960 << 2 & 0xff, 3, 111, 1, 2, 3, 1, 2, 3}
	raw, _ = p.Marshal()
	f.Add(raw)
	sr, _ := (&rtcp.SenderReport{SSRC: 1, NTPTime: 1 << 40}).Marshal()
	f.Add(sr)
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, pub, _ := newTestSource()
		s.published(pub)
		sink, _, _, _ := newTestSink()
		ready := make(chan struct{})
		close(ready)
		peer := &peer{meter: s.peer.meter, source: s, sink: sink, ready: ready}
		peer.takeRTP(raw)
		peer.takeRTCP(1, raw)
		s.step(new(loop), time.Now())
	})
}
