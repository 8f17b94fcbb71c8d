package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"mixdown/api"
	"mixdown/mixer"
	"mixdown/mixer/rtp"
	"mixdown/mixer/sip"
	"mixdown/mixer/webrtc"
)

// SIPConfig is the telephone side. It is off while it has no address and no
// path.
type SIPConfig struct {
	Addr     string             `koanf:"addr"`     // UDP and TCP
	TLSAddr  string             `koanf:"tls_addr"` // with the certificate of tls
	TLSCA    string             `koanf:"tls_ca"`   // file of authorities of those called by TLS; empty: the system's
	TLSSRTP  string             `koanf:"tls_srtp"` // encryption of the media of calls by TLS: empty, as rtp.srtp says, and offered where that is optional; or required
	WSPath   string             `koanf:"ws_path"`  // SIP over WebSocket on the HTTP ports
	Address  string             `koanf:"address"`  // public one; empty: rtc.address, or that of the way to each peer
	Domain   string             `koanf:"domain"`   // that rooms are called at
	Callers  string             `koanf:"callers"`  // anyone, or known: trunks and users
	Users    []SIPUserConfig    `koanf:"users"`
	Trunks   []string           `koanf:"trunks"` // addresses and networks whose calls need no login
	Lobby    []string           `koanf:"lobby"`  // numbers at which a voice asks for a room's PIN
	Menu     []SIPMenuConfig    `koanf:"menu"`
	Register SIPRegistrarConfig `koanf:"registrar"`
	DialOut  SIPDialOutConfig   `koanf:"dial_out"`
	Records  SIPRecordsConfig   `koanf:"records"`
	Prompts  SIPPromptsConfig   `koanf:"prompts"`
	Refresh  time.Duration      `koanf:"session_interval"`
	Limits   SIPLimitsConfig    `koanf:"limits"`
}

// SIPUserConfig may log in.
type SIPUserConfig struct {
	Name     string `koanf:"name"`
	Password string `koanf:"password"`
	Role     string `koanf:"role"` // participant or host
}

// SIPMenuConfig is one command by keys.
type SIPMenuConfig struct {
	Keys   string `koanf:"keys"`
	Action string `koanf:"action"`
}

// SIPRegistrarConfig is the PBX to register at.
type SIPRegistrarConfig struct {
	URI      string        `koanf:"uri"` // empty: none
	User     string        `koanf:"user"`
	Login    string        `koanf:"login"` // if it is not user
	Password string        `koanf:"password"`
	Expires  time.Duration `koanf:"expires"`
}

// SIPDialOutConfig says who may be called.
type SIPDialOutConfig struct {
	Allow    []string      `koanf:"allow"`
	Proxy    string        `koanf:"proxy"`
	From     string        `koanf:"from"`
	User     string        `koanf:"user"`
	Password string        `koanf:"password"`
	Ring     time.Duration `koanf:"ring"`
	Calls    int           `koanf:"calls"`
}

// SIPRecordsConfig is where calls are written down.
type SIPRecordsConfig struct {
	File  string `koanf:"file"`
	Bytes int64  `koanf:"bytes"`
}

// SIPPromptsConfig is the voice.
type SIPPromptsConfig struct {
	Dir   string `koanf:"dir"` // empty: prompts in the data directory
	Voice string `koanf:"voice"`
}

// SIPLimitsConfig is what one address may ask for.
type SIPLimitsConfig struct {
	Packets    int `koanf:"packets"`
	Refusals   int `koanf:"refusals"`
	Calls      int `koanf:"calls"`
	PerAddress int `koanf:"per_address"`
	Streams    int `koanf:"streams"`
	PerHost    int `koanf:"per_host"`
}

