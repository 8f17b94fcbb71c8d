package sip

import (
	"bytes"
	"strconv"
	"strings"
)

// flaw is what a request is refused with; code 0 is none.
type flaw struct {
	code   int
	reason string
}

// single are the headers that a message has once (RFC 3261, section 7.3.1), by
// their long and their compact names.
var single = map[string]string{
	"from": "from", "f": "from", "to": "to", "t": "to", "call-id": "call-id", "i": "call-id",
	"cseq": "cseq", "max-forwards": "max-forwards", "content-length": "content-length", "l": "content-length",
	"content-type": "content-type", "c": "content-type",
}

// addressed are the headers whose values are addresses with parameters.
var addressed = map[string]bool{"from": true, "f": true, "to": true, "t": true, "contact": true, "m": true, "via": true, "v": true}

// examine looks at what the parser would let pass: it takes a message's bytes
// and says what is wrong with the request in them (RFC 4475 is full of such).
// Whether a message is whole shows only where it comes in a datagram or a
// frame of its own, which all do here.
func examine(data []byte) flaw {
	head, body, ok := bytes.Cut(data, []byte("\r\n\r\n"))
	if !ok {
		return flaw{400, "No End Of Headers"}
	}
	lines := strings.Split(string(head), "\r\n")
	for _, line := range lines {
		if strings.ContainsAny(line, "\r\n") { // what reads lines otherwise would see others
			return flaw{400, "Bare Line End"}
		}
	}
	if f := examineStart(lines[0]); f.code != 0 {
		return f
	}
	seen := map[string]bool{}
	for i := 1; i < len(lines); i++ {
		line := lines[i]
		for i+1 < len(lines) && lines[i+1] != "" && (lines[i+1][0] == ' ' || lines[i+1][0] == '\t') {
			i++
			line += " " + strings.TrimLeft(lines[i], " \t")
		}
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.ToLower(strings.TrimRight(name, " \t")), strings.TrimSpace(value)
		if !ok || name == "" || strings.ContainsAny(name, " \t\"<>@()[]{}\x00") {
			return flaw{400, "Malformed Header"}
		}
		if long, once := single[name]; once {
			if seen[long] {
				return flaw{400, "Header Twice: " + long}
			}
			seen[long] = true
		}
		if f := examineHeader(name, value, len(body)); f.code != 0 {
			return f
		}
	}
	return flaw{}
}

// examineStart looks at METHOD SP URI SP SIP/2.0 (RFC 3261, section 7.1).
func examineStart(line string) flaw {
	parts := strings.Split(line, " ")
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" {
		return flaw{400, "Malformed Request-Line"}
	}
	if version, ok := strings.CutPrefix(strings.ToUpper(parts[2]), "SIP/"); !ok {
		return flaw{400, "Malformed Request-Line"}
	} else if version != "2.0" {
		return flaw{505, "Version Not Supported"}
	}
	uri := parts[1]
	scheme, _, ok := strings.Cut(uri, ":")
	if !ok || strings.ContainsAny(uri, "<>\"\t\\^`{}|") {
		return flaw{400, "Malformed Request-URI"}
	}
	switch strings.ToLower(scheme) {
	case "sip", "sips":
	default:
		return flaw{416, "Unsupported URI Scheme"}
	}
	if strings.Contains(uri[strings.LastIndex(uri, "@")+1:], "?") {
		return flaw{400, "Headers In Request-URI"} // section 19.1.1: not allowed there
	}
	return flaw{}
}

func examineHeader(name, value string, body int) flaw {
	switch name {
	case "content-length", "l":
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil || n > uint64(body) {
			return flaw{400, "Bad Content-Length"}
		}
	case "cseq":
		number, _, ok := strings.Cut(value, " ")
		if n, err := strconv.ParseUint(number, 10, 64); !ok || err != nil || n >= 1<<31 {
			return flaw{400, "Bad CSeq"}
		}
	case "max-forwards":
		if n, err := strconv.ParseUint(value, 10, 64); err != nil || n > 255 {
			return flaw{400, "Bad Max-Forwards"}
		}
	}
	if addressed[name] && !wellFormed(value) {
		return flaw{400, "Malformed " + name}
	}
	return flaw{}
}

// wellFormed tells whether an address's quotation marks and brackets are in
// pairs, and none of its parameters is empty.
func wellFormed(value string) bool {
	quoted, bracket, empty := false, false, true
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case quoted:
			if c == '\\' {
				i++
			} else if c == '"' {
				quoted = false
			}
			continue
		case c == '"':
			if bracket {
				return false
			}
			quoted, empty = true, false
		case c == '<':
			if bracket {
				return false
			}
			bracket, empty = true, false
		case c == '>':
			if !bracket {
				return false
			}
			bracket = false
		case (c == ';' || c == ',') && !bracket:
			if empty {
				return false
			}
			empty = true
		case c != ' ' && c != '\t':
			empty = false
		}
	}
	return !quoted && !bracket && !empty
}
