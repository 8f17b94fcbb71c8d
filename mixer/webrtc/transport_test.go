package webrtc

import (
	"testing"
	"time"

	"github.com/pion/rtcp"

	"mixdown/codec"
	"mixdown/mixer"
)

func TestPublish(t *testing.T) {
	rooms := newFakeRooms()
	tr := newTransport(t, rooms)
	c := newClient(t, clientConfig{publish: true})
	c.join(tr, publisher)
	pub := wait(t, rooms.pubs, "publication")
	if pub.room != "r" || pub.who.ID != "p" || pub.source.Voice() == nil {
		t.Fatalf("published %+v", pub)
	}

	var seq uint16 = 65500 // wraps
	pk := new(fakePacketizer)
	for i := range 30 {
		key := i == 0
		c.send(&key, pk, &seq, uint32(i)*3000, 2500, nil)
	}
	for i := range 30 {
		u := wait(t, pub.units, "unit")
		if len(u.Data) != 2501 || u.Keyframe != (i == 0) || u.Timestamp-uint32(i)*3000 != 0 || u.Codec != tr.codecs[0] {
			t.Fatalf("unit %d: %d bytes, key %t, timestamp %d, %s", i, len(u.Data), u.Keyframe, u.Timestamp, u.Codec.Name)
		}
	}
}

func TestPublishRepair(t *testing.T) {
	rooms := newFakeRooms()
	tr := newTransport(t, rooms)
	c := newClient(t, clientConfig{publish: true})
	c.join(tr, publisher)
	pub := wait(t, rooms.pubs, "publication")

	var seq uint16
	pk := new(fakePacketizer)
	key := true
	c.send(&key, pk, &seq, 0, 2500, nil)
	wait(t, pub.units, "keyframe")
	key = false
	c.send(&key, pk, &seq, 3000, 2500, func(i int) bool { return i == 1 })
	nack := waitRTCP[*rtcp.TransportLayerNack](c)
	if got := nack.Nacks[0].PacketList(); len(got) != 1 || got[0] != 4 {
		t.Fatalf("asked for %v, missing 4", got)
	}

	pub.source.RequestKeyframe()
	waitRTCP[*rtcp.PictureLossIndication](c)
	waitRTCP[*rtcp.PictureLossIndication](c) // again, as none came

	pub.source.Ask(mixer.Ask{Active: true, Bitrate: 400_000})
	if got := waitRTCP[*rtcp.ReceiverEstimatedMaximumBitrate](c); got.Bitrate < 400_000 || got.Bitrate > 500_000 {
		t.Fatalf("REMB of %.0f for an ask of 400000", got.Bitrate)
	}
	waitRTCP[*rtcp.ReceiverReport](c)
}

// picture packetizes for a sink.
func picture(c *codec.Codec, pk codec.Packetizer, stream, ts uint32, key bool, size int) []*mixer.Packet {
	payloads, _ := pk.Packetize(codec.Unit{Data: make([]byte, size), Keyframe: key}, 1000)
	var out []*mixer.Packet
	for i, b := range payloads {
		out = append(out, &mixer.Packet{Codec: c, Stream: stream, Payload: b, Timestamp: ts, Time: time.Now(), Marker: i == len(payloads)-1, Keyframe: key})
	}
	return out
}

func TestReceive(t *testing.T) {
	rooms := newFakeRooms()
	tr := newTransport(t, rooms)
	c := newClient(t, clientConfig{receive: true})
	c.join(tr, viewer)
	sub := wait(t, rooms.subs, "subscription")
	wait(t, sub.keys, "keyframe request at the start")
	if sub.want.Tier != "low" {
		t.Fatalf("wants %+v", sub.want)
	}
	if got := sub.sink.Codecs(); len(got) != 2 || got[0] != "VP8" || got[1] != "opus" {
		t.Fatalf("codecs %v", got)
	}

	// Two encoders, the second one's pictures counted from elsewhere.
	vp8 := tr.codecs[0]
	first, second := &fakePacketizer{picture: 100}, &fakePacketizer{picture: 60000}
	var seq uint16
	var ts uint32
	for i := range 40 {
		if i%2 == 0 {
			pk, stream := first, uint32(1)
			if i >= 20 {
				pk, stream = second, 2
			}
			sub.sink.WriteVideo(picture(vp8, pk, stream, uint32(i/2)*3600, i%20 == 0, 1500))
		}
		p := wait(t, c.rtp, "packet")
		if i == 0 {
			seq, ts = p.SequenceNumber, p.Timestamp
		}
		if p.SequenceNumber != seq+uint16(i) {
			t.Fatalf("packet %d: sequence number %d after %d", i, p.SequenceNumber, seq+uint16(i)-1)
		}
		if p.Timestamp-ts != uint32(i/2)*3600 {
			t.Fatalf("packet %d: timestamp %d after the first", i, p.Timestamp-ts)
		}
		if got, want := (fakePayload{}).Counters(p.Payload), codec.Counters(100+i/2); got != want {
			t.Fatalf("packet %d: picture %d, want %d", i, got, want)
		}
	}

	// What the client misses comes again, with the shift of its time.
	if err := c.pc.WriteRTCP([]rtcp.Packet{
		&rtcp.TransportLayerNack{MediaSSRC: videoSSRC(tr, c), Nacks: rtcp.NackPairsFromSequenceNumbers([]uint16{seq + 3, seq + 30})},
		&rtcp.PictureLossIndication{MediaSSRC: videoSSRC(tr, c)},
	}); err != nil {
		t.Fatal(err)
	}
	for _, i := range []uint16{3, 30} {
		p := wait(t, c.rtp, "retransmission")
		if p.SequenceNumber != seq+i || fakePayload.Counters(fakePayload{}, p.Payload) != codec.Counters(100+i/2) {
			t.Fatalf("got %d again, missing %d", p.SequenceNumber-seq, i)
		}
	}
	wait(t, sub.keys, "keyframe request by PLI")
	// Sound.
	sub.sink.WriteAudio(&mixer.Packet{Codec: tr.codecs[1], Payload: []byte{1, 0, 0, 9}, Time: time.Now()})
	wait(t, c.sound, "sound")

	if err := tr.Hangup(t.Context(), c.answer.ID); err != nil {
		t.Fatal(err)
	}
	wait(t, sub.closed, "end of the subscription")
}

func videoSSRC(tr *Transport, c *client) uint32 { return tr.peer(c.answer.ID).sink.video.ssrc }
