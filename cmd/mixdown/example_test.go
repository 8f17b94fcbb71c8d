package main

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
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
