package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"mixdown/mixer"
	"mixdown/mixer/rtp/bfcp"
)

// roomSystem is a telephone with two streams of pictures: SIP and BFCP by hand, as
// Debian has no room system. What it sends is ffmpeg's.
type roomSystem struct {
	t        *testing.T
	sip      net.Conn
	call     string
	seq      int
	to       string // with the other end's tag, once there is one
	floor    net.Conn
	floors   bfcp.Message // what its messages have in common
	got      chan bfcp.Message
	received [4]net.PacketConn // audio, video, slides; BFCP's port only
}

func newRoomSystem(t *testing.T, at string) *roomSystem {
	t.Helper()
	c, err := net.Dial("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	p := &roomSystem{t: t, sip: c, call: fmt.Sprint(time.Now().UnixNano()), to: "<sip:tea@" + at + ">"}
	for i := range p.received {
		if p.received[i], err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.received[i].Close() })
	}
	return p
}

func (p *roomSystem) port(i int) int { return p.received[i].LocalAddr().(*net.UDPAddr).Port }

// request sends one and returns its final answer.
func (p *roomSystem) request(method, body string) string {
	p.t.Helper()
	p.seq++
	here := p.sip.LocalAddr().String()
	send := func(method string) {
		text := fmt.Sprintf("%s sip:tea@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;rport;branch=z9hG4bK%s%s%d\r\nMax-Forwards: 70\r\nFrom: \"Board\" <sip:board@%s>;tag=1\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %d %s\r\nContact: <sip:board@%s>\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s",
			method, p.sip.RemoteAddr(), here, method, p.call, p.seq, here, p.to, p.call, p.seq, method, here, len(body), body)
		if _, err := p.sip.Write([]byte(text)); err != nil {
			p.t.Fatal(err)
		}
	}
	send(method)
	buf := make([]byte, 8192)
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); {
		_ = p.sip.SetReadDeadline(end)
		n, err := p.sip.Read(buf)
		if err != nil {
			p.t.Fatalf("%s: %v", method, err)
		}
		answer := string(buf[:n])
		if !strings.HasPrefix(answer, "SIP/2.0 ") || strings.HasPrefix(answer, "SIP/2.0 1") || !strings.Contains(answer, fmt.Sprintf("CSeq: %d %s", p.seq, method)) {
			continue
		}
		if method == "INVITE" {
			p.to = regexp.MustCompile(`(?m)^To: (.*?)\r$`).FindStringSubmatch(answer)[1]
			body = ""
			send("ACK")
		}
		return answer
	}
	p.t.Fatal("no answer to ", method)
	return ""
}

// offer is its SDP; without the second stream that m-line is refused.
func (p *roomSystem) offer(slides bool) string {
	second, floor := p.port(2), p.port(3)
	if !slides {
		second, floor = 0, 0
	}
	return fmt.Sprintf("v=0\r\no=- 1 %d IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio %d RTP/AVP 0\r\nm=video %d RTP/AVP 97\r\na=rtpmap:97 VP8/90000\r\na=content:main\r\n"+
		"m=video %d RTP/AVP 98\r\na=rtpmap:98 H264/90000\r\na=fmtp:98 profile-level-id=42e01f;packetization-mode=1\r\na=content:slides\r\na=label:3\r\nm=application %d UDP/BFCP *\r\na=floorctrl:c-only\r\n", p.seq, p.port(0), p.port(1), second, floor)
}

