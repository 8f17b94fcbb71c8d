package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/v2"

	"mixdown/api"
	"mixdown/codec/speex"
	"mixdown/mixer"
	"mixdown/mixer/audio"
	"mixdown/mixer/outside"
	"mixdown/mixer/rtp"
	"mixdown/mixer/webrtc"
)

// Config is all that an operator decides. The koanf tags are the keys of the
// YAML file; MIXDOWN_HTTP_ADDR is the key http.addr in the environment.
type Config struct {
	DataDir string        `koanf:"data_dir"` // keys, rooms and certificates are kept there
	Workers int           `koanf:"decode_workers"`
	Budget  time.Duration `koanf:"budget"` // of encoding, composing and decoding a second; 0: three quarters of the cores
	Log     LogConfig     `koanf:"log"`
	HTTP    HTTPConfig    `koanf:"http"`
	HTTPS   HTTPSConfig   `koanf:"https"`
	TLS     TLSConfig     `koanf:"tls"`
	RTC     RTCConfig     `koanf:"rtc"`
	TURN    TURNConfig    `koanf:"turn"`
	API     APIConfig     `koanf:"api"`
	Rooms   RoomsConfig   `koanf:"rooms"`
	Ladder  []TierConfig  `koanf:"ladder"` // best first; the first is the default
	Sound   SoundConfig   `koanf:"sound"`
	Limits  LimitsConfig  `koanf:"limits"`
	Inputs  InputsConfig  `koanf:"inputs"`
	RTP     RTPConfig     `koanf:"rtp"`
	SIP     SIPConfig     `koanf:"sip"`
	Outputs OutputsConfig `koanf:"outputs"`

	Recordings RecordingsConfig `koanf:"recordings"`
	Webhooks   WebhooksConfig   `koanf:"webhooks"`
}

// LogConfig says what is logged, and how.
type LogConfig struct {
	Level  string `koanf:"level"`  // debug, info, warn or error
	Format string `koanf:"format"` // text or json
}

// HTTPConfig is the plain listener and what is the same for both.
type HTTPConfig struct {
	Addr           string   `koanf:"addr"`
	PublicURL      string   `koanf:"public_url"`      // how the world reaches this server, for links; empty: as each request did
	TrustedProxies []string `koanf:"trusted_proxies"` // addresses or networks whose X-Forwarded-For is believed
}

// HTTPSConfig is the TLS listener.
type HTTPSConfig struct {
	Addr string `koanf:"addr"`
	// OnePort listens instead of Addr, and takes TURN and ICE-TCP as well.
	OnePort string `koanf:"one_port"`
}

// addr is where HTTPS listens.
func (c HTTPSConfig) addr() (flag, addr string) {
	if c.OnePort != "" {
		return "--one-port", c.OnePort
	}
	return "--https-addr", c.Addr
}

// TURNConfig is the relay for clients whose network lets nothing else through.
type TURNConfig struct {
	Addr        string `koanf:"addr"`        // UDP and TCP; empty: only on https.one_port
	Allocations int    `koanf:"allocations"` // of one user
	Bitrate     int    `koanf:"bitrate"`     // bit/s of one user, each direction
}

// ACMEConfig is how a certificate is asked for (RFC 8555).
type ACMEConfig struct {
	Domains   []string `koanf:"domains"`
	Email     string   `koanf:"email"`
	Directory string   `koanf:"directory"` // empty: Let's Encrypt
	CA        string   `koanf:"ca"`        // PEM file to trust the directory by; empty: the system's
}

// TLSConfig says where the certificate comes from.
type TLSConfig struct {
	Mode string     `koanf:"mode"` // off, self, files or acme
	Cert string     `koanf:"cert"` // PEM files, for mode files
	Key  string     `koanf:"key"`
	ACME ACMEConfig `koanf:"acme"`
}

// RTCConfig is how media travel.
type RTCConfig struct {
	Port       int             `koanf:"port"`               // UDP, and TCP for ICE-TCP
	Addresses  []string        `koanf:"address"`            // public ones; empty: detected
	ICEServers []api.ICEServer `koanf:"ice_servers"`        // told to clients
	Control    bool            `koanf:"congestion_control"` // keep to what each client's link carries
}

// APIConfig is the key pair that signs tokens; both empty: made at the first
// start, kept in the data directory.
type APIConfig struct {
	Key    string `koanf:"key"`
	Secret string `koanf:"secret"`
}

