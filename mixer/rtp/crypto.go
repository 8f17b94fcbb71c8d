package rtp

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/pion/srtp/v2"
)

// replayWindow has room for packets that come in any order.
const replayWindow = 1024

// suite is one crypto suite of SDES (RFC 4568, section 6.2; RFC 7714, section 14).
type suite struct {
	name    string
	profile srtp.ProtectionProfile
	length  int // of key and salt, bytes
}

// suites are those that are known, best first.
func suites() []suite {
	return []suite{
		{"AEAD_AES_128_GCM", srtp.ProtectionProfileAeadAes128Gcm, 16 + 12},
		{"AES_CM_128_HMAC_SHA1_80", srtp.ProtectionProfileAes128CmHmacSha1_80, 16 + 14},
		{"AES_CM_128_HMAC_SHA1_32", srtp.ProtectionProfileAes128CmHmacSha1_32, 16 + 14},
	}
}

func suiteOf(name string) (suite, bool) {
	for _, s := range suites() {
		if strings.EqualFold(s.name, name) {
			return s, true
		}
	}
	return suite{}, false
}

// key is one direction's crypto attribute.
type key struct {
	tag    string
	suite  suite
	secret []byte // key, then salt
}

// parseCrypto reads an a=crypto value: TAG SUITE inline:KEY[|LIFETIME][|MKI:LENGTH]
// [SESSION-PARAMETERS] (RFC 4568, section 9.1). What would change how packets
// look is not taken: an MKI, or parameters that switch something off.
func parseCrypto(value string) (key, error) {
	f := strings.Fields(value)
	if len(f) < 3 {
		return key{}, fmt.Errorf("crypto %.40q: want TAG SUITE inline:KEY", value)
	}
	s, ok := suiteOf(f[1])
	if !ok {
		return key{}, fmt.Errorf("crypto suite %.40q is not known", f[1])
	}
	if len(f) > 3 {
		return key{}, fmt.Errorf("crypto %s: session parameters %.40q are not taken", s.name, f[3:])
	}
	inline, ok := strings.CutPrefix(f[2], "inline:")
	if !ok || strings.Contains(inline, ";") {
		return key{}, fmt.Errorf("crypto %s: want one inline key", s.name)
	}
	parts := strings.Split(inline, "|")
	for _, p := range parts[1:] {
		if strings.Contains(p, ":") {
			return key{}, fmt.Errorf("crypto %s: a master key identifier is not taken", s.name)
		}
	}
	secret, err := secretOf(parts[0], s)
	return key{f[0], s, secret}, err
}

func secretOf(text string, s suite) ([]byte, error) {
	secret, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil || len(secret) != s.length {
		return nil, fmt.Errorf("crypto %s: the key is not base64 of %d bytes", s.name, s.length)
	}
	return secret, nil
}

func newKey(tag string, s suite) key {
	k := key{tag, s, make([]byte, s.length)}
	_, _ = rand.Read(k.secret) // never fails
	return k
}

func (k key) String() string {
	return fmt.Sprintf("%s %s inline:%s", k.tag, k.suite.name, base64.StdEncoding.EncodeToString(k.secret))
}

func (k key) same(o key) bool {
	return k.suite.name == o.suite.name && string(k.secret) == string(o.secret)
}

// context opens the state of one direction.
func (k key) context(options ...srtp.ContextOption) (*srtp.Context, error) {
	const master = 16
	c, err := srtp.CreateContext(k.secret[:master], k.secret[master:], k.suite.profile, options...)
	if err != nil {
		return nil, fmt.Errorf("crypto %s: %w", k.suite.name, err)
	}
	return c, nil
}
