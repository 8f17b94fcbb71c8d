package sip

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/emiago/sipgo/sip"

	"mixdown/mixer"
)

// Intervals of RFC 3261, section 17.1.1.1.
const (
	t1 = 500 * time.Millisecond
	t2 = 4 * time.Second
)

// invited answers an INVITE, the first or a later one.
func (c *call) invited(req *sip.Request, tx sip.ServerTransaction, release func()) {
	refuse := func(code int, reason string) {
		c.respond(req, tx, code, reason)
		release()
	}
	first := !c.answered
	switch {
	case c.server.response != nil:
		refuse(500, "Another INVITE Is Not Acknowledged Yet") // section 14.2
		return
	case c.client.tx != nil:
		refuse(491, "Request Pending")
		return
	case len(req.Body()) > 0 && !isSDP(req):
		refuse(415, "Unsupported Media Type")
		return
	}
	if first {
		c.server.tx, c.server.release = tx, release
		c.server.response = sip.NewResponseFromRequest(req, 480, "Temporarily Unavailable", nil)
		_ = tx.OnCancel(func(*sip.Request) { // sipgo has answered both
			select {
			case c.cancels <- struct{}{}:
			default:
			}
		})
		c.reply(tx, sip.NewResponseFromRequest(req, 100, "Trying", nil))
		if err := c.place(); err != nil {
			c.refuse(tx, req, err, release)
			return
		}
	}

	late := len(req.Body()) == 0
	body, err := c.describe(string(req.Body()), late)
	if err != nil {
		c.refuse(tx, req, err, release)
		return
	}
	if first {
		c.reply(tx, sip.NewResponseFromRequest(req, 180, "Ringing", nil))
	}
	c.dialog.sees(req)
	res := sip.NewResponseFromRequest(req, 200, "OK", []byte(body))
	c.describeSelf(res)
	res.AppendHeader(sip.NewHeader("Content-Type", accepts))
	c.answerSession(req, res)
	c.answered = true
	c.server = pending{tx: tx, response: res, lateOffer: late, interval: t1, release: release}
	c.reply(tx, res)
	c.clock.in(alarmAnswer, t1)
	c.clock.in(alarmAck, 64*t1)
}

// place finds out before anything is agreed on whether there is a place for
// who calls a room straight.
func (c *call) place() error {
	if c.to.find || c.to.pin != "" {
		return nil
	}
	if err := c.e.rooms.Open(c.to.room); err != nil {
		return err
	}
	return c.e.rooms.Admit(c.to.room, c.identity())
}

// refuse turns an INVITE away for what went wrong with it.
func (c *call) refuse(tx sip.ServerTransaction, req *sip.Request, err error, release func()) {
	code, reason := 500, "Internal Server Error"
	switch {
	case errors.Is(err, mixer.ErrBadOffer), errors.Is(err, mixer.ErrNoCodec):
		code, reason = 488, "Not Acceptable Here"
	case errors.Is(err, mixer.ErrBusy), errors.Is(err, mixer.ErrFull), errors.Is(err, mixer.ErrNoPorts):
		code, reason = 503, "Service Unavailable"
	case errors.Is(err, mixer.ErrLocked):
		code, reason = 480, "Room Locked"
	}
	c.log.Info("call not taken", "code", code, "error", err)
	res := sip.NewResponseFromRequest(req, code, reason, nil)
	res.AppendHeader(sip.NewHeader("Warning", `399 mixdown `+quote(clean(err.Error()))))
	if code == 503 {
		res.AppendHeader(sip.NewHeader("Retry-After", "10"))
	}
	first := !c.answered
	if first {
		c.server.response = nil
	}
	c.reply(tx, res)
	release()
	if first {
		c.over(ending{code, err.Error(), "server"})
	}
}

// describe makes our side of the session: an answer, or an offer if there was
// none. The first one makes the leg.
func (c *call) describe(offer string, late bool) (string, error) {
	if c.leg == nil && c.browser == "" {
		if c.e.browsers != nil && isWebRTC([]byte(offer)) {
			return c.browse(offer)
		}
		leg, err := c.e.legs.New(c.e.ctx, LegOptions{Call: c.id, Local: c.dialog.sentBy.Addr(), Allow: c.mediaAllowed(), Secure: c.secureMedia(), Hidden: c.dialog.via == "TLS"})
		if err != nil {
			return "", err
		}
		c.leg = leg
	}
	if c.leg == nil {
		return c.browseAgain(offer)
	}
	if late {
		return c.leg.Offer()
	}
	return c.leg.Answer(offer)
}

// mediaAllowed says where media of the call may go. Whom nobody knows may name
// the address it calls from, and such as lead nowhere in public: behind an address
// translator telephones name those, and media goes to where it comes from.
func (c *call) mediaAllowed() func(netip.Addr) error {
	if c.outgoing || c.to.known {
		return nil
	}
	from := c.from.Addr().Unmap()
	if from.IsLoopback() {
		return nil // it can send there itself
	}
	return func(a netip.Addr) error {
		if a = a.Unmap(); a == from || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() {
			return nil
		}
		return fmt.Errorf("%w: media to %v for a call from %v, which is no trunk and has not logged in", mixer.ErrBadOffer, a, from)
	}
}

