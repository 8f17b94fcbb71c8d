package sip

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mixdown/mixer"
)

func TestCallsAndHangsUp(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			records := filepath.Join(t.TempDir(), "calls.jsonl")
			l := newLab(t, func(c *Config) { c.Records = records })
			p := dialPhone(t, network, l.Addr())
			to, contact := p.call("sip:demo@example.org", plainSDP)
			soon(t, "in the room", func() bool { room, _ := l.wires.last().in(); return room == "demo" })
			if _, who := l.wires.last().in(); who.Name != "Ada" || who.Role != mixer.Participant || !strings.HasPrefix(who.ID, "sip-") {
				t.Errorf("came in as %+v", who)
			}
			if calls := l.Calls("demo"); len(calls) != 1 || calls[0].State != mixer.CallConnected || calls[0].Peer != "sip:ada@example.org" {
				t.Errorf("calls: %+v", calls)
			}
			l.rooms.mu.Lock()
			told := l.rooms.calls["demo"]
			l.rooms.mu.Unlock()
			if len(told) != 1 || told[0].Peer != "" {
				t.Errorf("everybody was told the caller's address: %+v", told)
			}
			p.send("BYE", contact, "z9hG4bK"+randomHex(8), to, "", `Reason: SIP;cause=200;text="went home"`)
			p.expect("SIP/2.0 200")
			soon(t, "written down", func() bool { raw, _ := os.ReadFile(records); return len(raw) > 0 })
			raw, _ := os.ReadFile(records)
			var rec record
			if err := json.Unmarshal(raw, &rec); err != nil {
				t.Fatal(err)
			}
			if rec.Room != "demo" || rec.By != "caller" || rec.Reason != "went home" || rec.Media.Received != 7 || rec.Answered == nil || rec.Transport != strings.ToUpper(network) {
				t.Errorf("record: %s", raw)
			}
			if l.wires.last().closed == nil {
				t.Error("the leg was left open")
			}
		})
	}
}

func TestAnswerRepeatsUntilAcknowledged(t *testing.T) {
	l := newLab(t, nil)
	p := dialPhone(t, "udp", l.Addr())
	branch := "z9hG4bK" + randomHex(8)
	p.send("INVITE", "sip:demo@x", branch, "<sip:demo@x>", plainSDP)
	first := p.expect("SIP/2.0 200")
	p.seq-- // the same request again is absorbed, not a second call
	p.send("INVITE", "sip:demo@x", branch, "<sip:demo@x>", plainSDP)
	if again := p.expect("SIP/2.0 200"); again != first {
		t.Errorf("another answer:\n%s\nthan\n%s", again, first)
	}
	if n := l.wires.count(); n != 1 {
		t.Errorf("%d legs", n)
	}
	p.send("ACK", "sip:demo@x", "z9hG4bK"+randomHex(8), headerOf(first, "To"), "")
	soon(t, "in the room", func() bool { room, _ := l.wires.last().in(); return room != "" })
	if m := p.read(1500 * time.Millisecond); m != "" {
		t.Errorf("came after the acknowledgement:\n%s", m)
	}
}

func TestLateOffer(t *testing.T) {
	l := newLab(t, nil)
	p := dialPhone(t, "udp", l.Addr())
	p.call("sip:demo@x", "")
	soon(t, "answer taken", func() bool {
		w := l.wires.last()
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.accepted == plainSDP && w.room == "demo"
	})
}

func TestHoldAndResume(t *testing.T) {
	l := newLab(t, nil)
	p := dialPhone(t, "udp", l.Addr())
	to, contact := p.call("sip:demo@x", plainSDP)
	state := func() mixer.CallState {
		if c := l.Calls("demo"); len(c) == 1 {
			return c[0].State
		}
		return ""
	}
	soon(t, "connected", func() bool { return state() == mixer.CallConnected })
	p.send("INVITE", contact, "z9hG4bK"+randomHex(8), to, plainSDP+"a=sendonly\r\n")
	p.expect("SIP/2.0 200")
	p.send("ACK", contact, "z9hG4bK"+randomHex(8), to, "")
	soon(t, "held", func() bool { return state() == mixer.CallHeld })
	p.send("UPDATE", contact, "z9hG4bK"+randomHex(8), to, plainSDP)
	p.expect("SIP/2.0 200")
	soon(t, "resumed", func() bool { return state() == mixer.CallConnected })
	// An offer that cannot be used changes nothing.
	p.send("INVITE", contact, "z9hG4bK"+randomHex(8), to, "v=0\r\n")
	p.expect("SIP/2.0 488")
	p.send("ACK", contact, "z9hG4bK"+randomHex(8), to, "")
	if s := state(); s != mixer.CallConnected {
		t.Errorf("after a bad offer: %s", s)
	}
	// An old request's number is refused.
	p.sendAs(1, "INFO", contact, "z9hG4bK"+randomHex(8), to, "")
	p.expect("SIP/2.0 500")
}

