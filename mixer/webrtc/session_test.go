package webrtc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v3"

	"mixdown/mixer"
)

func TestMix(t *testing.T) {
	rooms := newFakeRooms()
	tr := newTransport(t, rooms)
	c := newClient(t, clientConfig{publish: true, receive: true})
	start := time.Now()
	c.join(tr, member)
	pub, sub := wait(t, rooms.pubs, "publication"), wait(t, rooms.subs, "subscription")
	t.Logf("joined after %v", time.Since(start))
	if n := strings.Count(c.answer.SDP, "a=sendrecv"); n != 2 {
		t.Fatalf("%d m-lines are sendrecv:\n%s", n, c.answer.SDP)
	}
	streams := make(map[string]int)
	for _, l := range strings.Split(c.answer.SDP, "\r\n") {
		if v, ok := strings.CutPrefix(l, "a=msid:"); ok {
			streams[strings.Fields(v)[0]]++
		}
	}
	if len(streams) != 1 {
		t.Fatalf("tracks are in %d streams", len(streams))
	}
	var seq uint16
	key := true
	c.send(&key, new(fakePacketizer), &seq, 0, 500, nil)
	wait(t, pub.units, "unit")
	sub.sink.WriteVideo(picture(tr.codecs[0], new(fakePacketizer), 1, 0, true, 500))
	wait(t, c.rtp, "picture")

	// The room throws the person out of one half; the session ends whole.
	pub.source.Close(mixer.ErrRemoved)
	wait(t, pub.closed, "end of the publication")
	wait(t, sub.closed, "end of the subscription")
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if _, ok := tr.Session(c.answer.ID); !ok {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("session still there")
		}
	}
	if err := tr.Hangup(t.Context(), c.answer.ID); !errors.Is(err, mixer.ErrNoSession) {
		t.Fatalf("hangup of a session that ended: %v", err)
	}
}

func TestSenderReports(t *testing.T) {
	rooms := newFakeRooms()
	tr := newTransport(t, rooms)
	c := newClient(t, clientConfig{receive: true})
	reports := make(chan *rtcp.SenderReport, 100)
	for _, tc := range c.pc.GetTransceivers() {
		go func() {
			for {
				ps, _, err := tc.Receiver().ReadRTCP()
				if err != nil {
					return
				}
				for _, p := range ps {
					if r, ok := p.(*rtcp.SenderReport); ok {
						reports <- r
					}
				}
			}
		}()
	}
	c.join(tr, viewer)
	sub := wait(t, rooms.subs, "subscription")
	pic := picture(tr.codecs[0], new(fakePacketizer), 1, 777, true, 100)
	sub.sink.WriteVideo(pic)
	got := wait(t, c.rtp, "picture")
	for {
		r := wait(t, reports, "sender report")
		if r.SSRC != got.SSRC {
			continue
		}
		// The report's time is later than the packet's by as many ticks, and what
		// pictures are told to be behind.
		since := ntpTime(r.NTPTime).Sub(pic[0].Time) - behind
		ticks := int32(r.RTPTime - got.Timestamp)
		if d := time.Duration(ticks)*time.Second/90000 - since; d < -time.Millisecond || d > time.Millisecond {
			t.Fatalf("report is %v off: %d ticks after %v", d, ticks, since)
		}
		return
	}
}

func ntpTime(v uint64) time.Time {
	const since1900 = 2_208_988_800
	return time.Unix(int64(v>>32)-since1900, int64((v&0xffffffff)*1e9>>32))
}

func TestTCPOnly(t *testing.T) {
	rooms := newFakeRooms()
	tr := newTransport(t, rooms)
	c := newClient(t, clientConfig{receive: true, setting: func(s *webrtc.SettingEngine) {
		s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4})
	}})
	c.join(tr, viewer)
	sub := wait(t, rooms.subs, "subscription")
	pair, err := c.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil || pair.Remote.Protocol != webrtc.ICEProtocolTCP {
		t.Fatalf("connected over %v: %v", pair, err)
	}
	sub.sink.WriteVideo(picture(tr.codecs[0], new(fakePacketizer), 1, 0, true, 50_000))
	for range 51 {
		wait(t, c.rtp, "packet over TCP")
	}
}

