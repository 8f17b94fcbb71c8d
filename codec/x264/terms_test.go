package x264

import (
	"strings"
	"testing"

	"mixdown/codec"
)

func TestNegotiate(t *testing.T) {
	for _, c := range []struct {
		fmtp          string
		ok, split     bool
		pixels, speed int
		bitrate       int
		answer        string
	}{
		{"", true, true, 99 * 256, 1485 * 256, 64_000, "profile-level-id=42000a;packetization-mode=0"},
		{"profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1", true, false, 3600 * 256, 108000 * 256, 14e6, "level-asymmetry-allowed=1;profile-level-id=42e01f;packetization-mode=1"},
		{"profile-level-id=42801e; packetization-mode=0", true, true, 1620 * 256, 40500 * 256, 10e6, "profile-level-id=42801e;packetization-mode=0"},
		{"profile-level-id=42e00d;packetization-mode=1;max-fs=3600;max-mbps=108000;max-br=1500", true, false, 3600 * 256, 108000 * 256, 1.5e6, "profile-level-id=42e00d;packetization-mode=1"},
		{"profile-level-id=42f00b", true, true, 99 * 256, 1485 * 256, 128_000, "profile-level-id=42f00b;packetization-mode=0"},
		{"profile-level-id=640028;packetization-mode=1", true, false, 8192 * 256, 245760 * 256, 20e6, "profile-level-id=64001f;packetization-mode=1"},
		{"profile-level-id=f4001f", false, false, 0, 0, 0, ""},
		{"profile-level-id=42e0", false, false, 0, 0, 0, ""},
		{"packetization-mode=2", false, false, 0, 0, 0, ""},
	} {
		got, ok := Negotiate(c.fmtp)
		if ok != c.ok || got.Split != c.split || got.Pixels != c.pixels || got.PixelRate != c.speed || got.Bitrate != c.bitrate || got.Fmtp != c.answer {
			t.Errorf("%q: %v %+v", c.fmtp, ok, got)
		}
	}
}

func TestSplit(t *testing.T) {
	sps, pps, idr := "\x67abc", "\x68de", "\x65"+strings.Repeat("x", 40)
	unit := []byte("\x00\x00\x00\x01" + sps + "\x00\x00\x00\x01" + pps + "\x00\x00\x00\x01" + idr)
	payloads, err := Payload{}.NewPacketizer().Packetize(codec.Unit{Data: unit}, 1200)
	if err != nil || len(payloads) != 1 {
		t.Fatal(payloads, err)
	}
	got := Payload{}.Split(payloads[0])
	if len(got) != 3 || string(got[0]) != sps || string(got[1]) != pps || string(got[2]) != idr {
		t.Errorf("%q", got)
	}
	if (Payload{}).Split([]byte(idr)) != nil || (Payload{}).Split(nil) != nil {
		t.Error("splits one")
	}
	if n := len(Payload{}.Split([]byte{nalSTAPA, 0, 9, 1})); n != 0 {
		t.Errorf("%d units in a broken one", n)
	}
}
