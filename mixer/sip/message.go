package sip

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"mime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/emiago/sipgo/sip"
)

// header returns the value of a message's first header of a name, or of its
// compact form if there is one.
func header(m sip.Message, name, compact string) string {
	if h := m.GetHeaders(name); len(h) > 0 {
		return strings.TrimSpace(h[0].Value())
	}
	if compact != "" {
		if h := m.GetHeaders(compact); len(h) > 0 {
			return strings.TrimSpace(h[0].Value())
		}
	}
	return ""
}

// list returns the values of all headers of a name, which commas part.
func list(m sip.Message, names ...string) (out []string) {
	for _, name := range names {
		for _, h := range m.GetHeaders(name) {
			for v := range strings.SplitSeq(h.Value(), ",") {
				if v = strings.TrimSpace(v); v != "" {
					out = append(out, v)
				}
			}
		}
	}
	return out
}

// unknown returns the extensions that a request cannot do without and this
// server does not have.
func unknown(req *sip.Request) []string {
	return slices.DeleteFunc(list(req, "Require"), func(e string) bool { return strings.EqualFold(e, "timer") })
}

func supports(m sip.Message, extension string) bool {
	return slices.ContainsFunc(list(m, "Supported", "k", "Require"), func(e string) bool { return strings.EqualFold(e, extension) })
}

func allows(m sip.Message, method sip.RequestMethod) bool {
	return slices.ContainsFunc(list(m, "Allow"), func(e string) bool { return strings.EqualFold(e, string(method)) })
}

// sessionExpires reads RFC 4028's header, without its parameters.
func sessionExpires(m sip.Message) (time.Duration, bool) {
	value, _, _ := strings.Cut(header(m, "Session-Expires", "x"), ";")
	n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 31)
	return time.Duration(n) * time.Second, err == nil
}

// refresher is who keeps a session alive by what a message says: uac, uas, or
// nobody yet.
func refresher(m sip.Message) string {
	_, params, _ := strings.Cut(header(m, "Session-Expires", "x"), ";")
	for p := range strings.SplitSeq(params, ";") {
		if name, value, _ := strings.Cut(strings.TrimSpace(p), "="); strings.EqualFold(name, "refresher") {
			return strings.ToLower(value)
		}
	}
	return ""
}

// contentType is the kind of a message's body, in lower case.
func contentType(m sip.Message) string {
	kind, _, err := mime.ParseMediaType(header(m, "Content-Type", "c"))
	if err != nil {
		return ""
	}
	return kind
}

func isSDP(m sip.Message) bool { return contentType(m) == accepts }

// isWebRTC tells a browser's offer: keys by DTLS, ways by ICE.
func isWebRTC(sdp []byte) bool {
	return bytes.Contains(sdp, []byte("\na=fingerprint:")) && bytes.Contains(sdp, []byte("\na=ice-ufrag:"))
}

// parseURI reads a sip: or sips: URI, with or without brackets.
func parseURI(s string) (sip.Uri, error) {
	var u sip.Uri
	s = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(s), "<"), ">")
	if strings.ContainsAny(s, " \t\r\n<>\"") {
		return u, fmt.Errorf("%.80q is no SIP address", s)
	}
	if err := parseInto(s, &u); err != nil {
		return u, fmt.Errorf("%.80q is no SIP address: %w", s, err)
	}
	if u.Scheme != "sip" && u.Scheme != "sips" || u.Host == "" || strings.ContainsAny(u.Host, "@/?#%") {
		return u, fmt.Errorf("%.80q is no SIP address, such as sip:user@host", s)
	}
	return u, nil
}

func parseInto(s string, u *sip.Uri) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("parser: %v", r)
		}
	}()
	return sip.ParseUri(s, u)
}

const maxName = 64

// clean makes of what a peer calls itself what others may see.
func clean(name string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if !unicode.IsGraphic(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(name, ""))
	runes := []rune(strings.Join(strings.Fields(name), " "))
	if len(runes) > maxName {
		runes = runes[:maxName]
	}
	return string(runes)
}

func randomHex(bytes int) string {
	raw := make([]byte, bytes)
	rand.Read(raw)
	return hex.EncodeToString(raw)
}

func (c Config) product() string {
	if c.Version == "" {
		return "mixdown"
	}
	return "mixdown/" + c.Version
}
