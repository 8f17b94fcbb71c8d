package webrtc

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"mixdown/codec"
	"mixdown/mixer"
)

func chromium(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("testdata/chromium.sdp")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// minimal is an offer of one m-line with nothing in it that could be missing.
const minimal = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n" +
	"m=video 9 UDP/TLS/RTP/SAVPF 100\r\nc=IN IP4 0.0.0.0\r\na=rtpmap:100 VP8/90000\r\na=rtcp-mux\r\na=setup:actpass\r\n" +
	"a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n" +
	"a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n" +
	"a=sendonly\r\n"

func TestOffer(t *testing.T) {
	tr := newTransport(t, newFakeRooms())
	full := chromium(t)
	for _, test := range []struct {
		name    string
		sdp     string
		session mixer.Session
		want    error    // nil: answered
		lines   []string // m-lines of the answer: kind, whether declined, direction
	}{
		{"whip", strings.ReplaceAll(full, "a=sendrecv", "a=sendonly"), publisher, nil, []string{"audio recvonly", "video recvonly", "application declined"}},
		{"whip of sendrecv", full, publisher, nil, []string{"audio recvonly", "video recvonly", "application declined"}},
		{"whep", strings.ReplaceAll(full, "a=sendrecv", "a=recvonly"), viewer, nil, []string{"audio sendonly", "video sendonly", "application declined"}},
		{"whep of sendrecv", full, viewer, nil, []string{"audio sendonly", "video sendonly", "application declined"}},
		{"mix", full, member, nil, []string{"audio sendrecv", "video sendrecv", "application declined"}},
		{"mix without a camera", strings.Replace(full, "a=sendrecv", "a=sendonly", 1), member, nil, []string{"audio recvonly", "video sendrecv", "application declined"}},
		{"one m-line, no mid, no bundle", minimal, publisher, nil, []string{"video recvonly"}},
		{"no direction", strings.ReplaceAll(minimal, "a=sendonly\r\n", ""), publisher, nil, []string{"video recvonly"}},
		{"line feeds only", strings.ReplaceAll(minimal, "\r\n", "\n"), publisher, nil, []string{"video recvonly"}},
		{"codec in other letters", strings.ReplaceAll(minimal, "VP8", "vp8"), publisher, nil, []string{"video recvonly"}},
		{"second video", second(full), publisher, nil, []string{"audio recvonly", "video recvonly", "application declined", "video declined"}},
		{"video goes over the transport of audio", bundleOnly(full), publisher, nil, []string{"audio recvonly", "video recvonly", "application declined"}},
		{"video rejected", strings.Replace(full, "m=video 40076", "m=video 0", 1), publisher, nil, []string{"audio recvonly", "video declined", "application declined"}},
		{"no video codec", strings.ReplaceAll(full, "VP8/90000", "VP6/90000"), publisher, nil, []string{"audio recvonly", "video declined", "application declined"}},

		{"nothing", "", publisher, mixer.ErrBadOffer, nil},
		{"not SDP", "hello", publisher, mixer.ErrBadOffer, nil},
		{"too long", full + strings.Repeat("a=x\r\n", 1<<18), publisher, mixer.ErrBadOffer, nil},
		{"no codec", strings.ReplaceAll(minimal, "VP8", "VP6"), publisher, mixer.ErrNoCodec, nil},
		{"publishes nothing", strings.ReplaceAll(minimal, "sendonly", "recvonly"), publisher, mixer.ErrBadOffer, nil},
		{"receives nothing", minimal, viewer, mixer.ErrBadOffer, nil},
		{"inactive", strings.ReplaceAll(minimal, "sendonly", "inactive"), publisher, mixer.ErrBadOffer, nil},
		{"no m-line", minimal[:strings.Index(minimal, "m=")], publisher, mixer.ErrBadOffer, nil},
		{"no fingerprint", cut(minimal, "a=fingerprint"), publisher, mixer.ErrBadOffer, nil},
		{"no ICE", cut(minimal, "a=ice-ufrag"), publisher, mixer.ErrBadOffer, nil},
		{"not bundled", cut(full, "a=group"), publisher, mixer.ErrBadOffer, nil},
		{"neither", full, mixer.Session{}, mixer.ErrBadOffer, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, err := tr.Offer(t.Context(), test.session, test.sdp)
			if !errors.Is(err, test.want) {
				t.Fatalf("error %v, want %v", err, test.want)
			}
			if err != nil {
				if !errors.Is(err, mixer.ErrBadOffer) {
					t.Fatalf("%v is not a bad offer", err)
				}
				return
			}
			if got := lines(t, a.SDP); !slices.Equal(got, test.lines) {
				t.Fatalf("answered %q, want %q:\n%s", got, test.lines, a.SDP)
			}
			if s, ok := tr.Session(a.ID); !ok || s != test.session {
				t.Fatalf("session %+v, %t", s, ok)
			}
		})
	}
}

