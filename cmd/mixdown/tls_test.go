package main

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSelfSigned(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	now := time.Now()
	names := []string{"localhost", "box"}
	ips := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("2001:db8::1")}
	first, err := selfSigned(dir, names, ips, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "box", "127.0.0.1", "2001:db8::1"} {
		if err := first.Leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "self.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", info, err)
	}
	same := func(names []string, ips []netip.Addr, now time.Time) bool {
		t.Helper()
		c, err := selfSigned(dir, names, ips, now)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { first = c }()
		return bytes.Equal(c.Certificate[0], first.Certificate[0])
	}
	if !same(names, ips, now.Add(time.Hour)) || !same(names[:1], ips[:1], now) {
		t.Error("a good certificate was replaced")
	}
	if same(names, append(ips, netip.MustParseAddr("192.0.2.1")), now) {
		t.Error("a new address is not in the certificate")
	}
	if same(append(names, "other"), ips, now) {
		t.Error("a new name is not in the certificate")
	}
	if same(names, ips, now.Add(certLife-certRenew+2*time.Hour)) {
		t.Error("it was not renewed before its end")
	}
	if got := fingerprint(first); len(got) != 32*3-1 || strings.Count(got, ":") != 31 {
		t.Errorf("fingerprint %q", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "self.crt"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := selfSigned(dir, names, ips, now); err == nil || !strings.Contains(err.Error(), "self.crt") {
		t.Errorf("a broken file: %v", err)
	}
}

func TestCertFilesFollowRenewal(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	if _, err := selfSigned(dir, []string{"old"}, nil, now); err != nil {
		t.Fatal(err)
	}
	clock := now
	f, err := newCertFiles(filepath.Join(dir, "self.crt"), filepath.Join(dir, "self.key"), func() time.Time { return clock })
	if err != nil {
		t.Fatal(err)
	}
	serves := func(name string) bool {
		t.Helper()
		c, err := f.Get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return c.Leaf.VerifyHostname(name) == nil
	}
	if _, err := selfSigned(dir, []string{"new"}, nil, now); err != nil {
		t.Fatal(err)
	}
	later := now.Add(time.Second)
	if err := os.Chtimes(filepath.Join(dir, "self.crt"), later, later); err != nil {
		t.Fatal(err)
	}
	if !serves("old") {
		t.Error("the file was read again at once")
	}
	clock = now.Add(certReread)
	if !serves("new") {
		t.Error("the renewed certificate is not served")
	}
	if err := os.Remove(filepath.Join(dir, "self.crt")); err != nil {
		t.Fatal(err)
	}
	clock = now.Add(3 * certReread)
	if !serves("new") {
		t.Error("the old one does not go on while the file is away")
	}
	if _, err := newCertFiles("/nonexistent", "/nonexistent", time.Now); err == nil || !strings.Contains(err.Error(), "--tls-cert") {
		t.Errorf("missing files: %v", err)
	}
}
