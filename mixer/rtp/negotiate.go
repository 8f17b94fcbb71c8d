package rtp

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"mixdown/codec"
	"mixdown/mixer"
)

// offered is an m-line of an own offer that waits for its answer.
type offered struct {
	role role
	keys []key
}

func portOf(c *net.UDPConn) int { return c.LocalAddr().(*net.UDPAddr).Port }

// answer takes an offer up. After an error what held before still holds. The
// caller need not hold signal.
func (l *Leg) answer(d *description) (string, error) {
	l.signal.Lock()
	defer l.signal.Unlock()
	l.mu.Lock()
	s := l.session
	before := len(l.order)
	l.mu.Unlock()
	if len(d.media) < before {
		return "", badOffer("%d m-lines, there were %d (RFC 3264, section 8)", len(d.media), before)
	}
	taken := map[role]*agreement{}
	var order []place
	noCodec := codec.Kind(0)
	control := d.control()
	for i := range d.media {
		m := &d.media[i]
		at := place{mid: m.mid}
		as := m.role()
		switch {
		case as == refused || m.refused || taken[as] != nil, as == slidesLine && control < 0, m.kind == codec.Video && l.params.AudioOnly:
		default:
			a, ok := agree(m, l.transport.codecs, s)
			if !ok {
				noCodec = m.kind
				break
			}
			if err := l.allow(a); err != nil {
				return "", err
			}
			if err := a.secure(m, l.params.SRTP, l.agreedOn(as), nil); err != nil {
				return "", err
			}
			if as == slidesLine {
				a.sends = false // whoever shows slides here is in the picture
			}
			at.role, taken[as] = as, a
		}
		order = append(order, at)
	}
	if len(taken) == 0 {
		if noCodec != 0 {
			return "", fmt.Errorf("%w: %w: no %v codec that this server knows", mixer.ErrBadOffer, mixer.ErrNoCodec, noCodec)
		}
		return "", badOffer("no audio or video over RTP")
	}
	if taken[slidesLine] != nil {
		if err := l.openFloor(&d.media[control]); err != nil {
			return "", err
		}
		order[control].role = floorLine
	}
	if err := l.take(taken); err != nil {
		return "", err
	}
	text := l.describe(order, d, nil)
	l.mu.Lock()
	l.order, l.local, l.kind, l.offered = order, text, "answer", nil
	l.mu.Unlock()
	return text, l.renegotiated()
}

// allow judges where an agreement sends.
func (l *Leg) allow(a *agreement) error {
	for _, at := range []netip.AddrPort{a.rtp, a.rtcp} {
		if at.IsValid() && l.params.Allow != nil {
			if err := l.params.Allow(at.Addr()); err != nil {
				return fmt.Errorf("rtp.allow: %w", err)
			}
		}
	}
	return nil
}

// take puts agreements into force; lines without one rest. The caller holds signal.
func (l *Leg) take(taken map[role]*agreement) error {
	if taken[slidesLine] == nil {
		l.closeFloor()
	}
	for _, r := range []role{soundLine, videoLine, slidesLine} {
		a := taken[r]
		if a == nil {
			if n := l.lineOf(r); n != nil {
				n.agreed.Store(nil)
			}
			continue
		}
		n, err := l.line(r)
		if err != nil {
			return err
		}
		if err := n.use(a); err != nil {
			return err
		}
	}
	return nil
}

// Update takes a further offer (a re-INVITE or UPDATE: hold, resume, other codecs,
// another address) and returns the answer. After an error what held before still
// holds.
func (l *Leg) Update(offer string) (answer string, err error) {
	d, err := parse(offer)
	if err != nil {
		return "", err
	}
	return l.answer(d)
}

// Accept takes the answer to an offer of Offer or Reoffer, early media's too: it
// may be called again with another one.
func (l *Leg) Accept(answer string) error {
	d, err := parse(answer)
	if err != nil {
		return err
	}
	l.signal.Lock()
	defer l.signal.Unlock()
	l.mu.Lock()
	waits, s, first := l.offered, l.session, l.seat == nil
	l.mu.Unlock()
	if waits == nil {
		return badOffer("there is no offer to answer")
	}
	if len(d.media) != len(waits) {
		return badOffer("%d m-lines answer %d", len(d.media), len(waits))
	}
	taken := map[role]*agreement{}
	for i := range d.media {
		m, o := &d.media[i], waits[i]
		if m.refused || o.role == refused || o.role == floorLine {
			continue
		}
		if m.kind != o.role.kind() {
			return badOffer("m-line %d is of %s, offered was %v", i+1, m.name, o.role.kind())
		}
		a, ok := agree(m, l.transport.codecs, s)
		if !ok {
			return fmt.Errorf("%w: %w: answered no %v codec that was offered", mixer.ErrBadOffer, mixer.ErrNoCodec, m.kind)
		}
		if err := l.allow(a); err != nil {
			return err
		}
		if err := a.secure(m, l.params.SRTP, nil, o.keys); err != nil {
			return err
		}
		a.sends = a.sends && o.role != slidesLine
		taken[o.role] = a
	}
	if len(taken) == 0 {
		return badOffer("all m-lines are refused")
	}
	if err := l.take(taken); err != nil {
		return err
	}
	if first && s.Room != "" {
		return l.attach(s)
	}
	return l.renegotiated()
}