func defaultSIP() SIPConfig {
	d := sip.DefaultConfig()
	return SIPConfig{
		Callers: "anyone",
		Trunks:  []string{}, Lobby: []string{},
		Menu: []SIPMenuConfig{
			{"*1", "mute"}, {"*2", "camera"}, {"*3", "hand"}, {"*4", "layout"}, {"*5", "mute_all"}, {"*6", "lock"}, {"*0", "help"},
		},
		Register: SIPRegistrarConfig{Expires: 10 * time.Minute},
		DialOut:  SIPDialOutConfig{Allow: []string{}, Ring: d.DialOut.Ring, Calls: d.DialOut.Calls},
		Records:  SIPRecordsConfig{Bytes: d.RecordBytes},
		Prompts:  SIPPromptsConfig{Voice: "en"},
		Refresh:  d.SessionInterval,
		Limits:   SIPLimitsConfig(d.Limits),
	}
}

// on reports whether there is a telephone side.
func (c SIPConfig) on() bool { return c.Addr != "" || c.TLSAddr != "" || c.WSPath != "" }

// endpoint returns the part that mixer/sip reads.
func (c SIPConfig) endpoint(dataDir string, rtcAddresses []string) (sip.Config, error) {
	out := sip.DefaultConfig()
	out.Addr, out.TLSAddr, out.Domain = c.Addr, c.TLSAddr, c.Domain
	out.Known = c.Callers == "known"
	out.SecureMedia = c.TLSSRTP == "required"
	var errs []error
	if c.TLSSRTP != "" && c.TLSSRTP != "required" {
		errs = append(errs, fmt.Errorf("sip.tls_srtp: %q is neither empty nor required", c.TLSSRTP))
	}
	if c.TLSCA != "" {
		pem, err := os.ReadFile(c.TLSCA)
		if err != nil {
			errs = append(errs, fmt.Errorf("sip.tls_ca: %w", err))
		} else if out.Roots = x509.NewCertPool(); !out.Roots.AppendCertsFromPEM(pem) {
			errs = append(errs, fmt.Errorf("sip.tls_ca: no certificate in %s", c.TLSCA))
		}
	}
	for _, u := range c.Users {
		out.Users = append(out.Users, sip.User{Name: u.Name, Password: u.Password, Role: mixer.Role(u.Role)})
	}
	for i, t := range c.Trunks {
		p, err := netip.ParsePrefix(t)
		if a, failed := netip.ParseAddr(t); failed == nil {
			p, err = a.Prefix(a.BitLen())
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("sip.trunks[%d]: %q is neither an address nor a network", i, t))
		}
		out.Trunks = append(out.Trunks, p)
	}
	if c.Address != "" {
		var err error
		if out.Address, err = netip.ParseAddr(c.Address); err != nil {
			errs = append(errs, fmt.Errorf("sip.address: %q is no IP address", c.Address))
		}
	} else if len(rtcAddresses) > 0 {
		out.Address, _ = netip.ParseAddr(rtcAddresses[0]) // what is wrong with it, --rtc-address says
	}
	out.Lobby = c.Lobby
	out.Menu = map[string]sip.Action{}
	for _, m := range c.Menu {
		out.Menu[m.Keys] = sip.Action(m.Action)
	}
	if c.Register.URI != "" {
		r := sip.Registrar(c.Register)
		out.Registrar = &r
	}
	out.DialOut = sip.DialOut(c.DialOut)
	out.Records, out.RecordBytes = c.Records.File, c.Records.Bytes
	out.Prompts = sip.Prompts(c.Prompts)
	if out.Prompts.Dir == "" {
		out.Prompts.Dir = filepath.Join(dataDir, "prompts")
	}
	out.SessionInterval = c.Refresh
	out.Limits = sip.Limits(c.Limits)
	out.Version = buildVersion()
	if c.Callers != "anyone" && c.Callers != "known" {
		errs = append(errs, fmt.Errorf("sip.callers: %q is none of anyone, known", c.Callers))
	}
	if c.WSPath != "" && !strings.HasPrefix(c.WSPath, "/") {
		errs = append(errs, fmt.Errorf("sip.ws_path: %q must begin with /", c.WSPath))
	}
	return out, errors.Join(append(errs, out.Validate())...)
}

