package sip

import (
	"bufio"
	"bytes"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
)

// FuzzDoor: whatever comes in is passed, answered or dropped. An answer is a
// message; what passed is one that sipgo reads as the door did.
func FuzzDoor(f *testing.F) {
	files, err := filepath.Glob("testdata/torture/*.dat")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte("INVITE sip:locked@x;pin=1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;rport;branch=z9hG4bK1\r\nf: <sip:a@x>;tag=1\r\nt: <sip:locked@x>\r\ni: 1\r\nCSeq: 1 INVITE\r\nm: <sip:a@x>\r\nAuthorization: Digest username=\"ada\", realm=\"mixdown\", nonce=\"x\", uri=\"sip:x\", response=\"1\"\r\nSession-Expires: 30\r\nk: timer\r\nl: 0\r\n\r\n"))
	cfg := DefaultConfig()
	cfg.Users = []User{{Name: "ada", Password: "secret"}}
	cfg.Lobby = []string{"8000"}
	g := newGuests(cfg)
	now := time.Unix(1e9, 0)
	d := &door{cfg: cfg, guests: g, rooms: newHouse(map[string]string{"demo": "", "locked": "12345678"}),
		gate: newGate(cfg.Limits, func(netip.Addr) bool { return true }), pins: newGate(Limits{Packets: 1 << 30, Refusals: 1 << 30}, g.trunk),
		calls: newCalls(10), count: newCounters(), now: func() time.Time { return now }}
	from := netip.MustParseAddrPort("192.0.2.7:5060")
	f.Fuzz(func(t *testing.T, data []byte) {
		v := d.judge(data, from, "UDP")
		if v.pass && v.answer != nil {
			t.Fatal("passed and answered")
		}
		if v.answer != nil {
			if !bytes.HasPrefix(v.answer, []byte("SIP/")) || v.to.Addr() != from.Addr() {
				t.Fatalf("answer to %v: %q", v.to, v.answer)
			}
			if again := d.judge(data, from, "UDP"); !bytes.Contains(v.answer, []byte("nonce")) && !bytes.Equal(again.answer, v.answer) {
				t.Fatalf("the same request has another answer:\n%q\n%q", v.answer, again.answer)
			}
		}
		if v.pass {
			if _, err := sip.ParseMessage(data); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzFrames: a stream is cut into messages that each have their length, and
// nothing is lost or made up between them.
func FuzzFrames(f *testing.F) {
	f.Add([]byte("\r\n\r\nOPTIONS sip:x SIP/2.0\r\nContent-Length: 3\r\n\r\nabcBYE sip:x SIP/2.0\r\n\r\n"))
	f.Add([]byte("A\nl: 1\n\nxB\r\nl:2\r\nContent-Length: 3\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		fr := frames{r: bufio.NewReaderSize(bytes.NewReader(data), 4096), conn: io.Discard}
		for range 1000 {
			m, err := fr.next()
			if err != nil {
				return
			}
			if f := examine(m); f.code != 0 {
				continue // it will not pass
			}
			head, body, _ := bytes.Cut(m, []byte("\r\n\r\n"))
			if n, _ := bodyLength(head); n != len(body) {
				t.Fatalf("length %d of %q", n, m)
			}
		}
	})
}

// FuzzDigest: credentials of ours are read as they were meant.
func FuzzDigest(f *testing.F) {
	f.Add(`Digest realm="a\"b", nonce="n", qop="auth,auth-int", algorithm=SHA-256, opaque=""`)
	f.Add(`Digest realm=x,,nonce="`)
	f.Fuzz(func(t *testing.T, value string) {
		challenge, ok := parseDigest(value)
		if !ok {
			return
		}
		l := login{"ada", "secret"}
		out, err := l.credentials(challenge, "INVITE", "sip:demo@x", nil, 1)
		if err != nil {
			return
		}
		back, ok := parseDigest(out)
		if !ok {
			t.Fatalf("not read back: %q", out)
		}
		want, ok := l.response(back, "INVITE", nil)
		if !ok || want != back["response"] || back["realm"] != challenge["realm"] {
			t.Fatalf("%q: response %q, want %q", out, back["response"], want)
		}
	})
}

func FuzzInfo(f *testing.F) {
	f.Add("application/dtmf-relay", []byte("Signal=5\r\nDuration=160\r\n"))
	f.Add("application/media_control+xml", []byte(pictureWanted))
	f.Fuzz(func(_ *testing.T, kind string, body []byte) {
		infoKey(kind, body)
		_, _ = fastUpdate(body)
	})
}

func FuzzWAV(f *testing.F) {
	f.Add([]byte("RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x22\x56\x00\x00\x44\xac\x00\x00\x02\x00\x10\x00data\x04\x00\x00\x00\x01\x00\x02\x00"))
	f.Fuzz(func(_ *testing.T, raw []byte) {
		if pcm, rate, err := parseWAV(raw); err == nil && len(pcm) < 1<<16 {
			resample(pcm, rate, promptRate)
		}
	})
}
