package sip

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"mixdown/mixer"
)

// callee is a UDP socket that is called.
type callee struct {
	t    *testing.T
	sock *net.UDPConn
	peer netip.AddrPort
}

func newCallee(t *testing.T) *callee {
	t.Helper()
	sock, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sock.Close() })
	return &callee{t: t, sock: sock}
}

func (c *callee) addr() string { return c.sock.LocalAddr().String() }

// next reads the next request of a method; what comes again before is skipped.
func (c *callee) next(method string, within time.Duration) string {
	c.t.Helper()
	buf := make([]byte, 64<<10)
	if err := c.sock.SetReadDeadline(time.Now().Add(within)); err != nil {
		c.t.Fatal(err)
	}
	for {
		n, from, err := c.sock.ReadFromUDPAddrPort(buf)
		if err != nil {
			c.t.Fatalf("no %s came: %v", method, err)
		}
		c.peer = from
		if m := string(buf[:n]); strings.HasPrefix(m, method+" ") {
			return m
		}
	}
}

// answer responds to a request; a line BODY:… is the body.
func (c *callee) answer(request, status, tag string, headers ...string) {
	c.t.Helper()
	out := []string{"SIP/2.0 " + status}
	for line := range strings.SplitSeq(request, "\r\n") {
		switch name, _, _ := strings.Cut(line, ":"); strings.ToLower(name) {
		case "via", "from", "call-id", "cseq":
			out = append(out, line)
		case "to":
			if tag != "" && !strings.Contains(line, "tag=") {
				line += ";tag=" + tag
			}
			out = append(out, line)
		}
	}
	out = append(out, "Contact: <sip:bob@"+c.addr()+">")
	body := ""
	for _, h := range headers {
		if b, ok := strings.CutPrefix(h, "BODY:"); ok {
			body = b
			h = "Content-Type: application/sdp"
		}
		out = append(out, h)
	}
	out = append(out, fmt.Sprintf("Content-Length: %d", len(body)), "", body)
	if _, err := c.sock.WriteToUDPAddrPort([]byte(strings.Join(out, "\r\n")), c.peer); err != nil {
		c.t.Fatal(err)
	}
}

func state(l *lab, id string) mixer.CallState {
	for _, c := range l.Calls("demo") {
		if c.ID == id {
			return c.State
		}
	}
	return ""
}

func TestDialsOut(t *testing.T) {
	l := newLab(t, func(c *Config) {
		c.DialOut.Allow = []string{"*@127.0.0.1"}
		c.DialOut.User, c.DialOut.Password = "mixdown", "secret"
	})
	bob := newCallee(t)
	call, err := l.Dial(t.Context(), "demo", mixer.CallOrder{To: "sip:bob@" + bob.addr(), From: "The room", Name: "Bob"})
	if err != nil {
		t.Fatal(err)
	}
	invite := bob.next("INVITE", 5*time.Second)
	if !strings.Contains(headerOf(invite, "From"), `"The room" <sip:demo@127.0.0.1>`) || !strings.Contains(invite, "m=audio") {
		t.Errorf("invited so:\n%s", invite)
	}
	// A proxy wants to know who is calling.
	nonce := `Digest realm="pbx", nonce="abc", qop="auth", algorithm=MD5`
	bob.answer(invite, "407 Proxy Authentication Required", "t1", "Proxy-Authenticate: "+nonce)
	bob.next("ACK", 5*time.Second)
	invite = bob.next("INVITE", 5*time.Second)
	f, ok := parseDigest(headerOf(invite, "Proxy-Authorization"))
	if want, _ := (login{"mixdown", "secret"}).response(f, "INVITE", nil); !ok || f["response"] != want || f["username"] != "mixdown" {
		t.Errorf("credentials %v", f)
	}
	bob.answer(invite, "180 Ringing", "t2")
	soon(t, "ringing", func() bool { return state(l, call.ID) == mixer.CallRinging })
	bob.answer(invite, "200 OK", "t2", "Allow: INVITE, UPDATE", "BODY:"+plainSDP)
	ack := bob.next("ACK", 5*time.Second)
	if !strings.HasPrefix(ack, "ACK sip:bob@"+bob.addr()) || headerOf(ack, "CSeq") != strings.Replace(headerOf(invite, "CSeq"), "INVITE", "ACK", 1) {
		t.Errorf("acknowledged so:\n%s", ack)
	}
	soon(t, "connected", func() bool { return state(l, call.ID) == mixer.CallConnected })
	if room, who := l.wires.last().in(); room != "demo" || who.Name != "Bob" {
		t.Errorf("%+v in %q", who, room)
	}
	// The answer again is acknowledged again; a second telephone that answered is
	// hung up.
	bob.answer(invite, "200 OK", "t2", "BODY:"+plainSDP)
	bob.next("ACK", 5*time.Second)
	bob.answer(invite, "200 OK", "t3", "BODY:"+plainSDP)
	if ack := bob.next("ACK", 5*time.Second); !strings.Contains(headerOf(ack, "To"), "tag=t3") {
		t.Errorf("acknowledged:\n%s", ack)
	}
	bye := bob.next("BYE", 5*time.Second)
	if !strings.Contains(headerOf(bye, "To"), "tag=t3") {
		t.Errorf("hung up:\n%s", bye)
	}
	bob.answer(bye, "200 OK", "")

	if err := l.Hangup("demo", call.ID); err != nil {
		t.Fatal(err)
	}
	bye = bob.next("BYE", 5*time.Second)
	if !strings.Contains(headerOf(bye, "To"), "tag=t2") {
		t.Errorf("hung up:\n%s", bye)
	}
	bob.answer(bye, "200 OK", "")
	soon(t, "ended", func() bool { return state(l, call.ID) == mixer.CallEnded })
	if err := l.Hangup("demo", call.ID); !errors.Is(err, mixer.ErrNoCall) {
		t.Errorf("hung up twice: %v", err)
	}
}

