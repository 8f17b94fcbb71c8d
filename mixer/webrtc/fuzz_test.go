package webrtc

import (
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"mixdown/codec"
)

// FuzzGuard: what stands first reads datagrams that nobody has vouched for.
func FuzzGuard(f *testing.F) {
	f.Add(check(f, "left:right"), uint8(1))
	f.Add(check(f, strings.Repeat("x", 500)), uint8(2))
	f.Add(rtpHeader(7), uint8(3))
	f.Add(rtcpHeader(7), uint8(3))
	f.Add([]byte{22, 254, 253, 0, 0}, uint8(4))
	f.Add([]byte{0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 6, 0xff, 0xff}, uint8(5))
	g := newGuard(DefaultLimits(), newMeter())
	now := start
	f.Fuzz(func(t *testing.T, b []byte, address uint8) {
		if len(b) == 0 || !known(b[0]) {
			return // the socket lets no such through
		}
		now = now.Add(10 * time.Millisecond)
		g.admit(b, from(int(address)), now)
		if a := g.senders[from(int(address))]; a == nil || len(a.ufrags) > maxUfrags {
			t.Fatalf("%+v", a)
		}
		if u := username(b); len(u) > len(b) || strings.Contains(u, ":") {
			t.Fatalf("user name %q", u)
		}
	})
}

// FuzzRTCP: compound packets about either end of a session.
func FuzzRTCP(f *testing.F) {
	for _, packets := range [][]rtcp.Packet{
		{&rtcp.SenderReport{SSRC: 1, NTPTime: 1 << 40, RTPTime: 5, Reports: []rtcp.ReceptionReport{{SSRC: 11, LastSenderReport: 9, Delay: 7}}}},
		{&rtcp.ReceiverReport{SSRC: 1, Reports: []rtcp.ReceptionReport{{SSRC: 11, FractionLost: 255, TotalLost: 1}, {SSRC: 22}}}},
		{&rtcp.TransportLayerNack{MediaSSRC: 11, Nacks: []rtcp.NackPair{{PacketID: 65535, LostPackets: 0xffff}, {}}}},
		{&rtcp.PictureLossIndication{MediaSSRC: 11}, &rtcp.FullIntraRequest{FIR: []rtcp.FIREntry{{SSRC: 11}}}},
		{&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1e12, SSRCs: []uint32{11, 22}}, &rtcp.Goodbye{Sources: []uint32{1}}},
		{&rtcp.TransportLayerCC{MediaSSRC: 11, PacketStatusCount: 1, PacketChunks: []rtcp.PacketStatusChunk{&rtcp.RunLengthChunk{RunLength: 1}}}},
		{&rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{Source: 1, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: "a"}}}}}},
	} {
		raw, err := rtcp.Marshal(packets)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, pub, _ := newTestSource()
		s.published(pub)
		s.streams[0].SSRC, s.streams[1].SSRC = 1, 2
		sink, w, _, codecs := newTestSink()
		pk := new(fakePacketizer)
		for i := range 3 {
			sink.WriteVideo(picture(codecs[0], pk, 1, uint32(i), i == 0, 100))
		}
		now := time.Now()
		sink.drain(now)
		sent := len(w.packets)
		ready := make(chan struct{})
		close(ready)
		p := &peer{meter: s.peer.meter, source: s, sink: sink, ready: ready}
		for _, ssrc := range []uint32{1, 2, 11, 22, 99} {
			p.takeRTCP(ssrc, raw)
		}
		if len(sink.nacks) > maxNACKs {
			t.Fatalf("%d packets to send again are queued, at most %d", len(sink.nacks), maxNACKs)
		}
		sink.drain(now)
		if again := len(w.packets) - sent; again > maxResends*sent {
			t.Fatalf("%d packets sent again of %d", again, sent)
		}
		s.step(new(loop), now)
	})
}

// FuzzAudioLevel: header extensions of both forms (RFC 8285) in which RFC 6464's
// level may be.
func FuzzAudioLevel(f *testing.F) {
	p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 111, SSRC: 2, SequenceNumber: 1}, Payload: []byte{0xf8, 0xff, 0xfe}}
	_ = p.SetExtension(1, []byte{0x80 | 20})
	_ = p.SetExtension(3, []byte{0, 1})
	short, _ := p.Marshal()
	f.Add(short[12:])
	p.Header.Extension, p.Header.Extensions = false, nil
	p.ExtensionProfile = 0x1000
	p.Header.Extension = true
	_ = p.SetExtension(1, []byte{127, 0, 0})
	long, _ := p.Marshal()
	f.Add(long[12:])
	f.Add([]byte{0xbe, 0xde, 0, 0, 1})
	f.Add([]byte{0xbe, 0xde, 0xff, 0xff, 0x10, 0})
	f.Add([]byte{0xbe, 0xde, 0, 1, 0x1f, 1, 2, 3})
	f.Fuzz(func(t *testing.T, rest []byte) {
		s, pub, _ := newTestSource()
		s.published(pub)
		defer s.voice.Close()
		raw := append([]byte{0x90, 111, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2}, rest...)
		s.packet(raw, start)
		pcm := make([]int16, 960)
		for range 3 {
			if h := s.voice.Pull(pcm); h.Ahead < -127 || h.Ahead > 0 {
				t.Fatalf("level %v", h.Ahead)
			}
		}
	})
}

// FuzzStreams plays packets of one session by a script: any SSRC, payload type,
// number and timestamp, in any order.
func FuzzStreams(f *testing.F) {
	f.Add([]byte{96, 1, 1, 0, 0, 3, 111, 2, 1, 0, 0, 0, 63, 2, 2, 9, 9, 9})
	f.Add([]byte{96, 1, 255, 255, 0, 3, 97, 9, 0, 0, 0, 3, 96, 1, 0, 0, 255, 1})
	f.Fuzz(func(t *testing.T, script []byte) {
		s, pub, _ := newTestSource()
		pub.units = make(chan codec.Unit, len(script)+1)
		s.published(pub)
		defer s.voice.Close()
		now, l, pcm := start, new(loop), make([]int16, 960)
		for ; len(script) >= 6; script = script[6:] {
			now = now.Add(time.Duration(script[5]) * time.Millisecond)
			h := rtp.Header{Version: 2, PayloadType: script[0] & 127, Marker: script[5]&1 == 0, SSRC: uint32(script[1]),
				SequenceNumber: uint16(script[2])<<8 | uint16(script[3]), Timestamp: uint32(script[4]) << 24}
			raw, err := (&rtp.Packet{Header: h, Payload: script[:6]}).Marshal()
			if err != nil {
				t.Fatal(err)
			}
			s.packet(raw, now)
			s.voice.Pull(pcm)
			s.step(l, now)
			select {
			case <-pub.lost:
			default:
			}
		}
	})
}
