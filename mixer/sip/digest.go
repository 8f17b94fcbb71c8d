package sip

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

// fields are the parameters of a challenge or of credentials (RFC 3261, section
// 25.1: Digest SP name=value, …), names in lower case.
type fields map[string]string

// parseDigest reads what stands behind "Digest".
func parseDigest(value string) (fields, bool) {
	scheme, rest, ok := strings.Cut(strings.TrimSpace(value), " ")
	if !ok || !strings.EqualFold(scheme, "digest") {
		return nil, false
	}
	f := fields{}
	for rest = strings.TrimLeft(rest, " \t,"); rest != ""; rest = strings.TrimLeft(rest, " \t,") {
		name, after, ok := strings.Cut(rest, "=")
		if !ok {
			return nil, false
		}
		after = strings.TrimLeft(after, " \t")
		var val string
		if strings.HasPrefix(after, `"`) {
			val, rest, ok = unquote(after[1:])
			if !ok {
				return nil, false
			}
		} else {
			end := strings.IndexAny(after, ", \t")
			if end < 0 {
				end = len(after)
			}
			val, rest = after[:end], after[end:]
		}
		name = strings.ToLower(strings.TrimSpace(name))
		if _, twice := f[name]; name == "" || twice {
			return nil, false
		}
		f[name] = val
	}
	return f, len(f) > 0
}

// unquote reads up to the closing quotation mark.
func unquote(s string) (val, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

// algorithms are the hashes of RFC 8760, strongest first, and MD5, which every
// telephone has.
var algorithms = []struct {
	name string
	hash func() hash.Hash
}{
	{"SHA-512-256", sha512.New512_256},
	{"SHA-256", sha256.New},
	{"MD5", md5.New},
}

// digester finds a hash by a challenge's algorithm; none named is MD5.
func digester(name string) (func() hash.Hash, bool) {
	if name == "" {
		return md5.New, true
	}
	for _, a := range algorithms {
		if strings.EqualFold(a.name, name) {
			return a.hash, true
		}
	}
	return nil, false
}

// login is a name and a password.
type login struct{ user, password string }

// response computes what credentials answer to a challenge (RFC 7616, section
// 3.4.1), as far as f says; method and body are the request's.
func (l login) response(f fields, method string, body []byte) (string, bool) {
	newHash, ok := digester(f["algorithm"])
	if !ok {
		return "", false
	}
	h := func(parts ...string) string {
		d := newHash()
		d.Write([]byte(strings.Join(parts, ":")))
		return hex.EncodeToString(d.Sum(nil))
	}
	secret := h(l.user, f["realm"], l.password)
	switch f["qop"] {
	case "":
		return h(secret, f["nonce"], h(method, f["uri"])), true
	case "auth":
		return h(secret, f["nonce"], f["nc"], f["cnonce"], f["qop"], h(method, f["uri"])), true
	case "auth-int":
		return h(secret, f["nonce"], f["nc"], f["cnonce"], f["qop"], h(method, f["uri"], h(string(body)))), true
	}
	return "", false
}

// credentials answers a challenge. count is how often this nonce was answered
// before, plus one.
func (l login) credentials(challenge fields, method, uri string, body []byte, count int) (string, error) {
	f := fields{"realm": challenge["realm"], "nonce": challenge["nonce"], "uri": uri, "algorithm": challenge["algorithm"]}
	if offered := challenge["qop"]; offered != "" {
		for q := range strings.SplitSeq(offered, ",") {
			if q = strings.TrimSpace(q); q == "auth" || q == "auth-int" && f["qop"] == "" {
				f["qop"] = q
			}
		}
		if f["qop"] == "" {
			return "", fmt.Errorf("challenge: qop %q is not known", offered)
		}
		f["nc"], f["cnonce"] = fmt.Sprintf("%08x", count), rand.Text()
	}
	response, ok := l.response(f, method, body)
	if !ok {
		return "", fmt.Errorf("challenge: algorithm %q is not known", challenge["algorithm"])
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Digest username=%s, realm=%s, nonce=%s, uri=%s, response=%s",
		quote(l.user), quote(f["realm"]), quote(f["nonce"]), quote(uri), quote(response))
	if f["algorithm"] != "" {
		fmt.Fprintf(&b, ", algorithm=%s", f["algorithm"])
	}
	if opaque, ok := challenge["opaque"]; ok {
		fmt.Fprintf(&b, ", opaque=%s", quote(opaque))
	}
	if f["qop"] != "" {
		fmt.Fprintf(&b, ", qop=%s, cnonce=%s, nc=%s", f["qop"], quote(f["cnonce"]), f["nc"])
	}
	return b.String(), nil
}

func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
