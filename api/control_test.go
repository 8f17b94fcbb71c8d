package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"mixdown/mixer"
)

// client is a control connection to a bench.
type client struct {
	t    testing.TB
	ctx  context.Context
	conn *websocket.Conn
}

type serverMessage struct {
	Type  string
	You   string
	State mixer.State
	Error controlError

	Missed int64
}

// smallSocket is what sockets of these tests hold, so that little text stalls
// them.
const smallSocket = 32 << 10

func (b *bench) serve() string {
	s := httptest.NewUnstartedServer(b.api)
	s.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if err := c.(*net.TCPConn).SetWriteBuffer(smallSocket); err != nil {
			b.t.Error(err)
		}
		return ctx
	}
	s.Start()
	b.t.Cleanup(func() { b.api.Close(); s.Close() })
	return s.URL
}

func (b *bench) dial(url string, opts *websocket.DialOptions) (*client, *http.Response, error) {
	// The bound is only for a test that hangs.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	b.t.Cleanup(cancel)
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return c, c.(*net.TCPConn).SetReadBuffer(smallSocket)
	}}
	b.t.Cleanup(transport.CloseIdleConnections)
	if opts == nil {
		opts = &websocket.DialOptions{}
	}
	opts.HTTPClient = &http.Client{Transport: transport}
	conn, res, err := websocket.Dial(ctx, url, opts)
	if err != nil {
		return nil, res, err
	}
	conn.SetReadLimit(64 << 20)
	b.t.Cleanup(func() { conn.CloseNow() })
	return &client{b.t, ctx, conn}, res, nil
}

