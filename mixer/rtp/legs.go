package rtp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"mixdown/codec"
	"mixdown/mixer"
)

// CreateLeg makes a leg in a room as a request says: by an offer, by addresses, or
// by an own offer.
func (t *Transport) CreateLeg(ctx context.Context, r mixer.LegRequest) (mixer.Leg, error) {
	n := 0
	for _, given := range []bool{r.SDP != "", len(r.Media) > 0, r.Offer} {
		if given {
			n++
		}
	}
	if n != 1 {
		return mixer.Leg{}, badOffer("want one of sdp, media and offer")
	}
	p := Params{}
	if !r.Anywhere {
		if p.Allow = t.cfg.Allow; p.Allow == nil {
			p.Allow = func(netip.Addr) error { return fmt.Errorf("none is: %w", mixer.ErrForbidden) }
		}
	}
	if r.SRTP != "" {
		if _, ok := suiteOf(r.SRTP); !ok {
			return mixer.Leg{}, badOffer("srtp %.40q is no crypto suite that this server knows", r.SRTP)
		}
		if t.cfg.SRTP == Off {
			return mixer.Leg{}, badOffer("srtp: this server is configured to send media in the clear only")
		}
		p.SRTP = Required
	}
	var l *Leg
	var err error
	if r.Offer {
		l, _, err = t.Offer(ctx, r.Session, p)
	} else {
		if len(r.Media) > 0 {
			if r.SDP, err = t.offerOf(r); err != nil {
				return mixer.Leg{}, err
			}
		}
		l, _, err = t.Answer(ctx, r.Session, p, r.SDP)
	}
	if err != nil {
		return mixer.Leg{}, err
	}
	return l.Info(), nil
}

// offerOf writes the offer that an end at addresses would have made.
func (t *Transport) offerOf(r mixer.LegRequest) (string, error) {
	var w writer
	w.line("v=0")
	w.line("o=- 1 1 IN IP4 127.0.0.1")
	w.line("s=-")
	w.line("t=0 0")
	for i, m := range r.Media {
		host, port, err := net.SplitHostPort(m.Address)
		if err != nil {
			return "", badOffer("media %d: address %.60q is not IP:PORT", i+1, m.Address)
		}
		c := t.codecs.Find(m.Codec)
		if c == nil || c.Kind.String() != m.Kind {
			return "", fmt.Errorf("%w: %w: media %d: %.40q is no %.20s codec of this server", mixer.ErrBadOffer, mixer.ErrNoCodec, i+1, m.Codec, m.Kind)
		}
		for _, s := range []string{m.Fmtp, m.Key, m.Direction, host, port} {
			if strings.ContainsAny(s, "\r\n") {
				return "", badOffer("media %d: a line break", i+1)
			}
		}
		if m.PayloadType > 127 || m.PayloadType < 96 && (c.Static == nil || *c.Static != m.PayloadType) {
			return "", badOffer("media %d: payload type %d: want 96 to 127, or the codec's own", i+1, m.PayloadType)
		}
		family, proto := "IP4", "RTP/AVP"
		if strings.Contains(host, ":") {
			family = "IP6"
		}
		if r.SRTP != "" {
			proto = "RTP/SAVP"
		}
		w.line("m=%s %s %s %d", c.Kind, port, proto, m.PayloadType)
		w.line("c=IN %s %s", family, host)
		name := c.Name + "/" + strconv.Itoa(int(c.ClockRate))
		if c.Channels > 1 {
			name += "/" + strconv.Itoa(int(c.Channels))
		}
		w.line("a=rtpmap:%d %s", m.PayloadType, name)
		switch {
		case m.Fmtp != "":
			w.line("a=fmtp:%d %s", m.PayloadType, m.Fmtp)
		case c.Kind == codec.Video && c.Fmtp != "":
			w.line("a=fmtp:%d %s", m.PayloadType, c.Fmtp)
		}
		if r.SRTP != "" {
			s, _ := suiteOf(r.SRTP)
			if _, err := secretOf(m.Key, s); err != nil {
				return "", badOffer("media %d: %v", i+1, err)
			}
			w.line("a=crypto:1 %s inline:%s", s.name, m.Key)
		}
		switch m.Direction {
		case "":
			w.line("a=sendrecv")
		case "sendrecv", "sendonly", "recvonly":
			w.line("a=%s", m.Direction)
		default:
			return "", badOffer("media %d: direction %.20q: want sendrecv, sendonly or recvonly", i+1, m.Direction)
		}
	}
	return w.String(), nil
}

// AcceptLeg takes the answer to an own offer.
func (t *Transport) AcceptLeg(_ context.Context, id, answer string) (mixer.Leg, error) {
	return t.with(id, func(l *Leg) error { return l.Accept(answer) })
}

// UpdateLeg takes a further offer.
func (t *Transport) UpdateLeg(_ context.Context, id, offer string) (mixer.Leg, error) {
	return t.with(id, func(l *Leg) error {
		_, err := l.Update(offer)
		return err
	})
}

func (t *Transport) with(id string, do func(*Leg) error) (mixer.Leg, error) {
	l := t.Leg(id)
	if l == nil {
		return mixer.Leg{}, mixer.ErrNoSession
	}
	if err := do(l); err != nil {
		return mixer.Leg{}, err
	}
	return l.Info(), nil
}

// ListLegs tells of all legs of a room.
func (t *Transport) ListLegs(room string) []mixer.Leg {
	out := []mixer.Leg{}
	for _, l := range t.Legs() {
		if info := l.Info(); info.Room == room {
			out = append(out, info)
		}
	}
	return out
}

// DescribeLeg tells of one leg.
func (t *Transport) DescribeLeg(id string) (mixer.Leg, bool) {
	if l := t.Leg(id); l != nil {
		return l.Info(), true
	}
	return mixer.Leg{}, false
}

// HangupLeg ends a leg without waiting for it.
func (t *Transport) HangupLeg(_ context.Context, id string) error {
	l := t.Leg(id)
	if l == nil {
		return mixer.ErrNoSession
	}
	l.Hangup(nil)
	return nil
}
