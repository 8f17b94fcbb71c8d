package sip

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
)

// binding is the registration at a PBX (RFC 3261, section 10.2).
type binding struct {
	e     *Endpoint
	uri   sip.Uri
	login login
	d     dialog // a registration is none, but numbers and names go the same way
	gone  chan struct{}
}

func newBinding(e *Endpoint) *binding {
	r := e.cfg.Registrar
	b := &binding{e: e, login: login{cmp.Or(r.Login, r.User), r.Password}, gone: make(chan struct{})}
	b.uri, _ = parseURI(r.URI) // Validate has seen it
	own, _ := parseURI(r.own())
	b.d = dialog{callID: randomHex(12), localSeq: 1, target: b.uri}
	b.d.local = sip.FromHeader{Address: own}
	b.d.local.Params.Add("tag", randomHex(8))
	b.d.remote = sip.FromHeader{Address: own}
	return b
}

// run registers, again in time, and at last gives the registration back.
func (b *binding) run() {
	defer close(b.gone)
	bound, failures := false, 0
	for {
		again, err := b.register(b.e.ctx, b.e.cfg.Registrar.Expires)
		if err != nil && b.e.ctx.Err() == nil {
			failures++
			again = min(time.Duration(1<<min(failures, 8))*time.Second, 5*time.Minute)
			b.e.log.Warn("not registered", "registrar", b.uri.Host, "error", err, "again_in", again)
		} else if err == nil {
			if !bound || failures > 0 {
				b.e.log.Info("registered", "registrar", b.uri.Host, "again_in", again)
			}
			failures = 0
		}
		bound = err == nil
		b.e.count.bound(bound)
		select {
		case <-time.After(again):
			continue
		case <-b.e.ctx.Done():
		}
		if bound {
			ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
			_, _ = b.register(ctx, 0) // it ends by itself, else
			cancel()
		}
		b.e.count.bound(false)
		return
	}
}

// register sends one REGISTER, with a login if that is asked for, and returns
// when to come again.
func (b *binding) register(ctx context.Context, expires time.Duration) (again time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	e := b.e
	network, peer, err := b.d.next()
	if err != nil {
		return 0, err
	}
	b.d.network, b.d.via, b.d.peer = network, network, peer
	b.d.sentBy = netip.AddrPortFrom(e.local(resolve(ctx, peer)), e.port(network))
	holder := call{e: e, dialog: b.d}
	b.d.contact = holder.contact(e.cfg.Registrar.User)
	var challenge *sip.Response
	for range 3 {
		req := b.d.request(sip.REGISTER, e.guests.newBranch())
		req.AppendHeader(sip.NewHeader("Expires", strconv.Itoa(int(expires.Seconds()))))
		if challenge != nil {
			if err := authorize(req, challenge, b.login); err != nil {
				return 0, err
			}
		}
		e.prepare(req)
		res, err := e.client.Do(ctx, req, asIs)
		if err != nil {
			return 0, err
		}
		switch {
		case res.IsSuccess():
			granted := b.granted(res, expires)
			return max(granted-min(30*time.Second, granted/2), time.Second), nil
		case res.StatusCode == 423: // section 10.2.8
			least, err := strconv.Atoi(header(res, "Min-Expires", ""))
			if err != nil || least > 1<<20 {
				return 0, errors.New("423 without Min-Expires")
			}
			expires = time.Duration(least) * time.Second
		case (res.StatusCode == 401 || res.StatusCode == 407) && b.login.user != "":
			challenge = res
		default:
			return 0, fmt.Errorf("%d %s", res.StatusCode, res.Reason)
		}
	}
	return 0, errors.New("the login is not accepted")
}

// granted is how long our binding is good for: what stands at our Contact, or in
// Expires, or what was asked for.
func (b *binding) granted(res *sip.Response, asked time.Duration) time.Duration {
	for _, h := range res.GetHeaders("Contact") {
		for _, one := range splitAddresses(h.Value()) {
			if !strings.Contains(one, b.d.contact.Address.User+"@"+b.d.contact.Address.Host) {
				continue
			}
			for p := range strings.SplitSeq(one, ";") {
				if name, value, _ := strings.Cut(strings.TrimSpace(p), "="); strings.EqualFold(name, "expires") {
					if n, err := strconv.Atoi(value); err == nil && n > 0 && n < 1<<24 {
						return time.Duration(n) * time.Second
					}
				}
			}
		}
	}
	if n, err := strconv.Atoi(header(res, "Expires", "")); err == nil && n > 0 && n < 1<<24 {
		return time.Duration(n) * time.Second
	}
	return max(asked, time.Minute)
}
