package sip

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"mixdown/mixer"
)

// attempts are the INVITEs that we send, one after the other.
type attempts struct {
	tx        sip.ClientTransaction
	request   *sip.Request
	ack       *sip.Request
	logins    int
	heard     bool // a provisional response: now it may be cancelled
	unwanted  bool
	cancelled bool
	sent      sync.WaitGroup // requests on their way
}

func (a *attempts) responses() <-chan *sip.Response {
	if a.tx == nil {
		return nil
	}
	return a.tx.Responses()
}

func (a *attempts) lost() <-chan struct{} {
	if a.tx == nil {
		return nil
	}
	return a.tx.Done()
}

func (a *attempts) wait() { a.sent.Wait() }

// dial sends the first INVITE.
func (c *call) dial() {
	offer, err := c.leg.Offer()
	if err != nil {
		c.over(ending{500, err.Error(), "server"})
		return
	}
	req := c.dialog.request(sip.INVITE, c.e.guests.newBranch())
	req.AppendHeader(sip.NewHeader("Allow", allowed))
	req.AppendHeader(sip.NewHeader("Supported", "timer"))
	req.AppendHeader(sip.NewHeader("Session-Expires", strconv.Itoa(int(c.e.cfg.SessionInterval.Seconds()))))
	req.AppendHeader(sip.NewHeader("Content-Type", accepts))
	req.SetBody([]byte(offer))
	c.clock.in(alarmRing, c.e.cfg.DialOut.Ring)
	c.invite(req)
}

// reinvite refreshes the session by an INVITE, for a peer that knows no UPDATE.
func (c *call) reinvite(headers ...sip.Header) {
	if c.leg == nil {
		return
	}
	offer, err := c.leg.Offer()
	if err != nil {
		c.log.Warn("no offer to refresh the session with", "error", err)
		return
	}
	req := c.dialog.request(sip.INVITE, c.e.guests.newBranch())
	req.AppendHeader(sip.NewHeader("Allow", allowed))
	req.AppendHeader(sip.NewHeader("Supported", "timer"))
	for _, h := range headers {
		req.AppendHeader(h)
	}
	req.AppendHeader(sip.NewHeader("Content-Type", accepts))
	req.SetBody([]byte(offer))
	c.invite(req)
}

// invite begins a transaction in the background: looking up and connecting
// take their time.
func (c *call) invite(req *sip.Request) {
	c.e.prepare(req)
	c.client.request, c.client.heard = req, false
	c.client.sent.Go(func() {
		ctx, cancel := context.WithTimeout(c.e.ctx, 10*time.Second)
		defer cancel()
		tx, err := c.e.client.TransactionRequest(ctx, req, asIs)
		if err != nil {
			c.post(func() { c.inviteFailed(503, err.Error()) })
			return
		}
		tx.OnRetransmission(func(res *sip.Response) {
			select {
			case c.repeats <- res:
			default:
			}
		})
		if !c.post(func() { c.client.tx = tx }) {
			tx.Terminate()
		}
	})
}

// inviteFailed takes the end of an INVITE of ours without success.
func (c *call) inviteFailed(code int, reason string) {
	c.client.tx = nil
	switch {
	case c.answered:
		res := sip.NewResponse(code, reason)
		c.refreshed(res, nil)
	case c.client.unwanted:
		c.over(c.end)
	default:
		c.over(ending{code, clean(reason), "callee"})
	}
}

// unanswered is an INVITE whose transaction ended by itself.
func (c *call) unanswered() {
	err := c.client.tx.Err()
	reason := "no answer"
	if err != nil {
		reason = err.Error()
	}
	c.inviteFailed(408, reason)
}

// response takes a response to our INVITE.
func (c *call) response(res *sip.Response) {
	switch {
	case res.IsProvisional():
		c.client.heard = true
		if c.client.unwanted {
			c.sendCancel()
		} else if res.StatusCode > 100 && !c.answered {
			c.show(func(v *mixer.Call) { v.State = mixer.CallRinging })
		}
	case res.IsSuccess():
		c.accepted(res)
	case (res.StatusCode == 401 || res.StatusCode == 407) && c.client.logins < 2 && !c.client.unwanted && c.login.user != "":
		c.inviteAgain(func(req *sip.Request) error { return c.authorize(req, res) })
	case res.StatusCode == 422 && c.client.logins < 3 && !c.client.unwanted:
		c.client.logins++
		c.inviteAgain(func(req *sip.Request) error {
			least := header(res, "Min-SE", "")
			if _, err := strconv.ParseUint(least, 10, 31); err != nil {
				return fmt.Errorf("422 without Min-SE")
			}
			req.RemoveHeader("Session-Expires")
			req.AppendHeader(sip.NewHeader("Session-Expires", least))
			req.AppendHeader(sip.NewHeader("Min-SE", least))
			return nil
		})
	default:
		c.inviteFailed(res.StatusCode, cmp.Or(reasonText(res), res.Reason, "refused"))
	}
}

// inviteAgain sends the INVITE once more, changed.
func (c *call) inviteAgain(change func(*sip.Request) error) {
	old := c.client.request
	req := c.again(old)
	if err := change(req); err != nil {
		c.inviteFailed(401, err.Error())
		return
	}
	c.client.tx = nil
	c.invite(req)
}

// again copies a request of the dialog under a new number.
func (c *call) again(old *sip.Request) *sip.Request {
	req := old.Clone()
	req.RemoveHeader("Via")
	req.RemoveHeader("User-Agent")
	req.PrependHeader(c.dialog.viaHeader(c.e.guests.newBranch()))
	c.dialog.localSeq++
	req.ReplaceHeader(&sip.CSeqHeader{SeqNo: c.dialog.localSeq, MethodName: req.Method})
	return req
}