// connect opens its side of BFCP as the answer says.
func (p *roomSystem) connect(answer string) {
	p.t.Helper()
	field := func(pattern string) uint64 {
		p.t.Helper()
		found := regexp.MustCompile(pattern).FindStringSubmatch(answer)
		if found == nil {
			p.t.Fatalf("no %s in\n%s", pattern, answer)
		}
		n, err := strconv.ParseUint(found[1], 10, 32)
		if err != nil {
			p.t.Fatal(err)
		}
		return n
	}
	p.floors = bfcp.Message{Conference: uint32(field(`a=confid:(\d+)`)), User: uint16(field(`a=userid:(\d+)`))}
	if label := regexp.MustCompile(`a=floorid:1 mstrm:(\d+)`).FindStringSubmatch(answer); label == nil || !regexp.MustCompile(`a=content:slides\r\na=label:`+label[1]).MatchString(answer) {
		p.t.Fatalf("the floor is no stream's:\n%s", answer)
	}
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(field(`m=application (\d+) UDP/BFCP`)))
	p.got = make(chan bfcp.Message, 64)
	c := p.received[3].(*net.UDPConn)
	go func() {
		defer close(p.got)
		buf := make([]byte, 1500)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			if m, err := bfcp.Parse(append([]byte(nil), buf[:n]...)); err == nil {
				p.got <- m
			}
		}
	}()
	p.floor = toward{c, to}
}

// toward is a socket's way to one address.
type toward struct {
	*net.UDPConn
	to netip.AddrPort
}

func (w toward) Write(b []byte) (int, error) { return w.WriteToUDPAddrPort(b, w.to) }

// ask sends a message of BFCP until it is answered, and wants an answer of a
// primitive.
func (p *roomSystem) ask(what, want bfcp.Primitive, with ...bfcp.Attribute) bfcp.Message {
	p.t.Helper()
	m := p.floors
	p.floors.Transaction++
	m.Primitive, m.Transaction, m.Attributes = what, p.floors.Transaction, with
	for range 20 {
		if _, err := p.floor.Write(m.Marshal()); err != nil {
			p.t.Fatal(err)
		}
		again := time.After(500 * time.Millisecond)
		for waits := true; waits; {
			select {
			case answer := <-p.got:
				if !answer.Response || answer.Transaction != m.Transaction {
					continue // what it is told
				}
				if answer.Primitive != want {
					p.t.Fatalf("%d is answered %+v, want %d", what, answer, want)
				}
				return answer
			case <-again:
				waits = false
			}
		}
	}
	p.t.Fatalf("no answer to a message of kind %d", what)
	return bfcp.Message{}
}

