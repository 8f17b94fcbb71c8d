package webrtc

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"mixdown/mixer"
)

func TestRedundancyIsAnswered(t *testing.T) {
	full := chromium(t)
	first := strings.Replace(full, "SAVPF 111 63", "SAVPF 63 111", 1)
	for _, test := range []struct {
		name    string
		offer   string
		session mixer.Session
		prefer  bool
		want    []string // formats of the answer's sound
	}{
		{"understood", full, publisher, false, []string{"111", "63"}},
		{"preferred by the client", first, publisher, false, []string{"63", "111"}},
		{"preferred by us", full, member, true, []string{"63", "111", "13"}},
		{"nothing comes in", full, viewer, true, []string{"111", "63", "13"}},
		{"not offered", strings.ReplaceAll(full, "a=rtpmap:63 red", "a=rtpmap:63 blue"), publisher, true, []string{"111"}},
		{"repeats nothing we know", strings.Replace(full, "a=fmtp:63 111/111", "a=fmtp:63 9/9", 1), publisher, true, []string{"111"}},
		{"without parameters", cut(full, "a=fmtp:63 "), publisher, true, []string{"111"}},
	} {
		tr := newTransport(t, newFakeRooms())
		tr.redundant = test.prefer
		a, err := tr.Offer(t.Context(), test.session, test.offer)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		d, err := parseSDP(a.SDP)
		if err != nil {
			t.Fatal(err)
		}
		m := d.MediaDescriptions[0]
		if !slices.Equal(m.MediaName.Formats, test.want) {
			t.Errorf("%s: answered %v, want %v", test.name, m.MediaName.Formats, test.want)
		}
		if has := slices.Contains(test.want, "63"); has != strings.Contains(a.SDP, "a=rtpmap:63 red/48000/2\r\n") ||
			has != strings.Contains(a.SDP, "a=fmtp:63 111/111\r\n") {
			t.Errorf("%s: format parameters:\n%s", test.name, a.SDP)
		}
	}
}

func TestRetransmissionIsAnswered(t *testing.T) {
	full := chromium(t)
	nack := strings.Replace(full, "a=rtcp-fb:111 transport-cc", "a=rtcp-fb:111 transport-cc\r\na=rtcp-fb:111 nack", 1)
	for _, test := range []struct {
		name    string
		offer   string
		session mixer.Session
		want    bool
	}{
		{"offered", nack, publisher, true},
		{"not offered", full, publisher, false},
		{"we only send", nack, viewer, false},
	} {
		a, err := newTransport(t, newFakeRooms()).Offer(t.Context(), test.session, test.offer)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(a.SDP, "a=rtcp-fb:111 nack"); got != test.want {
			t.Errorf("%s: in the answer %t, want %t:\n%s", test.name, got, test.want, a.SDP)
		}
	}
}

// Sound that comes as a redundant payload is played, and a hole in it.
func TestRedundantSound(t *testing.T) {
	s, _, _ := newTestSource()
	now := time.Now()
	for i := range uint16(10) {
		if i == 4 {
			continue
		}
		payload := []byte{111, 1, 2, 3}
		if i > 0 {
			payload = []byte{0x80 | 111, 960 >> 6, 960 << 2 & 0xff, 3, 111, 1, 2, 3, 1, 2, 3}
		}
		p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 63, SSRC: 9, SequenceNumber: i, Timestamp: uint32(i) * 960}, Payload: payload}
		raw, _ := p.Marshal()
		s.packet(raw, now.Add(-200*time.Millisecond+time.Duration(i)*20*time.Millisecond))
	}
	if len(s.kick) != 1 {
		t.Error("the loop does not know of the hole")
	}
	pcm := make([]int16, 960)
	for range 10 {
		s.voice.Pull(pcm)
	}
	got := s.voice.Stats()
	if got.Packets != 9 || got.Copied != 1 || got.Lost > 0 || got.Bad > 0 {
		t.Errorf("%+v", got)
	}
	for _, payload := range [][]byte{{}, {0x80 | 111}, {0x80 | 111, 0, 0, 200, 111, 1}} {
		p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 63, SSRC: 9, SequenceNumber: 50}, Payload: payload}
		raw, _ := p.Marshal()
		s.packet(raw, now)
	}
	if n := testutil.ToFloat64(s.peer.meter.badRTP); n != 3 {
		t.Errorf("%v bad packets, want 3", n)
	}
	v := s.voice.VoiceStats()
	s.voice.Pull(make([]int16, 1920))
	if w := s.voice.VoiceStats(); w.Concealed < v.Concealed || w.Stretched < v.Stretched {
		t.Errorf("figures went back from %+v to %+v", v, w)
	}
}