func (b *bench) mustDial(url, token string) *client {
	b.t.Helper()
	c, _, err := b.dial(url+"/api/v1/rooms/demo/control?token="+token, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

func (c *client) read() serverMessage {
	c.t.Helper()
	_, raw, err := c.conn.Read(c.ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	var m serverMessage
	if err := json.Unmarshal(raw, &m); err != nil {
		c.t.Fatalf("%v: %s", err, raw)
	}
	return m
}

// until reads up to the first message of that type.
func (c *client) until(kind string) serverMessage {
	c.t.Helper()
	for {
		if m := c.read(); m.Type == kind {
			return m
		}
	}
}

func (c *client) send(text string) {
	c.t.Helper()
	if err := c.conn.Write(c.ctx, websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

// closed reads until the connection ends and returns its close code.
func (c *client) closed() websocket.StatusCode {
	c.t.Helper()
	for {
		if _, _, err := c.conn.Read(c.ctx); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

func TestControlState(t *testing.T) {
	b := newBench(t)
	b.room("ada", "bob")
	url := b.serve()
	c := b.mustDial(url, b.token("ada", mixer.Participant, "demo"))
	m := c.read()
	if m.Type != "state" || m.You != "ada" || len(m.State.Participants) != 2 || m.State.Room != "demo" {
		t.Fatalf("first message %+v", m)
	}
	b.rooms.set("demo", func(s *mixer.State) { s.Speaker = "bob" })
	if m = c.read(); m.State.Speaker != "bob" || len(m.State.Participants) != 2 {
		t.Fatalf("after a change %+v", m)
	}
	version := m.State.Version
	c.conn.CloseNow()
	b.rooms.set("demo", func(s *mixer.State) { s.Participants = s.Participants[:1] })
	c = b.mustDial(url, b.token("ada", mixer.Participant, "demo"))
	if m = c.read(); m.State.Version != version+1 || len(m.State.Participants) != 1 || m.State.Speaker != "bob" {
		t.Fatalf("after coming back %+v", m)
	}
}

func TestControlCommands(t *testing.T) {
	b := newBench(t)
	b.room("ada", "bob", "boss")
	url := b.serve()
	ada := b.mustDial(url, b.token("ada", mixer.Participant, "demo"))
	if m := ada.read(); m.Type != "state" {
		t.Fatal(m)
	}
	for _, bad := range []struct{ text, code string }{
		{`{"type":"dance"}`, "unknown_type"},
		{`{`, "bad_message"},
		{`[]`, "bad_message"},
		{``, "bad_message"},
		{`{"type":"media"}`, "bad_message"},
		{`{"type":"media","audio":"yes"}`, "bad_message"},
		{`{"type":"tier"}`, "bad_message"},
		{`{"type":"mute","audio":true}`, "bad_message"},
		{`{"type":"tier","tier":"8k"}`, "bad_request"},
		{`{"type":"mute","id":"bob","audio":true}`, "forbidden"},
		{`{"type":"hand"}`, "bad_message"},
		{`{"type":"hand","id":"bob","raised":false}`, "forbidden"},
		{`{"type":"lock"}`, "bad_message"},
		{`{"type":"lock","locked":true}`, "forbidden"},
		{`{"type":"layout"}`, "bad_message"},
		{`{"type":"link"}`, "bad_message"},
		{`{"type":"link","down":-1}`, "bad_message"},
		{`{"type":"layout","layout":"speaker"}`, "forbidden"},
	} {
		ada.send(bad.text)
		if m := ada.until("error"); m.Error.Code != bad.code || m.Error.Message == "" {
			t.Errorf("%s: %+v", bad.text, m.Error)
		}
	}
	if err := ada.conn.Write(ada.ctx, websocket.MessageBinary, []byte{1}); err != nil {
		t.Fatal(err)
	}
	if m := ada.until("error"); m.Error.Code != "bad_message" {
		t.Errorf("binary: %+v", m)
	}
	ada.send(`{"type":"media","audio":true,"video":false,"new":1}`)
	ada.send(`{"type":"tier","tier":"360p"}`)
	ada.send(`{"type":"mute","id":"ada","audio":true}`)
	ada.send(`{"type":"hand","raised":true}`)
	ada.send(`{"type":"link","down":48000}`)
	ada.send(`{"type":"ping"}`)
	ada.until("pong")
	if got := b.signaler.carried(); !slices.Equal(got, []string{"demo ada 48000"}) {
		t.Errorf("links %q", got)
	}
	boss := b.mustDial(url, b.token("boss", mixer.Host, "demo"))
	boss.send(`{"type":"mute","id":"bob","video":true}`)
	boss.send(`{"type":"mute","id":"none","video":true}`)
	if m := boss.until("error"); m.Error.Code != "not_found" {
		t.Errorf("muting nobody: %+v", m)
	}
	boss.send(`{"type":"hand","id":"ada","raised":false}`)
	boss.send(`{"type":"layout","layout":"speaker"}`)
	boss.send(`{"type":"lock","locked":true}`)
	boss.send(`{"type":"layout","layout":"mosaic"}`)
	if m := boss.until("error"); m.Error.Code != "bad_request" {
		t.Errorf("no such layout: %+v", m)
	}
	want := []string{"media demo ada true false", "tier demo ada 360p", "mute demo ada true -", "hand demo ada true", "mute demo bob - true", "mute demo none - true",
		"hand demo ada false", "layout demo speaker", "lock demo true"}
	if got := b.rooms.log(); !slices.Equal(got, want) {
		t.Errorf("calls %q", got)
	}
}

// What a client says before its source is there holds when it comes.
func TestControlMediaBeforePublish(t *testing.T) {
	b := newBench(t)
	b.room()
	c := b.mustDial(b.serve(), b.token("ada", mixer.Participant, "demo"))
	c.read()
	c.send(`{"type":"media","audio":true,"video":false}`)
	c.send(`{"type":"ping"}`)
	if m := c.read(); m.Type != "pong" {
		t.Fatalf("got %+v", m)
	}
	b.rooms.set("demo", func(s *mixer.State) {
		s.Participants = append(s.Participants, mixer.Member{ID: "ada", Publishes: true})
	})
	c.until("state") // is written after the media were repeated
	if got := b.rooms.log(); !slices.Equal(got, []string{"media demo ada true false", "media demo ada true false"}) {
		t.Errorf("calls %q", got)
	}
}

func TestControlRefuses(t *testing.T) {
	b := newBench(t)
	b.room("ada")
	url := b.serve() + "/api/v1/rooms/demo/control"
	ada := b.token("ada", mixer.Participant, "demo")
	for name, c := range map[string]struct {
		url    string
		opts   *websocket.DialOptions
		status int
	}{
		"no token":     {url, nil, http.StatusUnauthorized},
		"bad token":    {url + "?token=x", nil, http.StatusUnauthorized},
		"other room":   {url + "?token=" + b.token("ada", mixer.Host, "other"), nil, http.StatusForbidden},
		"no such room": {strings.Replace(url, "demo", "none", 1) + "?token=" + b.token("ada", mixer.Host, "none"), nil, http.StatusNotFound},
		"query":        {url + "?token=" + ada, nil, http.StatusSwitchingProtocols},
		"header":       {url, &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + ada}}}, http.StatusSwitchingProtocols},
		"subprotocol":  {url, &websocket.DialOptions{Subprotocols: []string{"mixdown", ada}}, http.StatusSwitchingProtocols},
		"other origin": {url + "?token=" + ada, &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {"https://elsewhere.example"}}}, http.StatusSwitchingProtocols},
	} {
		client, res, err := b.dial(c.url, c.opts)
		if res == nil || res.StatusCode != c.status {
			t.Errorf("%s: %v, %v", name, res, err)
		}
		if err == nil {
			if c.opts != nil && c.opts.Subprotocols != nil && client.conn.Subprotocol() != "mixdown" {
				t.Errorf("%s: subprotocol %q", name, client.conn.Subprotocol())
			}
			client.conn.CloseNow()
		}
	}
	if w := b.do("GET", "/api/v1/rooms/demo/control", ada, nil); w.Code != http.StatusUpgradeRequired {
		t.Errorf("plain GET: %d", w.Code)
	}
}

func TestControlEnds(t *testing.T) {
	b := newBench(t)
	b.room("ada", "bob", "eve")
	url := b.serve()
	host := b.token("boss", mixer.Host, "demo")
	dial := func(id string) *client {
		c := b.mustDial(url, b.token(id, mixer.Participant, "demo"))
		c.read()
		return c
	}
	ada, bob, eve := dial("ada"), dial("bob"), dial("eve")
	b.want(b.do("DELETE", "/api/v1/rooms/demo/participants/ada", host, nil), http.StatusNoContent)
	if code := ada.closed(); code != closeRemoved {
		t.Errorf("removed: close code %d", code)
	}
	bob.send(`{"type":"ping"}`)
	bob.until("pong") // was not disturbed
	bob.send(`{"type":"ping","x":"` + strings.Repeat("x", maxMessage) + `"}`)
	if code := bob.closed(); code != websocket.StatusMessageTooBig {
		t.Errorf("too big: close code %d", code)
	}
	b.want(b.do("DELETE", "/api/v1/rooms/demo", host, nil), http.StatusNoContent)
	if code := eve.closed(); code != closeRoomClosed {
		t.Errorf("room closed: close code %d", code)
	}
}

func TestControlShutdown(t *testing.T) {
	b := newBench(t)
	b.room("ada")
	url := b.serve()
	c := b.mustDial(url, b.token("ada", mixer.Participant, "demo"))
	c.read()
	done := make(chan error, 1)
	go func() { done <- b.api.Close() }()
	if code := c.closed(); code != websocket.StatusGoingAway {
		t.Errorf("close code %d", code)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	_, res, err := b.dial(url+"/api/v1/rooms/demo/control?token="+b.token("ada", mixer.Participant, "demo"), nil)
	if err == nil || res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("after Close: %v, %v", res, err)
	}
}

// A client that takes nothing is given up after a while.
func TestControlStalledClient(t *testing.T) {
	b := newBench(t)
	b.room("ada", "bob")
	b.api.writeTimeout = 100 * time.Millisecond
	url := b.serve()
	b.mustDial(url, b.token("ada", mixer.Participant, "demo"))
	b.rooms.set("demo", func(s *mixer.State) { s.Speaker = strings.Repeat("x", 64*smallSocket) })
	b.api.hub.wg.Wait() // ends only when the server has let go
	if w := b.do("GET", "/metrics", "", nil); !strings.Contains(w.Body.String(), "mixdown_control_connections 0") {
		t.Error("the connection is still counted")
	}
}

// A client that does not read skips what was overtaken, and holds nobody up.
func TestControlSlowClient(t *testing.T) {
	b := newBench(t)
	b.room("ada", "bob")
	b.api.writeTimeout = time.Hour // the test's speed decides nothing
	url := b.serve()
	slow := b.mustDial(url, b.token("ada", mixer.Participant, "demo"))
	fast := b.mustDial(url, b.token("bob", mixer.Participant, "demo"))
	fast.read()
	big := strings.Repeat("x", smallSocket)
	const changes = 64
	for i := range changes {
		b.rooms.set("demo", func(s *mixer.State) { s.Speaker = fmt.Sprint(i, big) })
		want := uint64(i + 2) // room made the first version
		for fast.read().State.Version < want {
		}
	}
	got := 0
	for {
		m := slow.until("state")
		got++
		if m.State.Version == changes+1 {
			break
		}
	}
	if got >= changes {
		t.Errorf("the slow client was sent all %d states", got)
	}
}

func TestControlBounded(t *testing.T) {
	b := newBench(t)
	b.room("ada")
	url := b.serve()
	token := b.token("ada", mixer.Participant, "demo")
	for range maxControls {
		b.mustDial(url, token).read()
	}
	_, res, err := b.dial(url+"/api/v1/rooms/demo/control?token="+token, nil)
	if err == nil || res.StatusCode != http.StatusTooManyRequests {
		t.Fatalf("%v, %v", res, err)
	}
}

func FuzzParseRequest(f *testing.F) {
	for _, s := range []string{
		`{"type":"media","audio":true,"video":false}`, `{"type":"tier","tier":"360p"}`, `{"type":"mute","id":"a","audio":true}`,
		`{"type":"ping"}`, `{"type":"dance"}`, `{`, `null`, `{"type":null}`, "\xff", `{"type":"ping","type":"media"}`,
	} {
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, text bool) {
		kind := websocket.MessageBinary
		if text {
			kind = websocket.MessageText
		}
		q, bad := parseRequest(kind, raw)
		if bad != nil {
			if bad.Code == "" || bad.Message == "" || len(bad.Message) > 500 {
				t.Fatalf("%q: %+v", raw, bad)
			}
			return
		}
		if !slices.Contains([]string{"ping", "media", "tier", "mute", "hand", "lock", "layout", "link"}, q.Type) {
			t.Fatalf("%q: %+v", raw, q)
		}
		if _, err := json.Marshal(q); err != nil {
			t.Fatal(err)
		}
	})
}

// TestControlChanges: who asked for changes gets them after the first state.
func TestControlChanges(t *testing.T) {
	b := newBench(t)
	b.room("ada", "bob")
	url := b.serve()
	c, _, err := b.dial(url+"/api/v1/rooms/demo/control?changes=true&token="+b.token("ada", mixer.Host, "demo"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if m := c.read(); m.Type != "state" || len(m.State.Participants) != 2 {
		t.Fatalf("first %+v", m)
	}
	b.rooms.set("demo", func(s *mixer.State) { s.Participants[1].Muted = true })
	_, raw, err := c.conn.Read(c.ctx)
	if err != nil {
		t.Fatal(err)
	}
	var m changesMessage
	if err := json.Unmarshal(raw, &m); err != nil || m.Type != "changes" || m.Changes.Order != nil || string(m.Changes.Participants["bob"]) != `{"muted":true}` {
		t.Fatalf("%v: %s", err, raw)
	}
}

// TestControlMissedEvents lets a host read too slowly for events: those that it is
// not sent are counted, and the whole state comes after them, also to who takes
// changes.
func TestControlMissedEvents(t *testing.T) {
	for _, query := range []string{"", "&changes=true"} {
		t.Run("query"+query, func(t *testing.T) {
			b := newBench(t)
			b.room("ada")
			b.api.writeTimeout = time.Hour // the test's speed decides nothing
			url := b.serve()
			host := b.mustDial(url, b.token("ada", mixer.Host, "demo")+query)
			host.until("state")
			// What a socket holds depends on the kernel, so: until some are missed, and then
			// one that came after the others.
			detail, sent, missed := strings.Repeat("x", 16<<10), 0, 0.
			for ; missed < 3 && sent < 10_000; sent++ {
				b.api.Event(mixer.Event{Type: "hand.raised", Room: "demo", Participant: "grace", Detail: detail})
				missed = testutil.ToFloat64(b.api.meters.missed)
			}
			if missed < 3 {
				t.Fatalf("all %d events found room", sent)
			}
			got, told := 0, int64(0)
			for int64(got)+told < int64(sent) {
				switch m := host.read(); m.Type {
				case "event":
					got++
				case "state":
					told += m.Missed
					if m.State.Room != "demo" || m.You != "ada" || m.Missed == 0 {
						t.Fatalf("a state of room %q for %q after %d missed", m.State.Room, m.You, m.Missed)
					}
				}
			}
			if float64(told) != missed {
				t.Errorf("the host knows of %d missed events, the metric of %v", told, missed)
			}
		})
	}
}