// Reoffer returns an offer of what holds now, for a re-INVITE without SDP.
func (l *Leg) Reoffer() (offer string, err error) {
	l.signal.Lock()
	defer l.signal.Unlock()
	if l.ended() {
		return "", errEnded
	}
	l.mu.Lock()
	order := l.order
	l.mu.Unlock()
	return l.offer(order)
}

// firstOffer offers all that there is.
func (l *Leg) firstOffer() (string, error) {
	l.signal.Lock()
	defer l.signal.Unlock()
	order := []place{{role: soundLine}}
	if !l.params.AudioOnly {
		order = append(order, place{role: videoLine})
	}
	l.proto = "RTP/AVP"
	if l.params.SRTP == Required {
		l.proto = "RTP/SAVP"
	}
	return l.offer(order)
}

// offer describes what is offered of each place. The caller holds signal.
func (l *Leg) offer(order []place) (string, error) {
	var waits []offered
	for _, at := range order {
		o := offered{role: at.role}
		if at.role != refused && at.role != floorLine {
			if _, err := l.line(at.role); err != nil {
				return "", err
			}
			a := l.agreedOn(at.role)
			switch {
			case a != nil && a.out != nil:
				o.keys = []key{*a.out}
			case a == nil && (l.params.SRTP == Required || l.params.SRTP == Preferred):
				for k, s := range suites() {
					o.keys = append(o.keys, newKey(strconv.Itoa(k+1), s))
				}
			}
		}
		waits = append(waits, o)
	}
	text := l.describe(order, nil, waits)
	l.mu.Lock()
	l.order, l.offered, l.local, l.kind = order, waits, text, "offer"
	l.mu.Unlock()
	return text, nil
}

// describe writes our SDP: the answer to d, or an offer with its keys. The caller
// holds signal.
func (l *Leg) describe(order []place, d *description, waits []offered) string {
	l.versions++
	var w writer
	w.begin(strconv.FormatUint(sessionID(l.id), 10), l.versions, l.address(d))
	for i, at := range order {
		switch {
		case at.role == floorLine:
			w.floor(l.floor, at.mid)
			continue
		case at.role == refused && d != nil:
			w.refuse(&d.media[i])
			continue
		case at.role == refused:
			w.line("m=application 0 RTP/AVP 0")
			continue
		}
		n := l.lineOf(at.role)
		a := n.agreed.Load()
		one := described{agreement: a, mid: at.mid, port: n.port, proto: l.proto, slides: at.role == slidesLine}
		if d != nil {
			one.proto = d.media[i].proto
			if a.out != nil {
				one.keys = []key{*a.out}
			}
		} else {
			one.offer, one.keys = true, waits[i].keys
			if a == nil {
				one.agreement = l.everything(at.role.kind())
			}
			if one.proto == "" {
				one.proto = "RTP/AVP"
				if len(one.keys) > 0 {
					one.proto = "RTP/SAVP"
				}
			}
		}
		w.media(one)
	}
	return w.String()
}

// everything is what a first offer has of a kind.
func (l *Leg) everything(k codec.Kind) *agreement {
	l.mu.Lock()
	s := l.session
	l.mu.Unlock()
	a := &agreement{kind: k, mux: true, sends: s.Receive, takes: s.Publish, nack: true, pli: true, fir: true, tmmbr: true}
	pt := uint8(96)
	if k == codec.Video {
		pt = 110
	}
	add := func(c *codec.Codec, fmtp string) {
		f := format{codec: c, takes: c, terms: codec.Terms{Fmtp: fmtp}}
		if c.Static != nil {
			f.pt = *c.Static
		} else {
			f.pt = pt
			pt++
		}
		a.formats = append(a.formats, f)
	}
	for _, c := range l.transport.codecs.Of(k) {
		add(c, c.Fmtp)
	}
	if k == codec.Audio {
		a.comfort = true
		a.events = []event{{101, 8000}, {102, 48000}}
	}
	return a
}

// sessionID is a number for the o-line that stays.
func sessionID(id string) (n uint64) {
	for _, b := range []byte(id[:10]) {
		n = n<<5 | uint64(b&31)
	}
	return n
}

// address is this server's for a leg: what signaling or configuration says, or that
// of the interface towards the other end.
func (l *Leg) address(d *description) netip.Addr {
	for _, s := range []string{l.params.Local, l.cfg.Address} {
		if ip, err := netip.ParseAddr(s); err == nil {
			return ip.Unmap()
		}
	}
	to := []string{"192.0.2.1:9", "[2001:db8::1]:9"} // any address: no packet is sent
	if d != nil {
		for i := range d.media {
			if rtp, _ := d.media[i].remote(); rtp.IsValid() {
				to = append([]string{rtp.String()}, to...)
				break
			}
		}
	}
	for _, at := range to {
		if c, err := net.Dial("udp", at); err == nil {
			ip := c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
			_ = c.Close()
			return ip
		}
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}