// RoomsConfig is what holds for all rooms.
type RoomsConfig struct {
	Open            bool          `koanf:"open"` // rooms come into being when somebody joins
	Demo            string        `koanf:"demo"` // a room made at start, with its links printed; empty: none
	MaxParticipants int           `koanf:"max_participants"`
	Programmes      int           `koanf:"programmes"` // of one room at once, each an encoder
	TokenTTL        time.Duration `koanf:"token_ttl"`  // of tokens that joining gives
}

// TierConfig is one rung of the ladder.
type TierConfig struct {
	Name    string  `koanf:"name"`
	Width   int     `koanf:"width"`
	Height  int     `koanf:"height"`
	FPS     float64 `koanf:"fps"`     // may be under 1
	Bitrate int     `koanf:"bitrate"` // bit/s
	MTU     int     `koanf:"mtu"`     // largest RTP payload, bytes
	Silent  float64 `koanf:"silent"`  // pictures a second of silent people's tiles; 0: by the bit rate
	// GOP is the longest time between keyframes; 0: they come when asked for.
	GOP time.Duration `koanf:"gop"`
}

// SoundConfig is the mix.
type SoundConfig struct {
	Channels   int     `koanf:"channels"`
	Bitrate    int     `koanf:"bitrate"` // bit/s, of who has a good link
	Complexity int     `koanf:"complexity"`
	MaxOpen    int     `koanf:"max_open"` // loudest sources in the sum
	Loss       float64 `koanf:"loss"`     // packet loss that in-band repair is made for, 0 to 1
	Level      bool    `koanf:"level"`    // talkers come to a common loudness
	Denoise    bool    `koanf:"denoise"`
}

func soundConfig(s mixer.SoundSpec) SoundConfig {
	return SoundConfig{
		Channels: s.Channels, Bitrate: s.Tones[0].Bitrate, Complexity: s.Complexity,
		MaxOpen: s.MaxOpen, Loss: s.Loss, Level: s.Level, Denoise: s.Denoise,
	}
}

// spec puts the configured rate before the tones for weaker links.
func (c SoundConfig) spec() mixer.SoundSpec {
	s := mixer.SoundSpec{
		Channels: c.Channels, Complexity: c.Complexity,
		MaxOpen: c.MaxOpen, Loss: c.Loss, Level: c.Level, Denoise: c.Denoise,
	}
	tones := mixer.DefaultTones()
	tones[0].Bitrate = c.Bitrate
	for i, t := range tones {
		if i == 0 || t.Bitrate < c.Bitrate {
			s.Tones = append(s.Tones, t)
		}
	}
	return s
}

// LimitsConfig is what one sender may cost. What goes beyond is dropped and
// counted; the other members of the room do not notice.
type LimitsConfig struct {
	Pixels    int     `koanf:"pixels"`    // of a picture, luma samples
	FPS       int     `koanf:"fps"`       // pictures a second
	Decode    float64 `koanf:"decode"`    // of a core
	Packets   int     `koanf:"packets"`   // a second, of all kinds; here and below 0 is no limit
	Checks    int     `koanf:"checks"`    // a second, of STUN and DTLS
	Feedback  int     `koanf:"feedback"`  // a second, of RTCP
	Streams   int     `koanf:"streams"`   // SSRCs
	Addresses int     `koanf:"addresses"` // that one session is spoken to from
}

// RTPConfig is how plain RTP travels, of SIP and of legs by REST.
type RTPConfig struct {
	FirstPort int           `koanf:"first_port"` // UDP ports of media
	LastPort  int           `koanf:"last_port"`
	Address   string        `koanf:"address"` // public one; empty: that of the interface towards each end
	SRTP      string        `koanf:"srtp"`    // off, optional or required
	Silence   time.Duration `koanf:"silence"` // how long an end may send nothing
	Legs      int           `koanf:"legs"`    // at once
	Packets   int           `koanf:"packets"` // a second and stream
	Allow     []string      `koanf:"allow"`   // where hosts' legs may send to: see outside.Parse
}

// config returns what the transport reads.
func (c RTPConfig) config() (rtp.Config, error) {
	rules, err := outside.Parse(c.Allow)
	if err != nil {
		return rtp.Config{}, fmt.Errorf("rtp.allow%w", err)
	}
	out := rtp.Config{
		First: c.FirstPort, Last: c.LastPort, Address: c.Address, SRTP: rtp.Policy(c.SRTP),
		Silence: c.Silence, MaxLegs: c.Legs, Packets: c.Packets,
		Allow: func(ip netip.Addr) error { return rules.Check(ip.String(), ip) },
	}
	return out, out.Validate()
}

