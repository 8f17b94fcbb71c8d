package webrtc

import (
	"fmt"
	"net/netip"
	"testing"
)

func TestPlaces(t *testing.T) {
	addrs := func(s ...string) (out []netip.Addr) {
		for _, a := range s {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	for _, c := range []struct {
		name          string
		public, found []netip.Addr
		want          string
		relays        string
	}{
		{"plain", nil, addrs("192.0.2.1", "2001:db8::1", "127.0.0.1", "::1"), "map[[::1]:7:[::1]:7 127.0.0.1:7:127.0.0.1:7 192.0.2.1:7:192.0.2.1:7 [2001:db8::1]:7:[2001:db8::1]:7]", "[192.0.2.1 2001:db8::1]"},
		{"translated", addrs("203.0.113.7"), addrs("10.0.0.2", "127.0.0.1"), "map[127.0.0.1:7:127.0.0.1:7 203.0.113.7:7:10.0.0.2:7]", "[10.0.0.2]"},
		{"two outsides", addrs("203.0.113.7", "203.0.113.8", "203.0.113.9"), addrs("10.0.0.2", "127.0.0.1"), "map[203.0.113.7:7:10.0.0.2:7 203.0.113.8:7:127.0.0.1:7]", "[10.0.0.2]"},
		{"named and here", addrs("192.0.2.1", "203.0.113.7"), addrs("192.0.2.1", "127.0.0.1"), "map[192.0.2.1:7:192.0.2.1:7 203.0.113.7:7:127.0.0.1:7]", "[192.0.2.1]"},
		{"IPv6 only", addrs("2001:db8::1"), addrs("2001:db8::1", "127.0.0.1"), "map[127.0.0.1:7:127.0.0.1:7 [2001:db8::1]:7:[2001:db8::1]:7]", "[127.0.0.1 2001:db8::1]"},
		{"translated IPv6", addrs("203.0.113.7", "2001:db8::7"), addrs("10.0.0.2", "fd00::2", "127.0.0.1"), "map[127.0.0.1:7:127.0.0.1:7 203.0.113.7:7:10.0.0.2:7 [2001:db8::7]:7:[fd00::2]:7]", "[10.0.0.2 fd00::2]"},
	} {
		places, relays := placesOf(c.public, c.found, 7)
		if got := fmt.Sprint(places); got != c.want || fmt.Sprint(relays) != c.relays {
			t.Errorf("%s: %s, relays %v; want %s, %s", c.name, got, relays, c.want, c.relays)
		}
	}
}
