package sip

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
)

// session is how the call is kept alive (RFC 4028).
type session struct {
	interval time.Duration // zero: it is not
	ours     bool          // we refresh
	pending  bool          // a refresh of ours is on its way
}

// answerSession agrees on a session's interval with a request of the peer, and
// adds to the response what says so.
func (c *call) answerSession(req *sip.Request, res *sip.Response) {
	if res == nil || !supports(req, "timer") {
		return
	}
	interval, asked := sessionExpires(req)
	if !asked {
		interval = c.e.cfg.SessionInterval
	}
	interval = max(interval, minInterval)
	who := refresher(req)
	if who != "uas" {
		who = "uac"
	}
	res.AppendHeader(sip.NewHeader("Session-Expires", fmt.Sprintf("%d;refresher=%s", int(interval.Seconds()), who)))
	res.AppendHeader(sip.NewHeader("Supported", "timer"))
	if who == "uac" {
		res.AppendHeader(sip.NewHeader("Require", "timer"))
	}
	c.keep(interval, who == "uas")
}

// learnSession takes what the peer's response to a request of ours agrees on.
func (c *call) learnSession(res *sip.Response) {
	interval, ok := sessionExpires(res)
	if !ok {
		if c.session.ours { // the peer knows no timer, we go on alone
			c.keep(c.session.interval, true)
		}
		return
	}
	c.keep(max(interval, minInterval), refresher(res) != "uas")
}

// keep sets the alarms of a session that was just agreed on (section 10).
func (c *call) keep(interval time.Duration, ours bool) {
	c.session = session{interval: interval, ours: ours}
	delete(c.clock, alarmRefresh)
	delete(c.clock, alarmExpire)
	if interval == 0 {
		return
	}
	if ours {
		c.clock.in(alarmRefresh, interval/2)
	}
	c.clock.in(alarmExpire, interval-min(32*time.Second, interval/3))
}

// refresh tells the peer that we are there, and finds out whether it is.
func (c *call) refresh() {
	if c.session.pending {
		return
	}
	if c.server.response != nil || c.client.tx != nil {
		c.clock.in(alarmRefresh, 5*time.Second) // something else is on its way
		return
	}
	c.session.pending = true
	expires := sip.NewHeader("Session-Expires", strconv.Itoa(int(c.session.interval.Seconds()))+";refresher=uac")
	if !c.updates {
		c.reinvite(expires)
		return
	}
	req := c.dialog.request(sip.UPDATE, c.e.guests.newBranch())
	req.AppendHeader(expires)
	req.AppendHeader(sip.NewHeader("Supported", "timer"))
	c.do(req, func(res *sip.Response, err error) { c.refreshed(res, err) })
}

// refreshed takes what became of a refresh.
func (c *call) refreshed(res *sip.Response, err error) {
	c.session.pending = false
	switch {
	case err != nil, res.StatusCode == 408, res.StatusCode == 481:
		c.hangup(ending{408, "the peer is gone", "server"})
	case res.IsSuccess():
		c.dialog.sees(res)
		c.learnSession(res)
	case res.StatusCode == 422:
		if n, err := strconv.Atoi(strings.TrimSpace(header(res, "Min-SE", ""))); err == nil && n < 1<<20 {
			c.session.interval = max(c.session.interval, time.Duration(n)*time.Second)
		}
		c.clock.in(alarmRefresh, time.Second)
	case res.StatusCode == 491:
		c.clock.in(alarmRefresh, 3*time.Second) // section 14.1 of RFC 3261: 2.1 to 4 s
	default: // it is there and does not like the request: later again
		c.clock.in(alarmRefresh, c.session.interval/2)
		c.clock.in(alarmExpire, c.session.interval)
	}
}