func TestRestart(t *testing.T) {
	rooms := newFakeRooms()
	tr := newTransport(t, rooms)
	c := newClient(t, clientConfig{publish: true})
	c.join(tr, publisher)
	pub := wait(t, rooms.pubs, "publication")

	again := c.restart()
	var frag strings.Builder
	for _, l := range strings.Split(again, "\r\n") {
		if strings.HasPrefix(l, "a=ice-ufrag") || strings.HasPrefix(l, "a=ice-pwd") || strings.HasPrefix(l, "a=candidate") {
			frag.WriteString(l + "\r\n")
		}
	}
	if _, _, err := tr.Patch(t.Context(), c.answer.ID, "another", frag.String()); !errors.Is(err, mixer.ErrStale) {
		t.Fatalf("another ETag: %v", err)
	}
	answer, etag, err := tr.Patch(t.Context(), c.answer.ID, "*", frag.String())
	if err != nil {
		t.Fatal(err)
	}
	if etag == c.answer.ETag || answer == "" {
		t.Fatalf("ETag %q as before, answer %q", etag, answer)
	}
	if _, _, err := tr.Patch(t.Context(), c.answer.ID, c.answer.ETag, "a=end-of-candidates\r\n"); !errors.Is(err, mixer.ErrStale) {
		t.Fatalf("former ETag: %v", err)
	}
	// The client puts the fragment into the answer it has, as browsers' pages do.
	f, err := parseFragment(answer)
	if err != nil || len(f.candidates) == 0 {
		t.Fatalf("%v in %q", err, answer)
	}
	var sdp strings.Builder
	for _, l := range strings.SplitAfter(c.answer.SDP, "\r\n") {
		switch {
		case strings.HasPrefix(l, "a=ice-ufrag"):
			fmt.Fprintf(&sdp, "a=ice-ufrag:%s\r\n", f.ufrag)
		case strings.HasPrefix(l, "a=ice-pwd"):
			fmt.Fprintf(&sdp, "a=ice-pwd:%s\r\n", f.pwd)
		default:
			sdp.WriteString(l)
		}
	}
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: sdp.String()}); err != nil {
		t.Fatal(err)
	}
	// Media goes on.
	var seq uint16
	pk, key := new(fakePacketizer), true
	deadline := time.After(patience)
	for i := uint32(0); ; i++ {
		c.send(&key, pk, &seq, i*3000, 100, nil)
		select {
		case <-pub.units:
			return
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			t.Fatal("no unit after the restart")
		}
	}
}

func TestTrickle(t *testing.T) {
	rooms := newFakeRooms()
	tr := newTransport(t, rooms)
	c := newClient(t, clientConfig{receive: true})
	full := c.offer()
	var bare, frag strings.Builder
	for _, l := range strings.SplitAfter(full, "\r\n") {
		if strings.HasPrefix(l, "a=candidate") {
			frag.WriteString(l)
		} else if !strings.HasPrefix(l, "a=end-of-candidates") {
			bare.WriteString(l)
		}
	}
	a, err := tr.Offer(context.Background(), viewer, bare.String())
	if err != nil {
		t.Fatal(err)
	}
	answer, etag, err := tr.Patch(t.Context(), a.ID, `"`+a.ETag+`"`, frag.String())
	if err != nil || answer != "" || etag != a.ETag {
		t.Fatalf("answer %q, ETag %q, %v", answer, etag, err)
	}
	c.accept(a)
	wait(t, c.up, "connection")
	wait(t, rooms.subs, "subscription")
}

func TestRefused(t *testing.T) {
	rooms := newFakeRooms()
	rooms.fails = mixer.ErrFull
	tr := newTransport(t, rooms)
	c := newClient(t, clientConfig{publish: true, receive: true})
	a, err := tr.Offer(t.Context(), member, c.offer())
	if err != nil {
		t.Fatal(err)
	}
	p := tr.peer(a.ID)
	c.accept(a)
	wait(t, p.closed, "end of a session that the room refuses")
	if !errors.Is(p.reason, mixer.ErrFull) {
		t.Fatalf("ended with %v", p.reason)
	}
}
