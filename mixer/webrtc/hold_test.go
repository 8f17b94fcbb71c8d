package webrtc

import (
	"errors"
	"strings"
	"testing"
	"time"

	"mixdown/mixer"
)

// TestHold has a client put its session on hold and take it up again.
func TestHold(t *testing.T) {
	rooms := newFakeRooms()
	tr := newTransport(t, rooms)
	c := newClient(t, clientConfig{receive: true})
	c.join(tr, viewer)
	sub := wait(t, rooms.subs, "subscription")
	wait(t, sub.keys, "keyframe request at the start") // the sink has its place from then on
	vp8, pk := tr.codecs[0], new(fakePacketizer)
	sub.sink.WriteVideo(picture(vp8, pk, 1, 0, true, 500))
	began := wait(t, c.rtp, "packet").Timestamp

	first := c.pc.LocalDescription().SDP
	hold := strings.ReplaceAll(first, "a=recvonly", "a=inactive")
	a, held, err := tr.Reoffer(t.Context(), c.answer.ID, hold)
	if err != nil || !held || strings.Contains(a.SDP, "a=sendonly") || !strings.Contains(a.SDP, "a=inactive") {
		t.Fatalf("hold: %v, held %v\n%s", err, held, a.SDP)
	}
	version := func(sdp string) string { return strings.Fields(sdp[strings.Index(sdp, "o="):])[2] }
	if version(a.SDP) == version(c.answer.SDP) {
		t.Errorf("version %s as before", version(a.SDP))
	}
	for i := range 5 {
		sub.sink.WriteVideo(picture(vp8, pk, 1, uint32(3600*(i+1)), i == 0, 500))
	}

	for _, bad := range []string{
		"v=0", strings.Replace(first, "m=video", "m=text", 1), strings.Replace(first, "a=fingerprint:sha-256 ", "a=fingerprint:sha-256 00:", 1),
		first[:strings.LastIndex(first, "m=")],
	} {
		if _, _, err := tr.Reoffer(t.Context(), c.answer.ID, bad); !errors.Is(err, mixer.ErrBadOffer) {
			t.Errorf("%v for\n%s", err, bad)
		}
	}
	if _, _, err := tr.Reoffer(t.Context(), "nobody", first); !errors.Is(err, mixer.ErrNoSession) {
		t.Errorf("nobody's session: %v", err)
	}

	a, held, err = tr.Reoffer(t.Context(), c.answer.ID, first)
	if err != nil || held || !strings.Contains(a.SDP, "a=sendonly") {
		t.Fatalf("resume: %v, held %v\n%s", err, held, a.SDP)
	}
	if sub.resumed.Load() != 1 {
		t.Errorf("a keyframe was asked for %d times", sub.resumed.Load())
	}
	// What builds on pictures that did not go out does not either.
	sub.sink.WriteVideo(picture(vp8, pk, 1, 360_000, false, 500))
	sub.sink.WriteVideo(picture(vp8, pk, 1, 720_000, true, 500))
	if p := wait(t, c.rtp, "packet after resuming"); p.Timestamp-began != 720_000 {
		t.Errorf("a picture %d after the first went out", p.Timestamp-began)
	}
}

// TestReofferRestart has a further offer bring other ICE credentials: media go on
// both ways over what they lead to.
func TestReofferRestart(t *testing.T) {
	rooms := newFakeRooms()
	tr := newTransport(t, rooms)
	c := newClient(t, clientConfig{publish: true, receive: true})
	c.join(tr, member)
	pub, sub := wait(t, rooms.pubs, "publication"), wait(t, rooms.subs, "subscription")
	wait(t, sub.keys, "keyframe request at the start")
	ufrag := func(text string) string {
		t.Helper()
		d, err := parseSDP(text)
		if err != nil {
			t.Fatal(err)
		}
		u, _ := credentials(d)
		return u
	}
	before := ufrag(c.pc.LocalDescription().SDP)
	again := c.restart()
	if ufrag(again) == before {
		t.Fatal("the client did not restart ICE")
	}
	a, held, err := tr.Reoffer(t.Context(), c.answer.ID, again)
	if err != nil || held {
		t.Fatalf("held %v, %v", held, err)
	}
	if ufrag(a.SDP) == ufrag(c.answer.SDP) || a.ETag == c.answer.ETag {
		t.Fatalf("credentials %q or ETag %s as before", ufrag(a.SDP), a.ETag)
	}
	c.accept(a)
	var seq uint16
	vp8, down, up, key := tr.codecs[0], new(fakePacketizer), new(fakePacketizer), true
	deadline := time.After(patience)
	for i, in, out := uint32(0), false, false; !in || !out; i++ {
		c.send(&key, up, &seq, i*3000, 100, nil)
		sub.sink.WriteVideo(picture(vp8, down, 1, i*3000, true, 100))
		select {
		case <-pub.units:
			in = true
		case <-c.rtp:
			out = true
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			t.Fatalf("after the restart came in %v, went out %v", in, out)
		}
	}
	// An offer like the last restarts nothing.
	same, _, err := tr.Reoffer(t.Context(), c.answer.ID, again)
	if err != nil || ufrag(same.SDP) != ufrag(a.SDP) {
		t.Errorf("the same offer again: %v, credentials %q, were %q", err, ufrag(same.SDP), ufrag(a.SDP))
	}
}