func defaultRTP() RTPConfig {
	d := rtp.DefaultConfig()
	return RTPConfig{
		FirstPort: d.First, LastPort: d.Last, SRTP: string(d.SRTP), Silence: d.Silence, Legs: d.MaxLegs, Packets: d.Packets,
		Allow: []string{},
	}
}

// InputsConfig is what may be played into rooms.
type InputsConfig struct {
	Folder  string        `koanf:"folder"` // of files; empty: none
	Allow   []string      `koanf:"allow"`  // addresses outside: see outside.Parse
	Max     int           `koanf:"max"`    // at once
	PerRoom int           `koanf:"per_room"`
	GiveUp  time.Duration `koanf:"give_up"` // how long a source that died is looked for
}

// OutputsConfig is where rooms' programmes may be sent, and what they are like
// unless a request says otherwise.
type OutputsConfig struct {
	Allow        []string `koanf:"allow"` // addresses outside: see outside.Parse
	Max          int      `koanf:"max"`   // at once
	PerRoom      int      `koanf:"per_room"`
	Clients      int      `koanf:"clients"`   // that fetch one as MPEG-TS
	SRTPorts     string   `koanf:"srt_ports"` // FIRST-LAST, for SRT that is called; empty: none
	Width        int      `koanf:"width"`
	Height       int      `koanf:"height"`
	FPS          float64  `koanf:"fps"`
	Bitrate      int      `koanf:"bitrate"`       // bit/s
	SoundBitrate int      `koanf:"sound_bitrate"` // bit/s
}

// ports reads SRTPorts.
func (c OutputsConfig) ports() (ports [2]int, err error) {
	if c.SRTPorts == "" {
		return ports, nil
	}
	if _, err = fmt.Sscanf(c.SRTPorts, "%d-%d", &ports[0], &ports[1]); err != nil || ports[0] < 1 || ports[1] < ports[0] || ports[1] > 65535 {
		return ports, fmt.Errorf("outputs.srt_ports: %q is not FIRST-LAST, such as 9000-9009", c.SRTPorts)
	}
	return ports, nil
}

// Default returns the configuration of a server nobody configured.
func Default() Config {
	m := mixer.DefaultConfig()
	c := Config{
		DataDir:    "data",
		Workers:    m.DecodeWorkers,
		Log:        LogConfig{Level: "info", Format: "text"},
		HTTP:       HTTPConfig{Addr: ":8080"},
		HTTPS:      HTTPSConfig{Addr: ":8443"},
		TLS:        TLSConfig{Mode: "off"},
		RTC:        RTCConfig{Port: 7882, Control: true},
		TURN:       TURNConfig{Allocations: 64, Bitrate: 8_000_000},
		Rooms:      RoomsConfig{MaxParticipants: m.MaxParticipants, Programmes: 1, TokenTTL: 24 * time.Hour},
		Sound:      soundConfig(m.Sound),
		Inputs:     InputsConfig{Allow: []string{"*"}, Max: 16, PerRoom: 4, GiveUp: time.Minute},
		SIP:        defaultSIP(),
		RTP:        defaultRTP(),
		Recordings: defaultRecordings(),
		Webhooks:   WebhooksConfig{Allow: []string{"*"}},
	}
	c.Outputs = OutputsConfig{
		Allow: []string{"*"}, Max: 32, PerRoom: 8, Clients: 20,
		Width: 1280, Height: 720, FPS: 25, Bitrate: 2_000_000, SoundBitrate: 96_000,
	}
	w := webrtc.DefaultLimits()
	c.Limits = LimitsConfig{
		Pixels: m.Limits.Pixels, FPS: m.Limits.FPS, Decode: m.Limits.Decode,
		Packets: w.Packets, Checks: w.Checks, Feedback: w.Feedback, Streams: w.Streams, Addresses: w.Addresses,
	}
	for _, t := range m.Ladder {
		c.Ladder = append(c.Ladder, TierConfig{t.Name, t.Width, t.Height, t.FPS, t.Bitrate, t.MTU, t.Silent, t.GOP})
	}
	return c
}

