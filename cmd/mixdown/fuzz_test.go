package main

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzLoad: a configuration file and a variable of any content are either
// understood, and then valid, or an error that says something.
func FuzzLoad(f *testing.F) {
	for _, s := range []string{
		"http: {addr: ':1'}", "rtc: {port: 1, address: [a, b]}", "ladder: [{name: x, width: 16, height: 16, fps: 1, bitrate: 10000, mtu: 100}]",
		"ladder: [{name: x}, 3, null]", "rooms: {token_ttl: 5m}", "rooms: {token_ttl: 9223372036854775807}", "limits: {decode: .inf}",
		"sound: {loss: .nan, channels: 2}", "rtc: {ice_servers: [{urls: ['turn:x']}]}", "decode_workers: 1e3", "a: &a [*a]", "log:\n",
	} {
		f.Add([]byte(s), "LIMITS_FPS=30")
	}
	f.Add([]byte{}, "RTC_PORT=99999999999999999999")
	f.Add([]byte{}, "RTC_ADDRESS=,,")
	f.Add([]byte{}, "ROOMS_TOKEN_TTL=1x")
	file := filepath.Join(f.TempDir(), "mixdown.yaml")
	f.Fuzz(func(t *testing.T, raw []byte, variable string) {
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		c, _, err := Load(file, []string{envPrefix + variable}, nil)
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an error without a word")
			}
			return
		}
		if err := c.Validate(); err != nil {
			t.Fatalf("loaded, and not valid: %v", err)
		}
	})
}
