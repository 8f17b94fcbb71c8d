package rtp

import (
	"fmt"
	"net/netip"
	"strings"

	"mixdown/codec"
)

// writer makes SDP. Lines come in the order of RFC 8866, section 5.
type writer struct {
	strings.Builder
}

func (w *writer) line(format string, a ...any) { fmt.Fprintf(w, format+"\r\n", a...) }

func (w *writer) begin(id string, version uint64, at netip.Addr) {
	family := "IP4"
	if at.Is6() {
		family = "IP6"
	}
	w.line("v=0")
	w.line("o=- %s %d IN %s %s", id, version, family, at)
	w.line("s=mixdown")
	w.line("c=IN %s %s", family, at)
	w.line("t=0 0")
}

// refuse answers an m-line that is not taken up (RFC 3264, section 6).
func (w *writer) refuse(m *media) {
	w.line("m=%s 0 %s %s", m.name, m.proto, strings.Join(m.formats, " "))
	if m.mid != "" {
		w.line("a=mid:%s", m.mid)
	}
}

// described is an m-line of ours.
type described struct {
	*agreement
	proto string
	mid   string
	port  int
	keys  []key
	offer bool
	// slides has it labelled for the floor.
	slides bool
}

func (w *writer) media(d described) {
	var types []string
	for _, f := range d.formats {
		types = append(types, fmt.Sprint(f.pt))
	}
	if d.comfort {
		types = append(types, fmt.Sprint(comfortType))
	}
	for _, e := range d.events {
		types = append(types, fmt.Sprint(e.pt))
	}
	w.line("m=%s %d %s %s", d.kind, d.port, d.proto, strings.Join(types, " "))
	if d.mid != "" {
		w.line("a=mid:%s", d.mid)
	}
	if !d.mux || d.offer {
		w.line("a=rtcp:%d", d.port+1)
	}
	if d.mux {
		w.line("a=rtcp-mux")
	}
	for _, f := range d.formats {
		channels := ""
		if f.codec.Channels > 1 {
			channels = fmt.Sprintf("/%d", f.codec.Channels)
		}
		w.line("a=rtpmap:%d %s/%d%s", f.pt, f.codec.Name, f.codec.ClockRate, channels)
		if f.terms.Fmtp != "" {
			w.line("a=fmtp:%d %s", f.pt, f.terms.Fmtp)
		}
	}
	if d.comfort {
		w.line("a=rtpmap:%d CN/8000", comfortType)
	}
	for _, e := range d.events {
		w.line("a=rtpmap:%d telephone-event/%d", e.pt, e.clock)
		w.line("a=fmtp:%d 0-15", e.pt)
	}
	if d.kind == codec.Audio {
		w.line("a=ptime:20")
	}
	for _, fb := range []struct {
		on   bool
		what string
	}{{d.nack, "nack"}, {d.pli, "nack pli"}, {d.fir, "ccm fir"}, {d.tmmbr, "ccm tmmbr"}} {
		if fb.on && d.kind == codec.Video {
			w.line("a=rtcp-fb:* %s", fb.what)
		}
	}
	for _, k := range d.keys {
		w.line("a=crypto:%v", k)
	}
	if d.slides {
		w.line("a=content:slides")
		w.line("a=label:%d", slidesLabel)
	}
	w.line("a=%s", direction(d.sends, d.takes))
}

// slidesLabel names the m-line of slides (RFC 4574).
const slidesLabel = 1

// floor describes the server of the floor (RFC 8856).
func (w *writer) floor(f *floor, mid string) {
	w.line("m=application %d UDP/BFCP *", f.port)
	if mid != "" {
		w.line("a=mid:%s", mid)
	}
	w.line("a=floorctrl:s-only")
	w.line("a=confid:%d", f.bfcp.Conference)
	w.line("a=userid:%d", f.bfcp.User)
	w.line("a=floorid:%d mstrm:%d", f.bfcp.ID, slidesLabel)
}

func direction(sends, takes bool) string {
	switch {
	case sends && takes:
		return "sendrecv"
	case sends:
		return "sendonly"
	case takes:
		return "recvonly"
	}
	return "inactive"
}
