package rtp

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"

	"mixdown/codec"
	"mixdown/mixer"
)

// Bounds of what is read at all.
const (
	maxSDP   = 64 << 10
	maxMedia = 16
)

func badOffer(format string, a ...any) error {
	return fmt.Errorf("%w: %s", mixer.ErrBadOffer, fmt.Sprintf(format, a...))
}

// description is another end's SDP as far as it matters here.
type description struct {
	media []media
}

// media is one m-line.
type media struct {
	name    string // "audio", "video", or what is refused
	kind    codec.Kind
	proto   string
	formats []string // as they stand
	mid     string
	port    int
	address netip.Addr     // zero: on hold the old way, 0.0.0.0 (RFC 3264, section 8.4)
	rtcp    netip.AddrPort // zero: the port after it

	maps    map[string]rtpmap // by format
	fmtp    map[string]string
	keys    []key
	secure  bool // wants SRTP: its protocol says so, or a key
	mux     bool
	sends   bool // the other end
	takes   bool
	slides  bool // a second picture (RFC 4796)
	bfcp    bool // who shows it, agreed on by BFCP over UDP (RFC 8856)
	serves  bool // it gives the floor itself, and does not ask for it
	limit   int  // bit/s that it takes; 0: none
	pli     bool
	fir     bool
	nack    bool
	tmmbr   bool
	refused bool // port 0
}

type rtpmap struct {
	name     string
	clock    uint32
	channels uint16
}

// parse reads SDP.
func parse(text string) (*description, error) {
	if len(text) > maxSDP {
		return nil, badOffer("%d bytes of SDP, at most %d are read", len(text), maxSDP)
	}
	var s sdp.SessionDescription
	if err := s.UnmarshalString(text); err != nil {
		return nil, badOffer("not SDP: %v", err)
	}
	if n := len(s.MediaDescriptions); n == 0 || n > maxMedia {
		return nil, badOffer("%d m-lines", n)
	}
	d := new(description)
	for i, m := range s.MediaDescriptions {
		one, err := parseMedia(&s, m)
		if err != nil {
			return nil, badOffer("m-line %d: %v", i+1, err)
		}
		d.media = append(d.media, one)
	}
	return d, nil
}

func parseMedia(s *sdp.SessionDescription, d *sdp.MediaDescription) (media, error) {
	m := media{
		name: d.MediaName.Media, proto: strings.Join(d.MediaName.Protos, "/"), formats: d.MediaName.Formats,
		port: d.MediaName.Port.Value, maps: map[string]rtpmap{}, fmtp: map[string]string{}, sends: true, takes: true,
	}
	m.refused = m.port == 0
	switch {
	case m.name == "application" && m.proto == "UDP/BFCP":
		m.bfcp = true
	case !strings.HasPrefix(m.proto, "RTP/"):
	case m.name == "audio":
		m.kind = codec.Audio
	case m.name == "video":
		m.kind = codec.Video
	}
	c := d.ConnectionInformation
	if c == nil {
		c = s.ConnectionInformation
	}
	if (m.kind != 0 || m.bfcp) && !m.refused {
		if m.port < 1 || m.port > 65535 {
			return m, fmt.Errorf("port %d", m.port)
		}
		if c == nil || c.Address == nil {
			return m, fmt.Errorf("no c-line says where to send")
		}
		host, _, _ := strings.Cut(c.Address.Address, "/")
		ip, err := netip.ParseAddr(host)
		if err != nil {
			return m, fmt.Errorf("address %.60q is no IP address", host)
		}
		if ip.IsMulticast() {
			return m, fmt.Errorf("address %v is of a multicast group", ip)
		}
		if !ip.IsUnspecified() {
			m.address = ip.Unmap()
		}
	}
	for _, list := range [][]sdp.Bandwidth{s.Bandwidth, d.Bandwidth} {
		for _, b := range list {
			switch n := int(min(b.Bandwidth, 1<<30)); b.Type {
			case "AS": // in kbit/s (RFC 8866, section 5.8)
				m.limit = n * 1000
			case "TIAS": // in bit/s (RFC 3890)
				m.limit = n
			}
		}
	}
	for _, list := range [][]sdp.Attribute{s.Attributes, d.Attributes} {
		for _, a := range list {
			m.attribute(a.Key, strings.TrimSpace(a.Value))
		}
	}
	m.secure = strings.HasPrefix(m.proto, "RTP/SAVP") || len(m.keys) > 0
	return m, nil
}

func (m *media) attribute(name, value string) {
	first, rest, _ := strings.Cut(value, " ")
	rest = strings.TrimSpace(rest)
	switch name {
	case "sendrecv":
		m.sends, m.takes = true, true
	case "sendonly":
		m.sends, m.takes = true, false
	case "recvonly":
		m.sends, m.takes = false, true
	case "inactive":
		m.sends, m.takes = false, false
	case "rtpmap":
		parts := strings.Split(rest, "/")
		r := rtpmap{name: parts[0], channels: 1}
		if len(parts) > 1 {
			n, _ := strconv.ParseUint(parts[1], 10, 32)
			r.clock = uint32(n)
		}
		if len(parts) > 2 {
			n, _ := strconv.ParseUint(parts[2], 10, 16)
			r.channels = uint16(n)
		}
		m.maps[first] = r
	case "fmtp":
		m.fmtp[first] = rest
	case "crypto":
		if k, err := parseCrypto(value); err == nil {
			m.keys = append(m.keys, k)
		}
	case "mid":
		m.mid = value
	case "content":
		m.slides = strings.Contains(value, "slides")
	case "floorctrl": // several roles may be offered; without any it is c-only (section 5.1)
		m.serves = value == "s-only"
	case "rtcp-mux":
		m.mux = true
	case "rtcp": // RFC 3605: PORT [IN IP4 ADDRESS]
		port, err := strconv.ParseUint(first, 10, 16)
		if err != nil || port == 0 {
			return
		}
		ip := m.address
		if f := strings.Fields(rest); len(f) == 3 {
			if named, err := netip.ParseAddr(f[2]); err == nil && !named.IsMulticast() && !named.IsUnspecified() {
				ip = named.Unmap()
			}
		}
		if ip.IsValid() {
			m.rtcp = netip.AddrPortFrom(ip, uint16(port))
		}
	case "rtcp-fb": // RFC 4585, section 4.2; of any format, they come together
		switch f := strings.Fields(rest); {
		case len(f) == 1 && f[0] == "nack":
			m.nack = true
		case len(f) >= 2 && f[0] == "nack" && f[1] == "pli":
			m.pli = true
		case len(f) >= 2 && f[0] == "ccm" && f[1] == "fir":
			m.fir = true
		case len(f) >= 2 && f[0] == "ccm" && f[1] == "tmmbr":
			m.tmmbr = true
		}
	}
}

// remote is where the other end wants its packets; zero while on hold the old way.
func (m *media) remote() (rtp, rtcp netip.AddrPort) {
	if !m.address.IsValid() || m.refused {
		return
	}
	rtp = netip.AddrPortFrom(m.address, uint16(m.port))
	switch {
	case m.mux:
		rtcp = rtp
	case m.rtcp.IsValid():
		rtcp = m.rtcp
	case m.port < 65535:
		rtcp = netip.AddrPortFrom(m.address, uint16(m.port)+1)
	}
	return rtp, rtcp
}
