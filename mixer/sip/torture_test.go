package sip

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// anywhere is a house in which every name is an open room: whatever looks like
// a call becomes one.
type anywhere struct{ *house }

func (anywhere) Find(string) (string, error) { return "", nil }

// TestTorture sends RFC 4475's messages, each from a socket of its own. What is
// wrong must make no call; what is right but odd may.
func TestTorture(t *testing.T) {
	l := newLab(t, func(c *Config) { c.Limits.Refusals = 1000 })
	l.door.rooms, l.Endpoint.rooms = anywhere{l.rooms}, anywhere{l.rooms}
	// Status, "silence", or "call". Where the RFC would have another one the comment
	// says so; docs/sip.md lists these.
	want := map[string]string{
		// 3.1.1, valid
		"wsinv":    "400", // a call: blanks around the names of parameters
		"intmeth":  "501",
		"esc01":    "call",
		"escnull":  "405",
		"esc02":    "501",
		"lwsdisp":  "200",
		"longreq":  "400", // a call: its Via has no branch, as before RFC 3261
		"dblreq":   "405",
		"semiuri":  "200",
		"mpart01":  "405",
		"unreason": "silence", "noreason": "silence", // responses to nothing
		"transports": "200",
		// 3.1.2, invalid: 400 or silence
		"badinv01": "silence", "clerr": "silence", "ncl": "silence", "scalar02": "silence", "scalarlg": "silence",
		"quotbal": "silence", "ltgtruri": "silence", "lwsruri": "silence", "lwsstart": "silence", "trws": "silence",
		"escruri": "400", "badaspec": "silence", "baddn": "silence", "mismatch01": "400", "bigcode": "silence",
		"baddate":    "call", // may be
		"regbadct":   "405",
		"badvers":    "505",
		"mismatch02": "400", // or 501
		// 3.2 to 3.4
		"badbranch": "200", "insuf": "400", "unkscm": "416", "unksm2": "405", "bext01": "420",
		"novelsc": "silence", // 416
		"invut":   "415", "regaut01": "405", "multi01": "400", "mcl01": "400", "bcast": "silence", "zeromf": "200",
		"cparam01": "405", "cparam02": "405", "regescrt": "405", "sdp01": "406",
		"inv2543": "400", // a call, if callers from before RFC 3261 are served
	}
	files, err := filepath.Glob("testdata/torture/*.dat")
	if err != nil || len(files) != len(want) {
		t.Fatalf("%d files for %d rows: %v", len(files), len(want), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".dat")
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got, legs := "silence", l.wires.count()
		conn, err := net.Dial("udp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		// Answers go to the port of Via unless asked otherwise: watch the door, too.
		v := l.door.judge(raw, conn.LocalAddr().(*net.UDPAddr).AddrPort(), "UDP")
		switch {
		case v.pass:
			got = "call"
		case v.answer != nil:
			got = strings.Fields(string(v.answer))[1]
		}
		if got != want[name] {
			t.Errorf("%s: %s, want %s\n%s", name, got, want[name], v.answer)
		}
		if got != "call" {
			if _, err := conn.Write(raw); err != nil {
				t.Fatal(err)
			}
		}
		conn.Close()
		if n := l.wires.count(); n != legs {
			t.Errorf("%s made a call", name)
		}
	}
	time.Sleep(100 * time.Millisecond) // what was sent may still be on its way
	if n := l.wires.count(); n != 0 {
		t.Errorf("%d calls came of it", n)
	}
	if p := dialPhone(t, "udp", l.Addr()); true {
		p.call("sip:demo@x", plainSDP) // and the server is there
	}
}

// TestStreamsCarryNothingUnjudged sends two messages where the first one's
// length lies: what follows must not pass as a message of its own.
func TestStreamsCarryNothingUnjudged(t *testing.T) {
	l := newLab(t, nil)
	p := dialPhone(t, "tcp", l.Addr())
	hidden := "INVITE sip:nowhere@x SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK9\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\nCall-ID: h\r\nCSeq: 1 INVITE\r\nContact: <sip:a@x>\r\nContent-Length: 0\r\n\r\n"
	p.send("OPTIONS", "sip:demo@x", "z9hG4bK1", "<sip:demo@x>", hidden, "Content-Type: text/plain")
	p.expect("SIP/2.0 200")
	if m := p.read(200 * time.Millisecond); m != "" {
		t.Errorf("the body was read as a message:\n%s", m)
	}
	// Pieces and pings between them are put together again.
	whole := "\r\n\r\nOPTIONS sip:demo@x SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK2\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\nCall-ID: p\r\nCSeq: 1 OPTIONS\r\n\r\n"
	for i := 0; i < len(whole); i += 40 {
		if _, err := p.conn.Write([]byte(whole[i:min(i+40, len(whole))])); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	buf := make([]byte, 4096)
	var all string
	for !strings.Contains(all, "SIP/2.0 200") {
		if err := p.conn.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := p.conn.Read(buf)
		if err != nil {
			t.Fatalf("after %q: %v", all, err)
		}
		all += string(buf[:n])
	}
	if !strings.HasPrefix(all, "\r\n") {
		t.Errorf("the ping was not answered: %q", all)
	}
}
