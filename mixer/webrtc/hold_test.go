package webrtc

import (
	"errors"
	"strings"
	"testing"

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
