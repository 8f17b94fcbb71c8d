package webrtc

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

// redundancy answers an offer of redundant sound (RFC 2198): clients that lose much
// get theirs so, and what comes so is
// understood. A sender uses it if it stands before the codec it repeats, where
// the client put it, or where prefer puts it.
func redundancy(offered, m *sdp.MediaDescription, got *agreed, prefer bool) {
	for _, r := range rtpmaps(offered) {
		if !strings.EqualFold(r.name, "red") {
			continue
		}
		pt := strconv.Itoa(int(r.pt))
		// RFC 2198, section 5: the payload types inside, the newest first. Only
		// repeats of one codec of ours are of use.
		inside := strings.Split(attributeOf(offered, "fmtp", pt), "/")
		own, err := strconv.ParseUint(strings.TrimSpace(inside[0]), 10, 7)
		if err != nil || len(inside) < 2 || find(got.codecs, uint8(own)) == nil {
			continue
		}
		got.red, got.plain = r.pt, uint8(own)
		at := slices.Index(m.MediaName.Formats, inside[0])
		if !prefer && slices.Index(offered.MediaName.Formats, pt) > slices.Index(offered.MediaName.Formats, inside[0]) {
			at = len(m.MediaName.Formats)
		}
		m.MediaName.Formats = slices.Insert(m.MediaName.Formats, max(at, 0), pt)
		for _, key := range []string{"rtpmap", "fmtp"} {
			m.Attributes = append(m.Attributes, sdp.NewAttribute(key, pt+" "+attributeOf(offered, key, pt)))
		}
		return
	}
}

// retransmission reads whether sound may be asked for again (RFC 4585, section
// 4.2), and takes the offer of it back where we only send: our sound is not sent
// again.
func retransmission(m *sdp.MediaDescription, got *agreed, in bool) {
	m.Attributes = slices.DeleteFunc(m.Attributes, func(a sdp.Attribute) bool {
		pt, what, _ := strings.Cut(a.Value, " ")
		if a.Key != "rtcp-fb" || strings.TrimSpace(what) != "nack" {
			return false
		}
		n, err := strconv.ParseUint(pt, 10, 7)
		got.nack = got.nack || in && err == nil && find(got.codecs, uint8(n)) != nil
		return !in
	})
}

// attributeOf returns the value of a payload type's attribute.
func attributeOf(m *sdp.MediaDescription, key, pt string) string {
	for _, a := range m.Attributes {
		if value, ok := strings.CutPrefix(a.Value, pt+" "); ok && a.Key == key {
			return value
		}
	}
	return ""
}
