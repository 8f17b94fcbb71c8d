package webrtc

import (
	"errors"
	"strings"
	"testing"

	"mixdown/mixer"
)

const trickled = "a=group:BUNDLE 0 1\r\na=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n" +
	"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n" +
	"a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\n" +
	"a=candidate:3471623853 1 udp 2122194687 198.51.100.2 61765 typ host generation 0 ufrag EsAw network-id 2\r\n" +
	"a=end-of-candidates\r\n"

func TestFragment(t *testing.T) {
	for _, text := range []string{trickled, strings.ReplaceAll(trickled, "\r\n", "\n")} {
		f, err := parseFragment(text)
		if err != nil || f.ufrag != "EsAw" || f.pwd != "P2uYro0UCOQ4zxjKXaWCBui1" || len(f.candidates) != 2 || !f.end {
			t.Fatalf("%+v, %v", f, err)
		}
	}
	for _, text := range []string{
		"candidate:1", "a", "{}",
		"a=ice-ufrag:x\r\n", "a=ice-pwd:short\r\n",
		strings.Repeat("a=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\n", maxCandidates+1),
		strings.Repeat("a=x\r\n", maxFragment),
	} {
		if _, err := parseFragment(text); !errors.Is(err, mixer.ErrBadOffer) {
			t.Fatalf("%.40q: %v", text, err)
		}
	}
	tr := newTransport(t, newFakeRooms())
	if _, _, err := tr.Patch(t.Context(), "nobody", "*", trickled); !errors.Is(err, mixer.ErrNoSession) {
		t.Fatal(err)
	}
	a, err := tr.Offer(t.Context(), publisher, chromium(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := tr.Patch(t.Context(), a.ID, a.ETag, "nonsense"); !errors.Is(err, mixer.ErrBadOffer) {
		t.Fatal(err)
	}
	if _, _, err := tr.Patch(t.Context(), a.ID, a.ETag, "a=candidate:nonsense\r\na=candidate:1 1 udp 1 x.local 9 typ host\r\n"); err != nil {
		t.Fatalf("candidates that cannot be used: %v", err)
	}
	if _, _, err := tr.Patch(t.Context(), a.ID, "*", "a=ice-ufrag:other\r\n"); !errors.Is(err, mixer.ErrBadOffer) {
		t.Fatalf("restart without a password: %v", err)
	}
}

func FuzzFragment(f *testing.F) {
	f.Add(trickled)
	f.Add("a=end-of-candidates")
	f.Add("a=ice-ufrag:\r\n=\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseFragment(text)
		if err != nil {
			return
		}
		for _, v := range append(got.candidates, got.ufrag, got.pwd) {
			if strings.ContainsAny(v, "\n") {
				t.Fatalf("%q has a line break", v)
			}
		}
	})
}
