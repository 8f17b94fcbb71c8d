package webrtc

import (
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v3"
)

// TestReturn: a client that was out of reach gets a keyframe, and is asked for
// one, as soon as its connection stands again. A new one is not asked twice.
func TestReturn(t *testing.T) {
	rooms := newFakeRooms()
	tr := newTransport(t, rooms)
	c := newClient(t, clientConfig{publish: true, receive: true})
	c.join(tr, member)
	pub := wait(t, rooms.pubs, "publication")
	sub := wait(t, rooms.subs, "subscription")
	wait(t, sub.keys, "keyframe request at the start")
	var seq uint16
	key := true
	c.send(&key, new(fakePacketizer), &seq, 0, 500, nil)
	wait(t, pub.units, "unit")
	p := tr.peer(c.answer.ID)
	if n := sub.resumed.Load(); n != 0 {
		t.Errorf("resumed %d times before anything was interrupted", n)
	}
	p.stateChanged(webrtc.PeerConnectionStateDisconnected)
	p.stateChanged(webrtc.PeerConnectionStateConnected)
	if n := sub.resumed.Load(); n != 1 {
		t.Errorf("resumed %d times", n)
	}
	waitRTCP[*rtcp.PictureLossIndication](c)

	// Its first packet after a silence says so before the connection does, once.
	long := time.Now().Add(-2 * outOfReach).UnixNano()
	p.resumed.Store(long)
	p.heard.Store(long)
	for range 2 {
		c.send(&key, new(fakePacketizer), &seq, 0, 500, nil)
		wait(t, pub.units, "unit")
	}
	if n := sub.resumed.Load(); n != 2 {
		t.Errorf("resumed %d times", n)
	}
	if tr.peer(c.answer.ID) == nil {
		t.Error("the session is gone")
	}
}