// startSIP opens the telephone side; nil if there is none. tls is the server's
// certificate, nil without one.
func startSIP(cfg Config, rooms *phoneRooms, legs *rtp.Transport, browsers *webrtc.Transport, tls *tls.Config, log *slog.Logger) (*sip.Endpoint, error) {
	if !cfg.SIP.on() {
		return nil, nil
	}
	c, err := cfg.SIP.endpoint(cfg.DataDir, cfg.RTC.Addresses)
	if err != nil {
		return nil, err
	}
	c.TLS = tls
	e, err := sip.New(c, rooms, phoneLegs{legs}, browsers, log)
	if err != nil {
		return nil, taken(err)
	}
	log.Info("SIP", "addr", c.Addr, "tls_addr", c.TLSAddr, "ws_path", cfg.SIP.WSPath, "callers", cfg.SIP.Callers, "lobby", c.Lobby)
	return e, nil
}

// withSIP serves SIP over WebSocket beside the rest.
func withSIP(e *sip.Endpoint, path string, rest http.Handler) http.Handler {
	if e == nil || path == "" {
		return rest
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == path {
			e.ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	})
}

// dialIn is how a room is called.
func (c SIPConfig) dialIn(room string) api.DialIn {
	d := api.DialIn{Lobby: append([]string{}, c.Lobby...)}
	if c.Domain != "" {
		d.Address = "sip:" + room + "@" + c.Domain
	}
	return d
}

// phoneRooms shows the server's rooms to telephones.
type phoneRooms struct {
	*mixer.Server
	control  *api.API
	registry *api.Registry
	open     bool
}

// Find implements sip.Rooms.
func (r *phoneRooms) Find(room string) (pin string, err error) {
	if k, ok := r.registry.Get(room); ok {
		return k.PIN, nil
	}
	if r.open && api.ValidRoom(room) {
		return "", nil
	}
	return "", fmt.Errorf("room %.80q: %w", room, mixer.ErrNoRoom)
}

// ByPIN implements sip.Rooms.
func (r *phoneRooms) ByPIN(pin string) (room string, role mixer.Role, ok bool) {
	return r.registry.ByPIN(pin)
}

// Open implements sip.Rooms.
func (r *phoneRooms) Open(room string) error { return r.control.Ensure(room) }

// phoneLegs makes legs of plain RTP for calls.
type phoneLegs struct{ transport *rtp.Transport }

// New implements sip.Legs. The leg itself is made with the first offer, ours or
// the peer's.
func (p phoneLegs) New(_ context.Context, o sip.LegOptions) (sip.Leg, error) {
	l := &phoneLeg{transport: p.transport, allow: o.Allow, srtp: srtp(o), digits: make(chan rune, 32), keyframes: make(chan struct{}, 1), done: make(chan struct{})}
	if !o.Local.IsUnspecified() {
		l.local = o.Local.String()
	}
	return l, nil
}

func srtp(o sip.LegOptions) rtp.Policy {
	switch {
	case o.Secure:
		return rtp.Required
	case o.Hidden:
		return rtp.Preferred
	}
	return ""
}

// phoneLeg is a leg of plain RTP as calls know one.
type phoneLeg struct {
	transport *rtp.Transport
	local     string
	allow     func(netip.Addr) error
	srtp      rtp.Policy // empty: the configured one
	digits    chan rune
	keyframes chan struct{}
	done      chan struct{}
	players   sync.WaitGroup

	mu     sync.Mutex
	leg    *rtp.Leg
	err    error
	closed bool
	stop   context.CancelFunc // of the prompt that is played
}

func (l *phoneLeg) params() rtp.Params {
	return rtp.Params{
		SRTP: l.srtp,
		Digit: func(_ *rtp.Leg, key byte) {
			select {
			case l.digits <- rune(key):
			default: // nobody presses so fast
			}
		},
		Refresh: func(*rtp.Leg) {
			select {
			case l.keyframes <- struct{}{}:
			default:
			}
		},
		Ended: func(_ *rtp.Leg, reason error) {
			l.mu.Lock()
			l.err = reason
			l.mu.Unlock()
			close(l.done)
		},
		Local: l.local,
		Allow: l.allow,
	}
}

