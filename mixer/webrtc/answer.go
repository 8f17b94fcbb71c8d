package webrtc

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"

	"mixdown/codec"
)

// answer is the SDP answer as the client gets it, and what was agreed on in it.
type answer struct {
	sdp        string
	ufrag, pwd string
	candidates []string // values of the candidate attributes
	video      agreed
	audio      agreed
}

// agreed is what both ends know of one m-line.
type agreed struct {
	mid        string
	codecs     []format // in the client's order
	transport  uint8    // header extension ids, 0 if not agreed: transport-wide sequence number,
	audioLevel uint8    // and audio level (RFC 6464)
	red        uint8    // payload type of redundant sound, 0 if not agreed
	plain      uint8    // payload type of what it repeats
	comfort    uint8    // payload type of comfort noise (RFC 3389), 0 if not agreed
	nack       bool     // the sender sends sound again
	feedback   bool     // transport-wide, for its packets with transport's numbers
}

type format struct {
	codec *codec.Codec
	pt    uint8
}

// Header extensions that are agreed on.
const (
	extTransport  = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
	extSendTime   = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
	extAudioLevel = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
	extMID        = "urn:ietf:params:rtp-hdrext:sdes:mid"
)

// finish makes of pion's answer the one for the client: all m-lines of the
// offer, our public addresses, our parameters for sound. With redundant,
// senders are asked to send sound twice.
func (o *offer) finish(local string, codecs codec.Set, at addresses, redundant bool) (*answer, error) {
	desc := new(sdp.SessionDescription)
	if err := desc.UnmarshalString(local); err != nil {
		return nil, fmt.Errorf("own answer: %w", err)
	}
	a := new(answer)
	next := desc.MediaDescriptions
	desc.MediaDescriptions = nil
	for _, l := range o.lines {
		if !l.in && !l.out {
			desc.MediaDescriptions = append(desc.MediaDescriptions, declined(l))
			continue
		}
		if len(next) == 0 {
			return nil, badOffer("m-line %q got no answer", l.mid)
		}
		m := next[0]
		next = next[1:]
		got := agree(m, codecs.Of(l.kind))
		if len(got.codecs) == 0 {
			return nil, badOffer("no %s codec in common", l.kind)
		}
		got.mid = l.mid
		if l.kind == codec.Audio {
			ownParameters(m, got.codecs)
			retransmission(m, &got, l.in)
			redundancy(l.media, m, &got, redundant && l.in)
			if l.out {
				comfort(l.media, m, &got)
			}
			a.audio = got
		} else {
			a.video = got
		}
		if a.ufrag == "" {
			a.ufrag, _ = m.Attribute("ice-ufrag")
			a.pwd, _ = m.Attribute("ice-pwd")
			a.candidates = finishCandidates(m, at)
		}
		desc.MediaDescriptions = append(desc.MediaDescriptions, m)
	}
	if !o.bundled {
		desc.Attributes = slices.DeleteFunc(desc.Attributes, func(a sdp.Attribute) bool { return a.Key == sdp.AttrKeyGroup })
	}
	b, err := desc.Marshal()
	a.sdp = string(b)
	return a, err
}

// declined answers an m-line that is not taken up. Firefox wants a c-line in it.
func declined(l line) *sdp.MediaDescription {
	m := &sdp.MediaDescription{
		MediaName: l.media.MediaName,
		ConnectionInformation: &sdp.ConnectionInformation{
			NetworkType: "IN", AddressType: "IP4", Address: &sdp.Address{Address: "0.0.0.0"},
		},
	}
	m.MediaName.Port = sdp.RangedPort{Value: 0}
	if mid, ok := l.media.Attribute(sdp.AttrKeyMID); ok {
		m.WithValueAttribute(sdp.AttrKeyMID, mid)
	}
	return m.WithPropertyAttribute(sdp.AttrKeyInactive)
}

