package main

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
)

const example = "../../deploy/mixdown.yaml"

// TestExampleConfig loads the shipped file, which must change nothing, and the
// same with its keys uncommented, which must be all keys there are.
func TestExampleConfig(t *testing.T) {
	shipped, _, err := Load(example, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := Default(); !reflect.DeepEqual(shipped, want) {
		t.Errorf("the shipped file changes defaults:\n got %+v\nwant %+v", shipped, want)
	}

	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	// A commented key or list item, not a sentence.
	open := regexp.MustCompile(`(?m)^( *)#( *)(- |[a-z_]+: )`).ReplaceAll(text, []byte("$1$2$3"))
	open = regexp.MustCompile(`(?m)^( *)#([a-z_]+:$)`).ReplaceAll(open, []byte("$1$2"))
	full := filepath.Join(t.TempDir(), "full.yaml")
	if err := os.WriteFile(full, open, 0o600); err != nil {
		t.Fatal(err)
	}
	got, _, err := Load(full, nil, nil)
	if err != nil {
		t.Fatalf("uncommented: %v\n%s", err, open)
	}
	m, err := parse(open)
	if err != nil {
		t.Fatal(err)
	}
	k := koanf.New(".")
	if err := k.Load(confmap.Provider(m, ""), nil); err != nil {
		t.Fatal(err)
	}
	for _, key := range leaves(reflect.TypeFor[Config](), "") {
		if !k.Exists(key) {
			t.Errorf("deploy/mixdown.yaml does not tell of %s", key)
		}
	}
	// Values that stand there as defaults are the defaults.
	got.TLS, got.RTC.Addresses, got.RTC.ICEServers, got.Workers = Default().TLS, nil, nil, Default().Workers
	got.HTTP.TrustedProxies = nil // written as an empty list
	got.SIP.Users = nil
	got.Webhooks.URLs = nil
	if want := Default(); !reflect.DeepEqual(got, want) {
		t.Errorf("uncommented:\n got %+v\nwant %+v", got, want)
	}
}

// TestDocsConfig loads the configurations of docs/sip.md as they stand there.
func TestDocsConfig(t *testing.T) {
	text, err := os.ReadFile("../../docs/sip.md")
	if err != nil {
		t.Fatal(err)
	}
	ca, cert, key, _ := authority(t)
	dir := t.TempDir()
	for name, file := range map[string]string{"ca.pem": ca, "cert.pem": cert, "key.pem": key} {
		if err := os.Rename(file, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	// A block is indented by four, and a configuration if it begins with a section.
	blocks := regexp.MustCompile(`(?m)^    (?:sip|tls):.*\n(?:    .*\n)*`).FindAllString(string(text), -1)
	if len(blocks) < 5 {
		t.Fatalf("%d configurations", len(blocks))
	}
	for _, block := range blocks {
		block = strings.ReplaceAll("\n"+block, "\n    ", "\n")
		if err := os.WriteFile("mixdown.yaml", []byte(block), 0o600); err != nil {
			t.Fatal(err)
		}
		c, warnings, err := Load("mixdown.yaml", nil, nil)
		if err == nil {
			_, err = c.SIP.endpoint(dir, nil)
		}
		if err != nil || len(warnings) > 0 || reflect.DeepEqual(c.SIP, defaultSIP()) {
			t.Errorf("%v %v in%s", err, warnings, block)
		}
	}
}