// both is what a leg is set up for; the room comes later.
func both() mixer.Session { return mixer.Session{Publish: true, Receive: true} }

func (l *phoneLeg) current() *rtp.Leg {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leg
}

// made keeps a new leg, or ends it where the call is over already.
func (l *phoneLeg) made(leg *rtp.Leg) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leg = leg
	if l.closed {
		leg.Hangup(nil)
	}
}

func (l *phoneLeg) Answer(offer string) (string, error) {
	if leg := l.current(); leg != nil {
		return leg.Update(offer)
	}
	leg, answer, err := l.transport.Answer(context.Background(), both(), l.params(), offer)
	if err == nil {
		l.made(leg)
	}
	return answer, err
}

func (l *phoneLeg) Offer() (string, error) {
	if leg := l.current(); leg != nil {
		return leg.Reoffer()
	}
	leg, offer, err := l.transport.Offer(context.Background(), both(), l.params())
	if err == nil {
		l.made(leg)
	}
	return offer, err
}

func (l *phoneLeg) Accept(answer string) error {
	leg := l.current()
	if leg == nil {
		return errors.New("an answer without an offer")
	}
	return leg.Accept(answer)
}

func (l *phoneLeg) Held() bool {
	leg := l.current()
	return leg != nil && leg.Held()
}

func (l *phoneLeg) Play(pcm []int16) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stop != nil {
		l.stop()
		l.stop = nil
	}
	if pcm == nil || l.leg == nil || l.closed {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	leg := l.leg
	l.players.Go(func() {
		defer cancel()
		_ = leg.Play(ctx, pcm) // cut off, or the leg has ended
	})
}

func (l *phoneLeg) Digits() <-chan rune        { return l.digits }
func (l *phoneLeg) Keyframes() <-chan struct{} { return l.keyframes }
func (l *phoneLeg) Done() <-chan struct{}      { return l.done }

func (l *phoneLeg) Refresh() {
	if leg := l.current(); leg != nil {
		leg.RequestKeyframe()
	}
}

func (l *phoneLeg) Enter(room string, who mixer.Identity) error {
	leg := l.current()
	if leg == nil {
		return errors.New("nothing was agreed on")
	}
	s := both()
	s.Room, s.Identity = room, who
	return leg.Attach(context.Background(), s)
}

func (l *phoneLeg) Switch(audio, video *bool) error {
	leg := l.current()
	if leg == nil {
		return errors.New("nothing was agreed on")
	}
	return leg.Switch(audio, video)
}

func (l *phoneLeg) Figures() sip.LegFigures {
	leg := l.current()
	if leg == nil {
		return sip.LegFigures{}
	}
	var f sip.LegFigures
	info := leg.Info()
	for _, m := range []struct {
		stream *mixer.LegStream
		name   *string
	}{{info.Audio, &f.Audio}, {info.Video, &f.Video}} {
		s := m.stream
		if s == nil {
			continue
		}
		*m.name = s.Codecs
		f.Secure = f.Secure || s.SRTP != ""
		f.Received += s.Received
		f.Sent += s.Sent
		f.Lost += uint64(s.Lost)
		f.Jitter = max(f.Jitter, time.Duration(s.Jitter*float64(time.Millisecond)))
		f.RTT = max(f.RTT, time.Duration(s.RTT*float64(time.Millisecond)))
	}
	return f
}

func (l *phoneLeg) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *phoneLeg) Close(reason error) {
	l.Play(nil)
	l.mu.Lock()
	l.closed = true
	leg := l.leg
	l.mu.Unlock()
	if leg != nil {
		leg.Hangup(reason)
	}
	l.players.Wait()
}