// Padding among redundant sound is a probe: it is no hole, and nothing is lost with it.
func TestProbeAmongRedundantSound(t *testing.T) {
	s, _, _ := newTestSource()
	now := time.Now()
	for i := range uint16(10) {
		p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 63, SSRC: 9, SequenceNumber: i, Timestamp: uint32(i) * 960}, Payload: []byte{111, 1, 2, 3}}
		if i%2 == 1 {
			p.Header.Padding, p.PaddingSize, p.Payload = true, 100, nil
		}
		raw, _ := p.Marshal()
		s.packet(raw, now.Add(-200*time.Millisecond+time.Duration(i)*20*time.Millisecond))
	}
	if r := s.streams[1].Report(now); r.FractionLost > 0 || testutil.ToFloat64(s.peer.meter.badRTP) > 0 {
		t.Errorf("reported %+v, %v bad packets", r, testutil.ToFloat64(s.peer.meter.badRTP))
	}
	if n := s.voice.Nacks(nil, time.Millisecond, now); len(n) > 0 || len(s.kick) > 0 {
		t.Errorf("%v are asked for", n)
	}
}

// Sound that is missing is asked for while it can still come in time.
func TestSoundIsAskedFor(t *testing.T) {
	for _, rtt := range []time.Duration{0, 10 * time.Millisecond, 500 * time.Millisecond} {
		s, _, _ := newTestSource()
		s.peer.sink = &sink{audio: new(outgoing)}
		s.peer.sink.audio.quality.rtt.Store(int64(rtt))
		for i := range uint16(10) {
			if i == 8 {
				continue
			}
			p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 111, SSRC: 9, SequenceNumber: i, Timestamp: uint32(i) * 960}, Payload: []byte{1, 2, 3}}
			raw, _ := p.Marshal()
			// 100 ms of jitter, so that something waits
			s.packet(raw, start.Add(time.Duration(i)*20*time.Millisecond+time.Duration(i%2)*100*time.Millisecond))
		}
		l := new(loop)
		s.step(l, start.Add(40*time.Millisecond)) // when it learns the round trip
		var asked []uint16
		for _, p := range s.step(l, start.Add(185*time.Millisecond)) {
			if n, ok := p.(*rtcp.TransportLayerNack); ok && n.MediaSSRC == 9 {
				for _, pair := range n.Nacks {
					asked = append(asked, pair.PacketList()...)
				}
			}
		}
		if want := rtt == 10*time.Millisecond; slices.Contains(asked, 8) != want {
			t.Errorf("round trip %v: asked for %v", rtt, asked)
		}
		// Reports go on to say what the way loses; what only was late is no loss.
		late := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 111, SSRC: 9, SequenceNumber: 8, Timestamp: 8 * 960}, Payload: []byte{1, 2, 3}}
		raw, _ := late.Marshal()
		for _, after := range []time.Duration{2 * time.Millisecond, 20 * time.Millisecond} {
			lost := s.streams[1]
			s.packet(raw, start.Add(185*time.Millisecond+after))
			if want := len(asked) > 0 && after > rtt; (s.streams[1].Lost() > 0) != want {
				t.Errorf("round trip %v: %d lost when a packet comes %v after it was asked for", rtt, s.streams[1].Lost(), after)
			}
			s.streams[1] = lost
		}
	}
}
