package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"mixdown/api"
	"mixdown/mixer/outside"
)

// report takes what is wrong with a key.
type report func(format string, args ...any)

func (bad report) oneOf(key, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		bad("%s: %q is none of %s", key, value, strings.Join(allowed, ", "))
	}
}

func (bad report) addr(key, value string) {
	if _, _, err := net.SplitHostPort(value); err != nil {
		bad("%s: %q is not HOST:PORT, such as :8080 or 127.0.0.1:8080", key, value)
	}
}

func (bad report) networks(key string, allow []string) {
	if _, err := outside.Parse(allow); err != nil {
		bad("%s%w", key, err)
	}
}

// Validate names every key that is wrong.
func (c Config) Validate() error {
	var errs []error
	bad := report(func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) })
	if c.DataDir == "" {
		bad("data_dir: is empty")
	}
	bad.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	bad.oneOf("log.format", c.Log.Format, "text", "json")
	c.validatePorts(bad)
	c.TURN.validate(bad)
	c.TLS.validate(bad)
	c.RTC.validate(bad)
	c.API.validate(bad)
	c.Limits.validate(bad)
	c.Recordings.validate(bad)
	c.Webhooks.validate(bad)
	c.Inputs.validate(bad)
	c.Outputs.validate(bad)
	if _, err := c.RTP.config(); err != nil {
		bad("%w", err)
	}
	if _, err := c.SIP.endpoint(c.DataDir, c.RTC.Addresses); err != nil {
		bad("%w", err)
	}
	if c.SIP.TLSAddr != "" && c.TLS.Mode == "off" {
		bad("sip.tls_addr: needs a certificate; set tls.mode (--tls) to self, files or acme")
	}
	c.validateRooms(bad)
	return errors.Join(errs...)
}

// validatePorts looks at what is served over TCP, which depends on there being a
// certificate.
func (c Config) validatePorts(bad report) {
	bad.oneOf("tls.mode", c.TLS.Mode, "off", "self", "files", "acme")
	bad.addr("http.addr", c.HTTP.Addr)
	if c.TLS.Mode != "off" {
		bad.addr("https.addr", c.HTTPS.Addr)
	}
	if c.HTTPS.OnePort != "" {
		bad.addr("https.one_port", c.HTTPS.OnePort)
		if c.TLS.Mode == "off" {
			bad("https.one_port (--one-port): needs a certificate; set tls.mode (--tls) to self, files or acme")
		}
	}
}

// validateRooms looks at rooms, and at what the mixer is told of them.
func (c Config) validateRooms(bad report) {
	if c.Rooms.TokenTTL < time.Minute {
		bad("rooms.token_ttl: %v is under a minute", c.Rooms.TokenTTL)
	}
	if c.Rooms.Programmes < 1 {
		bad("rooms.programmes: %d is under 1", c.Rooms.Programmes)
	}
	if c.Rooms.MaxParticipants < 1 {
		bad("rooms.max_participants: %d is under 1", c.Rooms.MaxParticipants)
	} else if err := c.Mixer(slog.Default()).Validate(); err != nil {
		bad("%w", err)
	}
}

func (c TURNConfig) validate(bad report) {
	if c.Addr != "" {
		bad.addr("turn.addr", c.Addr)
	}
	if c.Allocations < 1 {
		bad("turn.allocations: %d is under 1", c.Allocations)
	}
	if c.Bitrate < 64_000 {
		bad("turn.bitrate: %d is under 64000", c.Bitrate)
	}
}

func (c TLSConfig) validate(bad report) {
	if c.Mode == "acme" && len(c.ACME.Domains) == 0 {
		bad("tls.acme.domains (--acme-domain): name the domains to have a certificate for")
	}
	if c.Mode == "files" && (c.Cert == "" || c.Key == "") {
		bad("tls.cert and tls.key: both are needed with tls.mode files")
	}
}

func (c RTCConfig) validate(bad report) {
	if c.Port < 0 || c.Port > 65535 {
		bad("rtc.port: %d is not in 0…65535", c.Port)
	}
	for i, s := range c.ICEServers {
		if len(s.URLs) == 0 {
			bad("rtc.ice_servers[%d].urls: is empty", i)
		}
		if s.Secret != "" && (s.Username != "" || s.Credential != "") {
			bad("rtc.ice_servers[%d]: secret makes username and credential, set either", i)
		}
		for _, u := range s.URLs {
			if scheme, rest, _ := strings.Cut(u, ":"); !slices.Contains([]string{"stun", "stuns", "turn", "turns"}, scheme) || rest == "" || strings.ContainsAny(rest, "<> \r\n") {
				bad("rtc.ice_servers[%d].urls: %q is no stun: or turn: URL", i, u)
			}
		}
	}
}

func (c APIConfig) validate(bad report) {
	if (c.Key == "") != (c.Secret == "") {
		bad("api.key and api.secret (MIXDOWN_API_KEY, MIXDOWN_API_SECRET): set both or neither")
	} else if c.Key != "" {
		if err := (api.Keys{ID: c.Key, Secret: c.Secret}).Validate(); err != nil {
			bad("api.key and api.secret (MIXDOWN_API_KEY, MIXDOWN_API_SECRET): %w", err)
		}
	}
}

func (c LimitsConfig) validate(bad report) {
	for key, n := range map[string]int{
		"packets": c.Packets, "checks": c.Checks, "feedback": c.Feedback,
		"streams": c.Streams, "addresses": c.Addresses,
	} {
		if n < 0 {
			bad("limits.%s: %d is under 0; 0 is no limit", key, n)
		}
	}
}

func (c WebhooksConfig) validate(bad report) {
	bad.networks("webhooks.allow", c.Allow)
	if len(c.URLs) > 0 && c.Secret == "" {
		bad("webhooks.secret: is needed to sign with; make one with: echo whsec_$(openssl rand -base64 24)")
	}
}

func (c InputsConfig) validate(bad report) {
	bad.networks("inputs.allow", c.Allow)
	if c.Max < 0 || c.PerRoom < 0 {
		bad("inputs.max and inputs.per_room: are not under 0")
	}
	if c.GiveUp < 0 {
		bad("inputs.give_up: %v is under 0", c.GiveUp)
	}
}

func (c OutputsConfig) validate(bad report) {
	bad.networks("outputs.allow", c.Allow)
	if _, err := c.ports(); err != nil {
		bad("%w", err)
	}
	switch {
	case c.Max < 0 || c.PerRoom < 0 || c.Clients < 0:
		bad("outputs.max, outputs.per_room and outputs.clients: are not under 0")
	case c.Width < 16 || c.Height < 16 || c.Width%2+c.Height%2 != 0 || !(c.FPS >= 1 && c.FPS <= 60) || c.Bitrate < 10_000 || c.Bitrate > 20_000_000:
		bad("outputs.width, height, fps, bitrate: %dx%d at %v fps and %d bit/s is no programme: even, 1…60, 10000…20000000", c.Width, c.Height, c.FPS, c.Bitrate)
	case c.SoundBitrate < 16_000 || c.SoundBitrate > 320_000:
		bad("outputs.sound_bitrate: %d is not in 16000…320000", c.SoundBitrate)
	}
}