// TestSlides has a room system show slides: its second stream takes its tile
// while it has the floor, and is its screen.
func TestSlides(t *testing.T) {
	t.Parallel()
	needs(t, "ffmpeg")
	at := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	x := newExchange(t, map[string]any{"sip.addr": at, "rtp.address": "127.0.0.1"})
	p := newRoomSystem(t, at)
	answer := p.request("INVITE", p.offer(true))
	if !strings.HasPrefix(answer, "SIP/2.0 200") {
		t.Fatal(answer)
	}
	ports := regexp.MustCompile(`m=video (\d+)`).FindAllStringSubmatch(answer, -1)
	if len(ports) != 2 {
		t.Fatal(answer)
	}
	p.connect(answer)
	// The camera is red, in VP8; the slides are blue, in H.264.
	background(t, "ffmpeg", "-loglevel", "fatal", "-re", "-f", "lavfi", "-i", "color=red:size=320x180:rate=15",
		"-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-g", "15", "-b:v", "200k", "-f", "rtp", "-payload_type", "97", "rtp://127.0.0.1:"+ports[0][1])
	background(t, "ffmpeg", "-loglevel", "fatal", "-re", "-f", "lavfi", "-i", "color=blue:size=640x360:rate=5",
		"-c:v", "libx264", "-preset", "ultrafast", "-profile:v", "baseline", "-x264-params", "repeat-headers=1", "-pix_fmt", "yuv420p", "-g", "5", "-f", "rtp", "-payload_type", "98", "rtp://127.0.0.1:"+ports[1][1])

	screen := func() bool { m := x.people("tea"); return len(m) == 1 && m[0].Screen }
	leg := func() mixer.Leg {
		var all []mixer.Leg
		_, text := x.do("GET", x.base+"/api/v1/rooms/tea/legs", x.token, "")
		if err := json.Unmarshal([]byte(text), &all); err != nil || len(all) != 1 || all[0].Slides == nil {
			t.Fatalf("%v: %s", err, text)
		}
		return all[0]
	}
	shows := func(what string, colour int) {
		t.Helper()
		eventually(t, what+" are shown", func() bool { return ofColour(gallery(t, x.running, x.base, "tea", x.token), colour) > .5 })
	}
	const red, blue = 0, 2
	shows("camera's pictures", red)
	eventually(t, "slides come in", func() bool { return leg().Slides.Received > 10 })
	if screen() || ofColour(gallery(t, x.running, x.base, "tea", x.token), blue) > .01 {
		t.Fatal("slides are shown without the floor")
	}

	p.ask(bfcp.Hello, bfcp.HelloAck)
	p.ask(bfcp.FloorQuery, bfcp.FloorStatus, bfcp.Number(bfcp.FloorID, 1))
	m := p.ask(bfcp.FloorRequest, bfcp.FloorRequestStatus, bfcp.Number(bfcp.FloorID, 1))
	request, state, ok := m.State()
	if !ok || state != bfcp.Granted {
		t.Fatalf("request %d, state %d, %v", request, state, ok)
	}
	shows("slides", blue)
	eventually(t, "it is a screen", screen)
	// Who asked is told of changes.
	for told := false; !told; {
		select {
		case m := <-p.got:
			_, s, ok := m.State()
			told = m.Primitive == bfcp.FloorStatus && !m.Response && ok && s == bfcp.Granted
		case <-time.After(15 * time.Second):
			t.Fatal("nobody was told")
		}
	}

	// What is no BFCP, or is somebody else's, is counted.
	bad := func() float64 { return x.metric(`mixdown_rtp_floor_messages_total\{result="bad"\}`) }
	before := bad()
	stranger, err := net.Dial("udp", "127.0.0.1:"+regexp.MustCompile(`m=application (\d+)`).FindStringSubmatch(answer)[1])
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	other := bfcp.Message{Primitive: bfcp.Goodbye, Conference: p.floors.Conference + 1, User: p.floors.User, Transaction: 1}
	for _, junk := range [][]byte{{1}, []byte("GET / HTTP/1.1\r\n\r\n"), make([]byte, 1400), other.Marshal()} {
		if _, err := stranger.Write(junk); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "bad messages are counted", func() bool { return bad() >= before+4 })
	p.ask(bfcp.FloorRelease, bfcp.Error, bfcp.Number(bfcp.FloorRequestID, request+1))
	if !screen() {
		t.Fatal("junk took the floor away")
	}

	m = p.ask(bfcp.FloorRelease, bfcp.FloorRequestStatus, bfcp.Number(bfcp.FloorRequestID, request))
	if _, state, ok := m.State(); !ok || state != bfcp.Released {
		t.Fatalf("state %d, %v", state, ok)
	}
	shows("camera's pictures", red)
	eventually(t, "it is no screen", func() bool { return !screen() })

	// Again, until the second stream is taken away; and again, until goodbye.
	p.ask(bfcp.FloorRequest, bfcp.FloorRequestStatus, bfcp.Number(bfcp.FloorID, 1))
	shows("slides", blue)
	if a := p.request("INVITE", p.offer(false)); strings.Count(a, "m=video 0 ") != 1 || !strings.Contains(a, "m=application 0 UDP/BFCP") {
		t.Fatal(a)
	}
	shows("camera's pictures", red)
	eventually(t, "it is no screen", func() bool { return !screen() })
	if a := p.request("INVITE", p.offer(true)); strings.Contains(a, "m=application 0") {
		t.Fatal(a)
	}
	p.ask(bfcp.FloorRequest, bfcp.FloorRequestStatus, bfcp.Number(bfcp.FloorID, 1))
	shows("slides", blue)
	p.ask(bfcp.Goodbye, bfcp.GoodbyeAck)
	shows("camera's pictures", red)

	if l := leg(); l.Slides.Sent != 0 || l.Video.Sent == 0 { // to ffmpeg's sockets, where media comes from
		t.Errorf("%d packets went out, %d of the second stream", l.Video.Sent, l.Slides.Sent)
	}
	if a := p.request("BYE", ""); !strings.HasPrefix(a, "SIP/2.0 200") {
		t.Error(a)
	}
	x.written(1)
	x.end()
}
