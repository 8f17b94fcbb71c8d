package sip

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mixdown/mixer"
)

// What comes in as an endpoint closes is answered by sipgo, which makes a socket
// for that and has no end that could be waited for.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/emiago/sipgo/sip.(*TransportUDP).readUDPConnection"))
}

// house is rooms without media: those named, with their PINs.
type house struct {
	mu      sync.Mutex
	pins    map[string]string
	calls   map[string][]mixer.Call
	told    chan []mixer.Call
	opened  []string
	refuse  error
	muted   map[string]bool
	members []mixer.Member
	layout  string
	locked  bool
}

// hostPIN opens the room "locked" for hosts.
const hostPIN = "11112222"

func newHouse(pins map[string]string) *house {
	return &house{pins: pins, calls: map[string][]mixer.Call{}, told: make(chan []mixer.Call, 1000), muted: map[string]bool{}, layout: "gallery"}
}

func (h *house) Find(room string) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	pin, ok := h.pins[room]
	if !ok {
		return "", mixer.ErrNoRoom
	}
	return pin, nil
}

func (h *house) ByPIN(pin string) (string, mixer.Role, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if pin == hostPIN {
		return "locked", mixer.Host, true
	}
	for room, p := range h.pins {
		if p != "" && p == pin {
			return room, mixer.Participant, true
		}
	}
	return "", "", false
}

func (h *house) Open(room string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.opened = append(h.opened, room)
	return nil
}

func (h *house) Admit(string, mixer.Identity) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.refuse
}

func (h *house) SetCalls(room string, calls []mixer.Call) error {
	h.mu.Lock()
	h.calls[room] = calls
	h.mu.Unlock()
	select {
	case h.told <- calls:
	default:
	}
	return nil
}

func (h *house) State(room string) (mixer.State, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return mixer.State{Room: room, Participants: slices.Clone(h.members), Layout: h.layout, Locked: h.locked}, nil
}

func (h *house) SetHand(_, id string, up bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.members {
		if m := &h.members[i]; m.ID == id {
			if m.Hand = (time.Time{}); up {
				m.Hand = time.Now()
			}
			return nil
		}
	}
	return mixer.ErrNoParticipant
}

func (h *house) SetLayout(_, layout string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.layout = layout
	return nil
}

func (h *house) SetLocked(_ string, locked bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.locked = locked
	return nil
}

func (h *house) SetMedia(_, id string, audio, video *bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if audio != nil {
		h.muted[id] = !*audio
	}
	if video != nil {
		h.muted[id+" video"] = !*video
	}
	return nil
}

func (h *house) Mute(_, id string, audio, _ *bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.muted[id] = *audio
	return nil
}

// wires makes legs that agree with everybody and move nothing.
type wires struct {
	mu   sync.Mutex
	legs []*wire
}

func (w *wires) New(context.Context, LegOptions) (Leg, error) {
	l := &wire{digits: make(chan rune, 10), keyframes: make(chan struct{}, 1), done: make(chan struct{}), played: make(chan int, 100)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.legs = append(w.legs, l)
	return l, nil
}

func (w *wires) last() *wire {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.legs) == 0 {
		return nil
	}
	return w.legs[len(w.legs)-1]
}

func (w *wires) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.legs)
}

type wire struct {
	digits    chan rune
	keyframes chan struct{}
	played    chan int
	done      chan struct{}

	mu       sync.Mutex
	err      error
	closed   error
	ended    bool
	room     string
	who      mixer.Identity
	accepted string
	offers   []string
	held     bool
	refresh  int
	off      [2]bool // sound, pictures
}

const plainSDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"

func (l *wire) Answer(offer string) (string, error) {
	if !strings.Contains(offer, "m=audio") {
		return "", fmt.Errorf("%w: no sound in it", mixer.ErrBadOffer)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.offers = append(l.offers, offer)
	l.held = strings.Contains(offer, "a=sendonly") || strings.Contains(offer, "a=inactive")
	return plainSDP, nil
}
func (l *wire) Offer() (string, error) { return plainSDP, nil }
func (l *wire) Accept(answer string) error {
	if !strings.Contains(answer, "m=audio") {
		return errors.New("no answer")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepted = answer
	return nil
}
func (l *wire) Held() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held
}
func (l *wire) Play(pcm []int16)           { l.played <- len(pcm) }
func (l *wire) Digits() <-chan rune        { return l.digits }
func (l *wire) Keyframes() <-chan struct{} { return l.keyframes }
func (l *wire) Refresh() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refresh++
}
func (l *wire) Enter(room string, who mixer.Identity) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.room, l.who = room, who
	return nil
}
func (l *wire) Switch(audio, video *bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, on := range []*bool{audio, video} {
		if on != nil {
			l.off[i] = !*on
		}
	}
	return nil
}
func (l *wire) Figures() LegFigures   { return LegFigures{Audio: "PCMU", Received: 7} }
func (l *wire) Done() <-chan struct{} { return l.done }
func (l *wire) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}
func (l *wire) Close(reason error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.ended, l.closed = true, reason
	}
}

func (l *wire) in() (string, mixer.Identity) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.room, l.who
}

// fail ends the leg as the room or its silence would.
func (l *wire) fail(err error) {
	l.mu.Lock()
	l.err = err
	l.mu.Unlock()
	close(l.done)
}

// lab is an endpoint with all that is around it.
type lab struct {
	*Endpoint
	rooms *house
	wires *wires
}

