package main

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// yamlFile writes a configuration file.
func yamlFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mixdown.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaultIsValid(t *testing.T) {
	c, warnings, err := Load("", nil, nil)
	if err != nil || len(warnings) != 0 {
		t.Fatal(warnings, err)
	}
	if !reflect.DeepEqual(c, Default()) {
		t.Fatalf("got %+v", c)
	}
}

// Defaults, file, environment, flags: each goes over the one before.
func TestPrecedence(t *testing.T) {
	file := yamlFile(t, `
http: {addr: ":1"}
https: {addr: ":1"}
rtc: {port: 1001, address: [198.51.100.1]}
rooms: {open: true, token_ttl: 90m}
log:
`)
	env := []string{
		"MIXDOWN_HTTP_ADDR=:2", "MIXDOWN_RTC_PORT=1002", "MIXDOWN_RTC_ADDRESS=198.51.100.2,2001:db8::2", "HOME=/root", "MIXDOWN_TLS_MODE=",
		"MIXDOWN_PORT_8080_TCP=tcp://10.0.0.1:8080", "MIXDOWN_API_KEY=k", "MIXDOWN_API_SECRET=" + strings.Repeat("s", 32),
	}
	c, warnings, err := Load(file, env, map[string]any{"rtc.port": 1003, "http.public_url": "https://x.example"})
	if err != nil {
		t.Fatal(err)
	}
	if c.HTTPS.Addr != ":1" || c.HTTP.Addr != ":2" || c.RTC.Port != 1003 || c.HTTP.PublicURL != "https://x.example" ||
		!c.Rooms.Open || c.Rooms.TokenTTL != 90*time.Minute || c.Log != Default().Log || c.API.Key != "k" ||
		!slices.Equal(c.RTC.Addresses, []string{"198.51.100.2", "2001:db8::2"}) {
		t.Errorf("got %+v", c)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "MIXDOWN_PORT_8080_TCP") {
		t.Errorf("warnings %q", warnings)
	}
}

// A list in the file is the list, not a mixture with the default's.
func TestListsReplace(t *testing.T) {
	c, _, err := Load(yamlFile(t, `
ladder:
  - {name: low, width: 320, height: 180, fps: 10, bitrate: 60000, mtu: 400}
rtc:
  ice_servers:
    - {urls: ["turn:turn.example:3478"], username: u, credential: c}
`), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []TierConfig{{Name: "low", Width: 320, Height: 180, FPS: 10, Bitrate: 60000, MTU: 400}}
	if !slices.Equal(c.Ladder, want) || len(c.RTC.ICEServers) != 1 || c.RTC.ICEServers[0].Username != "u" {
		t.Fatalf("got %+v", c)
	}
	if m := c.Mixer(nil); len(m.Ladder) != 1 || m.Ladder[0].MTU != 400 {
		t.Fatalf("mixer gets %+v", m)
	}
}

func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		"htttp: {addr: ':1'}":                          "unknown key htttp; did you mean http?",
		"http: {adr: ':1'}":                            "unknown key http.adr; did you mean http.addr?",
		"rtc.port: 7":                                  "unknown key rtc.port",
		"ladder: [{nam: x}]":                           "unknown key ladder[0].nam; did you mean ladder[0].name?",
		"rtc: {ice_servers: [{url: x}]}":               "unknown key rtc.ice_servers[0].url; did you mean rtc.ice_servers[0].urls?",
		"http: ':8080'":                                "http: must be a section",
		"ladder: {name: x}":                            "ladder: must be a list",
		"rtc: {congestion_control: maybe}":             "rtc.congestion_control",
		"rtc: {port: abc}":                             "rtc.port",
		"rtc: {port: 70000}":                           "rtc.port: 70000",
		"rooms: {token_ttl: soon}":                     "rooms.token_ttl",
		"rooms: {token_ttl: 1s}":                       "rooms.token_ttl",
		"limits: {pixels: 100}":                        "limits.pixels",
		"limits: {fps: 0}":                             "limits.fps",
		"limits: {decode: 0}":                          "limits.decode",
		"limits: {decode: .nan}":                       "limits.decode",
		"limits: {streams: -1}":                        "limits.streams",
		"rooms: {programmes: 0}":                       "rooms.programmes",
		"rooms: {max_participants: 0}":                 "rooms.max_participants",
		"tls: {mode: on}":                              "tls.mode",
		"tls: {mode: files}":                           "tls.cert",
		"log: {level: loud}":                           "log.level",
		"http: {addr: '8080'}":                         "http.addr",
		"api: {key: a}":                                "MIXDOWN_API_SECRET",
		"api: {key: a, secret: short}":                 "at least 32",
		"data_dir: ''":                                 "data_dir",
		"ladder: []":                                   "ladder",
		"ladder: [{name: a, width: 321, height: 180}]": "ladder[0]",
		"rtc: {ice_servers: [{urls: ['http://x']}]}":   "rtc.ice_servers[0].urls",
		"rtc: {ice_servers: [{username: u}]}":          "rtc.ice_servers[0].urls",
		"decode_workers: 0":                            "decode_workers",
		"a: [":                                         "yaml",
		"- a":                                          "yaml",
	} {
		_, _, err := Load(yamlFile(t, text), nil, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if _, _, err := Load("/nonexistent/x.yaml", nil, nil); err == nil || !strings.Contains(err.Error(), "--config") {
		t.Errorf("missing file: %v", err)
	}
}

// Every flag sets a key that there is.
func TestFlagsHaveKeys(t *testing.T) {
	known := leaves(reflect.TypeFor[Config](), "")
	for _, cmd := range []any{Serve{}, Token{}} {
		ct := reflect.TypeOf(cmd)
		for i := range ct.NumField() {
			f := ct.Field(i)
			if key := f.Tag.Get("key"); key != "" && !slices.Contains(known, key) {
				t.Errorf("%s.%s sets %s, which is no key", ct.Name(), f.Name, key)
			}
		}
	}
}

func TestNearest(t *testing.T) {
	for word, want := range map[string]string{"prot": "port", "adress": "address", "": "port", "PORT": "port"} {
		if got := nearest(word, []string{"address", "port"}); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
	if d := edits("kitten", "sitting"); d != 3 {
		t.Errorf("kitten, sitting: %d edits", d)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"http: {addr: ':1'}", "rtc: {port: 1, address: [a, b]}", "ladder: [{name: x}, 3, null]", "a: &a [*a]", "? {a: b}\n: c",
		"rooms:\n  open: yes\n", "1: 2", "\x00", "http: {addr: {x: 1}}", "<<: {http: 1}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := parse(raw)
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an error without a word")
			}
			return
		}
		have := fields(reflect.TypeFor[Config]())
		for key := range m {
			if _, ok := have[key]; !ok {
				t.Fatalf("key %q went through", key)
			}
		}
	})
}
