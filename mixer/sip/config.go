package sip

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"strings"
	"time"

	"mixdown/mixer"
)

// Config is all that an Endpoint is made of but its neighbours.
type Config struct {
	Addr    string      // HOST:PORT of UDP and TCP; empty for none
	TLSAddr string      // HOST:PORT of SIP over TLS; empty for none
	TLS     *tls.Config // needed with TLSAddr
	// Roots checks those who are called by TLS; nil: the system's authorities.
	Roots *x509.CertPool
	// SecureMedia refuses calls by TLS whose media would go in the clear.
	SecureMedia bool
	// Address is how the world reaches this machine; not valid: each peer is told the
	// address that the way to it begins at.
	Address netip.Addr
	Domain  string // calls to other hosts than this one and addresses are refused; empty: any host will do

	Known     bool // whether callers must come from a trunk or log in
	Users     []User
	Trunks    []netip.Prefix // calls from there need no login
	Lobby     []string       // numbers at which a voice asks for the PIN
	Menu      map[string]Action
	Registrar *Registrar
	DialOut   DialOut

	Records     string // file of call records; empty for none
	RecordBytes int64  // a larger one is put aside
	Limits      Limits
	Prompts     Prompts

	SessionInterval time.Duration // between two refreshes (RFC 4028)
	Version         string        // goes into User-Agent
}

// User may log in.
type User struct {
	Name     string
	Password string
	Role     mixer.Role // empty: participant
}

// Registrar is a PBX that this server registers at.
type Registrar struct {
	URI      string // sip:pbx.example.org[;transport=tcp]
	User     string
	Login    string // for the challenge, if it is not User
	Password string
	Expires  time.Duration
}

// DialOut says who may be called. Calls cost money: the default is nobody.
type DialOut struct {
	Allow []string // patterns of path.Match over USER@HOST, or of numbers, such as *@pbx.example.org, +4930*
	// Proxy is where calls go first (sip:proxy.example.org;lr), and the domain of
	// bare numbers; the registrar's host unless it is set.
	Proxy    string
	From     string // sip:user@host that calls come from; the registration's unless it is set
	User     string // for the challenge; the registration's unless set
	Password string
	Ring     time.Duration // a call that nobody takes for so long is given up
	Calls    int           // at once, in all rooms
}

// Limits is what one address may ask for.
type Limits struct {
	Packets    int // messages a second from one address
	Refusals   int // refused requests that one address has at once before it gets no answers any more; one comes back every 3 s
	Calls      int // at once
	PerAddress int // of them from one address, trunks excepted
	Streams    int // TCP, TLS and WebSocket connections at once
	PerHost    int // of them from one address
}

// DefaultConfig returns what holds unless configured.
func DefaultConfig() Config {
	return Config{
		DialOut:     DialOut{Ring: time.Minute, Calls: 10},
		RecordBytes: 64 << 20,
		Limits:      Limits{Packets: 200, Refusals: 20, Calls: 500, PerAddress: 50, Streams: 1000, PerHost: 50},
		Menu: map[string]Action{
			"*1": Mute, "*2": Camera, "*3": Hand, "*4": Layout, "*5": MuteAll, "*6": Lock, "*0": Help,
		},
		SessionInterval: 30 * time.Minute,
	}
}

// minInterval is the shortest session interval that is agreed on (RFC 4028,
// section 5).
const minInterval = 90 * time.Second

// Validate names what is wrong, by the keys of the configuration file.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for key, addr := range map[string]string{"sip.addr": c.Addr, "sip.tls_addr": c.TLSAddr} {
		if addr == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(addr); err != nil {
			bad("%s: %q is not HOST:PORT, such as :5060", key, addr)
		}
	}
	names := map[string]bool{}
	for i, u := range c.Users {
		switch {
		case u.Name == "" || u.Password == "":
			bad("sip.users[%d]: needs a name and a password", i)
		case strings.ContainsAny(u.Name, "\"\\\r\n"):
			bad("sip.users[%d].name: %q has characters that no login may have", i, u.Name)
		case names[u.Name]:
			bad("sip.users[%d].name: %q is there twice", i, u.Name)
		case u.Role != "" && u.Role != mixer.Host && u.Role != mixer.Participant:
			bad("sip.users[%d].role: %q is none of host, participant", i, u.Role)
		}
		names[u.Name] = true
	}
	if c.Known && len(c.Users) == 0 && len(c.Trunks) == 0 {
		bad("sip.callers: known needs sip.users or sip.trunks, or else nobody can call")
	}
	for i, p := range c.DialOut.Allow {
		if _, err := path.Match(p, ""); err != nil || p == "" {
			bad("sip.dial_out.allow[%d]: %q is no pattern; * stands for anything, ? for one character", i, p)
		}
	}
	if c.DialOut.Ring < time.Second {
		bad("sip.dial_out.ring: %v is under a second", c.DialOut.Ring)
	}
	if c.DialOut.Calls < 1 {
		bad("sip.dial_out.calls: %d is under 1", c.DialOut.Calls)
	}
	for key, uri := range map[string]string{"sip.dial_out.proxy": c.DialOut.Proxy, "sip.dial_out.from": c.DialOut.From} {
		if uri == "" {
			continue
		}
		if _, err := parseURI(uri); err != nil {
			bad("%s: %w", key, err)
		}
	}
	if r := c.Registrar; r != nil {
		if _, err := parseURI(r.URI); err != nil {
			bad("sip.registrar.uri: %w", err)
		}
		if r.User == "" {
			bad("sip.registrar.user: is empty")
		}
		if r.Expires < time.Minute {
			bad("sip.registrar.expires: %v is under a minute", r.Expires)
		}
	}
	for keys, action := range c.Menu {
		if !validKeys(keys) {
			bad("sip.menu: %q: keys are * or #, then digits, three at most", keys)
		}
		if !action.valid() {
			bad("sip.menu: %q: %q is none of %v", keys, action, actions())
		}
	}
	for key, n := range map[string]int{
		"packets": c.Limits.Packets, "refusals": c.Limits.Refusals, "calls": c.Limits.Calls,
		"per_address": c.Limits.PerAddress, "streams": c.Limits.Streams, "per_host": c.Limits.PerHost,
	} {
		if n < 1 {
			bad("sip.limits.%s: %d is under 1", key, n)
		}
	}
	if c.RecordBytes < 1<<16 {
		bad("sip.records.bytes: %d is under 65536", c.RecordBytes)
	}
	if c.SessionInterval < minInterval {
		bad("sip.session_interval: %v is under %v", c.SessionInterval, minInterval)
	}
	return errors.Join(errs...)
}
