package sip

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// dialog is what two user agents share of a call (RFC 3261, section 12). It
// belongs to the call's goroutine once it runs.
type dialog struct {
	callID        string
	local, remote sip.FromHeader // ours and the peer's, tags and all
	localSeq      uint32
	remoteSeq     uint32
	target        sip.Uri // the peer's Contact
	routes        []string
	contact       sip.ContactHeader // ours

	network string // UDP, TCP or TLS
	via     string // the same, or WS or WSS
	peer    string // HOST:PORT where requests go; empty: where route and target say
	sentBy  netip.AddrPort
}

func (d *dialog) localTag() string  { t, _ := d.local.Params.Get("tag"); return t }
func (d *dialog) remoteTag() string { t, _ := d.remote.Params.Get("tag"); return t }

// party copies one side's address.
func party(h sip.FromHeader) sip.FromHeader {
	return sip.FromHeader{DisplayName: h.DisplayName, Address: *h.Address.Clone(), Params: h.Params.Clone()}
}

// routeSet copies the Record-Route of a message, reversed for who called.
func routeSet(m sip.Message, reverse bool) []string {
	var routes []string
	for _, h := range m.GetHeaders("Record-Route") {
		routes = append(routes, splitAddresses(h.Value())...)
	}
	if reverse {
		for i, j := 0, len(routes)-1; i < j; i, j = i+1, j-1 {
			routes[i], routes[j] = routes[j], routes[i]
		}
	}
	return routes
}

// splitAddresses parts a list of addresses; commas in brackets are no commas.
func splitAddresses(s string) (out []string) {
	depth, start := 0, 0
	for i, c := range s {
		switch {
		case c == '<':
			depth++
		case c == '>':
			depth--
		case c == ',' && depth == 0:
			out = append(out, strings.TrimSpace(s[start:i]))
			start = i + 1
		}
	}
	return append(out, strings.TrimSpace(s[start:]))
}

// request begins a request in the dialog (section 12.2.1.1). ACK has the number
// of the request it is for and sets it itself.
func (d *dialog) request(method sip.RequestMethod, branch string) *sip.Request {
	if method != sip.ACK {
		d.localSeq++
	}
	req := sip.NewRequest(method, *d.target.Clone())
	from, to := party(d.local), sip.ToHeader(party(d.remote))
	id, hops := sip.CallIDHeader(d.callID), sip.MaxForwardsHeader(70)
	req.AppendHeader(d.viaHeader(branch))
	d.addRoutes(req)
	req.AppendHeader(&hops)
	req.AppendHeader(&from)
	req.AppendHeader(&to)
	req.AppendHeader(&id)
	req.AppendHeader(&sip.CSeqHeader{SeqNo: d.localSeq, MethodName: method})
	contact := d.contact
	req.AppendHeader(&contact)
	req.SetBody(nil)
	req.SetTransport(d.network)
	if d.peer != "" {
		req.SetDestination(d.peer)
	}
	return req
}

// addRoutes puts in the route set. A first hop that is no loose router gets the
// request's URI (section 12.2.1.1).
func (d *dialog) addRoutes(req *sip.Request) {
	routes := d.routes
	if len(routes) == 0 {
		return
	}
	if first, err := parseURI(routes[0]); err == nil && !first.UriParams.Has("lr") {
		target := req.Recipient
		req.Recipient = first
		routes = append(append([]string{}, routes[1:]...), "<"+target.String()+">")
	}
	for _, r := range routes {
		req.AppendHeader(sip.NewHeader("Route", r))
	}
}

func (d *dialog) viaHeader(branch string) *sip.ViaHeader {
	via := &sip.ViaHeader{ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: d.via, Host: hostText(d.sentBy.Addr()), Port: int(d.sentBy.Port())}
	via.Params.Add("branch", branch)
	via.Params.Add("rport", "")
	return via
}

// next is where requests of the dialog go: the peer they were seen to come
// from if nothing stands between, else the first route or the target.
func (d *dialog) next() (network, peer string, err error) {
	uri := d.target
	if len(d.routes) > 0 {
		if uri, err = parseURI(d.routes[0]); err != nil {
			return "", "", err
		}
	}
	network = "UDP"
	if t, ok := uri.UriParams.Get("transport"); ok {
		network = strings.ToUpper(t)
	}
	if uri.IsEncrypted() {
		network = "TLS"
	}
	port := uri.Port
	if port == 0 {
		port = sip.DefaultPort(network)
	}
	switch network {
	case "UDP", "TCP", "TLS":
	default:
		return "", "", fmt.Errorf("transport %.20q of %s is not one that this server calls by", network, uri.Host)
	}
	return network, joinHost(uri.Host, port), nil
}

func joinHost(host string, port int) string {
	host = strings.Trim(host, "[]")
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(port)
}

// hostText writes an address as it stands in a URI.
func hostText(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}

// sees follows a request or response of the peer that may move its Contact
// (section 12.2: target refresh).
func (d *dialog) sees(m interface{ Contact() *sip.ContactHeader }) {
	if c := m.Contact(); c != nil && (c.Address.Scheme == "sip" || c.Address.Scheme == "sips") {
		d.target = *c.Address.Clone()
		d.target.Headers = nil
	}
}
