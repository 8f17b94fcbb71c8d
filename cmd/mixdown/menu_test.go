package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"mixdown/mixer"
)

// keypad is a telephone that sends its keys by INFO; baresip has none of that.
type keypad struct {
	t    *testing.T
	conn net.Conn
	to   string // as it is in the dialog
	at   string // where the other end is reached
	seq  int
}

// callByKeypad calls a room, and returns when the call stands.
func callByKeypad(t *testing.T, at, uri string) *keypad {
	t.Helper()
	conn, err := net.Dial("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	k := &keypad{t: t, conn: conn, to: "<" + uri + ">", at: uri}
	sdp := fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio %d RTP/AVP 0\r\n", freePort(t))
	answer := k.ask("INVITE", "application/sdp", sdp)
	for line := range strings.SplitSeq(answer, "\r\n") {
		if to, ok := strings.CutPrefix(line, "To: "); ok {
			k.to = to
		}
		if contact, ok := strings.CutPrefix(line, "Contact: "); ok {
			k.at = strings.Trim(contact, "<>")
		}
	}
	k.send("ACK", "application/sdp", "")
	return k
}

func (k *keypad) send(method, kind, body string) {
	k.t.Helper()
	if method != "ACK" {
		k.seq++
	}
	here := k.conn.LocalAddr()
	_, err := fmt.Fprintf(k.conn, "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP %v;rport;branch=z9hG4bK-%s-%d\r\nFrom: \"Keypad\" <sip:keypad@%v>;tag=k\r\nTo: %s\r\n"+
		"Call-ID: keypad-%v\r\nCSeq: %d %s\r\nMax-Forwards: 70\r\nContact: <sip:keypad@%v>\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
		method, k.at, here, method, k.seq, here, k.to, here, k.seq, method, here, kind, len(body), body)
	if err != nil {
		k.t.Fatal(err)
	}
}

// ask sends a request that is to succeed, and returns the answer.
func (k *keypad) ask(method, kind, body string) string {
	k.t.Helper()
	k.send(method, kind, body)
	buf := make([]byte, 8192)
	for {
		if err := k.conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			k.t.Fatal(err)
		}
		n, err := k.conn.Read(buf)
		if err != nil {
			k.t.Fatalf("%s: %v", method, err)
		}
		answer := string(buf[:n])
		switch {
		case !strings.Contains(answer, fmt.Sprintf("CSeq: %d %s\r\n", k.seq, method)), strings.HasPrefix(answer, "SIP/2.0 1"):
		case strings.HasPrefix(answer, "SIP/2.0 200"):
			return answer
		default:
			k.t.Fatalf("%s: %s", method, answer)
		}
	}
}

func (k *keypad) press(keys string) {
	k.t.Helper()
	for _, key := range keys {
		k.ask("INFO", "application/dtmf-relay", fmt.Sprintf("Signal=%c\r\nDuration=160\r\n", key))
	}
}

// events are the types of those that a room's hosts are told of by the control
// channel, from now on.
func (x *exchange) events(room string) <-chan string {
	x.t.Helper()
	types := make(chan string, 100)
	conn, _, err := websocket.Dial(x.t.Context(), x.base+"/api/v1/rooms/"+room+"/control?changes=true&token="+x.token, nil)
	if err != nil {
		x.t.Fatal(err)
	}
	conn.SetReadLimit(1 << 20)
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			var m struct{ Event struct{ Type string } }
			if err := wsjson.Read(x.t.Context(), conn, &m); err != nil {
				return
			}
			if m.Event.Type != "" {
				types <- m.Event.Type
			}
		}
	})
	x.t.Cleanup(func() { _ = conn.CloseNow(); reading.Wait() })
	return types
}

