package api

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Keys is the pair that signs and checks tokens.
type Keys struct {
	ID     string `json:"api_key"`
	Secret string `json:"api_secret"`
}

// minSecret is the shortest secret that HS256 may use (RFC 7518, section 3.2).
const minSecret = 32

// Validate says what is wrong with the pair.
func (k Keys) Validate() error {
	if k.ID == "" {
		return errors.New("api key: is empty")
	}
	if len(k.Secret) < minSecret {
		return fmt.Errorf("api secret: has %d bytes, needs at least %d (RFC 7518, section 3.2)", len(k.Secret), minSecret)
	}
	return nil
}

// LoadKeys reads the pair from path, or makes one and keeps it there for its
// owner only.
func LoadKeys(path string) (k Keys, created bool, err error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		k = Keys{ID: "key-" + randomText(6), Secret: randomText(32)}
		return k, true, writeJSON(path, k)
	}
	if err != nil {
		return k, false, fmt.Errorf("api keys: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&k); err != nil {
		return k, false, fmt.Errorf("api keys %s: %w", path, err)
	}
	if err := k.Validate(); err != nil {
		return k, false, fmt.Errorf("api keys %s: %w", path, err)
	}
	return k, false, nil
}

// randomText returns n random bytes as URL-safe text.
func randomText(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b)
}

// writeJSON replaces the file at path at once, readable by its owner only: a
// crash leaves the old one or the new one.
func writeJSON(path string, v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // is 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails after the rename
	_, err = f.Write(append(raw, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}