func TestCancelAndStray(t *testing.T) {
	l := newLab(t, nil)
	p := dialPhone(t, "udp", l.Addr())
	for _, method := range []string{"BYE", "CANCEL", "INFO", "UPDATE", "PRACK"} {
		p.send(method, "sip:demo@x", "z9hG4bK"+randomHex(8), "<sip:demo@x>;tag=none", "")
		p.expect("SIP/2.0 481")
	}
	p.send("ACK", "sip:demo@x", "z9hG4bK"+randomHex(8), "<sip:demo@x>;tag=none", "")
	if m := p.read(100 * time.Millisecond); m != "" {
		t.Errorf("an ACK was answered:\n%s", m)
	}
	p.send("OPTIONS", "sip:demo@x", "z9hG4bK"+randomHex(8), "<sip:demo@x>", "")
	if m := p.expect("SIP/2.0 200"); headerOf(m, "Allow") != allowed || headerOf(m, "Accept") != accepts {
		t.Errorf("options:\n%s", m)
	}
}

func TestRemovedHearsBye(t *testing.T) {
	l := newLab(t, nil)
	p := dialPhone(t, "udp", l.Addr())
	p.call("sip:demo@x", plainSDP)
	soon(t, "in the room", func() bool { room, _ := l.wires.last().in(); return room != "" })
	l.wires.last().fail(mixer.ErrRemoved)
	bye := p.expect("BYE ")
	if r := headerOf(bye, "Reason"); r != `SIP;cause=200;text="removed by a host"` {
		t.Errorf("reason %q", r)
	}
	p.respond(bye, 200)
	soon(t, "gone", func() bool { return len(l.Calls("demo")) == 0 })
}

func TestLobbyAsksForPIN(t *testing.T) {
	l := newLab(t, func(c *Config) { c.Lobby = []string{"8000"} })
	press := func(w *wire, keys string) {
		for _, k := range keys {
			w.digits <- k
		}
	}
	p := dialPhone(t, "udp", l.Addr())
	p.call("sip:8000@x", plainSDP)
	soon(t, "asked", func() bool { return l.wires.last() != nil && len(l.wires.last().played) > 0 })
	press(l.wires.last(), "999*12345678#")
	soon(t, "let in", func() bool { room, _ := l.wires.last().in(); return room == "locked" })

	// The PIN may come by INFO, to the room's own name; another room's is wrong.
	p = dialPhone(t, "udp", l.Addr())
	l.rooms.mu.Lock()
	l.rooms.pins["other"] = "87654321"
	l.rooms.mu.Unlock()
	to, contact := p.call("sip:locked@x", plainSDP)
	for range 3 {
		for _, k := range "87654321#" {
			p.send("INFO", contact, "z9hG4bK"+randomHex(8), to, fmt.Sprintf("Signal=%c\r\nDuration=160\r\n", k), "Content-Type: application/dtmf-relay")
			p.expect("SIP/2.0 200")
		}
	}
	bye := p.expect("BYE ")
	if r := headerOf(bye, "Reason"); !strings.Contains(r, "403") {
		t.Errorf("reason %q", r)
	}
	p.respond(bye, 200)
	if room, _ := l.wires.last().in(); room != "" {
		t.Errorf("came into %q with a wrong PIN", room)
	}

	// The PIN may stand in the address.
	p = dialPhone(t, "udp", l.Addr())
	p.call("sip:locked@x;pin=12345678", plainSDP)
	soon(t, "let in", func() bool { room, _ := l.wires.last().in(); return room == "locked" })
	p = dialPhone(t, "udp", l.Addr())
	p.send("INVITE", "sip:locked@x;pin=1", "z9hG4bK1", "<sip:locked@x>", plainSDP)
	p.expect("SIP/2.0 403")
}

