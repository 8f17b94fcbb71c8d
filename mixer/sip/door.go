package sip

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"mixdown/mixer"
)

// What this server does and takes.
const (
	allowed = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE"
	accepts = "application/sdp"
)

// door judges every message before anything is kept of it. What is refused is
// answered from the message alone (RFC 3261, section 8.2.7): scanners and
// floods cost a parse and leave nothing behind. sipgo sees what passed.
type door struct {
	cfg    Config
	guests *guests
	gate   *gate
	pins   *gate // wrong PINs; trunks are not spared
	rooms  Rooms
	calls  *calls
	count  *counters
	now    func() time.Time
}

// verdict is what becomes of a message: it passes, or is answered, or neither.
type verdict struct {
	pass   bool
	answer []byte
	to     netip.AddrPort // where an answer goes in UDP
}

// judge looks at one whole message.
func (d *door) judge(data []byte, from netip.AddrPort, network string) verdict {
	now := d.now()
	d.count.messages.Inc()
	if !d.gate.passes(from.Addr(), now) {
		d.count.dropped.WithLabelValues("rate").Inc()
		return verdict{}
	}
	msg, err := parse(data)
	if err != nil {
		d.count.dropped.WithLabelValues("malformed").Inc()
		d.gate.refused(from.Addr(), now)
		return verdict{}
	}
	switch msg := msg.(type) {
	case *sip.Response:
		if !d.ours(branch(msg)) {
			d.count.dropped.WithLabelValues("stray").Inc()
			return verdict{}
		}
		return verdict{pass: true}
	case *sip.Request:
		if msg.Via() == nil || msg.CSeq() == nil || msg.CallID() == nil || msg.From() == nil || msg.To() == nil {
			d.count.dropped.WithLabelValues("malformed").Inc()
			d.gate.refused(from.Addr(), now)
			if msg.Via() == nil || msg.Method == sip.ACK {
				return verdict{}
			}
			return d.answer(msg, from, sip.NewResponseFromRequest(msg, 400, "Missing Header", nil))
		}
		msg.SetTransport(network)
		msg.SetSource(from.String())
		res, pass := d.request(msg, examine(data), from, now)
		if pass || res == nil {
			return verdict{pass: pass}
		}
		d.count.refused.WithLabelValues(strconv.Itoa(res.StatusCode)).Inc()
		return d.answer(msg, from, res)
	}
	return verdict{}
}

// request returns nothing for what is passed or dropped.
func (d *door) request(req *sip.Request, f flaw, from netip.AddrPort, now time.Time) (res *sip.Response, pass bool) {
	refuse := func(code int, reason string) (*sip.Response, bool) {
		if req.Method == sip.ACK {
			return nil, false // never answered
		}
		if code >= 400 && code < 500 && code != 401 && code != 481 && code != 486 {
			d.gate.refused(from.Addr(), now)
		}
		return sip.NewResponseFromRequest(req, code, reason, nil), false
	}
	if f.code != 0 {
		return refuse(f.code, f.reason)
	}
	if !strings.EqualFold(string(req.CSeq().MethodName), string(req.Method)) { // the parser has changed one's case
		return refuse(400, "CSeq Method Differs")
	}
	if d.calls.known(req) {
		return nil, true
	}
	switch req.Method {
	case sip.ACK:
		return nil, false
	case sip.OPTIONS:
		return d.options(req), false
	case sip.INVITE:
	case sip.BYE, sip.CANCEL, sip.INFO, sip.UPDATE, sip.PRACK:
		return refuse(481, "Call/Transaction Does Not Exist")
	case sip.REGISTER, sip.SUBSCRIBE, sip.NOTIFY, sip.REFER, sip.MESSAGE, sip.PUBLISH:
		res, _ := refuse(405, "Method Not Allowed")
		res.AppendHeader(sip.NewHeader("Allow", allowed))
		return res, false
	default:
		res, _ := refuse(501, "Not Implemented")
		res.AppendHeader(sip.NewHeader("Allow", allowed))
		return res, false
	}

	if _, inDialog := req.To().Params.Get("tag"); inDialog {
		return refuse(481, "Call/Transaction Does Not Exist")
	}
	if tag, _ := req.From().Params.Get("tag"); tag == "" || req.Contact() == nil || branch(req) == "" {
		return refuse(400, "Missing Tag, Branch Or Contact")
	}
	if extensions := unknown(req); len(extensions) > 0 {
		res, _ := refuse(420, "Bad Extension")
		res.AppendHeader(sip.NewHeader("Unsupported", strings.Join(extensions, ", ")))
		return res, false
	}
	if len(req.Body()) > 0 && !isSDP(req) {
		res, _ := refuse(415, "Unsupported Media Type")
		res.AppendHeader(sip.NewHeader("Accept", accepts))
		return res, false
	}
	if a := header(req, "Accept", ""); a != "" && !strings.Contains(a, "*/*") && !strings.Contains(strings.ToLower(a), accepts) {
		return refuse(406, "Not Acceptable")
	}
	if interval, ok := sessionExpires(req); ok && interval < minInterval && supports(req, "timer") {
		res, _ := refuse(422, "Session Interval Too Small")
		res.AppendHeader(sip.NewHeader("Min-SE", strconv.Itoa(int(minInterval.Seconds()))))
		return res, false
	}
	_, _, err := d.admit(req, from, now)
	var no refusal
	if errors.As(err, &no) {
		res, _ := refuse(no.code, no.reason)
		if no.code == 401 {
			d.guests.challenge(res, no.stale, now)
		}
		if no.code == 503 {
			res.AppendHeader(sip.NewHeader("Retry-After", "10"))
		}
		return res, false
	}
	return nil, true
}