// secureMedia reports whether the call is one by TLS where its media has to be
// encrypted, too: the keys in its SDP are hidden then.
func (c *call) secureMedia() bool { return c.e.cfg.SecureMedia && c.dialog.via == "TLS" }

// browse makes a browser's offer a session of the WebRTC transport.
func (c *call) browse(offer string) (string, error) {
	who := c.identity()
	ctx, cancel := context.WithTimeout(c.e.ctx, 10*time.Second)
	defer cancel()
	a, err := c.e.browsers.Offer(ctx, mixer.Session{Room: c.to.room, Identity: who, Publish: true, Receive: true}, offer)
	if err != nil {
		return "", err
	}
	c.browser = a.ID
	c.clock.in(alarmWatch, time.Second)
	return a.SDP, nil
}

// browseAgain takes a further offer of a browser. We have none to make: its
// session is answered only.
func (c *call) browseAgain(offer string) (string, error) {
	if offer == "" {
		return "", mixer.ErrBadOffer
	}
	ctx, cancel := context.WithTimeout(c.e.ctx, 10*time.Second)
	defer cancel()
	a, held, err := c.e.browsers.Reoffer(ctx, c.browser, offer)
	if err != nil {
		return "", err
	}
	c.away = held
	return a.SDP, nil
}

// watchBrowser hangs up when the WebRTC session has ended.
func (c *call) watchBrowser() {
	if _, ok := c.e.browsers.Session(c.browser); !ok {
		c.browser = ""
		c.hangup(ending{200, "the session ended", "room"})
		return
	}
	c.clock.in(alarmWatch, time.Second)
}

// describeSelf adds what every message that makes or moves a dialog says.
func (c *call) describeSelf(m sip.Message) {
	contact := c.dialog.contact
	m.AppendHeader(&contact)
	m.AppendHeader(sip.NewHeader("Allow", allowed))
}

// answerAgain sends the answer again until it is acknowledged (section
// 13.3.1.4).
func (c *call) answerAgain() {
	if c.server.response == nil {
		return
	}
	if err := c.server.tx.Respond(c.server.response); err != nil {
		c.log.Debug("answer not sent again", "error", err)
	}
	c.server.interval = min(2*c.server.interval, t2)
	c.clock.in(alarmAnswer, c.server.interval)
}

// acknowledged takes an ACK.
func (c *call) acknowledged(ack *sip.Request) {
	if c.server.response == nil || ack.CSeq().SeqNo != c.server.response.CSeq().SeqNo || !c.answered {
		return // one for a refusal, or again
	}
	if c.server.lateOffer && c.leg != nil {
		if err := c.leg.Accept(string(ack.Body())); err != nil {
			c.settle()
			c.hangup(ending{488, err.Error(), "server"})
			return
		}
	}
	c.confirm()
}

// confirm goes on after an acknowledgement.
func (c *call) confirm() {
	c.settle()
	if c.end.code != 0 { // it had ended before
		c.sendBye(c.end)
		c.over(c.end)
		return
	}
	if c.view().Answered.IsZero() {
		c.begin()
	}
}

// begin is the moment a call stands.
func (c *call) begin() {
	c.show(func(v *mixer.Call) { v.Answered = time.Now().UTC() })
	c.e.count.begun()
	if c.to.find || c.to.pin != "" {
		c.ask()
		return
	}
	c.enter(c.to.room)
}

// settle lets go of the peer's INVITE.
func (c *call) settle() {
	if c.server.release != nil {
		c.server.release()
	}
	c.server = pending{}
	delete(c.clock, alarmAnswer)
	delete(c.clock, alarmAck)
}

// respondFinal refuses the first INVITE with what was kept for that.
func (c *call) respondFinal(why ending) {
	res := c.server.response
	if res == nil {
		return
	}
	if why.code >= 400 {
		res.StatusCode, res.Reason = why.code, "Not Answered"
	}
	c.reply(c.server.tx, res)
}

// updated answers an UPDATE (RFC 3311).
func (c *call) updated(req *sip.Request, tx sip.ServerTransaction) {
	if interval, ok := sessionExpires(req); ok && interval < minInterval && supports(req, "timer") {
		res := sip.NewResponseFromRequest(req, 422, "Session Interval Too Small", nil)
		res.AppendHeader(sip.NewHeader("Min-SE", "90"))
		c.reply(tx, res)
		return
	}
	var body string
	if len(req.Body()) > 0 {
		if c.server.response != nil || c.client.tx != nil {
			c.respond(req, tx, 491, "Request Pending")
			return
		}
		if !isSDP(req) {
			c.respond(req, tx, 488, "Not Acceptable Here")
			return
		}
		var err error
		if body, err = c.describe(string(req.Body()), false); err != nil {
			c.log.Info("offer not taken", "error", err)
			c.respond(req, tx, 488, "Not Acceptable Here")
			return
		}
	}
	c.dialog.sees(req)
	res := sip.NewResponseFromRequest(req, 200, "OK", nil)
	c.describeSelf(res)
	if body != "" {
		res.AppendHeader(sip.NewHeader("Content-Type", accepts))
		res.SetBody([]byte(body))
	}
	c.answerSession(req, res)
	c.reply(tx, res)
}
