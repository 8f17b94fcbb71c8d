package webrtc

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"

	"mixdown/codec"
	"mixdown/mixer"
)

// Limits of what is parsed at all. A browser's offer of two m-lines is 6 kB.
const (
	maxOffer = 128 << 10
	maxLines = 32

	maxOffered = 32 // candidates
)

// offer is a client's SDP offer: what of it is taken up, and what is declined
// line by line (RFC 3264, section 6: each m-line is answered, in order).
type offer struct {
	lines   []line
	bundled bool // the client offered BUNDLE itself

	desc *sdp.SessionDescription // what is left of it for pion
}

// line is one m-line of an offer.
type line struct {
	media   *sdp.MediaDescription // as the client wrote it
	kind    codec.Kind
	mid     string
	in, out bool // what we take up of it; neither: the line is declined
}

func badOffer(format string, a ...any) error {
	return fmt.Errorf("%w: %s", mixer.ErrBadOffer, fmt.Sprintf(format, a...))
}

// parseOffer decides what of an offer a session takes up. pion is shown only
// that, without SSRCs and simulcast: our own streams take any SSRC (see
// source.go), and one encoding is all that a room wants. A browser that does not
// know yet whether we bundle gathers candidates for each line; only those of one
// transport are kept.
func parseOffer(text string, codecs codec.Set, s mixer.Session) (*offer, error) {
	if len(text) > maxOffer {
		return nil, badOffer("%d bytes of SDP, at most %d are read", len(text), maxOffer)
	}
	desc, err := parseSDP(text)
	if err != nil {
		return nil, err
	}
	if n := len(desc.MediaDescriptions); n == 0 || n > maxLines {
		return nil, badOffer("%d m-lines", n)
	}
	o := &offer{desc: desc}
	if group, ok := desc.Attribute(sdp.AttrKeyGroup); ok && strings.HasPrefix(group, "BUNDLE") {
		o.bundled = true
	}

	noCodec := ""
	taken := make(map[codec.Kind]bool)
	var keep []*sdp.MediaDescription
	var reachable []sdp.Attribute // of the first line taken, or of another if it has none
	for i, m := range desc.MediaDescriptions {
		l := line{media: m, mid: strconv.Itoa(i)}
		mid, ok := m.Attribute(sdp.AttrKeyMID)
		if ok {
			l.mid = mid
		}
		sends, receives := direction(desc, m)
		switch {
		case m.MediaName.Media == "video":
			l.kind = codec.Video
		case m.MediaName.Media == "audio":
			l.kind = codec.Audio
		}
		l.in, l.out = s.Publish && sends, s.Receive && receives
		switch {
		case l.kind == 0 || taken[l.kind] || rejected(m):
			l.in, l.out = false, false
		case (l.in || l.out) && !hasCodec(m, codecs.Of(l.kind)):
			noCodec = l.kind.String()
			l.in, l.out = false, false
		}
		if l.in || l.out {
			taken[l.kind] = true
			keep = append(keep, forPion(m, l, ok))
		}
		if c := candidates(m); len(c) > 0 && (len(reachable) == 0 || len(keep) == 1 && (l.in || l.out)) {
			reachable = c
		}
		o.lines = append(o.lines, l)
	}
	if err := o.check(s, noCodec); err != nil {
		return nil, err
	}

	desc.MediaDescriptions = keep
	keep[0].Attributes = append(keep[0].Attributes, reachable...)
	group := "BUNDLE"
	for _, l := range o.lines {
		if l.in || l.out {
			group += " " + l.mid
		}
	}
	desc.Attributes = append(slices.DeleteFunc(desc.Attributes, func(a sdp.Attribute) bool {
		return a.Key == sdp.AttrKeyGroup
	}), sdp.NewAttribute(sdp.AttrKeyGroup, group))
	return o, nil
}

func parseSDP(text string) (*sdp.SessionDescription, error) {
	desc := new(sdp.SessionDescription)
	if err := desc.UnmarshalString(text); err != nil {
		return nil, badOffer("not SDP: %v", err)
	}
	return desc, nil
}

// check says why nothing useful is left of an offer.
func (o *offer) check(s mixer.Session, noCodec string) error {
	in, out, n := false, false, 0
	for _, l := range o.lines {
		in, out = in || l.in, out || l.out
		if l.in || l.out {
			n++
		}
	}
	switch {
	case n == 0 && noCodec != "":
		return fmt.Errorf("%w: %w: no %s codec that this server knows", mixer.ErrBadOffer, mixer.ErrNoCodec, noCodec)
	case s.Publish && !in:
		return badOffer("no audio or video that the client sends (a=sendonly or a=sendrecv)")
	case s.Receive && !out:
		return badOffer("no audio or video that the client receives (a=recvonly or a=sendrecv)")
	case n > 1 && !o.bundled:
		return badOffer("audio and video have to be bundled (RFC 9143)")
	}
	return nil
}

