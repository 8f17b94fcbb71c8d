package webrtc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/dtls/v2"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v2"
	"github.com/pion/webrtc/v3"

	"mixdown/mixer"
)

// TestGCM: what we encrypt is what pion decrypts, over wraps of the sequence
// number and with packets sent again.
func TestGCM(t *testing.T) {
	key, salt := make([]byte, 16), make([]byte, 12)
	for i := range key {
		key[i] = byte(i * 7)
	}
	for i := range salt {
		salt[i] = byte(200 - i)
	}
	g, err := newGCM(key, salt)
	if err != nil {
		t.Fatal(err)
	}
	there, err := srtp.CreateContext(key, salt, srtp.ProtectionProfileAeadAes128Gcm)
	if err != nil {
		t.Fatal(err)
	}
	d := &direct{extension: 3}
	payload := make([]byte, 1200)
	buf := make([]byte, 1500)
	check := func(seq uint16) {
		t.Helper()
		n := rand.IntN(len(payload))
		for i := range n {
			payload[i] = byte(rand.Uint32())
		}
		h := rtp.Header{Version: 2, Marker: n%2 == 0, PayloadType: 96, SequenceNumber: seq, Timestamp: rand.Uint32(), SSRC: 0xfedcba98}
		wide := [2]byte{byte(n), byte(n >> 8)}
		if err := h.SetExtension(d.extension, wide[:]); err != nil {
			t.Fatal(err)
		}
		sealed := buf[:g.seal(buf, &h, d.rollover(seq), d.numbered(&h), payload[:n])]
		var got rtp.Packet
		plain, err := there.DecryptRTP(nil, sealed, &got.Header)
		if err != nil {
			t.Fatalf("packet %d: %v", seq, err)
		}
		if err := got.Unmarshal(plain); err != nil || !bytes.Equal(got.Payload, payload[:n]) || got.Marker != h.Marker ||
			got.PayloadType != 96 || got.SequenceNumber != seq || got.Timestamp != h.Timestamp || got.SSRC != h.SSRC ||
			!bytes.Equal(got.GetExtension(3), wide[:]) {
			t.Fatalf("packet %d came out as %v (%v), was %v", seq, got.Header, err, h)
		}
	}
	seq := uint16(65000)
	for range 300 {
		for range 10 {
			check(seq)
			seq++
		}
		check(seq - 1 - uint16(rand.IntN(500))) // may lie before the wrap
	}
}

func with(profiles ...dtls.SRTPProtectionProfile) clientConfig {
	return clientConfig{receive: true, setting: func(s *webrtc.SettingEngine) { s.SetSRTPProtectionProfiles(profiles...) }}
}

// watchShow writes pictures to a client until some have arrived after more than
// a cycle of pion's packets, and has it miss one.
func watchShow(t *testing.T, rooms *fakeRooms, tr *Transport, c *client) {
	t.Helper()
	sub := wait(t, rooms.subs, "subscription")
	pk := new(fakePacketizer)
	const pictures = 40
	for i := range uint32(pictures) {
		sub.sink.WriteVideo(picture(tr.codecs[0], pk, 1, i*3600, i == 0, 2500))
		sub.sink.WriteAudio(&mixer.Packet{Codec: tr.codecs[1], Payload: []byte{1, 0, 0, byte(i)}, Time: time.Now()})
		for range 3 {
			wait(t, c.rtp, "packet of a picture")
		}
		wait(t, c.sound, "sound")
	}
	sub.sink.WriteVideo(picture(tr.codecs[0], pk, 1, pictures*3600, true, 2500))
	p := wait(t, c.rtp, "packet")
	if err := c.pc.WriteRTCP([]rtcp.Packet{
		&rtcp.TransportLayerNack{MediaSSRC: p.SSRC, Nacks: rtcp.NackPairsFromSequenceNumbers([]uint16{p.SequenceNumber - 7})},
	}); err != nil {
		t.Fatal(err)
	}
	for {
		if again := wait(t, c.rtp, "retransmission"); again.SequenceNumber == p.SequenceNumber-7 {
			return
		}
	}
}