// agree reads what an answered m-line agrees on.
func agree(m *sdp.MediaDescription, codecs codec.Set) agreed {
	var out agreed
	for _, r := range rtpmaps(m) {
		if c := codecs.Find(r.name); c != nil {
			out.codecs = append(out.codecs, format{c, r.pt})
		}
	}
	for _, a := range m.Attributes {
		if a.Key == "rtcp-fb" && strings.HasSuffix(strings.TrimSpace(a.Value), " transport-cc") {
			out.feedback = true
		}
		if a.Key != sdp.AttrKeyExtMap {
			continue
		}
		id, uri, _ := strings.Cut(a.Value, " ")
		id, _, _ = strings.Cut(id, "/") // a direction (RFC 8285, section 5)
		n, err := strconv.ParseUint(id, 10, 8)
		if err != nil {
			continue
		}
		switch strings.TrimSpace(uri) {
		case extTransport:
			out.transport = uint8(n)
		case extAudioLevel:
			out.audioLevel = uint8(n)
		}
	}
	return out
}

// ownParameters answers with our format parameters for sound: they say how we
// want to receive it (RFC 7587, section 6.1), where pion repeats the client's.
// For pictures they name a profile that both ends have to say alike.
func ownParameters(m *sdp.MediaDescription, formats []format) {
	for _, f := range formats {
		if f.codec.Fmtp == "" {
			continue
		}
		pt := strconv.Itoa(int(f.pt))
		m.Attributes = slices.DeleteFunc(m.Attributes, func(a sdp.Attribute) bool {
			return a.Key == "fmtp" && strings.HasPrefix(a.Value, pt+" ")
		})
		at := slices.IndexFunc(m.Attributes, func(a sdp.Attribute) bool {
			return a.Key == "rtpmap" && strings.HasPrefix(a.Value, pt+" ")
		})
		m.Attributes = slices.Insert(m.Attributes, at+1, sdp.NewAttribute("fmtp", pt+" "+f.codec.Fmtp))
	}
}

// addresses are where clients reach the server besides pion's candidates.
type addresses struct {
	public []netip.AddrPort
	tcp    []uint16 // further ports of all addresses
}

// finishCandidates puts the public addresses in front of pion's candidates and
// leaves those for a separate RTCP component out, which is multiplexed.
func finishCandidates(m *sdp.MediaDescription, at addresses) []string {
	var values []string
	known := make(map[string]bool)
	var rest []sdp.Attribute
	var found []netip.Addr // that TCP candidates name, in their order
	for _, a := range m.Attributes {
		if a.Key == sdp.AttrKeyEndOfCandidates {
			continue
		}
		if a.Key != sdp.AttrKeyCandidate {
			rest = append(rest, a)
			continue
		}
		f := strings.Fields(a.Value)
		if len(f) < 8 || f[1] != "1" {
			continue
		}
		known[f[2]+" "+f[4]] = true
		values = append(values, a.Value)
		if ip, err := netip.ParseAddr(f[4]); err == nil && f[2] == "tcp" {
			found = append(found, ip)
		}
	}
	// RFC 8445, section 5.1.2.1; TCP after all UDP (RFC 6544, section 4.2), other
	// ports of it after the first.
	const udp, passive, alternate = 126, 99, 98
	var named []string
	add := func(name, proto string, preference uint32, i int, ip netip.Addr, port uint16) string {
		more := ""
		if proto == "tcp" {
			more = " tcptype passive"
		}
		return fmt.Sprintf("%s%d 1 %s %d %s %d typ host%s", name, i, proto, preference<<24|uint32(65535-i)<<8|255, ip, port, more)
	}
	for i, ap := range at.public {
		if !known["udp "+ap.Addr().String()] {
			named = append(named, add("publicudp", "udp", udp, i, ap.Addr(), ap.Port()))
		}
		if !known["tcp "+ap.Addr().String()] {
			named = append(named, add("publictcp", "tcp", passive, i, ap.Addr(), ap.Port()))
			found = append(found, ap.Addr())
		}
	}
	for _, port := range at.tcp {
		for i, ip := range found {
			values = append(values, add("tcp"+strconv.Itoa(int(port))+"n", "tcp", alternate, i, ip, port))
		}
	}
	values = append(named, values...)
	for _, v := range values {
		rest = append(rest, sdp.NewAttribute(sdp.AttrKeyCandidate, v))
	}
	m.Attributes = append(rest, sdp.NewPropertyAttribute(sdp.AttrKeyEndOfCandidates))
	return values
}

// names lists the codecs of both kinds, in the client's order.
func names(kinds ...[]format) []string {
	var out []string
	for _, formats := range kinds {
		seen := make(map[*codec.Codec]bool)
		for _, f := range formats {
			if !seen[f.codec] {
				seen[f.codec] = true
				out = append(out, f.codec.Name)
			}
		}
	}
	return out
}
