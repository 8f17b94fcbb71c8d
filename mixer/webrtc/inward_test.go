package webrtc

import (
	"testing"
	"time"

	"github.com/pion/dtls/v2"
	"github.com/pion/webrtc/v3"
)

// TestInward: pictures come where they are read, over a wrap of the sequence
// number, and pion keeps being able to take them when they no longer do.
func TestInward(t *testing.T) {
	for name, profile := range map[string]dtls.SRTPProtectionProfile{"GCM": dtls.SRTP_AEAD_AES_128_GCM, "CM": dtls.SRTP_AES128_CM_HMAC_SHA1_80} {
		t.Run(name, func(t *testing.T) {
			rooms := newFakeRooms()
			tr := newTransport(t, rooms)
			c := newClient(t, clientConfig{publish: true, receive: true, setting: func(s *webrtc.SettingEngine) { s.SetSRTPProtectionProfiles(profile) }})
			c.join(tr, member)
			pub := wait(t, rooms.pubs, "publication")
			p := tr.peer(c.answer.ID)
			in := p.inward.Load()
			if in == nil {
				t.Fatal("no direct way in")
			}
			seq, key, pk := uint16(1<<16-300), true, new(fakePacketizer)
			send := func(n int) {
				t.Helper()
				for i := range n {
					c.send(&key, pk, &seq, uint32(i), 500, nil)
					wait(t, pub.units, "unit")
				}
			}
			send(600)
			in.mu.Lock()
			taken, strange := in.taken, in.strange
			in.mu.Unlock()
			if taken < 500 || strange != 0 {
				t.Errorf("%d of 600 packets went the direct way, %d could not be opened", taken, strange)
			}
			// As when the client moves to TCP.
			p.shut()
			send(10)
			p.open(in)
			send(10)
			// A context that is wrong leaves all to pion.
			in.mu.Lock()
			in.strange = maxStrange + 1
			in.mu.Unlock()
			send(10)
		})
	}
}

// TestInwardStranger: what cannot be opened is left to pion, and addresses are
// forgotten with their session.
func TestInwardStranger(t *testing.T) {
	rooms := newFakeRooms()
	tr := newTransport(t, rooms)
	c := newClient(t, clientConfig{publish: true, receive: true})
	c.join(tr, member)
	wait(t, rooms.pubs, "publication")
	p := tr.peer(c.answer.ID)
	in, r := p.inward.Load(), p.route.Load()
	if in == nil || r == nil || r.inwards.of(r.from) != in {
		t.Fatal("no direct way in")
	}
	p.ssrcs.add(7)
	now := time.Now()
	if in.take([]byte{0x80, 201, 0, 1, 0, 0, 0, 7, 0, 0, 0, 0}, nil, now.Add(showEvery)) {
		t.Error("ICE does not see that the client is there")
	}
	forged := append([]byte{0x80, 96, 0, 99, 0, 0, 0, 0, 0, 0, 0, 7}, make([]byte, 100)...)
	if in.take(forged, make([]byte, 0, maxDatagram), now) || in.strange == 0 {
		t.Error("a forged packet was taken")
	}
	if report := append([]byte{0x80, 201, 0, 1, 0, 0, 0, 7}, make([]byte, 40)...); in.take(report, nil, now) {
		t.Error("a forged report was taken")
	}
	if err := tr.Hangup(t.Context(), c.answer.ID); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); r.inwards.of(r.from) != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the address is still known")
		}
	}
}