// TestProfiles: GCM goes the direct way, AES_CM pion's, and both arrive.
func TestProfiles(t *testing.T) {
	for _, c := range []struct {
		name   string
		cfg    clientConfig
		direct bool
	}{
		{"GCM", with(dtls.SRTP_AEAD_AES_128_GCM), true},
		{"both", with(dtls.SRTP_AES128_CM_HMAC_SHA1_80, dtls.SRTP_AEAD_AES_128_GCM), true},
		{"AES_CM", with(dtls.SRTP_AES128_CM_HMAC_SHA1_80), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			rooms := newFakeRooms()
			tr := newTransport(t, rooms)
			cl := newClient(t, c.cfg)
			cl.join(tr, viewer)
			watchShow(t, rooms, tr, cl)
			p := tr.peer(cl.answer.ID)
			if _, is := p.sink.video.writer.(*direct); is != c.direct {
				t.Errorf("goes the direct way: %t, want %t", is, c.direct)
			}
			if p.route.Load() == nil {
				t.Error("ICE chose a pair over UDP, and there is no route")
			}
		})
	}
}

// TestDirectByTCP: who has GCM and no UDP gets all by pion.
func TestDirectByTCP(t *testing.T) {
	rooms := newFakeRooms()
	tr := newTransport(t, rooms)
	c := newClient(t, clientConfig{receive: true, setting: func(s *webrtc.SettingEngine) {
		s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4})
		s.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM)
	}})
	c.join(tr, viewer)
	watchShow(t, rooms, tr, c)
	if tr.peer(c.answer.ID).route.Load() != nil {
		t.Error("there is a route by UDP")
	}
}

// TestChangeOfWay: pion's rollover counter has kept up when it has to take over,
// however many packets went the direct way before.
func TestChangeOfWay(t *testing.T) {
	rooms := newFakeRooms()
	tr := newTransport(t, rooms)
	c := newClient(t, with(dtls.SRTP_AEAD_AES_128_GCM))
	c.join(tr, viewer)
	wait(t, rooms.subs, "subscription")
	p := tr.peer(c.answer.ID)
	tr.pacer.remove(p.sink) // what it would write is written here
	o := p.sink.video
	o.seq = 60_000 // pion sees few packets before the first wrap
	small := picture(tr.codecs[0], new(fakePacketizer), 1, 0, true, 10)[0]
	at := 0
	send := func() {
		t.Helper()
		if err := o.write(small, time.Now()); err != nil {
			t.Fatal(err)
		}
		tr.sockets.flush()
		if got := wait(t, c.rtp, fmt.Sprintf("packet %d", at)); got.SequenceNumber != o.seq-1 {
			t.Fatalf("got packet %d, sent %d", got.SequenceNumber, o.seq-1)
		}
	}
	for i := range 66_000 {
		at = i
		send()
	}
	p.route.Store(nil)
	for range 100 {
		send()
	}
}

// TestWithoutGCM: a client whose SDP looks young but that has no GCM fails once, and
// comes in when it tries again.
func TestWithoutGCM(t *testing.T) {
	rooms := newFakeRooms()
	tr := newTransport(t, rooms)
	cfg := with(dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	young := func(c *client) string { return c.offer() + "a=fmtp:45 level-idx=5;profile=0;tier=0\r\n" }

	c := newClient(t, cfg)
	a, err := tr.Offer(context.Background(), viewer, young(c))
	if err != nil {
		t.Fatal(err)
	}
	p := tr.peer(a.ID)
	c.accept(a)
	wait(t, p.closed, "end of the first try")
	if !p.onlyGCM || !errors.Is(p.reason, errFailed) {
		t.Fatalf("only GCM %t, ended by %v", p.onlyGCM, p.reason)
	}
	for deadline := time.Now().Add(patience); !tr.refused.has(p); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not remembered")
		}
	}
	c = newClient(t, cfg)
	if a, err = tr.Offer(context.Background(), viewer, young(c)); err != nil {
		t.Fatal(err)
	}
	c.accept(a)
	wait(t, c.up, "connection at the second try")
	watchShow(t, rooms, tr, c)

	// A browser of that age gets no choice and has GCM.
	c = newClient(t, with(dtls.SRTP_AES128_CM_HMAC_SHA1_80, dtls.SRTP_AEAD_AES_128_GCM))
	other := viewer
	other.Identity.ID = "browser"
	if a, err = tr.Offer(context.Background(), other, young(c)); err != nil {
		t.Fatal(err)
	}
	c.accept(a)
	wait(t, c.up, "connection")
	watchShow(t, rooms, tr, c)
	if _, is := tr.peer(a.ID).sink.video.writer.(*direct); !is {
		t.Error("does not go the direct way")
	}
}
