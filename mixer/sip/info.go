package sip

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// info answers an INFO: keys, and the wish for a picture that stands alone.
func (c *call) info(req *sip.Request) (code int, reason string) {
	switch kind := contentType(req); kind {
	case "application/dtmf-relay", "application/dtmf":
		key, ok := infoKey(kind, req.Body())
		if !ok {
			return 400, "Malformed Body"
		}
		c.digit(key)
		return 200, "OK"
	case "application/media_control+xml":
		refresh, err := fastUpdate(req.Body())
		if err != nil {
			return 400, "Malformed Body"
		}
		if refresh && c.leg != nil {
			c.leg.Refresh()
		}
		return 200, "OK"
	case "":
		if len(req.Body()) == 0 {
			return 200, "OK" // some ask so whether anybody is there
		}
	}
	return 415, "Unsupported Media Type"
}

// infoKey reads a key out of an INFO: "Signal=5" and "Duration=160" on lines of
// their own, or the key alone.
func infoKey(kind string, body []byte) (rune, bool) {
	value := strings.TrimSpace(string(body))
	if kind == "application/dtmf-relay" {
		value = ""
		for line := range strings.SplitSeq(string(body), "\n") {
			if name, v, ok := strings.Cut(line, "="); ok && strings.EqualFold(strings.TrimSpace(name), "signal") {
				value = strings.TrimSpace(v)
			}
		}
	}
	switch value {
	case "10":
		return '*', true
	case "11":
		return '#', true
	}
	if len(value) != 1 || !strings.Contains("0123456789*#ABCDabcd", value) {
		return 0, false
	}
	return rune(strings.ToUpper(value)[0]), true
}

// maxXML bounds the elements of a body that is looked through.
const maxXML = 100

// fastUpdate tells whether a body asks for a picture (RFC 5168).
func fastUpdate(body []byte) (bool, error) {
	d := xml.NewDecoder(bytes.NewReader(body))
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil } // names are ASCII
	found := false
	for range maxXML {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return false, err
		}
		if s, ok := t.(xml.StartElement); ok && s.Name.Local == "picture_fast_update" {
			found = true
		}
	}
	return found, errors.New("too long")
}

// pictureWanted is the body that asks for a picture (RFC 5168).
const pictureWanted = `<?xml version="1.0" encoding="utf-8"?>
<media_control><vc_primitive><to_encoder><picture_fast_update/></to_encoder></vc_primitive></media_control>
`

// askKeyframe asks the peer for a picture, where RTCP cannot.
func (c *call) askKeyframe() {
	if !c.answered || c.server.response != nil {
		return
	}
	req := c.dialog.request(sip.INFO, c.e.guests.newBranch())
	req.AppendHeader(sip.NewHeader("Content-Type", "application/media_control+xml"))
	req.SetBody([]byte(pictureWanted))
	c.do(req, nil)
}
