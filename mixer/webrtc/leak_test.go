package webrtc

import (
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"mixdown/mixer"
)

// TestLeaks connects and disconnects in all the ways there are.
func TestLeaks(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	rooms := newFakeRooms()
	tr := newTransport(t, rooms)
	for i := range 20 {
		c := newClient(t, clientConfig{publish: true, receive: true})
		c.join(tr, member)
		pub, sub := wait(t, rooms.pubs, "publication"), wait(t, rooms.subs, "subscription")
		switch i % 4 {
		case 0:
			if err := tr.Hangup(t.Context(), c.answer.ID); err != nil {
				t.Fatal(err)
			}
			c.close()
		case 1:
			c.close()
			sub.sink.Close(mixer.ErrRoomClosed)
		case 2:
			pub.source.Close(mixer.ErrReplaced)
			pub.source.Close(mixer.ErrReplaced)
			c.close()
		case 3: // stays until the transport closes
			defer c.close()
			continue
		}
		wait(t, pub.closed, "end of the publication")
		wait(t, sub.closed, "end of the subscription")
	}
	if n := testutil.ToFloat64(tr.meter.sessions.WithLabelValues("mix")); n < 5 {
		t.Fatalf("%v sessions before the end", n)
	}
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	if err := tr.Close(); err != nil {
		t.Fatalf("closed again: %v", err)
	}
	if n := testutil.ToFloat64(tr.meter.sessions.WithLabelValues("mix")); n != 0 {
		t.Fatalf("%v sessions after the end", n)
	}
}

// TestFarewell: a client that goes without a word by HTTP is gone once its
// connection is silent, not when ICE fails.
func TestFarewell(t *testing.T) {
	rooms := newFakeRooms()
	tr := newTransport(t, rooms)
	c := newClient(t, clientConfig{receive: true})
	c.join(tr, viewer)
	sub := wait(t, rooms.subs, "subscription")
	p := tr.peer(c.answer.ID)

	// Somebody else cannot say it for the client.
	p.farewell(time.Now())
	select {
	case <-p.closed:
		t.Fatal("closed by a hint alone")
	default:
	}
	p.left.Store(0)
	p.silent(time.Now())
	select {
	case <-p.closed:
		t.Fatal("closed by silence alone")
	default:
	}

	c.close()
	wait(t, sub.closed, "end of the subscription")
}

func TestGarbage(t *testing.T) {
	rooms := newFakeRooms()
	tr := newTransport(t, rooms)
	c := newClient(t, clientConfig{receive: true})
	c.join(tr, viewer)
	sub := wait(t, rooms.subs, "subscription")
	conn, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: tr.Port()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	rtp := append([]byte{0x80, 96, 0, 1}, make([]byte, 40)...)
	stun := append([]byte{0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42}, make([]byte, 20)...)
	for range 10 {
		for _, b := range [][]byte{{0xff, 1, 2}, {70}, {}, rtp, stun, stun[:10]} {
			if _, err := conn.Write(b); err != nil {
				t.Fatal(err)
			}
		}
	}
	deadline := time.Now().Add(patience)
	for {
		m := tr.meter
		bad := testutil.ToFloat64(m.badDatagram)
		stranger, badSTUN := testutil.ToFloat64(m.badStranger), testutil.ToFloat64(m.badSTUN)
		if bad >= 30 && stranger >= 10 && badSTUN >= 10 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("counted %v datagrams, %v of strangers, %v STUN", bad, stranger, badSTUN)
		}
		time.Sleep(time.Millisecond)
	}
	// The others do not notice.
	sub.sink.WriteVideo(picture(tr.codecs[0], new(fakePacketizer), 1, 0, true, 100))
	wait(t, c.rtp, "picture")
}