func TestMenu(t *testing.T) {
	l := newLab(t, nil)
	p := dialPhone(t, "udp", l.Addr())
	to, contact := p.call("sip:demo@x", plainSDP)
	soon(t, "in the room", func() bool { room, _ := l.wires.last().in(); return room != "" })
	w := l.wires.last()
	muted := func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.off[0] }
	for _, k := range "7*1" {
		w.digits <- k
	}
	soon(t, "muted", muted)
	for _, k := range "*9*1" {
		w.digits <- k
	}
	soon(t, "unmuted", func() bool { return !muted() })
	l.rooms.mu.Lock()
	l.rooms.members = []mixer.Member{{ID: "a", Publishes: true}}
	l.rooms.mu.Unlock()
	for _, k := range "*5" { // for hosts only
		w.digits <- k
	}
	p.send("INFO", contact, "z9hG4bK"+randomHex(8), to, pictureWanted, "Content-Type: application/media_control+xml")
	p.expect("SIP/2.0 200")
	w.mu.Lock()
	if w.refresh != 1 {
		t.Error("no picture was asked for")
	}
	w.mu.Unlock()
	l.rooms.mu.Lock()
	if l.rooms.muted["a"] {
		t.Error("a participant muted somebody else")
	}
	l.rooms.mu.Unlock()
	w.keyframes <- struct{}{}
	info := p.expect("INFO ")
	if !strings.Contains(info, "picture_fast_update") {
		t.Errorf("asked for a picture so:\n%s", info)
	}
	p.respond(info, 200)
}

// TestHostMenu has two telephones, of which one came in by the host's PIN, press
// what is for hosts, and raise their hands.
func TestHostMenu(t *testing.T) {
	l := newLab(t, nil)
	enter := func(uri string) (*wire, string) {
		t.Helper()
		dialPhone(t, "udp", l.Addr()).call(uri, plainSDP)
		w := l.wires.last()
		soon(t, "in the room", func() bool { room, _ := w.in(); return room == "locked" })
		_, who := w.in()
		l.rooms.mu.Lock()
		defer l.rooms.mu.Unlock()
		l.rooms.members = append(l.rooms.members, mixer.Member{ID: who.ID, Publishes: true})
		return w, who.ID
	}
	guest, guestID := enter("sip:locked@x;pin=12345678")
	host, hostID := enter("sip:locked@x;pin=" + hostPIN)
	if _, who := host.in(); who.Role != mixer.Host {
		t.Fatalf("came in by the host's PIN as %s", who.Role)
	}
	// press presses keys and waits for the prompt that says what they did.
	press := func(w *wire, keys string, said prompt) {
		t.Helper()
		for _, k := range keys {
			w.digits <- k
		}
		select {
		case n := <-w.played:
			if n != len(l.prompts.pcm[said]) {
				t.Errorf("%s: %d samples were said, %s has %d", keys, n, said, len(l.prompts.pcm[said]))
			}
		case <-time.After(5 * time.Second):
			t.Errorf("%s: nothing was said", keys)
		}
	}
	holds := func() (layout string, locked bool, hands []string) {
		l.rooms.mu.Lock()
		defer l.rooms.mu.Unlock()
		for _, m := range l.rooms.members {
			if !m.Hand.IsZero() {
				hands = append(hands, m.ID)
			}
		}
		return l.rooms.layout, l.rooms.locked, hands
	}
	for name := range l.prompts.pcm { // so that they can be told apart: signals are alike
		l.prompts.pcm[name] = make([]int16, 1000+len(texts()[name]))
	}
	for _, keys := range []string{"*4", "*5", "*6"} {
		press(guest, keys, promptHostsOnly)
	}
	press(guest, "*3", promptHandUp)
	press(host, "*3", promptHandUp)
	press(host, "*3", promptHandDown)
	if layout, locked, hands := holds(); layout != "gallery" || locked || !slices.Equal(hands, []string{guestID}) {
		t.Errorf("after a guest's keys: %s, locked %v, hands %q", layout, locked, hands)
	}
	// The room's word counts: a host lowered the hand meanwhile.
	if err := l.rooms.SetHand("locked", guestID, false); err != nil {
		t.Fatal(err)
	}
	press(guest, "*3", promptHandUp)
	for _, next := range []struct {
		layout string
		said   prompt
	}{{"speaker", promptSpeaker}, {"screen", promptScreen}, {"gallery", promptGallery}, {"speaker", promptSpeaker}} {
		press(host, "*4", next.said)
		if layout, _, _ := holds(); layout != next.layout {
			t.Errorf("the layout is %s, want %s", layout, next.layout)
		}
	}
	press(host, "*6", promptLocked)
	if _, locked, _ := holds(); !locked {
		t.Error("is not locked")
	}
	press(host, "*6", promptUnlocked)
	press(host, "*5", promptAllMuted)
	l.rooms.mu.Lock()
	if !l.rooms.muted[guestID] || l.rooms.muted[hostID] {
		t.Errorf("muted: %v", l.rooms.muted)
	}
	l.rooms.mu.Unlock()
	press(host, "*0", promptHostKeys)
	press(guest, "*0", promptKeys)
}

