package sip

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"mixdown/mixer"
)

// guests knows who calls: a trunk by its address, a user by a login. Challenges
// keep no state: a nonce carries its time and a seal.
type guests struct {
	realm  string
	users  map[string]User
	trunks []netip.Prefix
	secret [32]byte

	mu   sync.Mutex
	used map[string]use // nonces that let somebody in
}

// use is how far a nonce's count has come, and the request it came with:
// that one may be sent again.
type use struct {
	count  uint64
	branch string
	at     time.Time
}

const (
	nonceLife = time.Minute
	maxUsed   = 10_000
)

func newGuests(cfg Config) *guests {
	g := &guests{realm: cfg.Domain, users: map[string]User{}, trunks: cfg.Trunks, used: map[string]use{}}
	if g.realm == "" {
		g.realm = "mixdown"
	}
	for _, u := range cfg.Users {
		g.users[u.Name] = u
	}
	rand.Read(g.secret[:])
	return g
}

// trunk reports whether calls from there need no login.
func (g *guests) trunk(from netip.Addr) bool {
	return slices.ContainsFunc(g.trunks, func(p netip.Prefix) bool { return p.Contains(from) })
}

// nonce is a time with a seal.
func (g *guests) nonce(now time.Time) string {
	raw := binary.BigEndian.AppendUint64(nil, uint64(now.UnixNano()))
	return base64.RawURLEncoding.EncodeToString(append(raw, g.seal("nonce", raw)...))
}

// seal marks as ours what comes back.
func (g *guests) seal(use string, raw []byte) []byte {
	m := hmac.New(sha256.New, g.secret[:])
	m.Write([]byte(use))
	m.Write(raw)
	return m.Sum(nil)[:16]
}

// fresh tells whether a nonce is ours, and not too old.
func (g *guests) fresh(nonce string, now time.Time) (ours, fresh bool) {
	raw, err := base64.RawURLEncoding.DecodeString(nonce)
	if err != nil || len(raw) != 24 || subtle.ConstantTimeCompare(raw[8:], g.seal("nonce", raw[:8])) != 1 {
		return false, false
	}
	age := now.Sub(time.Unix(0, int64(binary.BigEndian.Uint64(raw))))
	return true, age >= 0 && age < nonceLife
}

// attempt is what became of a login.
type attempt int

const (
	noLogin    attempt = iota // none tried
	wrongLogin                // wrong name or password
	staleLogin                // right, but for its nonce
	goodLogin
)

// check looks at a request's Authorization.
func (g *guests) check(req *sip.Request, now time.Time) (User, attempt) {
	for _, h := range req.GetHeaders("Authorization") {
		f, ok := parseDigest(h.Value())
		if !ok || f["realm"] != g.realm {
			continue
		}
		user, known := g.users[f["username"]]
		// One who is not known takes as long as one with a wrong password.
		want, ok := login{f["username"], user.Password}.response(f, req.Method.String(), req.Body())
		if !ok || !known || subtle.ConstantTimeCompare([]byte(want), []byte(f["response"])) != 1 {
			return User{}, wrongLogin
		}
		ours, fresh := g.fresh(f["nonce"], now)
		if !ours || !fresh || !g.count(f, branch(req), now) {
			return User{}, staleLogin
		}
		if user.Role == "" {
			user.Role = mixer.Participant
		}
		return user, goodLogin
	}
	return User{}, noLogin
}

// count lets a nonce's count only grow: credentials that were overheard are
// good for nothing.
func (g *guests) count(f fields, branch string, now time.Time) bool {
	var n uint64
	if f["qop"] != "" {
		var err error
		if n, err = strconv.ParseUint(f["nc"], 16, 32); err != nil {
			return false
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	last, seen := g.used[f["nonce"]]
	if seen && n <= last.count {
		return n == last.count && branch == last.branch
	}
	if len(g.used) >= maxUsed {
		for nonce, u := range g.used {
			if now.Sub(u.at) > nonceLife {
				delete(g.used, nonce)
			}
		}
		if len(g.used) >= maxUsed {
			return false
		}
	}
	g.used[f["nonce"]] = use{n, branch, now}
	return true
}

// challenge asks for a login, with the strongest hash first (RFC 8760, section
// 2.4).
func (g *guests) challenge(res *sip.Response, stale bool, now time.Time) {
	nonce := g.nonce(now)
	for _, a := range algorithms {
		if a.name == "SHA-512-256" {
			continue // nobody has it
		}
		value := "Digest realm=" + quote(g.realm) + ", nonce=" + quote(nonce) + `, qop="auth", algorithm=` + a.name
		if stale {
			value += ", stale=true"
		}
		res.AppendHeader(sip.NewHeader("WWW-Authenticate", value))
	}
}

// branch is the id of a request's transaction.
func branch(req sip.Message) string {
	if via := req.Via(); via != nil {
		b, _ := via.Params.Get("branch")
		return b
	}
	return ""
}
