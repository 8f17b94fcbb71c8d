package sip

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"mixdown/mixer"
)

// Dial places a call from a room and returns at once: what becomes of it shows
// in the room's calls.
func (e *Endpoint) Dial(ctx context.Context, room string, order mixer.CallOrder) (mixer.Call, error) {
	uri, err := e.destination(order.To)
	if err != nil {
		e.count.dialRefused.Inc()
		return mixer.Call{}, err
	}
	c := e.newCall()
	c.outgoing, c.order, c.role, c.to = true, order, mixer.Participant, entry{room: room}
	c.log = c.log.With("room", room)
	c.login = e.credentials()
	c.shown.Room, c.shown.Outgoing, c.shown.State, c.shown.Peer = room, true, mixer.CallDialing, plain(uri)
	c.shown.Name = cmp.Or(clean(order.Name), clean(unescape(uri.User)), uri.Host)
	if err := c.address(ctx, uri); err != nil {
		return mixer.Call{}, fmt.Errorf("%w: %w", mixer.ErrBadAddress, err)
	}
	if c.leg, err = e.legs.New(e.ctx, LegOptions{Call: c.id, Local: c.dialog.sentBy.Addr(), Secure: c.secureMedia(), Hidden: c.dialog.via == "TLS"}); err != nil {
		return mixer.Call{}, fmt.Errorf("call %s: %w", plain(uri), err)
	}
	if e.ctx.Err() != nil || !e.calls.add(c, e.cfg.DialOut.Calls) {
		c.leg.Close(mixer.ErrBusy)
		return mixer.Call{}, fmt.Errorf("call %s: %w: as many are placed as may be", plain(uri), mixer.ErrBusy)
	}
	e.wg.Go(c.run)
	e.tell(room)
	return c.view(), nil
}

// destination makes an address of what somebody typed, and refuses whom
// configuration does not let call.
func (e *Endpoint) destination(to string) (sip.Uri, error) {
	to = strings.TrimSpace(to)
	domain := e.domain()
	scheme, rest, ok := strings.Cut(to, ":")
	switch {
	case ok && (strings.EqualFold(scheme, "sip") || strings.EqualFold(scheme, "sips")) && rest != "":
	case strings.Contains(to, "@"):
		to = "sip:" + to
	default:
		number := strings.NewReplacer(" ", "", "-", "", "(", "", ")", "", "/", "", ".", "").Replace(strings.TrimPrefix(to, "tel:"))
		if number == "" || strings.Trim(number, "+0123456789*#") != "" {
			return sip.Uri{}, fmt.Errorf("%w: %.80q is neither an address, such as sip:user@host, nor a number", mixer.ErrBadAddress, to)
		}
		if domain == "" {
			return sip.Uri{}, fmt.Errorf("%w: a number needs sip.registrar or sip.dial_out.proxy; give sip:user@host", mixer.ErrBadAddress)
		}
		to = "sip:" + strings.ReplaceAll(number, "#", "%23") + "@" + domain
	}
	uri, err := parseURI(to)
	if err != nil || uri.Password != "" || uri.Headers.Length() > 0 || strings.ContainsAny(unescape(uri.User), ";?&/@:\r\n") {
		return uri, fmt.Errorf("%w: %.80q", mixer.ErrBadAddress, to)
	}
	transport, ok := uri.UriParams.Get("transport")
	uri.UriParams = nil
	if ok {
		uri.UriParams.Add("transport", strings.ToLower(transport))
	}
	user, at := unescape(uri.User), strings.ToLower(strings.Trim(uri.Host, "[]"))
	for _, pattern := range e.cfg.DialOut.Allow {
		subject := user + "@" + at
		if !strings.Contains(pattern, "@") {
			if at != domain {
				continue
			}
			subject = user
		}
		if ok, _ := path.Match(pattern, subject); ok {
			return uri, nil
		}
	}
	return uri, fmt.Errorf("%w: %s fits nothing in sip.dial_out.allow", mixer.ErrNotAllowed, plain(uri))
}

// domain is the host of bare numbers.
func (e *Endpoint) domain() string {
	for _, s := range []string{e.cfg.DialOut.Proxy, e.cfg.Registrar.uri()} {
		if u, err := parseURI(s); err == nil {
			return strings.ToLower(strings.Trim(u.Host, "[]"))
		}
	}
	return ""
}

func (r *Registrar) uri() string {
	if r == nil {
		return ""
	}
	return r.URI
}

func (e *Endpoint) credentials() login {
	l := login{e.cfg.DialOut.User, e.cfg.DialOut.Password}
	if r := e.cfg.Registrar; l.user == "" && r != nil {
		l = login{cmp.Or(r.Login, r.User), r.Password}
	}
	return l
}

// address fills in the dialog of a call that we place.
func (c *call) address(ctx context.Context, to sip.Uri) error {
	e := c.e
	d := &c.dialog
	d.target = to
	if e.cfg.DialOut.Proxy != "" {
		proxy, err := parseURI(e.cfg.DialOut.Proxy)
		if err != nil {
			return err
		}
		if !proxy.UriParams.Has("lr") {
			proxy.UriParams.Add("lr", "")
		}
		d.routes = []string{"<" + proxy.String() + ">"}
	} else if b := e.cfg.Registrar; b != nil && strings.EqualFold(to.Host, e.domain()) {
		// The same way as the registration, which may name another transport.
		registrar, err := parseURI(b.URI)
		if err != nil {
			return err
		}
		if t, ok := registrar.UriParams.Get("transport"); ok && !to.UriParams.Has("transport") {
			d.target.UriParams.Add("transport", t)
		}
		if d.target.Port == 0 {
			d.target.Port = registrar.Port
		}
	}
	network, peer, err := d.next()
	if err != nil {
		return err
	}
	d.network, d.via, d.peer = network, network, peer
	d.sentBy = netip.AddrPortFrom(e.local(resolve(ctx, peer)), e.port(network))
	from, err := parseURI(cmp.Or(e.cfg.DialOut.From, e.cfg.Registrar.own(), "sip:"+url.PathEscape(c.to.room)+"@"+hostText(d.sentBy.Addr())))
	if err != nil {
		return err
	}
	d.local = sip.FromHeader{DisplayName: cmp.Or(clean(c.order.From), c.to.room), Address: from}
	d.local.Params.Add("tag", randomHex(8))
	d.remote = sip.FromHeader{Address: *to.Clone()}
	d.remote.Address.UriParams = nil
	d.callID = randomHex(12)
	d.localSeq = 1 + uint32(time.Now().UnixNano())&0x3fff
	d.contact = c.contact(from.User)
	return nil
}

// own is the address that is registered.
func (r *Registrar) own() string {
	if r == nil {
		return ""
	}
	u, err := parseURI(r.URI)
	if err != nil {
		return ""
	}
	return "sip:" + r.User + "@" + u.Host
}

// resolve finds an address of HOST:PORT, to know which way leads there. sipgo
// looks up by itself where to send.
func resolve(ctx context.Context, peer string) netip.AddrPort {
	if a, err := netip.ParseAddrPort(peer); err == nil {
		return a
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	name, _, _ := strings.Cut(peer, ":")
	if ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name); err == nil && len(ips) > 0 {
		return netip.AddrPortFrom(ips[0].Unmap(), uint16(sip.DefaultUdpPort))
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), 9) // the way out
}

func unescape(user string) string {
	if u, err := url.PathUnescape(user); err == nil {
		return u
	}
	return user
}