func newLab(t *testing.T, change func(*Config)) *lab {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Addr = "127.0.0.1:0"
	cfg.Version = "test"
	if change != nil {
		change(&cfg)
	}
	l := &lab{rooms: newHouse(map[string]string{"demo": "", "locked": "12345678"}), wires: &wires{}}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	var err error
	if l.Endpoint, err = New(cfg, l.rooms, l.wires, nil, log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// phone speaks SIP as text, so that tests say what is on the wire.
type phone struct {
	t    *testing.T
	conn net.Conn
	tag  string
	id   string
	via  string // transport's name
	seq  int
	mail [][]byte
}

func dialPhone(t *testing.T, network string, to netip.AddrPort) *phone {
	t.Helper()
	conn, err := net.Dial(network, to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &phone{t: t, conn: conn, tag: randomHex(4), id: randomHex(6), via: strings.ToUpper(network)}
}

// send writes a request; headers are whole lines.
func (p *phone) send(method, uri, branch, to string, body string, headers ...string) {
	p.t.Helper()
	if method != "ACK" && method != "CANCEL" {
		p.seq++
	}
	p.sendAs(p.seq, method, uri, branch, to, body, headers...)
}

func (p *phone) sendAs(seq int, method, uri, branch, to string, body string, headers ...string) {
	p.t.Helper()
	lines := []string{
		method + " " + uri + " SIP/2.0",
		"Via: SIP/2.0/" + p.via + " " + p.conn.LocalAddr().String() + ";rport;branch=" + branch,
		"From: \"Ada\" <sip:ada@example.org>;tag=" + p.tag,
		"To: " + to,
		"Call-ID: " + p.id,
		fmt.Sprintf("CSeq: %d %s", seq, method),
		"Max-Forwards: 70",
		"Contact: <sip:ada@" + p.conn.LocalAddr().String() + ">",
	}
	lines = append(lines, headers...)
	if body != "" && !strings.Contains(strings.Join(headers, "\n"), "Content-Type") {
		lines = append(lines, "Content-Type: application/sdp")
	}
	lines = append(lines, fmt.Sprintf("Content-Length: %d", len(body)), "", body)
	if _, err := io.WriteString(p.conn, strings.Join(lines, "\r\n")); err != nil {
		p.t.Fatal(err)
	}
}

// read returns the next message, or nothing after a while.
func (p *phone) read(within time.Duration) string {
	p.t.Helper()
	if len(p.mail) > 0 {
		m := p.mail[0]
		p.mail = p.mail[1:]
		return string(m)
	}
	buf := make([]byte, 64<<10)
	if err := p.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		p.t.Fatal(err)
	}
	n, err := p.conn.Read(buf)
	if err != nil {
		return ""
	}
	rest := buf[:n]
	for len(rest) > 0 { // TCP may bring several
		head := strings.Index(string(rest), "\r\n\r\n")
		if head < 0 {
			break
		}
		length, _ := bodyLength(rest[:head])
		end := min(head+4+max(length, 0), len(rest))
		p.mail = append(p.mail, append([]byte{}, rest[:end]...))
		rest = rest[end:]
	}
	return p.read(within)
}

// expect reads until a final response, or a request, that begins so.
func (p *phone) expect(start string) string {
	p.t.Helper()
	for range 20 {
		m := p.read(4 * time.Second)
		if m == "" {
			p.t.Fatalf("no %q came", start)
		}
		if strings.HasPrefix(m, start) {
			return m
		}
		if !strings.HasPrefix(m, "SIP/2.0 1") {
			p.t.Fatalf("want %q, got:\n%s", start, m)
		}
	}
	p.t.Fatalf("no %q among many", start)
	return ""
}

// headerOf returns a header's value of a message as text.
func headerOf(message, name string) string {
	for line := range strings.SplitSeq(message, "\r\n") {
		if n, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(n, name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// call makes a call to a room and acknowledges the answer; it returns what To
// is from then on, and our contact.
func (p *phone) call(uri, body string, headers ...string) (to, contact string) {
	p.t.Helper()
	p.send("INVITE", uri, "z9hG4bK"+randomHex(8), "<"+uri+">", body, headers...)
	ok := p.expect("SIP/2.0 200")
	to = headerOf(ok, "To")
	contact = strings.Trim(headerOf(ok, "Contact"), "<>")
	answer := ""
	if body == "" {
		answer = plainSDP
	}
	p.send("ACK", contact, "z9hG4bK"+randomHex(8), to, answer)
	return to, contact
}

// respond answers a request of the endpoint.
func (p *phone) respond(request string, code int, headers ...string) {
	p.t.Helper()
	out := []string{fmt.Sprintf("SIP/2.0 %d X", code)}
	for line := range strings.SplitSeq(request, "\r\n") {
		name, _, _ := strings.Cut(line, ":")
		switch strings.ToLower(name) {
		case "via", "from", "to", "call-id", "cseq":
			out = append(out, line)
		}
	}
	out = append(out, headers...)
	body := ""
	for i, h := range headers {
		if b, ok := strings.CutPrefix(h, "BODY:"); ok {
			body = b
			out[len(out)-len(headers)+i] = "Content-Type: application/sdp"
		}
	}
	out = append(out, fmt.Sprintf("Content-Length: %d", len(body)), "", body)
	if _, err := io.WriteString(p.conn, strings.Join(out, "\r\n")); err != nil {
		p.t.Fatal(err)
	}
}

// soon waits for something that another goroutine does.
func soon(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("not in time: %s", what)
}
