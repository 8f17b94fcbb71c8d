package sip

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"mixdown/mixer"
)

// call is one telephone call. Its goroutine owns everything but what stands
// under mu; all else sends it a function to run there.
type call struct {
	e        *Endpoint
	id       string
	outgoing bool
	from     netip.AddrPort // of who called; not valid for those placed by us
	startTag string         // the caller's tag
	log      *slog.Logger
	inbox    chan func()
	cancels  chan struct{}      // the peer has given up its first INVITE
	repeats  chan *sip.Response // 2xx that came again
	gone     chan struct{}      // closed when its goroutine has ended
	faded    bool               // no longer shown; guarded by calls.mu

	mu    sync.Mutex
	shown mixer.Call
	ended time.Time

	// The goroutine's own.
	dialog   dialog
	role     mixer.Role
	to       entry
	order    mixer.CallOrder
	login    login
	leg      Leg
	browser  string // id of a WebRTC session instead of a leg
	away     bool   // that one is on hold
	done     bool
	answered bool // a final response has gone out or come in
	inRoom   bool
	updates  bool // the peer takes UPDATE
	clock    clock
	session  session
	server   pending  // an INVITE of the peer
	client   attempts // an INVITE of ours
	lobby    lobby
	menu     menu
	end      ending
}

// pending is an INVITE of the peer that was answered and not acknowledged yet.
type pending struct {
	tx        sip.ServerTransaction
	response  *sip.Response
	lateOffer bool // the acknowledgement brings the answer
	interval  time.Duration
	release   func() // lets the transaction go
}

// ending is why a call is over.
type ending struct {
	code   int
	reason string
	by     string // caller, callee, room, server
}

func (e *Endpoint) newCall() *call {
	id := randomHex(8)
	return &call{
		e: e, id: id, log: e.log.With("call", id),
		inbox: make(chan func(), 16), cancels: make(chan struct{}, 1), repeats: make(chan *sip.Response, 4),
		gone: make(chan struct{}), clock: clock{},
		shown: mixer.Call{ID: id, Started: time.Now().UTC()},
	}
}

// newIncoming makes a call of an INVITE that the door let pass.
func newIncoming(e *Endpoint, req *sip.Request, from netip.AddrPort, role mixer.Role, to entry) *call {
	c := e.newCall()
	c.from, c.role, c.to = from, role, to
	local := party(sip.FromHeader(*req.To()))
	local.Params.Add("tag", randomHex(8))
	network := req.Transport()
	here := netip.AddrPortFrom(e.local(from), e.port(network))
	c.dialog = dialog{
		callID: string(*req.CallID()), local: local, remote: party(*req.From()),
		localSeq: 1 + uint32(time.Now().UnixNano())&0x3fff, remoteSeq: req.CSeq().SeqNo,
		routes: routeSet(req, false), network: network,
		via: e.sockets.name(network, req.Source()), sentBy: here,
	}
	c.dialog.contact = c.contact(req.Recipient.User)
	c.dialog.sees(req)
	c.startTag = c.dialog.remoteTag()
	if len(c.dialog.routes) == 0 && (len(req.GetHeaders("Via")) == 1 || network != "UDP") {
		c.dialog.peer = req.Source() // nothing stands between, but perhaps an address translator
	} else if n, peer, err := c.dialog.next(); err == nil {
		c.dialog.network, c.dialog.via, c.dialog.peer = n, n, peer
		if network != "UDP" && n == network {
			c.dialog.peer = req.Source() // the connection is there
		}
	} else {
		c.dialog.peer = req.Source()
	}
	c.updates = allows(req, sip.UPDATE)
	c.shown.State = mixer.CallRinging
	c.shown.Peer = plain(c.dialog.remote.Address)
	c.shown.Name = cmp.Or(clean(c.dialog.remote.DisplayName), clean(unescape(c.dialog.remote.Address.User)), "telephone")
	if to.pin == "" && !to.find {
		c.shown.Room = to.room
	}
	return c
}

// contact is where the peer reaches us in the dialog.
func (c *call) contact(user string) sip.ContactHeader {
	uri := sip.Uri{Scheme: "sip", User: user, Host: hostText(c.dialog.sentBy.Addr()), Port: int(c.dialog.sentBy.Port())}
	switch c.dialog.via {
	case "TLS":
		uri.UriParams.Add("transport", "tls")
	case "TCP":
		uri.UriParams.Add("transport", "tcp")
	case "WS", "WSS":
		uri.UriParams.Add("transport", "ws")
	}
	return sip.ContactHeader{Address: uri}
}