// TestLockedRoom has calls refused, before they stand and after their PIN was right.
func TestLockedRoom(t *testing.T) {
	l := newLab(t, func(c *Config) { c.Lobby = []string{"8000"} })
	l.rooms.mu.Lock()
	l.rooms.refuse = fmt.Errorf("room: %w", mixer.ErrLocked)
	l.rooms.mu.Unlock()
	p := dialPhone(t, "udp", l.Addr())
	p.send("INVITE", "sip:demo@x", "z9hG4bK1", "<sip:demo@x>", plainSDP)
	if m := p.expect("SIP/2.0 480 "); !strings.HasPrefix(m, "SIP/2.0 480 Room Locked\r\n") {
		t.Errorf("refused with:\n%s", m)
	}
	p = dialPhone(t, "udp", l.Addr())
	p.call("sip:8000@x", plainSDP)
	w := l.wires.last()
	<-w.played // asks for the PIN
	for _, k := range "12345678#" {
		w.digits <- k
	}
	if n := <-w.played; n != 0 {
		t.Errorf("the question went on, or was said again: %d samples", n)
	}
	if n := <-w.played; n != len(l.prompts.pcm[promptLockedOut]) {
		t.Errorf("%d samples were said", n)
	}
	bye := p.expect("BYE ")
	if r := headerOf(bye, "Reason"); r != `SIP;cause=480;text="the room is locked"` {
		t.Errorf("reason %q", r)
	}
	p.respond(bye, 200)
	if room, _ := w.in(); room != "" {
		t.Errorf("came into %q", room)
	}
}

func TestSessionTimer(t *testing.T) {
	l := newLab(t, nil)
	p := dialPhone(t, "udp", l.Addr())
	p.send("INVITE", "sip:demo@x", "z9hG4bK1", "<sip:demo@x>", plainSDP, "Supported: timer", "Session-Expires: 30")
	if m := p.expect("SIP/2.0 422"); headerOf(m, "Min-SE") != "90" {
		t.Errorf("too short:\n%s", m)
	}
	p.send("INVITE", "sip:demo@x", "z9hG4bK2", "<sip:demo@x>", plainSDP, "Supported: timer", "Session-Expires: 120;refresher=uas", "Allow: INVITE, UPDATE")
	ok := p.expect("SIP/2.0 200")
	if headerOf(ok, "Session-Expires") != "120;refresher=uas" {
		t.Errorf("agreed on:\n%s", ok)
	}
	p.send("ACK", "sip:demo@x", "z9hG4bK3", headerOf(ok, "To"), "")
	soon(t, "in the room", func() bool { room, _ := l.wires.last().in(); return room != "" })
	c := l.calls.all()[0]
	c.post(func() { c.clock.in(alarmRefresh, 0) })
	update := p.expect("UPDATE ")
	if headerOf(update, "Session-Expires") != "120;refresher=uac" {
		t.Errorf("refresh:\n%s", update)
	}
	p.respond(update, 200, "Session-Expires: 120;refresher=uac", "Require: timer")
	set := make(chan time.Duration, 1)
	soon(t, "next refresh", func() bool {
		c.post(func() { set <- time.Until(c.clock[alarmRefresh]) })
		d := <-set
		return d > 50*time.Second && d <= 60*time.Second
	})
	c.post(func() { c.clock.in(alarmExpire, 0) })
	p.respond(p.expect("BYE "), 200)
}

func TestLimits(t *testing.T) {
	l := newLab(t, func(c *Config) { c.Limits.PerAddress = 1; c.Limits.Refusals = 3 })
	p := dialPhone(t, "udp", l.Addr())
	p.call("sip:demo@x", plainSDP)
	p = dialPhone(t, "udp", l.Addr())
	p.send("INVITE", "sip:demo@x", "z9hG4bK1", "<sip:demo@x>", plainSDP)
	p.expect("SIP/2.0 486")
	for range 3 { // a scanner
		p.send("INVITE", "sip:"+randomHex(4)+"@x", "z9hG4bK"+randomHex(4), "<sip:x@x>", plainSDP)
		p.expect("SIP/2.0 404")
	}
	p.send("INVITE", "sip:more@x", "z9hG4bK"+randomHex(4), "<sip:x@x>", plainSDP)
	if m := p.read(300 * time.Millisecond); m != "" {
		t.Errorf("a scanner is still answered:\n%s", m)
	}
}
