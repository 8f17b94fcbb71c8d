package api

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"mixdown/mixer"
)

// TestRelays: who joins is told of relays with credentials of its own, by the
// name that it has for the server, in the join's answer and in Link headers.
func TestRelays(t *testing.T) {
	type call struct {
		user, host string
		end        time.Time
	}
	var calls []call
	var now func() time.Time
	b := newBench(t, func(c *Config) {
		now = c.Now
		c.PublicURL = "https://meet.example:8443"
		c.ICEServers = []ICEServer{{URLs: []string{"stun:s.example"}}}
		c.Relays = func(user, host string, end time.Time) []ICEServer {
			calls = append(calls, call{user, host, end})
			return []ICEServer{{URLs: []string{"turns:" + host + ":443?transport=tcp"}, Username: "1:" + user, Credential: "p"}}
		}
	})
	b.room()
	for _, who := range []string{"ada", "ada", "eve"} {
		w := b.offer("/whep/demo", b.token(who, mixer.Viewer, "demo"), sdp).is(http.StatusCreated)
		links := w.Header().Values("Link")
		u := calls[len(calls)-1].user
		want := `<turns:meet.example:443?transport=tcp>; rel="ice-server"; username="1:` + u + `"; credential="p"; credential-type="password"`
		if len(links) != 2 || links[1] != want || strings.Contains(u, who) {
			t.Errorf("%s: links %q, want %q", who, links, want)
		}
	}
	if len(calls) != 3 || calls[0].user != calls[1].user || calls[0].user == calls[2].user || calls[0].host != "meet.example" {
		t.Errorf("%+v", calls)
	}
	if d := calls[0].end.Sub(now()); d <= 0 || d > 48*time.Hour {
		t.Errorf("credentials end %v from now", d)
	}
}