// authorize answers the challenge of a response.
func (c *call) authorize(req *sip.Request, res *sip.Response) error {
	c.client.logins++
	return authorize(req, res, c.login)
}

// authorize adds to a request what answers a challenge: the first one that can
// be, they come in the peer's order of preference.
func authorize(req *sip.Request, res *sip.Response, l login) error {
	asked, answer := "WWW-Authenticate", "Authorization"
	if res.StatusCode == 407 {
		asked, answer = "Proxy-Authenticate", "Proxy-Authorization"
	}
	err := fmt.Errorf("%d without a challenge that can be answered", res.StatusCode)
	for _, h := range res.GetHeaders(asked) {
		f, ok := parseDigest(h.Value())
		if !ok {
			continue
		}
		var value string
		if value, err = l.credentials(f, req.Method.String(), req.Recipient.String(), req.Body(), 1); err == nil {
			req.RemoveHeader(answer)
			req.AppendHeader(sip.NewHeader(answer, value))
			return nil
		}
	}
	return err
}

// accepted takes the 2xx to an INVITE of ours.
func (c *call) accepted(res *sip.Response) {
	first := !c.answered
	if first {
		c.dialog.joins(res)
		c.answered = true
		c.updates = allows(res, sip.UPDATE)
		delete(c.clock, alarmRing)
		delete(c.clock, alarmGiveUp)
	} else {
		c.dialog.sees(res)
	}
	c.client.tx = nil
	c.client.ack = c.dialog.acknowledge(c.client.request, c.e.guests.newBranch())
	c.sendAck(c.client.ack)
	if c.client.unwanted {
		c.sendBye(c.end)
		c.over(c.end)
		return
	}
	if err := c.leg.Accept(string(res.Body())); err != nil {
		c.hangup(ending{488, err.Error(), "server"})
		return
	}
	if !first {
		c.refreshed(res, nil)
		return
	}
	c.learnSession(res)
	c.begin()
}

// joins completes the dialog by the response that makes it (section 12.1.2).
func (d *dialog) joins(res *sip.Response) {
	d.remote = party(sip.FromHeader(*res.To()))
	if routes := routeSet(res, true); len(routes) > 0 || len(d.routes) > 0 {
		d.routes = routes
	}
	d.sees(res)
	network, peer, err := d.next()
	switch {
	case err != nil: // where the INVITE went is better than nowhere
	case network == d.network && network != "UDP" && len(d.routes) == 0:
		// The connection is there, and the only one that is sure to work.
	default:
		d.network, d.via, d.peer = network, network, peer
	}
}

// acknowledge makes the ACK of a 2xx (section 13.2.2.4).
func (d *dialog) acknowledge(invite *sip.Request, branch string) *sip.Request {
	seq := d.localSeq
	d.localSeq = invite.CSeq().SeqNo
	ack := d.request(sip.ACK, branch)
	d.localSeq = seq
	for _, name := range []string{"Authorization", "Proxy-Authorization"} {
		sip.CopyHeaders(name, invite, ack)
	}
	return ack
}

func (c *call) sendAck(ack *sip.Request) {
	req := ack.Clone()
	c.e.prepare(req)
	write := func() {
		if err := c.e.client.WriteRequest(req, asIs); err != nil {
			c.log.Debug("ACK not sent", "error", err)
		}
	}
	if _, err := netip.ParseAddrPort(req.Destination()); err == nil && req.Transport() == "UDP" {
		write() // ahead of what comes next
		return
	}
	c.client.sent.Go(write) // looking up and connecting take their time
}

// repeated takes a 2xx that came again, or from another telephone that was
// faster than it should (section 13.2.2.4): that one is hung up.
func (c *call) repeated(res *sip.Response) {
	if c.client.ack == nil || res.To() == nil {
		return
	}
	tag, _ := res.To().Params.Get("tag")
	if tag == c.dialog.remoteTag() {
		c.sendAck(c.client.ack)
		return
	}
	other := c.dialog
	other.joins(res)
	c.sendAck(other.acknowledge(c.client.request, c.e.guests.newBranch()))
	bye := other.request(sip.BYE, c.e.guests.newBranch())
	bye.AppendHeader(reasonHeader(ending{200, "answered elsewhere", ""}))
	c.do(bye, nil)
}

// giveUp ends a call that nobody has answered (section 9.1).
func (c *call) giveUp(why ending) {
	if c.e.ctx.Err() != nil {
		if c.client.heard {
			c.sendCancel()
		}
		c.over(why)
		return
	}
	if c.client.unwanted {
		return
	}
	c.client.unwanted, c.end = true, why
	delete(c.clock, alarmRing)
	c.clock.in(alarmGiveUp, 5*time.Second)
	if c.client.heard {
		c.sendCancel()
	}
}

func (c *call) sendCancel() {
	if c.client.cancelled {
		return
	}
	c.client.cancelled = true
	invite := c.client.request
	req := sip.NewRequest(sip.CANCEL, *invite.Recipient.Clone())
	req.AppendHeader(invite.Via().Clone())
	sip.CopyHeaders("Route", invite, req)
	hops := sip.MaxForwardsHeader(70)
	req.AppendHeader(&hops)
	for _, name := range []string{"From", "To", "Call-ID"} {
		sip.CopyHeaders(name, invite, req)
	}
	req.AppendHeader(&sip.CSeqHeader{SeqNo: invite.CSeq().SeqNo, MethodName: sip.CANCEL})
	req.AppendHeader(reasonHeader(c.end))
	req.SetBody(nil)
	req.SetTransport(invite.Transport())
	req.SetDestination(invite.Destination())
	c.do(req, nil)
}