func TestDialsNobodyElse(t *testing.T) {
	l := newLab(t, func(c *Config) {
		c.DialOut.Allow = []string{"*@pbx.example.org", "+4930*", "1?"}
		c.DialOut.Proxy = "sip:proxy.example.org"
	})
	for to, want := range map[string]error{
		"sip:anna@pbx.example.org": nil, "anna@pbx.example.org": nil, "+49 30 123-45": nil, "12": nil, "sip:+49301@proxy.example.org": nil,
		"+1900555": mixer.ErrNotAllowed, "123": mixer.ErrNotAllowed, "sip:+49301@elsewhere.example": mixer.ErrNotAllowed,
		"sip:x@evil.example@pbx.example.org": mixer.ErrNotAllowed, "sip:a@pbx.example.org.evil.example": mixer.ErrNotAllowed,
		"": mixer.ErrBadAddress, "tel": mixer.ErrBadAddress, "mailto:anna@pbx.example.org": mixer.ErrBadAddress, "sip:a;x@pbx.example.org": mixer.ErrBadAddress,
		"sip:a@pbx.example.org?Route=evil": mixer.ErrBadAddress, "sip:a@pbx.example.org\r\nX: y": mixer.ErrBadAddress,
	} {
		if uri, err := l.destination(to); !errors.Is(err, want) && !(want == mixer.ErrNotAllowed && errors.Is(err, mixer.ErrBadAddress)) || want == nil && err != nil {
			t.Errorf("%q: %v %v, want %v", to, uri.String(), err, want)
		}
	}
	if _, err := l.Dial(t.Context(), "demo", mixer.CallOrder{To: "+1900555"}); !errors.Is(err, mixer.ErrNotAllowed) {
		t.Errorf("dialed: %v", err)
	}
}

func TestGivesUp(t *testing.T) {
	l := newLab(t, func(c *Config) { c.DialOut.Allow = []string{"*@127.0.0.1"}; c.DialOut.Ring = time.Second })
	bob := newCallee(t)
	call, err := l.Dial(t.Context(), "demo", mixer.CallOrder{To: "sip:bob@" + bob.addr()})
	if err != nil {
		t.Fatal(err)
	}
	invite := bob.next("INVITE", 5*time.Second)
	bob.answer(invite, "180 Ringing", "t")
	cancel := bob.next("CANCEL", 5*time.Second) // nobody took it
	if headerOf(cancel, "Via") != headerOf(invite, "Via") || strings.Fields(headerOf(cancel, "CSeq"))[0] != strings.Fields(headerOf(invite, "CSeq"))[0] {
		t.Errorf("cancelled so:\n%s", cancel)
	}
	bob.answer(cancel, "200 OK", "t")
	bob.answer(invite, "487 Request Terminated", "t")
	bob.next("ACK", 5*time.Second)
	soon(t, "ended", func() bool { return state(l, call.ID) == mixer.CallEnded })
	if c := l.Calls("demo")[0]; c.Code != 408 {
		t.Errorf("ended so: %+v", c)
	}
	// Refused.
	call, err = l.Dial(t.Context(), "demo", mixer.CallOrder{To: "sip:bob@" + bob.addr()})
	if err != nil {
		t.Fatal(err)
	}
	bob.answer(bob.next("INVITE", 5*time.Second), "486 Busy Here", "t")
	bob.next("ACK", 5*time.Second)
	soon(t, "ended", func() bool { return state(l, call.ID) == mixer.CallEnded })
	if c := l.Calls("demo")[1]; c.Code != 486 || c.Reason != "Busy Here" {
		t.Errorf("ended so: %+v", c)
	}
}

