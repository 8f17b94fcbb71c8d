package rtp

import (
	"net/netip"
	"strconv"
	"strings"

	"mixdown/codec"
	"mixdown/mixer"
)

// comfortType is the payload type of comfort noise (RFC 3551, table 4).
const comfortType = 13

// format is one payload type that both ends take.
type format struct {
	codec *codec.Codec
	takes *codec.Codec // reads what comes: codec, with what is known of this stream
	pt    uint8
	terms codec.Terms
}

// agreement is what both ends know of one m-line. It does not change; another
// offer makes another one.
type agreement struct {
	kind    codec.Kind
	formats []format // best first
	events  []event  // telephone events (RFC 4733)
	comfort bool
	sends   bool // this server
	takes   bool
	mux     bool
	rtp     netip.AddrPort // where the other end says that it listens
	rtcp    netip.AddrPort
	in, out *key // nil: in the clear
	limit   int  // bit/s that the other end takes; 0: none

	nack, pli, fir, tmmbr bool
}

// event is a payload type of telephone events.
type event struct {
	pt    uint8
	clock uint32
}

func (a *agreement) format(pt uint8) *codec.Codec {
	for _, f := range a.formats {
		if f.pt == pt {
			return f.takes
		}
	}
	return nil
}

func (a *agreement) of(c *codec.Codec) *format {
	for i := range a.formats {
		if a.formats[i].codec == c {
			return &a.formats[i]
		}
	}
	return nil
}

// agree finds what a remote m-line and the server have in common. With ours, an
// m-line of an own offer, the payload types of that are kept. ok is false if there is
// nothing.
func agree(m *media, codecs codec.Set, s mixer.Session) (a *agreement, ok bool) {
	a = &agreement{
		kind: m.kind, mux: m.mux, sends: m.takes && s.Receive, takes: m.sends && s.Publish,
		limit: m.limit, nack: m.nack, pli: m.pli, fir: m.fir, tmmbr: m.tmmbr,
	}
	a.rtp, a.rtcp = m.remote()
	if !a.rtp.IsValid() {
		a.sends = false
	}
	for _, c := range codecs.Of(m.kind) {
		best, found := format{}, false
		for _, f := range m.formats {
			pt, err := strconv.ParseUint(f, 10, 7)
			if err != nil {
				continue
			}
			r, named := m.maps[f]
			switch {
			case named && (!strings.EqualFold(r.name, c.Name) || r.clock != c.ClockRate || m.kind == codec.Audio && r.channels != max(c.Channels, 1)):
				continue
			case !named && (c.Static == nil || uint64(*c.Static) != pt):
				continue
			}
			terms := codec.Terms{Fmtp: c.Fmtp}
			if c.Negotiate != nil {
				if terms, err = negotiate(c, m.fmtp[f]); err != nil {
					continue
				}
			}
			if found && terms.Rank <= best.terms.Rank {
				continue
			}
			best, found = format{codec: c, takes: c, pt: uint8(pt), terms: terms}, true
			if terms.Payload != nil {
				own := *c
				own.Payload = terms.Payload
				best.takes = &own
			}
		}
		if found {
			a.formats = append(a.formats, best)
		}
	}
	if len(a.formats) == 0 {
		return nil, false
	}
	if m.kind == codec.Audio {
		a.besides(m)
	}
	return a, true
}

func negotiate(c *codec.Codec, fmtp string) (codec.Terms, error) {
	t, ok := c.Negotiate(fmtp)
	if !ok {
		return t, mixer.ErrNoCodec
	}
	return t, nil
}

// besides takes up what is no sound: keys pressed, and noise in pauses.
func (a *agreement) besides(m *media) {
	clocks := map[uint32]bool{}
	for _, f := range a.formats {
		clocks[f.codec.ClockRate] = true
	}
	for _, f := range m.formats {
		pt, err := strconv.ParseUint(f, 10, 7)
		if err != nil {
			continue
		}
		r, named := m.maps[f]
		if named && strings.EqualFold(r.name, "telephone-event") && clocks[r.clock] {
			a.events = append(a.events, event{uint8(pt), r.clock})
		}
		if pt == comfortType && (!named || strings.EqualFold(r.name, "CN")) && clocks[8000] {
			a.comfort = true
		}
	}
}

// secure chooses keys by the policy. kept are those of the agreement before this
// one, which stay if the other end's does.
func (a *agreement) secure(m *media, p Policy, kept *agreement, offered []key) error {
	switch {
	case p == Off && strings.HasPrefix(m.proto, "RTP/SAVP"):
		return badOffer("%s: this server is configured to send media in the clear only", m.proto)
	case p == Off || !m.secure && p != Required:
		return nil
	case !m.secure:
		return badOffer("%s without a=crypto: this server is configured to send no media in the clear", m.proto)
	case len(m.keys) == 0:
		return badOffer("%s: no crypto suite in common, this server takes AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80 and _32", m.proto)
	}
	in := m.keys[0]
	if offered != nil { // the answer chooses one of ours by its tag
		for _, k := range offered {
			if k.tag == in.tag && k.suite.name == in.suite.name {
				a.in, a.out = &in, &k
				return nil
			}
		}
		return badOffer("crypto tag %.20q was not offered", in.tag)
	}
	a.in = &in
	if kept != nil && kept.in != nil && kept.in.same(in) {
		out := *kept.out
		out.tag = in.tag
		a.out = &out
		return nil
	}
	out := newKey(in.tag, in.suite)
	a.out = &out
	return nil
}
