package rtp

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"mixdown/mixer"
)

func TestAnswers(t *testing.T) {
	const key = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	tr, h := newTransport(t, 33000, nil)
	strict, _ := newTransport(t, 33200, func(c *Config) { c.SRTP = Required })
	open, _ := newTransport(t, 33400, func(c *Config) { c.SRTP = Off })
	with := func(floor ...string) []string { // slides, and who shows them
		return append([]string{"m=audio 9 RTP/AVP 0", "m=video 9 RTP/AVP 96", "a=rtpmap:96 VP8/90000", "m=video 11 RTP/AVP 96", "a=content:slides", "a=rtpmap:96 VP8/90000"}, floor...)
	}
	for _, c := range []struct {
		name  string
		by    *Transport
		offer []string
		want  []string // in the answer, else in the error
		not   []string
		err   error
		tier  string // that fits
	}{
		{"order", tr, []string{"m=audio 9 RTP/AVP 8 0 9 96", "a=rtpmap:96 opus/48000/2"}, []string{"RTP/AVP 96 9 0 8", "rtpmap:0 PCMU/8000", "a=sendrecv"}, nil, nil, ""},
		{"opus of one channel is none", tr, []string{"m=audio 9 RTP/AVP 96", "a=rtpmap:96 opus/48000"}, []string{"no audio codec"}, nil, mixer.ErrNoCodec, ""},
		{"L16 is for inside", tr, []string{"m=audio 9 RTP/AVP 96 0", "a=rtpmap:96 L16/48000/2"}, []string{"RTP/AVP 0"}, []string{"L16"}, nil, ""},
		{"G722", tr, []string{"m=audio 9 RTP/AVP 9", "a=rtpmap:9 G722/8000"}, []string{"a=rtpmap:9 G722/8000"}, nil, nil, ""},
		{"best H264", tr, []string{"m=video 9 RTP/AVP 96 97 98", "a=rtpmap:96 H264/90000", "a=fmtp:96 profile-level-id=64001f;packetization-mode=0", "a=rtpmap:97 H264/90000", "a=fmtp:97 profile-level-id=42801f;packetization-mode=1", "a=rtpmap:98 H264/90000", "a=fmtp:98 profile-level-id=64001f;packetization-mode=1"},
			[]string{"RTP/AVP 97\r\n", "profile-level-id=42801f;packetization-mode=1"}, nil, nil, "720p"},
		{"level 1.3", tr, []string{"m=video 9 RTP/AVP 96", "a=rtpmap:96 H264/90000", "a=fmtp:96 profile-level-id=42e00d"}, []string{"packetization-mode=0"}, nil, nil, "180p"},
		{"max-fs raises", tr, []string{"m=video 9 RTP/AVP 96", "a=rtpmap:96 H264/90000", "a=fmtp:96 profile-level-id=42e00d;max-fs=3600;max-mbps=108000;max-br=4000"}, nil, nil, nil, "720p"},
		{"b=AS", tr, []string{"m=video 9 RTP/AVP 96", "b=AS:500", "a=rtpmap:96 VP8/90000"}, nil, nil, nil, "360p"},
		{"b=TIAS", tr, []string{"m=video 9 RTP/AVP 96", "b=TIAS:20000", "a=rtpmap:96 VP8/90000"}, nil, nil, nil, "last"},
		{"VP8 max-fs", tr, []string{"m=video 9 RTP/AVP 96", "a=rtpmap:96 VP8/90000", "a=fmtp:96 max-fs=920;max-fr=30"}, nil, nil, nil, "360p"},
		{"slides", tr, with("m=application 13 UDP/BFCP *", "a=floorctrl:c-only c-s"),
			[]string{" RTP/AVP 96\r\na=rtcp:33", "a=content:slides\r\na=label:1\r\na=recvonly", " UDP/BFCP *\r\na=floorctrl:s-only\r\na=confid:", "a=userid:", "a=floorid:1 mstrm:1"}, []string{"m=video 0", "m=application 0"}, nil, "720p"},
		{"slides and nobody to ask", tr, with(), []string{"m=video 0 RTP/AVP 96"}, []string{"slides"}, nil, "720p"},
		{"slides with a floor that was refused", tr, with("m=application 0 UDP/BFCP *"), []string{"m=video 0 RTP/AVP 96", "m=application 0 UDP/BFCP *"}, []string{"slides"}, nil, "720p"},
		{"slides with a floor of its own", tr, with("m=application 13 UDP/BFCP *", "a=floorctrl:s-only"), []string{"m=video 0 RTP/AVP 96", "m=application 0 UDP/BFCP *"}, []string{"slides"}, nil, "720p"},
		{"slides with a floor by TCP", tr, with("m=application 13 TCP/BFCP *", "a=floorctrl:c-only", "a=setup:active"), []string{"m=video 0 RTP/AVP 96", "m=application 0 TCP/BFCP *"}, []string{"slides"}, nil, "720p"},
		{"slides with a floor by DTLS", tr, with("m=application 13 UDP/TLS/BFCP *", "a=floorctrl:c-only"), []string{"m=video 0 RTP/AVP 96", "m=application 0 UDP/TLS/BFCP *"}, []string{"slides"}, nil, "720p"},
		{"slides in another codec", tr, []string{"m=audio 9 RTP/AVP 0", "m=application 13 UDP/BFCP *", "m=video 11 RTP/AVP 96", "a=content:slides", "a=rtpmap:96 H263/90000"}, []string{"m=application 0 UDP/BFCP *", "m=video 0 RTP/AVP 96"}, []string{"slides"}, nil, ""},
		{"a floor without slides", tr, []string{"m=audio 9 RTP/AVP 0", "m=application 13 UDP/BFCP *"}, []string{"m=application 0 UDP/BFCP *"}, nil, nil, ""},
		{"feedback", tr, []string{"m=video 9 RTP/AVPF 96", "a=rtpmap:96 VP8/90000", "a=rtcp-fb:* nack pli", "a=rtcp-fb:96 ccm tmmbr", "a=rtcp-mux"}, []string{"RTP/AVPF 96", "a=rtcp-fb:* nack pli", "a=rtcp-fb:* ccm tmmbr", "a=rtcp-mux"}, []string{"ccm fir", "* nack\r\n", "a=rtcp:"}, nil, "720p"},
		{"SRTP", tr, []string{"m=audio 9 RTP/SAVP 0", key}, []string{"RTP/SAVP 0", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"}, nil, nil, ""},
		{"SRTP beside AVP", tr, []string{"m=audio 9 RTP/AVP 0", key}, []string{"RTP/AVP 0", "a=crypto:1"}, nil, nil, ""},
		{"MKI", tr, []string{"m=audio 9 RTP/SAVP 0", key + "|2^20|1:4"}, []string{"no crypto suite"}, nil, mixer.ErrBadOffer, ""},
		{"plain to who requires", strict, []string{"m=audio 9 RTP/AVP 0"}, []string{"no media in the clear"}, nil, mixer.ErrBadOffer, ""},
		{"SAVP to who does not", open, []string{"m=audio 9 RTP/SAVP 0", key}, []string{"in the clear only"}, nil, mixer.ErrBadOffer, ""},
		{"on hold the old way", tr, []string{"m=audio 9 RTP/AVP 0", "c=IN IP4 0.0.0.0"}, []string{"a=recvonly"}, nil, nil, ""},
		{"multicast", tr, []string{"m=audio 9 RTP/AVP 0", "c=IN IP4 239.1.2.3"}, []string{"multicast"}, nil, mixer.ErrBadOffer, ""},
		{"a name", tr, []string{"m=audio 9 RTP/AVP 0", "c=IN IP4 host.example.org"}, []string{"no IP address"}, nil, mixer.ErrBadOffer, ""},
		{"nothing", tr, []string{"m=application 9 UDP/BFCP *"}, []string{"no audio or video"}, nil, mixer.ErrBadOffer, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, answer, err := c.by.Answer(t.Context(), session("a"), Params{}, sdpOf(c.offer...))
			text := answer
			if err != nil {
				text = err.Error()
			} else {
				defer l.Hangup(nil)
				if _, err := parse(answer); err != nil {
					t.Error(err)
				}
			}
			if !errors.Is(err, c.err) {
				t.Errorf("%v, want %v", err, c.err)
			}
			for _, w := range c.want {
				if !strings.Contains(text, w) {
					t.Errorf("no %q in %s", w, text)
				}
			}
			for _, w := range c.not {
				if strings.Contains(text, w) {
					t.Errorf("%q in %s", w, text)
				}
			}
			if c.tier != "" {
				tiers := h.Rungs().Tiers
				want := c.tier
				if want == "last" {
					want = tiers[len(tiers)-1].Name
				}
				if got := l.Info().Video.Fits; got != want {
					t.Errorf("fits %q, want %q", got, want)
				}
			}
		})
	}
}

// An own offer has all that there is, and its answer picks.
func TestOffer(t *testing.T) {
	tr, h := newTransport(t, 33600, nil)
	l, offer, err := tr.Offer(t.Context(), session("a"), Params{})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []string{"opus/48000/2", "G722/8000", "PCMU/8000", "telephone-event/8000", "VP8/90000", "H264/90000", "nack pli"} {
		if !strings.Contains(offer, w) {
			t.Errorf("no %s in %s", w, offer)
		}
	}
	if strings.Contains(offer, "L16") || strings.Contains(offer, "crypto") {
		t.Error(offer)
	}
	for _, bad := range []string{"", sdpOf("m=audio 9 RTP/AVP 0"), sdpOf("m=audio 0 RTP/AVP 0", "m=video 0 RTP/AVP 96"), sdpOf("m=audio 9 RTP/AVP 77", "m=video 0 RTP/AVP 96")} {
		if l.Accept(bad) == nil {
			t.Errorf("accepts %q", bad)
		}
	}
	if h.src != nil {
		t.Error("joined without an answer")
	}
	if err := l.Accept(sdpOf("m=audio 9 RTP/AVP 8", "m=video 0 RTP/AVP 96")); err != nil {
		t.Fatal(err)
	}
	if h.sink == nil || fmt.Sprint(h.sink.Codecs()) != "[PCMA]" {
		t.Errorf("joined with %v", h.sink)
	}
	again, err := l.Reoffer()
	if err != nil || !strings.Contains(again, "RTP/AVP 8") {
		t.Errorf("%v %s", err, again)
	}
	if err := l.Accept(sdpOf("m=audio 11 RTP/AVP 8", "m=video 0 RTP/AVP 96")); err != nil {
		t.Error(err)
	}
	if got := l.Info().Audio.Remote; got != "127.0.0.1:11" {
		t.Errorf("sends to %s", got)
	}
}

// Legs by addresses, and where they may go.
// Keys that are offered beside media in the clear are taken by who can, and what
// the configuration says is stronger.
func TestPreferred(t *testing.T) {
	for i, c := range []struct {
		own, other Policy
		suite      string // agreed on
	}{
		{Optional, Optional, "AEAD_AES_128_GCM"}, {Optional, Off, ""}, {Optional, Required, "AEAD_AES_128_GCM"}, {Off, Optional, ""},
	} {
		a, _ := newTransport(t, 35000+200*i, func(cfg *Config) { cfg.SRTP = c.own })
		b, _ := newTransport(t, 35100+200*i, func(cfg *Config) { cfg.SRTP = c.other })
		la, offer, err := a.Offer(t.Context(), session("a"), Params{SRTP: Preferred})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(offer, "RTP/AVP ") || strings.Contains(offer, "a=crypto") != (c.own == Optional) {
			t.Errorf("%v: %s", c, offer)
		}
		lb, answer, err := b.Answer(t.Context(), session("b"), Params{}, offer)
		if err != nil {
			t.Fatal(err)
		}
		if err := la.Accept(answer); err != nil {
			t.Fatal(err)
		}
		for _, l := range []*Leg{la, lb} {
			if info := l.Info(); info.Audio.SRTP != c.suite || info.Video.SRTP != c.suite {
				t.Errorf("%v: %q, %q", c, info.Audio.SRTP, info.Video.SRTP)
			}
		}
	}
}

func TestCreateLeg(t *testing.T) {
	tr, _ := newTransport(t, 33800, func(c *Config) {
		c.Allow = func(ip netip.Addr) error {
			if ip != netip.MustParseAddr("127.0.0.9") {
				return mixer.ErrForbidden
			}
			return nil
		}
	})
	audio := mixer.LegMedia{Kind: "audio", Address: "127.0.0.9:6000", Codec: "opus", PayloadType: 96}
	change := func(f func(*mixer.LegMedia)) mixer.LegRequest {
		m := audio
		f(&m)
		return mixer.LegRequest{Session: session("a"), Media: []mixer.LegMedia{m}}
	}
	l, err := tr.CreateLeg(t.Context(), change(func(*mixer.LegMedia) {}))
	if err != nil || l.Audio.Remote != "127.0.0.9:6000" || l.Type != "answer" {
		t.Fatalf("%+v %v", l, err)
	}
	if got := tr.ListLegs("a"); len(got) != 1 || got[0].ID != l.ID || len(tr.ListLegs("b")) != 0 {
		t.Errorf("%+v", got)
	}
	for name, r := range map[string]mixer.LegRequest{
		"elsewhere":    change(func(m *mixer.LegMedia) { m.Address = "127.0.0.1:6000" }),
		"no port":      change(func(m *mixer.LegMedia) { m.Address = "127.0.0.9" }),
		"no codec":     change(func(m *mixer.LegMedia) { m.Codec = "L16" }),
		"other kind":   change(func(m *mixer.LegMedia) { m.Codec = "VP8" }),
		"type":         change(func(m *mixer.LegMedia) { m.PayloadType = 5 }),
		"direction":    change(func(m *mixer.LegMedia) { m.Direction = "sideways" }),
		"line break":   change(func(m *mixer.LegMedia) { m.Fmtp = "a\r\nm=audio" }),
		"nothing":      {Session: session("a")},
		"two":          {Session: session("a"), Offer: true, SDP: "v=0"},
		"no such SRTP": {Session: session("a"), Offer: true, SRTP: "rot13"},
	} {
		if _, err := tr.CreateLeg(t.Context(), r); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	// A re-offer cannot lead elsewhere.
	if _, err := tr.UpdateLeg(t.Context(), l.ID, sdpOf("m=audio 9 RTP/AVP 0")); !errors.Is(err, mixer.ErrForbidden) {
		t.Errorf("moved: %v", err)
	}
	if err := tr.HangupLeg(t.Context(), l.ID); err != nil {
		t.Error(err)
	}
	if _, ok := tr.DescribeLeg(l.ID); ok || tr.HangupLeg(t.Context(), l.ID) == nil {
		t.Error("still there")
	}
}

func TestPortsEnd(t *testing.T) {
	tr, _ := newTransport(t, 34000, func(c *Config) { c.Last = c.First + 3 })
	legs := []*Leg{}
	for range 2 {
		l, _, err := tr.Answer(t.Context(), session("a"), Params{}, sdpOf("m=audio 9 RTP/AVP 0"))
		if err != nil {
			t.Fatal(err)
		}
		legs = append(legs, l)
	}
	if _, _, err := tr.Answer(t.Context(), session("a"), Params{}, sdpOf("m=audio 9 RTP/AVP 0")); !errors.Is(err, mixer.ErrNoPorts) {
		t.Errorf("a third pair: %v", err)
	}
	legs[0].Hangup(nil)
	eventually(t, "a port is free again", func() bool {
		_, _, err := tr.Answer(t.Context(), session("a"), Params{}, sdpOf("m=audio 9 RTP/AVP 0"))
		return err == nil
	})
}

func TestTMMBR(t *testing.T) {
	for _, bps := range []int{0, 64_000, 500_000, 1 << 17, 3_999_744} {
		raw, err := tmmb(fmtTMMBR, 1, 7, bps).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := parseTMMBR(raw, 7); !ok || got > bps || got < bps-bps/1000 {
			t.Errorf("%d comes back as %d, %v", bps, got, ok)
		}
		if _, ok := parseTMMBR(raw, 8); ok {
			t.Error("of another stream")
		}
	}
}