// refusal is an answer that turns a caller away.
type refusal struct {
	code   int
	reason string
	stale  bool // the login was right, its nonce old
}

func (r refusal) Error() string { return fmt.Sprintf("%d %s", r.code, r.reason) }

// entry is where a call goes.
type entry struct {
	room  string
	pin   string // to be asked for; empty: straight in
	find  bool   // by its PIN, in the lobby
	known bool   // a trunk, or somebody who logged in, calls
}

// admit decides who calls and where to. It keeps nothing but a login's count,
// and gives the same for the same request again.
func (d *door) admit(req *sip.Request, from netip.AddrPort, now time.Time) (mixer.Role, entry, error) {
	role, trusted := mixer.Participant, d.guests.trunk(from.Addr())
	user, login := d.guests.check(req, now)
	switch {
	case login == wrongLogin:
		d.gate.refused(from.Addr(), now)
		return "", entry{}, refusal{code: 403, reason: "Forbidden"}
	case login == staleLogin:
		return "", entry{}, refusal{code: 401, reason: "Unauthorized", stale: true}
	case login == goodLogin:
		role, trusted = user.Role, true
	case d.cfg.Known && !trusted:
		if len(d.guests.users) == 0 {
			return "", entry{}, refusal{code: 403, reason: "Forbidden"}
		}
		return "", entry{}, refusal{code: 401, reason: "Unauthorized"}
	}

	uri := req.Recipient
	if d.cfg.Domain != "" && !strings.EqualFold(uri.Host, d.cfg.Domain) {
		if _, err := netip.ParseAddr(strings.Trim(uri.Host, "[]")); err != nil {
			return "", entry{}, refusal{code: 404, reason: "Not Here"}
		}
	}
	name, err := url.PathUnescape(uri.User)
	if err != nil {
		return "", entry{}, refusal{code: 400, reason: "Malformed Request-URI"}
	}
	to := entry{room: name, known: trusted}
	if slices.Contains(d.cfg.Lobby, name) {
		to = entry{find: true, known: trusted}
	} else if to.pin, err = d.rooms.Find(name); err != nil {
		if errors.Is(err, mixer.ErrNoRoom) {
			return "", entry{}, refusal{code: 404, reason: "Not Found"}
		}
		return "", entry{}, refusal{code: 503, reason: "Service Unavailable"}
	}
	if pin, given := uri.UriParams.Get("pin"); given && (to.pin != "" || to.find) {
		room, by, ok := d.tryPIN(pin, to, from.Addr(), now)
		if !ok {
			return "", entry{}, refusal{code: 403, reason: "Wrong PIN"}
		}
		role, to = higher(role, by), entry{room: room, known: trusted}
	}
	if trusted {
		to.pin = "" // who is known may call a room by its name
	}
	if to.pin != "" || to.find {
		if isWebRTC(req.Body()) { // no voice asks there
			return "", entry{}, refusal{code: 403, reason: "PIN Needed"}
		}
	}
	if d.calls.full() {
		return "", entry{}, refusal{code: 503, reason: "Service Unavailable"}
	}
	if !d.guests.trunk(from.Addr()) && d.calls.from(from.Addr()) >= d.cfg.Limits.PerAddress {
		return "", entry{}, refusal{code: 486, reason: "Too Many Calls From There"}
	}
	return role, to, nil
}