// post runs fn on the call's goroutine; false if that has ended.
func (c *call) post(fn func()) bool {
	select {
	case c.inbox <- fn:
		return true
	case <-c.gone:
		return false
	}
}

// take hands a request to the call and waits until it is answered for good.
func (c *call) take(req *sip.Request, tx sip.ServerTransaction) {
	answered := make(chan struct{})
	release := sync.OnceFunc(func() { close(answered) })
	if c.post(func() { c.handle(req, tx, release) }) {
		select {
		case <-answered:
			return
		case <-c.gone:
		}
		select {
		case <-answered:
			return
		default:
		}
	}
	switch req.Method {
	case sip.ACK:
	case sip.BYE: // both hang up at once
		_ = tx.Respond(sip.NewResponseFromRequest(req, 200, "OK", nil))
	default:
		_ = tx.Respond(sip.NewResponseFromRequest(req, 481, "Call/Transaction Does Not Exist", nil))
	}
}

func (c *call) run() {
	defer close(c.gone)
	defer func() { // the call is remembered for a while, its media and messages need not be
		c.leg, c.server, c.client = nil, pending{}, attempts{}
	}()
	if c.outgoing {
		c.dial()
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for !c.done {
		timer.Reset(c.clock.next())
		var legDone <-chan struct{}
		var digits <-chan rune
		var keyframes <-chan struct{}
		if c.leg != nil {
			legDone, digits, keyframes = c.leg.Done(), c.leg.Digits(), c.leg.Keyframes()
		}
		var acks <-chan *sip.Request
		if c.server.tx != nil {
			acks = c.server.tx.Acks()
		}
		select {
		case fn := <-c.inbox:
			fn()
		case <-c.cancels:
			if !c.answered {
				c.server.response = nil // sipgo has answered
				c.over(ending{487, "cancelled", "caller"})
			}
		case res := <-c.client.responses():
			c.response(res)
		case res := <-c.repeats:
			c.repeated(res)
		case <-c.client.lost():
			c.unanswered()
		case ack := <-acks:
			c.acknowledged(ack)
		case <-legDone:
			c.hangup(legEnding(c.leg.Err()))
		case d := <-digits:
			c.digit(d)
		case <-keyframes:
			c.askKeyframe()
		case now := <-timer.C:
			c.alarms(now)
		case <-c.e.ctx.Done():
			c.hangup(ending{503, "the server is stopping", "server"})
		}
		c.reveal()
	}
	c.finish()
}

func (c *call) alarms(now time.Time) {
	for a, at := range c.clock {
		if now.Before(at) || c.done {
			continue
		}
		delete(c.clock, a)
		switch a {
		case alarmAnswer:
			c.answerAgain()
		case alarmAck:
			c.settle()
			c.hangup(ending{408, "no acknowledgement came", "server"})
		case alarmRefresh:
			c.refresh()
		case alarmExpire:
			c.hangup(ending{408, "the session was not refreshed", "server"})
		case alarmRing:
			c.hangup(ending{408, "nobody took the call", "server"})
		case alarmGiveUp:
			c.over(c.end)
		case alarmLobby:
			c.hangup(ending{408, "no PIN came", "server"})
		case alarmGoodbye:
			c.hangup(c.lobby.last)
		case alarmMenu:
			c.menu.clear()
		case alarmWatch:
			c.watchBrowser()
		}
	}
}

// handle answers a request of the peer. release must be called once it is
// answered for good.
func (c *call) handle(req *sip.Request, tx sip.ServerTransaction, release func()) {
	if req.Method == sip.ACK {
		c.acknowledged(req)
		release()
		return
	}
	first := req.Method == sip.INVITE && !c.answered && !c.outgoing
	if !first {
		if seq := req.CSeq().SeqNo; seq <= c.dialog.remoteSeq && req.Method != sip.CANCEL {
			c.respond(req, tx, 500, "CSeq Out Of Order")
			release()
			return
		}
		c.dialog.remoteSeq = req.CSeq().SeqNo
		if !c.answered && req.Method != sip.BYE {
			c.respond(req, tx, 481, "No Dialog Yet")
			release()
			return
		}
	}
	if c.server.response != nil && c.answered && !c.server.lateOffer && (req.Method == sip.INVITE || req.Method == sip.UPDATE) {
		// Who goes on has had the answer: the acknowledgement was overtaken.
		c.confirm()
		if c.done {
			c.respond(req, tx, 481, "Call/Transaction Does Not Exist")
			release()
			return
		}
	}
	switch req.Method {
	case sip.INVITE:
		c.invited(req, tx, release)
		return
	case sip.UPDATE:
		c.updated(req, tx)
	case sip.BYE:
		c.respond(req, tx, 200, "OK")
		by := "caller"
		if c.outgoing {
			by = "callee"
		}
		c.over(ending{200, cmp.Or(reasonText(req), "hung up"), by})
	case sip.INFO:
		code, reason := c.info(req)
		c.respond(req, tx, code, reason)
	case sip.OPTIONS:
		res := c.e.door.options(req)
		c.reply(tx, res)
	default:
		res := sip.NewResponseFromRequest(req, 405, "Method Not Allowed", nil)
		res.AppendHeader(sip.NewHeader("Allow", allowed))
		c.reply(tx, res)
	}
	release()
}

// respond answers a request without a body.
func (c *call) respond(req *sip.Request, tx sip.ServerTransaction, code int, reason string) {
	c.reply(tx, sip.NewResponseFromRequest(req, code, reason, nil))
}

// reply sends a response with what all have.
func (c *call) reply(tx sip.ServerTransaction, res *sip.Response) {
	if to := res.To(); to != nil && res.StatusCode > 100 {
		to.Params.Add("tag", c.dialog.localTag())
	}
	res.AppendHeader(sip.NewHeader("Server", c.e.cfg.product()))
	if err := tx.Respond(res); err != nil {
		c.log.Debug("response not sent", "code", res.StatusCode, "error", err)
	}
}

// hangup ends the call from our side.
func (c *call) hangup(why ending) {
	switch {
	case c.done:
		return
	case c.outgoing && !c.answered:
		c.giveUp(why)
		return
	case !c.answered:
		if c.server.tx != nil {
			c.respondFinal(why)
		}
	case c.server.response != nil && c.e.ctx.Err() == nil:
		// Not before the acknowledgement, or the end of waiting (section 15).
		c.end = why
		return
	default:
		c.sendBye(why)
	}
	c.over(why)
}

// over ends the call's loop.
func (c *call) over(why ending) {
	if !c.done {
		c.done, c.end = true, why
	}
}

// finish gives back all the call had, tells everybody and waits for its last
// request.
func (c *call) finish() {
	c.settle()
	var figures LegFigures
	if c.leg != nil {
		figures = c.leg.Figures()
		c.leg.Close(errors.New(c.end.reason))
	}
	if c.browser != "" {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_ = c.e.browsers.Hangup(ctx, c.browser) // it may be gone already
		cancel()
	}
	c.mu.Lock()
	c.shown.State, c.shown.Code, c.shown.Reason = mixer.CallEnded, c.end.code, c.end.reason
	c.ended = time.Now()
	view := c.shown
	c.mu.Unlock()
	c.e.calls.end(c)
	c.e.count.ended(view, c.end)
	c.e.records.write(c.record(view, figures))
	c.e.tell(view.Room)
	c.log.Info("call ended", "room", view.Room, "peer", view.Peer, "code", c.end.code, "reason", c.end.reason, "by", c.end.by)
	c.client.wait()
}

// identity is who the call is in a room.
func (c *call) identity() mixer.Identity {
	return mixer.Identity{ID: "sip-" + c.id, Name: c.view().Name, Role: c.role, Invited: c.outgoing}
}

// enter takes the call into a room.
func (c *call) enter(room string) {
	who := c.identity()
	err := c.e.rooms.Open(room)
	if err == nil {
		err = c.e.rooms.Admit(room, who)
	}
	if err == nil && c.leg != nil {
		err = c.leg.Enter(room, who)
	}
	switch {
	case errors.Is(err, mixer.ErrLocked):
		c.log.Info("call not let in", "room", room, "error", err)
		c.part(promptLockedOut, ending{480, "the room is locked", "room"})
		return
	case err != nil:
		c.log.Warn("call not let in", "room", room, "error", err)
		c.hangup(ending{503, err.Error(), "room"})
		return
	case c.lobby.open:
		c.say(promptWelcome)
	}
	c.inRoom, c.lobby.open = true, false
	delete(c.clock, alarmLobby)
	c.to = entry{room: room, known: c.to.known}
	c.show(func(v *mixer.Call) {
		v.Room, v.Identity, v.State = room, who.ID, mixer.CallConnected
	})
	c.log.Info("call is in a room", "room", room, "participant", who.ID, "name", who.Name, "peer", c.view().Peer)
}
