package rtp

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"mixdown/codec"
)

func FuzzSDP(f *testing.F) {
	f.Add(sdpOf("m=audio 9 RTP/AVP 0 8 101", "a=rtpmap:101 telephone-event/8000", "m=video 11 RTP/SAVPF 96", "a=rtpmap:96 H264/90000", "a=fmtp:96 profile-level-id=42e01f;max-fs=99", "a=rtcp-fb:* ccm tmmbr"))
	f.Add(sdpOf("m=audio 9 RTP/SAVP 0", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA|2^31|1:1", "a=rtcp:53020 IN IP6 2001:db8::1"))
	f.Add("v=0")
	legs := set.For(codec.Legs)
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parse(text)
		if err != nil {
			return
		}
		var w writer
		w.begin("1", 1, netip.MustParseAddr("127.0.0.1"))
		for i := range d.media {
			m := &d.media[i]
			if m.kind == 0 || m.refused {
				continue
			}
			a, ok := agree(m, legs, session("a"))
			if !ok {
				continue
			}
			if a.secure(m, Optional, nil, nil) != nil {
				continue
			}
			a.tier((&hall{}).Rungs().Tiers, a.limit)
			one := described{agreement: a, mid: m.mid, port: 20000, proto: m.proto}
			if a.out != nil {
				one.keys = []key{*a.out}
			}
			w.media(one)
		}
	})
}

// Datagrams of all sorts come to a leg's lines.
func FuzzDatagrams(f *testing.F) {
	f.Add([]byte{0x80, 96, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4, 0x10, 0x02, 0, 9}, false, false)
	f.Add([]byte{0x80, 101, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 0, 1, 0}, true, false)
	f.Add([]byte{0x80, 200, 0, 6, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3}, true, true)
	f.Add([]byte{0x83, 205, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 8, 0, 1, 0}, false, true)
	tr, err := New(DefaultConfig(), set, &hall{}, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	from := netip.MustParseAddrPort("127.0.0.1:9")
	f.Fuzz(func(t *testing.T, b []byte, sound, control bool) {
		l := &Leg{transport: tr, cfg: tr.cfg, meter: tr.meter, log: tr.log, source: newSource(), done: make(chan struct{})}
		l.sink = newSink(l)
		at := &seat{leg: l, pub: &hall{}}
		l.source.pub.Store(at)
		l.seat = at
		kind, name, pt := codec.Video, "VP8", uint8(96)
		as := videoLine
		if sound {
			kind, name, pt = codec.Audio, "PCMU", 0
			as = soundLine
			l.source.voiceFor(set.Find(name))
			defer l.source.close()
		}
		n := &line{leg: l, role: as, kind: kind, pictures: l.source.of(as), out: newOutgoing()}
		c := set.Find(name)
		n.agreed.Store(&agreement{
			kind: kind, formats: []format{{codec: c, takes: c, pt: pt}}, events: []event{{101, 8000}}, comfort: true, nack: true, takes: true,
		})
		l.lines[as] = n
		socket := forRTP
		if control {
			socket = forRTCP
		}
		now := time.Unix(1e9, 0)
		for i := range 3 {
			if len(b) > 3 {
				b[3] += byte(i)
			}
			n.take(socket, b, from, now.Add(time.Duration(i)*20*time.Millisecond))
		}
		if sound {
			l.source.voice.Pull(make([]int16, 960))
		}
	})
}