// Mixer returns the part that the mixer reads.
func (c Config) Mixer(log *slog.Logger) mixer.Config {
	m := mixer.DefaultConfig()
	m.MaxParticipants, m.Programmes = c.Rooms.MaxParticipants, c.Rooms.Programmes
	m.Sound = c.Sound.spec()
	m.NewDenoiser = func(rate, channels int) (audio.Denoiser, error) { return speex.NewDenoiser(rate, channels) }
	m.DecodeWorkers = c.Workers
	m.Budget = c.Budget
	m.Limits = mixer.Limits{Pixels: c.Limits.Pixels, FPS: c.Limits.FPS, Decode: c.Limits.Decode}
	m.Log = log
	m.Ladder = nil
	for _, t := range c.Ladder {
		m.Ladder = append(m.Ladder, mixer.TierSpec{
			Name: t.Name, Width: t.Width, Height: t.Height, FPS: t.FPS, Bitrate: t.Bitrate, MTU: t.MTU, Silent: t.Silent, GOP: t.GOP,
		})
	}
	return m
}

// WebRTC returns the part that the WebRTC transport reads.
func (c Config) WebRTC() webrtc.Config {
	l := c.Limits
	return webrtc.Config{Port: c.RTC.Port, Addresses: c.RTC.Addresses, CongestionControl: c.RTC.Control, Limits: webrtc.Limits{
		Packets: l.Packets, Checks: l.Checks, Feedback: l.Feedback, Streams: l.Streams, Addresses: l.Addresses,
	}}
}

const envPrefix = "MIXDOWN_"

// Load lays the layers over each other: defaults, the YAML file (none if file
// is empty), the environment, flags by key. warnings name variables that look
// like ours and are not: a container platform may set such.
func Load(file string, environ []string, flags map[string]any) (c Config, warnings []string, err error) {
	known := leaves(reflect.TypeFor[Config](), "")
	k := koanf.New(".")
	if file != "" {
		raw, err := os.ReadFile(file)
		if err != nil {
			return c, nil, fmt.Errorf("--config: %w", err)
		}
		m, err := parse(raw)
		if err != nil {
			return c, nil, fmt.Errorf("%s: %w", file, err)
		}
		if err := k.Load(confmap.Provider(m, ""), nil); err != nil {
			return c, nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	byName := map[string]string{}
	for _, key := range known {
		byName[envPrefix+strings.ToUpper(strings.ReplaceAll(key, ".", "_"))] = key
	}
	vars := env.Provider(".", env.Opt{
		Prefix:      envPrefix,
		EnvironFunc: func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) {
			key, ok := byName[name]
			if value == "" {
				return "", nil // compose files set what is not set to nothing
			}
			if !ok {
				warnings = append(warnings, fmt.Sprintf("environment: %s is no key of mixdown; did you mean %s?", name, nearest(name, keysOf(byName))))
			}
			return key, value
		},
	})
	if err := k.Load(vars, nil); err != nil {
		return c, nil, fmt.Errorf("environment: %w", err)
	}
	if err := k.Load(confmap.Provider(flags, "."), nil); err != nil {
		return c, nil, fmt.Errorf("flags: %w", err)
	}
	c = Default()
	err = k.UnmarshalWithConf("", &c, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		TagName:          "koanf",
		Result:           &c,
		ZeroFields:       true, // a list replaces the default's, it does not mix with it
		WeaklyTypedInput: true, // variables are text
		DecodeHook: mapstructure.ComposeDecodeHookFunc(
			mapstructure.StringToTimeDurationHookFunc(),
			mapstructure.StringToSliceHookFunc(","),
		),
	}})
	if err != nil {
		return c, warnings, fmt.Errorf("configuration: %w", err)
	}
	if err := c.Validate(); err != nil {
		return c, warnings, fmt.Errorf("configuration: %w", err)
	}
	return c, warnings, nil
}

// parse reads YAML and refuses keys that Config does not have.
func parse(raw []byte) (map[string]any, error) {
	m, err := yaml.Parser().Unmarshal(raw)
	if err != nil {
		return nil, err
	}
	dropNil(m)
	return m, errors.Join(unknown(m, reflect.TypeFor[Config](), "")...)
}

// dropNil takes out keys without a value: `rooms:` with nothing below it
// leaves the defaults.
func dropNil(m map[string]any) {
	for key, v := range m {
		switch v := v.(type) {
		case nil:
			delete(m, key)
		case map[string]any:
			dropNil(v)
		}
	}
}