// direction returns what the client wants to do in an m-line; without an
// attribute it is both (RFC 8866, section 6.7).
func direction(desc *sdp.SessionDescription, m *sdp.MediaDescription) (sends, receives bool) {
	for _, attrs := range [][]sdp.Attribute{m.Attributes, desc.Attributes} {
		for _, a := range attrs {
			switch a.Key {
			case sdp.AttrKeySendRecv:
				return true, true
			case sdp.AttrKeySendOnly:
				return true, false
			case sdp.AttrKeyRecvOnly:
				return false, true
			case sdp.AttrKeyInactive:
				return false, false
			}
		}
	}
	return true, true
}

// candidates returns a line's candidates, as many as are worth a check each: a
// client names where we send packets to.
func candidates(m *sdp.MediaDescription) (out []sdp.Attribute) {
	for _, a := range m.Attributes {
		if a.Key == sdp.AttrKeyCandidate && len(out) < maxOffered {
			out = append(out, a)
		}
	}
	return out
}

func hasCodec(m *sdp.MediaDescription, codecs codec.Set) bool {
	for _, r := range rtpmaps(m) {
		if codecs.Find(r.name) != nil {
			return true
		}
	}
	return false
}

// rtpmap is one payload type of an m-line, in the m-line's order.
type rtpmap struct {
	pt   uint8
	name string
}

func rtpmaps(m *sdp.MediaDescription) []rtpmap {
	names := make(map[string]string)
	for _, a := range m.Attributes {
		if a.Key != "rtpmap" {
			continue
		}
		pt, rest, _ := strings.Cut(a.Value, " ")
		name, _, _ := strings.Cut(strings.TrimSpace(rest), "/")
		names[pt] = name
	}
	var out []rtpmap
	for _, f := range m.MediaName.Formats {
		pt, err := strconv.ParseUint(f, 10, 7)
		if err != nil || names[f] == "" {
			continue
		}
		out = append(out, rtpmap{uint8(pt), names[f]})
	}
	return out
}

// rejected reports whether the client wants nothing of an m-line: port 0, unless
// it goes over another line's transport (RFC 9143, section 6), as Firefox offers.
func rejected(m *sdp.MediaDescription) bool {
	_, bundled := m.Attribute("bundle-only")
	return m.MediaName.Port.Value == 0 && !bundled
}

// forPion returns m as pion shall see it.
func forPion(m *sdp.MediaDescription, l line, hasMID bool) *sdp.MediaDescription {
	c := *m
	c.Attributes = slices.DeleteFunc(slices.Clone(m.Attributes), func(a sdp.Attribute) bool {
		switch a.Key {
		case sdp.AttrKeySSRC, sdp.AttrKeySSRCGroup, sdp.AttrKeyMsid, "rid", "simulcast", sdp.AttrKeyCandidate,
			sdp.AttrKeySendRecv, sdp.AttrKeySendOnly, sdp.AttrKeyRecvOnly, sdp.AttrKeyInactive:
			return true
		}
		return false
	})
	if !hasMID {
		c.Attributes = append(c.Attributes, sdp.NewAttribute(sdp.AttrKeyMID, l.mid))
	}
	dir := sdp.AttrKeySendRecv
	switch {
	case !l.out:
		dir = sdp.AttrKeySendOnly
	case !l.in:
		dir = sdp.AttrKeyRecvOnly
	}
	// pion makes a transceiver of its own for an unknown SSRC when there is one
	// m-line only, unless that line names SSRCs; this names none.
	c.Attributes = append(c.Attributes, sdp.NewPropertyAttribute(dir), sdp.NewAttribute(sdp.AttrKeySSRC, "none"))
	return &c
}

// String returns the offer for pion.
func (o *offer) String() (string, error) {
	b, err := o.desc.Marshal()
	return string(b), err
}

// restarted returns the offer for pion with other ICE credentials and no
// candidates.
func (o *offer) restarted(ufrag, pwd string) (string, error) {
	d := *o.desc
	change := func(attrs []sdp.Attribute, always bool) []sdp.Attribute {
		had := false
		out := slices.DeleteFunc(slices.Clone(attrs), func(a sdp.Attribute) bool {
			switch a.Key {
			case "ice-ufrag", "ice-pwd":
				had = true
				return true
			case sdp.AttrKeyCandidate, sdp.AttrKeyEndOfCandidates:
				return true
			}
			return false
		})
		if had || always {
			out = append(out, sdp.NewAttribute("ice-ufrag", ufrag), sdp.NewAttribute("ice-pwd", pwd))
		}
		return out
	}
	d.Attributes = change(d.Attributes, false)
	d.MediaDescriptions = nil
	for _, m := range o.desc.MediaDescriptions {
		c := *m
		c.Attributes = change(m.Attributes, true)
		d.MediaDescriptions = append(d.MediaDescriptions, &c)
	}
	b, err := d.Marshal()
	return string(b), err
}

// ufrag returns the client's ICE user name fragment.
func (o *offer) ufrag() string {
	for _, m := range o.desc.MediaDescriptions {
		if v, ok := m.Attribute("ice-ufrag"); ok {
			return v
		}
	}
	v, _ := o.desc.Attribute("ice-ufrag")
	return v
}