// higher is the role of who has two: a PIN takes nothing from who logged in.
func higher(a, b mixer.Role) mixer.Role {
	if b == mixer.Host {
		return b
	}
	return a
}

// tryPIN finds the room that a PIN opens, if it is one that entry may mean, and the
// role that it gives. Who tries too many is wrong always.
func (d *door) tryPIN(pin string, to entry, from netip.Addr, now time.Time) (room string, role mixer.Role, ok bool) {
	if !d.pins.passes(from, now) {
		return "", "", false
	}
	room, role, ok = d.rooms.ByPIN(pin)
	if ok && (to.find || room == to.room) {
		return room, role, true
	}
	d.pins.refused(from, now)
	return "", "", false
}

// options answers what this server can do (RFC 3261, section 11.2).
func (d *door) options(req *sip.Request) *sip.Response {
	if extensions := unknown(req); len(extensions) > 0 {
		res := sip.NewResponseFromRequest(req, 420, "Bad Extension", nil)
		res.AppendHeader(sip.NewHeader("Unsupported", strings.Join(extensions, ", ")))
		return res
	}
	res := sip.NewResponseFromRequest(req, 200, "OK", nil)
	for _, h := range [][2]string{{"Allow", allowed}, {"Accept", accepts}, {"Supported", "timer"}, {"Accept-Encoding", "identity"}, {"Accept-Language", "en"}} {
		res.AppendHeader(sip.NewHeader(h[0], h[1]))
	}
	return res
}

// answer makes of a response what goes out without a transaction: the same for
// the same request each time.
func (d *door) answer(req *sip.Request, from netip.AddrPort, res *sip.Response) verdict {
	if to := res.To(); to != nil && req.To() != nil && !req.To().Params.Has("tag") {
		seed := branch(req)
		if id := req.CallID(); id != nil {
			seed += string(*id)
		}
		to.Params.Add("tag", hex.EncodeToString(d.guests.seal("tag", []byte(seed))[:8]))
	}
	target := from
	if via := res.Via(); via != nil {
		if via.Host != from.Addr().String() {
			via.Params.Add("received", from.Addr().String()) // RFC 3261, section 18.2.1
		}
		if !via.Params.Has("rport") {
			port := uint16(sip.DefaultUdpPort)
			if via.Port > 0 && via.Port < 1<<16 {
				port = uint16(via.Port)
			}
			target = netip.AddrPortFrom(from.Addr(), port)
		}
	}
	res.AppendHeader(sip.NewHeader("Server", d.cfg.product()))
	res.SipVersion = "SIP/2.0" // the request's may be anything
	return verdict{answer: []byte(res.String()), to: target}
}

// branchSeal is how many characters at the end of our branches prove them ours.
const branchSeal = 8

// newBranch makes a transaction's id that ours knows again without keeping it.
func (g *guests) newBranch() string {
	id := sip.RFC3261BranchMagicCookie + randomHex(8)
	return id + hex.EncodeToString(g.seal("branch", []byte(id)))[:branchSeal]
}

func (d *door) ours(branch string) bool {
	n := len(branch) - branchSeal
	return n > 0 && branch[n:] == hex.EncodeToString(d.guests.seal("branch", []byte(branch[:n])))[:branchSeal]
}

// parse reads one message. The parser is not ours and what it reads is
// anybody's: if it falls over, the message was malformed.
func parse(data []byte) (msg sip.Message, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("parser: %v", r)
		}
	}()
	return sip.ParseMessage(data)
}
