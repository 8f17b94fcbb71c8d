package outside

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestPublic(t *testing.T) {
	for text, want := range map[string]bool{
		"9.9.9.9": true, "2620:fe::fe": true, "64:ff9b::909:909": true,
		"127.0.0.1": false, "10.1.2.3": false, "172.31.0.1": false, "192.168.1.1": false, "169.254.169.254": false,
		"0.0.0.0": false, "0.1.2.3": false, "100.64.0.1": false, "192.0.0.8": false, "198.18.0.1": false,
		"224.0.0.1": false, "255.255.255.255": false, "240.1.1.1": false,
		"::": false, "::1": false, "::ffff:127.0.0.1": false, "::127.0.0.1": false, "fe80::1": false, "fe80::1%eth0": false, "fd00::1": false,
		"ff02::1": false, "64:ff9b::7f00:1": false, "64:ff9b::a9fe:a9fe": false, "2002:7f00:1::": false, "2001:db8::1": false, "fec0::1": false,
	} {
		if got := Public(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: public %v, want %v", text, got, want)
		}
	}
	if Public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

func TestRules(t *testing.T) {
	for _, c := range []struct {
		patterns, host, addr string
		allowed              bool
	}{
		{"", "example.org", "9.9.9.9", false},
		{"*", "example.org", "9.9.9.9", true},
		{"*", "example.org", "10.0.0.1", false},
		{"*", "9.9.9.9", "9.9.9.9", true},
		{"* 10.0.0.0/8", "camera.lan", "10.0.0.1", true},
		{"* 10.0.0.0/8", "camera.lan", "192.168.0.1", false},
		{"10.0.0.0/8", "example.org", "9.9.9.9", false},
		{"10.0.0.7", "10.0.0.7", "10.0.0.7", true},
		{"10.0.0.7", "10.0.0.8", "10.0.0.8", false},
		{"127.0.0.0/8", "x", "::ffff:127.0.0.1", true},
		{"live.example.org", "LIVE.example.org.", "9.9.9.9", true},
		{"live.example.org", "live.example.org", "127.0.0.1", false},
		{"live.example.org", "xlive.example.org", "9.9.9.9", false},
		{"*.example.org", "a.b.example.org", "9.9.9.9", true},
		{"*.example.org", "example.org", "9.9.9.9", false},
		{"*.example.org", "evilexample.org", "9.9.9.9", false},
	} {
		r, err := Parse(strings.Fields(c.patterns))
		if err != nil {
			t.Fatal(err)
		}
		err = r.Check(c.host, netip.MustParseAddr(c.addr))
		if allowed := err == nil; allowed != c.allowed || err != nil && !errors.Is(err, ErrRefused) {
			t.Errorf("%q: %s at %s: %v", c.patterns, c.host, c.addr, err)
		}
	}
	for _, bad := range []string{"", "http://example.org", "a b", "exa*mple.org", "example.org:80", "10.0.0.0/40", "a..b"} {
		if _, err := Parse([]string{bad}); err == nil {
			t.Errorf("%q was taken for a pattern", bad)
		}
	}
}

// TestDial connects to a listener on loopback, by name and by address.
func TestDial(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, c := range []struct {
		patterns, host string
		allowed        bool
	}{
		{"*", "127.0.0.1", false},
		{"*", "localhost", false},
		{"localhost", "localhost", false},
		{"* 127.0.0.0/8 ::1", "localhost", true},
		{"127.0.0.1", "127.0.0.1", true},
		{"example.org", "localhost", false},
	} {
		r, err := Parse(strings.Fields(c.patterns))
		if err != nil {
			t.Fatal(err)
		}
		conn, err := r.DialContext(t.Context(), "tcp", net.JoinHostPort(c.host, port))
		if err == nil {
			conn.Close()
		}
		if (err == nil) != c.allowed || err != nil && !errors.Is(err, ErrRefused) {
			t.Errorf("%q: dial %s: %v", c.patterns, c.host, err)
		}
		if _, err := r.Resolve(context.Background(), c.host); (err == nil) != c.allowed {
			t.Errorf("%q: resolve %s: %v", c.patterns, c.host, err)
		}
	}
}
