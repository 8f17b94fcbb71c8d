package webrtc

import (
	"net/netip"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	got, err := Check([]string{"203.0.113.7", " 2001:db8::1", "::ffff:198.51.100.1", "10.0.0.1"})
	if err != nil || len(got) != 4 || got[2].String() != "198.51.100.1" {
		t.Fatalf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "example.org", "203.0.113.7:5000", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "fe80::1", "169.254.1.1", "255.255.255.255"} {
		if _, err := Check([]string{bad}); err == nil || !strings.Contains(err.Error(), "--rtc-address") {
			t.Errorf("%q: %v", bad, err)
		}
		if _, err := New(Config{Addresses: []string{bad}}, fakeCodecs(), newFakeRooms(), discard); err == nil {
			t.Errorf("%q: started", bad)
		}
	}
}

func TestDetect(t *testing.T) {
	got, err := Detect()
	if err != nil || len(got) == 0 {
		t.Fatalf("%v, %v", got, err)
	}
	for _, ip := range got {
		if ip.IsUnspecified() || ip.IsMulticast() || ip.IsLinkLocalUnicast() {
			t.Errorf("%v is not usable", ip)
		}
	}
}

func TestWarning(t *testing.T) {
	for _, test := range []struct{ named, found, want string }{
		{"", "127.0.0.1", "loopback"},
		{"", "10.1.2.3 127.0.0.1", "10.1.2.3"},
		{"", "100.64.0.1", "100.64.0.1"},
		{"", "fd00::1", "private"},
		{"", "203.0.113.7 10.0.0.1", ""},
		{"203.0.113.7", "10.0.0.1 127.0.0.1", ""},
		{"10.0.0.1", "172.17.0.2", ""},
		{"127.0.0.1", "127.0.0.1", "loopback"},
	} {
		got := Warning(addrs(test.named), addrs(test.found))
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("named %q, found %q: %q", test.named, test.found, got)
		}
		if got != "" && !strings.Contains(got, "--rtc-address") {
			t.Errorf("%q does not say what to do", got)
		}
	}
}

func addrs(s string) (out []netip.Addr) {
	for _, f := range strings.Fields(s) {
		out = append(out, netip.MustParseAddr(f))
	}
	return out
}

func TestPortTaken(t *testing.T) {
	tr := newTransport(t, newFakeRooms())
	if _, err := New(Config{Port: tr.Port()}, fakeCodecs(), newFakeRooms(), discard); err == nil || !strings.Contains(err.Error(), "--rtc-port") {
		t.Fatalf("port in use: %v", err)
	}
}