func TestRegisters(t *testing.T) {
	pbx := newCallee(t)
	l := newLab(t, func(c *Config) {
		c.Registrar = &Registrar{URI: "sip:" + pbx.addr(), User: "8000", Password: "secret", Expires: 10 * time.Minute}
	})
	req := pbx.next("REGISTER", 5*time.Second)
	pbx.answer(req, "401 Unauthorized", "t", `WWW-Authenticate: Digest realm="pbx", nonce="n", algorithm=SHA-256, qop="auth"`, `WWW-Authenticate: Digest realm="pbx", nonce="n"`)
	req = pbx.next("REGISTER", 5*time.Second)
	f, ok := parseDigest(headerOf(req, "Authorization"))
	if want, _ := (login{"8000", "secret"}).response(f, "REGISTER", nil); !ok || f["algorithm"] != "SHA-256" || f["response"] != want {
		t.Errorf("credentials %v", f)
	}
	if !strings.Contains(headerOf(req, "Contact"), "sip:8000@"+l.Addr().String()) {
		t.Errorf("registered:\n%s", req)
	}
	pbx.answer(req, "200 OK", "t", "Contact: "+headerOf(req, "Contact")+";expires=60")
	soon(t, "registered", func() bool { return l.count.registered.Load() })
	closed := make(chan error, 1)
	go func() { closed <- l.Close() }()
	if req := pbx.next("REGISTER", 5*time.Second); headerOf(req, "Expires") != "0" {
		t.Errorf("given back so:\n%s", req)
	} else {
		pbx.answer(req, "200 OK", "t")
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

func TestLogin(t *testing.T) {
	for _, algorithm := range []string{"MD5", "SHA-256"} {
		l := newLab(t, func(c *Config) {
			c.Known, c.Users = true, []User{{Name: "ada", Password: "secret", Role: mixer.Host}}
		})
		p := dialPhone(t, "udp", l.Addr())
		p.send("INVITE", "sip:locked@x", "z9hG4bK1", "<sip:locked@x>", plainSDP)
		refused := p.expect("SIP/2.0 401")
		var challenge fields
		for line := range strings.SplitSeq(refused, "\r\n") {
			if v, ok := strings.CutPrefix(line, "WWW-Authenticate: "); ok && strings.Contains(v, "algorithm="+algorithm) {
				challenge, _ = parseDigest(v)
			}
		}
		value := func(password string, count int) string {
			v, err := login{"ada", password}.credentials(challenge, "INVITE", "sip:locked@x", nil, count)
			if err != nil {
				t.Fatal(err)
			}
			return "Authorization: " + v
		}
		p.send("INVITE", "sip:locked@x", "z9hG4bK2", "<sip:locked@x>", plainSDP, value("guess", 1))
		p.expect("SIP/2.0 403")
		good := value("secret", 2)
		p.call("sip:locked@x", plainSDP, good) // and no PIN is asked for
		soon(t, "in the room", func() bool { room, who := l.wires.last().in(); return room == "locked" && who.Role == mixer.Host })
		// What was overheard lets nobody in.
		p = dialPhone(t, "udp", l.Addr())
		p.send("INVITE", "sip:locked@x", "z9hG4bK3", "<sip:locked@x>", plainSDP, good)
		if m := p.expect("SIP/2.0 401"); !strings.Contains(m, "stale=true") {
			t.Errorf("a replay was answered so:\n%s", m)
		}
	}
}

func TestTrunk(t *testing.T) {
	l := newLab(t, func(c *Config) {
		c.Known, c.Trunks = true, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	p := dialPhone(t, "udp", l.Addr())
	p.call("sip:locked@x", plainSDP)
	soon(t, "in the room", func() bool { room, _ := l.wires.last().in(); return room == "locked" })
}

// TestOurBranches: what claims to answer us without having been asked is dropped.
func TestOurBranches(t *testing.T) {
	g := newGuests(DefaultConfig())
	d := &door{guests: g}
	if b := g.newBranch(); !d.ours(b) || !strings.HasPrefix(b, sip.RFC3261BranchMagicCookie) {
		t.Errorf("branch %q is not ours", b)
	}
	for _, b := range []string{"", "z9hG4bK", "z9hG4bK0123456789abcdef01234567", newGuests(DefaultConfig()).newBranch()} {
		if d.ours(b) {
			t.Errorf("branch %q is ours", b)
		}
	}
}
