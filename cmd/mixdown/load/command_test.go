package load

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// parse reads a command line as main does.
func parse(t *testing.T, args ...string) (*Command, error) {
	t.Helper()
	var c struct {
		Load Command `cmd:""`
	}
	k, err := kong.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	_, err = k.Parse(append([]string{"load"}, args...))
	return &c.Load, err
}

func TestFlags(t *testing.T) {
	c, err := parse(t, "--url", "https://mix.example:8443/", "--room", "r", "--bots", "25", "--duration", "30s", "--json", "f", "--viewers", "3",
		"--listen", "2", "--size", "1280x720", "--fps", "30", "--no-names", "--cache", "d", "--start-interval", "50ms", "--tier", "360p", "--insecure", "--join-key", "k")
	if err != nil {
		t.Fatal(err)
	}
	if c.Bots != 25 || c.Names || c.FPS != 30 || !c.Insecure {
		t.Errorf("%+v", c)
	}
	if w, h, err := c.size(); w != 1280 || h != 720 || err != nil {
		t.Error(w, h, err)
	}
	if c.Takes[0] != "VP8" || len(c.Takes) != 1 {
		t.Errorf("they take %v", c.Takes)
	}
	for _, args := range [][]string{{"--takes", "H264,vp8", "--listen", "0"}, {"--takes", "H264", "--bots", "0", "--viewers", "1", "--listen", "0"}} {
		if _, err := parse(t, args...); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range [][]string{
		{"--url", "mix.example"}, {"--url", "ftp://mix"}, {"--size", "640"}, {"--size", "641x360"}, {"--size", "640x360x"}, {"--size", "99999x2"},
		{"--fps", "60"}, {"--bots", "-1"}, {"--bots", "0"}, {"--bots", "999"}, {"--sound", "music"}, {"--bitrate", "1"}, {"--viewers", "-1"}, {"--duration", "-1s"},
		{"--rooms", "0"}, {"--rooms", "50", "--bots", "50"}, {"--rooms", "2", "--join-key", "k"}, {"--settle", "9s", "--duration", "9s"},
		{"--takes", "H264"}, {"--takes", "VP8,H264"}, {"--takes", "H264", "--bots", "0", "--viewers", "1"},
	} {
		if _, err := parse(t, bad...); err == nil {
			t.Errorf("%v is accepted", bad)
		}
	}
}

func TestRooms(t *testing.T) {
	c, err := parse(t, "--room", "r", "--rooms", "3", "--bots", "2", "--viewers", "1", "--first", "10", "--listen", "4")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range c.each() {
		got = append(got, fmt.Sprintf("%s from %d, %d listen", r.Room, r.First, r.Listen))
	}
	if want := []string{"r-1 from 10, 4 listen", "r-2 from 12, 1 listen", "r-3 from 14, 0 listen"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if c, err = parse(t, "--room", "r"); err != nil || c.each()[0].Room != "r" {
		t.Errorf("one room: %v", err)
	}
}

func TestDoor(t *testing.T) {
	t.Setenv("MIXDOWN_API_KEY", "")
	t.Setenv("MIXDOWN_API_SECRET", "")
	dir := t.TempDir()
	c, err := parse(t, "--data-dir", dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.door(); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "--join-key") {
		t.Errorf("without any key: %v", err)
	}
	keys := `{"api_key": "k", "api_secret": "` + strings.Repeat("s", 32) + `"}`
	if err := os.WriteFile(filepath.Join(dir, "keys.json"), []byte(keys), 0o600); err != nil {
		t.Fatal(err)
	}
	if d, err := c.door(); err != nil || d.Keys == nil || d.Keys.ID != "k" {
		t.Errorf("with the server's keys: %v", err)
	}
	c.APIKey, c.APISecret = "other", "short"
	if _, err := c.door(); err == nil {
		t.Error("a short secret is accepted")
	}
	c.JoinKey = "open sesame"
	if d, err := c.door(); err != nil || d.Keys != nil {
		t.Errorf("with a join key: %v", err)
	}
}
