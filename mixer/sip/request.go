package sip

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"

	"mixdown/mixer"
)

// legEnding says for the peer why its leg ended.
func legEnding(err error) ending {
	switch {
	case err == nil:
		return ending{500, "the media ended", "server"}
	case errors.Is(err, mixer.ErrRemoved):
		return ending{200, err.Error(), "room"}
	case errors.Is(err, mixer.ErrRoomClosed), errors.Is(err, mixer.ErrReplaced):
		return ending{200, err.Error(), "room"}
	}
	return ending{500, err.Error(), "server"}
}

// reasonText reads RFC 3326's text parameter.
func reasonText(m sip.Message) string {
	_, params, _ := strings.Cut(header(m, "Reason", ""), ";")
	for p := range strings.SplitSeq(params, ";") {
		if name, value, _ := strings.Cut(strings.TrimSpace(p), "="); strings.EqualFold(name, "text") {
			return clean(strings.Trim(value, `"`))
		}
	}
	return ""
}

// reasonHeader says why a request was sent (RFC 3326).
func reasonHeader(why ending) sip.Header {
	return sip.NewHeader("Reason", fmt.Sprintf("SIP;cause=%d;text=%s", why.code, quote(clean(why.reason))))
}

// do sends a request in the dialog and calls back with its final response, on
// the call's goroutine while that is there.
func (c *call) do(req *sip.Request, back func(*sip.Response, error)) {
	c.e.prepare(req)
	c.client.sent.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
		defer cancel()
		stop := context.AfterFunc(c.e.ctx, func() { time.AfterFunc(stopGrace, cancel) })
		defer stop()
		res, err := c.e.client.Do(ctx, req, asIs)
		if back != nil {
			c.post(func() { back(res, err) })
		}
	})
}

const (
	requestTimeout = 32 * time.Second
	stopGrace      = time.Second
)

// asIs keeps sipgo from adding headers: what is sent is whole.
func asIs(*sipgo.Client, *sip.Request) error { return nil }

// prepare names the socket that a request shall go out of.
func (e *Endpoint) prepare(req *sip.Request) {
	if req.Transport() == "UDP" && e.socket != nil {
		at := e.socket.LocalAddr().(interface{ AddrPort() netip.AddrPort }).AddrPort()
		req.Laddr = sip.Addr{IP: at.Addr().AsSlice(), Port: int(at.Port())}
	}
	req.AppendHeader(sip.NewHeader("User-Agent", e.cfg.product()))
}

// sendBye ends the dialog. Its response is waited for in the background.
func (c *call) sendBye(why ending) {
	req := c.dialog.request(sip.BYE, c.e.guests.newBranch())
	req.AppendHeader(reasonHeader(why))
	c.do(req, nil)
}

// plain is an address without parameters.
func plain(u sip.Uri) string {
	s := u.Scheme + ":"
	if u.User != "" {
		s += u.User + "@"
	}
	s += u.Host
	if u.Port > 0 {
		s += ":" + strconv.Itoa(u.Port)
	}
	return s
}