func cut(sdp, prefix string) string {
	var out []string
	for _, l := range strings.SplitAfter(sdp, "\r\n") {
		if !strings.HasPrefix(l, prefix) {
			out = append(out, l)
		}
	}
	return strings.Join(out, "")
}

// second adds another m-line of video.
func second(sdp string) string {
	from := strings.Index(sdp, "m=video")
	to := from + strings.Index(sdp[from:], "m=application")
	sdp += strings.Replace(sdp[from:to], "a=mid:1", "a=mid:9", 1)
	return strings.Replace(sdp, "a=group:BUNDLE 0 1 2", "a=group:BUNDLE 0 1 2 9", 1)
}

// bundleOnly offers video as Firefox does.
func bundleOnly(sdp string) string {
	sdp = strings.Replace(sdp, "m=video 40076", "m=video 0", 1)
	at := strings.Index(sdp, "m=video")
	return sdp[:at] + strings.Replace(sdp[at:], "a=mid:1", "a=bundle-only\r\na=mid:1", 1)
}

func lines(t *testing.T, sdp string) (out []string) {
	t.Helper()
	d, err := parseSDP(sdp)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range d.MediaDescriptions {
		what := "declined"
		if m.MediaName.Port.Value != 0 {
			for _, a := range m.Attributes {
				if strings.HasPrefix(a.Key, "send") || strings.HasPrefix(a.Key, "recv") {
					what = a.Key
				}
			}
		}
		out = append(out, m.MediaName.Media+" "+what)
	}
	return out
}

func TestCandidates(t *testing.T) {
	tr, err := New(Config{Addresses: []string{"203.0.113.7", "2001:db8::7"}}, fakeCodecs(), newFakeRooms(), discard)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	a, err := tr.Offer(t.Context(), publisher, chromium(t))
	if err != nil {
		t.Fatal(err)
	}
	d, _ := parseSDP(a.SDP)
	var got []string
	foundations := make(map[string]string)
	for _, m := range d.MediaDescriptions {
		for _, at := range m.Attributes {
			if at.Key != "candidate" {
				continue
			}
			f := strings.Fields(at.Value)
			if f[1] != "1" {
				t.Fatalf("candidate of component %s", f[1])
			}
			if f[2] == "udp" && f[5] != port(tr) || f[2] == "tcp" && !strings.HasSuffix(at.Value, "tcptype passive") {
				t.Fatalf("candidate %q, port is %s", at.Value, port(tr))
			}
			got = append(got, f[2]+" "+f[4])
			foundations[f[0]] += f[2] + f[4]
		}
	}
	for _, want := range []string{"udp 203.0.113.7", "tcp 203.0.113.7", "udp 2001:db8::7", "udp 127.0.0.1", "tcp 127.0.0.1"} {
		if !slices.Contains(got, want) {
			t.Fatalf("no candidate %s in %v", want, got)
		}
	}
}

func port(t *Transport) string {
	return netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(t.Port())).String()[8:]
}

func FuzzOffer(f *testing.F) {
	f.Add(chromium(f))
	f.Add(second(chromium(f)))
	f.Add(minimal)
	f.Add("v=0\r\n")
	f.Add(strings.ReplaceAll(minimal, "rtpmap:100", "rtpmap:999999999999999999999"))
	codecs := fakeCodecs()
	public := []netip.AddrPort{netip.MustParseAddrPort("203.0.113.7:7000")}
	f.Fuzz(func(t *testing.T, sdp string) {
		for _, s := range []mixer.Session{publisher, viewer, member} {
			o, err := parseOffer(sdp, codecs, s)
			if err != nil {
				if !errors.Is(err, mixer.ErrBadOffer) {
					t.Fatalf("%v is not a bad offer", err)
				}
				continue
			}
			taken := make(map[codec.Kind]int)
			for _, l := range o.lines {
				if l.in || l.out {
					taken[l.kind]++
				}
			}
			if taken[codec.Video] > 1 || taken[codec.Audio] > 1 || len(taken) == 0 {
				t.Fatalf("takes %v", taken)
			}
			text, err := o.String()
			if err != nil {
				continue
			}
			if _, err := o.restarted("ufrag", "password"); err != nil {
				t.Fatal(err)
			}
			// What pion answers has the same lines; what it was shown will do for one.
			if a, err := o.finish(text, codecs, addresses{public, []uint16{443}}, true); err == nil {
				if _, err := parseSDP(a.sdp); err != nil {
					t.Fatalf("answer is not SDP: %v\n%s", err, a.sdp)
				}
			}
		}
	})
}
