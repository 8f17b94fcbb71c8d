package api

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"mixdown/mixer"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func claims(change func(*Claims)) Claims {
	c := Claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: testKeys.ID, Subject: "ada", IssuedAt: jwt.NewNumericDate(noon),
			NotBefore: jwt.NewNumericDate(noon), ExpiresAt: jwt.NewNumericDate(noon.Add(time.Hour)),
		},
		Name: "Ada", Room: Grant{Room: "demo", Role: mixer.Participant},
	}
	if change != nil {
		change(&c)
	}
	return c
}

func sign(t testing.TB, m jwt.SigningMethod, key any, c Claims) string {
	t.Helper()
	s, err := jwt.NewWithClaims(m, c).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMintVerify(t *testing.T) {
	who := mixer.Identity{ID: "ada", Name: "Ada L.", Role: mixer.Host}
	token, err := testKeys.Mint(who, "demo", noon, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	b, err := testKeys.Verify(token, noon.Add(59*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if b.Identity != who || b.Room != "demo" || !b.Expires.Equal(noon.Add(time.Hour)) || !b.Issued.Equal(noon) {
		t.Fatalf("got %+v", b)
	}
	if !b.In("demo") || b.In("other") || !b.Host("demo") || b.Host("other") || b.Admin() {
		t.Fatalf("rights of %+v", b)
	}
	for _, bad := range []struct {
		who  mixer.Identity
		room string
		ttl  time.Duration
	}{
		{mixer.Identity{Role: mixer.Host}, "demo", time.Hour},
		{mixer.Identity{ID: "a", Role: "king"}, "demo", time.Hour},
		{mixer.Identity{ID: "a", Role: mixer.Host}, "no such/room", time.Hour},
		{mixer.Identity{ID: "a\nb", Role: mixer.Host}, "demo", time.Hour},
		{mixer.Identity{ID: "a", Role: mixer.Host}, "demo", 0},
	} {
		if _, err := testKeys.Mint(bad.who, bad.room, noon, bad.ttl); err == nil {
			t.Errorf("minted %+v", bad)
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	secret := []byte(testKeys.Secret)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good := sign(t, jwt.SigningMethodHS256, secret, claims(nil))
	for name, token := range map[string]string{
		"expired":          sign(t, jwt.SigningMethodHS256, secret, claims(func(c *Claims) { c.ExpiresAt = jwt.NewNumericDate(noon.Add(-11 * time.Second)) })),
		"without exp":      sign(t, jwt.SigningMethodHS256, secret, claims(func(c *Claims) { c.ExpiresAt = nil })),
		"not yet":          sign(t, jwt.SigningMethodHS256, secret, claims(func(c *Claims) { c.NotBefore = jwt.NewNumericDate(noon.Add(time.Minute)) })),
		"foreign secret":   sign(t, jwt.SigningMethodHS256, []byte(strings.Repeat("x", 48)), claims(nil)),
		"foreign key id":   sign(t, jwt.SigningMethodHS256, secret, claims(func(c *Claims) { c.Issuer = "key-other" })),
		"without key id":   sign(t, jwt.SigningMethodHS256, secret, claims(func(c *Claims) { c.Issuer = "" })),
		"unsigned":         sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claims(nil)),
		"HS512":            sign(t, jwt.SigningMethodHS512, secret, claims(nil)),
		"RS256":            sign(t, jwt.SigningMethodRS256, rsaKey, claims(nil)),
		"cut":              good[:len(good)-4],
		"without a sub":    sign(t, jwt.SigningMethodHS256, secret, claims(func(c *Claims) { c.Subject = "" })),
		"without a room":   sign(t, jwt.SigningMethodHS256, secret, claims(func(c *Claims) { c.Room.Room = "" })),
		"unknown role":     sign(t, jwt.SigningMethodHS256, secret, claims(func(c *Claims) { c.Room.Role = "king" })),
		"empty":            "",
		"no token":         "hello",
		"changed payload":  strings.Split(good, ".")[0] + "." + strings.Split(sign(t, jwt.SigningMethodHS256, []byte("x"), claims(func(c *Claims) { c.Room.Role = mixer.Host })), ".")[1] + "." + strings.Split(good, ".")[2],
		"trailing garbage": good + ".x",
	} {
		_, err := testKeys.Verify(token, noon)
		var p *Problem
		if !errors.As(err, &p) || p.Status != http.StatusUnauthorized {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := testKeys.Verify(good, noon.Add(time.Hour+9*time.Second)); err != nil {
		t.Errorf("leeway: %v", err)
	}
	if _, err := testKeys.Verify(good, noon.Add(-9*time.Second)); err != nil {
		t.Errorf("leeway: %v", err)
	}
}

func TestLoadKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "keys.json")
	k, created, err := LoadKeys(path)
	if err != nil || !created || k.Validate() != nil {
		t.Fatal(k, created, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info.Mode(), err)
	}
	again, created, err := LoadKeys(path)
	if err != nil || created || again != k {
		t.Fatal(again, created, err)
	}
	for _, bad := range []string{"", "{", `{"api_key":"a","api_secret":"short"}`, `{"api_key":"a","secret":"x"}`} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := LoadKeys(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestCleanName(t *testing.T) {
	for in, want := range map[string]string{
		"  Ada  ":                "Ada",
		"Ada\t\n Lovelace":       "Ada Lovelace",
		"a\x00b\x1bc":            "abc",
		"\u202eevil":             "evil",
		"\u200b\ufeff":           "",
		"👩\u200d💻":               "👩\u200d💻",
		"\xff\xfe":               "",
		strings.Repeat("é", 100): strings.Repeat("é", 64),
	} {
		if got := cleanName(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzVerify(f *testing.F) {
	good, err := testKeys.Mint(mixer.Identity{ID: "ada", Role: mixer.Host}, "demo", noon, time.Hour)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good + "=")
	f.Add("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		b, err := testKeys.Verify(token, noon)
		if err == nil && token != good {
			t.Fatalf("%q passes as %+v", token, b)
		}
		if err != nil && toProblem(err).Status != http.StatusUnauthorized {
			t.Fatalf("%q: %v", token, err)
		}
	})
}