// TestTelephonesMenu has a host's telephone raise its hand, arrange the room and
// lock it: by telephone-events in RTP (RFC 4733), and by INFO.
func TestTelephonesMenu(t *testing.T) {
	t.Parallel()
	at := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	hooks := make(chan string, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var e struct{ Type string }
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
			t.Error("webhook: ", err)
		}
		hooks <- e.Type
	}))
	defer hook.Close()
	x := newExchange(t, map[string]any{
		"sip.addr": at, "webhooks.urls": []string{hook.URL}, "webhooks.secret": "whsec_c2VjcmV0c2VjcmV0c2VjcmV0", "webhooks.allow": []string{"127.0.0.1"},
	})
	var made struct {
		PIN     string `json:"pin"`
		HostPIN string `json:"host_pin"`
		JoinKey string `json:"join_key"`
	}
	x.post("", `{"name":"meeting"}`, &made)
	state := func() (s mixer.State) {
		t.Helper()
		res, body := x.do("GET", x.base+"/api/v1/rooms/meeting/state", x.token, "")
		if err := json.Unmarshal([]byte(body), &s); err != nil {
			t.Fatalf("%d %s: %v", res.StatusCode, body, err)
		}
		return s
	}
	join := func() int {
		t.Helper()
		res, _ := x.do("POST", x.base+"/api/v1/rooms/meeting/join", "", fmt.Sprintf(`{"key":%q,"name":"Late"}`, made.JoinKey))
		return res.StatusCode
	}
	// in returns who came in last.
	in := func(n int, role mixer.Role) string {
		t.Helper()
		var last mixer.Member
		eventually(t, fmt.Sprint(n, " are in, the last as ", role), func() bool {
			all := state().Participants
			if len(all) == n {
				last = all[n-1]
			}
			return last.Role == role
		})
		return last.ID
	}
	hand := func(id string) bool {
		for _, m := range state().Participants {
			if m.ID == id {
				return !m.Hand.IsZero()
			}
		}
		return false
	}

	bob := startBare(t, 880, 8000, ";audio_codecs=PCMU/8000/1", false)
	events := func(keys string) {
		t.Helper()
		before := x.metric("mixdown_sip_keys_total")
		bob.tell("sndcode", keys)
		eventually(t, "keys", func() bool { return x.metric("mixdown_sip_keys_total") >= before+float64(len(keys)) })
	}
	bob.tell("dial", "sip:meeting@"+at)
	eventually(t, "answered", func() bool { return strings.Contains(bob.said(), "Call established") })
	events(made.HostPIN + "#")
	byEvents := in(1, mixer.Host)
	guest := callByKeypad(t, at, "sip:meeting@"+at+";pin="+made.PIN)
	guestID := in(2, mixer.Participant)
	host := callByKeypad(t, at, "sip:meeting@"+at+";pin="+made.HostPIN)
	byInfo := in(3, mixer.Host)

	told := x.events("meeting")
	for _, by := range []struct {
		name, id string
		press    func(string)
	}{{"telephone-events", byEvents, events}, {"INFO", byInfo, host.press}} {
		by.press("*3")
		eventually(t, by.name+" raise a hand", func() bool { return hand(by.id) })
		by.press("*3")
		eventually(t, by.name+" lower it", func() bool { return !hand(by.id) })
		for _, layout := range []string{"speaker", "screen", "gallery"} {
			by.press("*4")
			eventually(t, by.name+" choose the layout "+layout, func() bool { return state().Layout == layout })
		}
		by.press("*6")
		eventually(t, by.name+" lock the room", func() bool { return state().Locked })
		if status := join(); status != 423 {
			t.Errorf("joining the locked room: %d", status)
		}
		by.press("*6")
		eventually(t, by.name+" unlock it", func() bool { return !state().Locked })
		if status := join(); status != 200 {
			t.Errorf("joining the open room: %d", status)
		}
		// Hosts and webhooks were told of all of it, in order.
		for _, want := range []string{"hand.raised", "hand.lowered", "room.layout", "room.layout", "room.layout", "room.locked", "room.unlocked"} {
			for who, events := range map[string]<-chan string{"a host": told, "a webhook": hooks} {
				select {
				case got := <-events:
					if got != want {
						t.Errorf("%s was told of %s, want %s", who, got, want)
					}
				case <-time.After(15 * time.Second):
					t.Fatalf("%s was not told of %s", who, want)
				}
			}
		}
	}

	// Who came by the other PIN has a hand, and no more; the locked room takes no
	// calls. A host lowers the hand by REST.
	host.press("*6")
	eventually(t, "locked", func() bool { return state().Locked })
	guest.press("*4*6*3")
	eventually(t, "the guest's hand is raised", func() bool { return hand(guestID) })
	if s := state(); s.Layout != "gallery" || !s.Locked {
		t.Errorf("a guest's keys: layout %s, locked %v", s.Layout, s.Locked)
	}
	if res, body := x.do("PUT", x.base+"/api/v1/rooms/meeting/participants/"+guestID+"/hand", x.token, `{"raised":false}`); res.StatusCode != 200 || hand(guestID) {
		t.Errorf("lowering a hand: %d %s", res.StatusCode, body)
	}
	carl := startBare(t, 1320, 8000, ";audio_codecs=PCMU/8000/1", false)
	carl.tell("dial", "sip:meeting@"+at+";pin="+made.PIN)
	eventually(t, "Carl is refused", func() bool { return strings.Contains(carl.said(), "480 Room Locked") })
	carl.tell("dial", "sip:meeting@"+at)
	eventually(t, "Carl is asked", func() bool { return strings.Contains(carl.said(), "Call established") })
	carl.tell("sndcode", made.PIN+"#")
	if last := x.written(2)[1]; last.Code != 480 || last.By != "room" || last.Reason != "the room is locked" {
		t.Errorf("Carl's call ended with %+v", last)
	}
	if n := len(state().Participants); n != 3 {
		t.Errorf("%d are in", n)
	}
	bob.stop()
	carl.stop()
	x.end()
}
