package webrtc

import (
	"fmt"
	"strings"
)

// Limits of a trickled fragment.
const (
	maxFragment   = 16 << 10
	maxCandidates = 64
)

// fragment is the content of an application/trickle-ice-sdpfrag body
// (RFC 8840, section 9): candidates that came up after the offer, or the
// credentials of an ICE restart. All m-lines share one transport, so it does
// not matter which of them a candidate stands under.
type fragment struct {
	ufrag, pwd string
	candidates []string // values of the candidate attributes
	end        bool     // there will be no more
}

func parseFragment(text string) (fragment, error) {
	var f fragment
	if len(text) > maxFragment {
		return f, badOffer("%d bytes of SDP fragment, at most %d are read", len(text), maxFragment)
	}
	for n, l := range strings.Split(text, "\n") {
		l = strings.TrimRight(l, "\r")
		if l == "" {
			continue
		}
		if len(l) < 2 || l[1] != '=' {
			return f, badOffer("SDP fragment, line %d: not of the form x=...", n+1)
		}
		if l[0] != 'a' {
			continue
		}
		key, value, _ := strings.Cut(l[2:], ":")
		switch key {
		case "ice-ufrag":
			if f.ufrag == "" {
				f.ufrag = value
			}
		case "ice-pwd":
			if f.pwd == "" {
				f.pwd = value
			}
		case "candidate":
			if len(f.candidates) == maxCandidates {
				return f, badOffer("SDP fragment: more than %d candidates", maxCandidates)
			}
			f.candidates = append(f.candidates, value)
		case "end-of-candidates":
			f.end = true
		}
	}
	// RFC 8839, section 5.4: 4 to 256 and 22 to 256 characters.
	if f.ufrag != "" && (len(f.ufrag) < 4 || len(f.ufrag) > 256) || f.pwd != "" && (len(f.pwd) < 22 || len(f.pwd) > 256) {
		return f, badOffer("SDP fragment: ICE credentials of a wrong length")
	}
	return f, nil
}

// fragment returns the answer to an ICE restart (RFC 9725, section 4.3.3).
func (a *answer) fragment(o *offer) string {
	var b strings.Builder
	for _, l := range o.lines {
		if !l.in && !l.out {
			continue
		}
		fmt.Fprintf(&b, "m=%s 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:%s\r\n", l.kind, l.mid)
		fmt.Fprintf(&b, "a=ice-ufrag:%s\r\na=ice-pwd:%s\r\n", a.ufrag, a.pwd)
		for _, c := range a.candidates {
			fmt.Fprintf(&b, "a=candidate:%s\r\n", c)
		}
		b.WriteString("a=end-of-candidates\r\n")
		break // one transport for all
	}
	return b.String()
}
