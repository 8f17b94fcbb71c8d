package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	certLife   = 365 * 24 * time.Hour // phones refuse more than 825 days
	certRenew  = 30 * 24 * time.Hour  // before its end
	certReread = time.Minute
)

// selfSigned returns the certificate kept in dir, or makes a new one if there
// is none, it is about to expire, or it lacks a name or address.
func selfSigned(dir string, names []string, ips []netip.Addr, now time.Time) (tls.Certificate, error) {
	certFile, keyFile := filepath.Join(dir, "self.crt"), filepath.Join(dir, "self.key")
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	switch {
	case err == nil && covers(cert.Leaf, names, ips, now):
		return cert, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return cert, fmt.Errorf("self-signed certificate: %w; remove %s to have a new one made", err, certFile)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return cert, fmt.Errorf("self-signed certificate: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return cert, fmt.Errorf("self-signed certificate: %w", err)
	}
	template := x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "mixdown (self-signed)"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(certLife),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:                  true, // so that it can be installed on a phone
		BasicConstraintsValid: true,
		DNSNames:              names,
	}
	for _, ip := range ips {
		template.IPAddresses = append(template.IPAddresses, net.IP(ip.AsSlice()))
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		return cert, fmt.Errorf("self-signed certificate: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return cert, fmt.Errorf("self-signed certificate: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return cert, err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	if err := errors.Join(os.WriteFile(keyFile, keyPEM, 0o600), os.WriteFile(certFile, certPEM, 0o644)); err != nil {
		return cert, err
	}
	return tls.X509KeyPair(certPEM, keyPEM)
}

func covers(leaf *x509.Certificate, names []string, ips []netip.Addr, now time.Time) bool {
	if now.Before(leaf.NotBefore) || now.Add(certRenew).After(leaf.NotAfter) {
		return false
	}
	for _, n := range names {
		if !slices.Contains(leaf.DNSNames, n) {
			return false
		}
	}
	for _, ip := range ips {
		if !slices.ContainsFunc(leaf.IPAddresses, func(have net.IP) bool { return have.Equal(net.IP(ip.AsSlice())) }) {
			return false
		}
	}
	return true
}

// fingerprint is a certificate's SHA-256 as browsers show it.
func fingerprint(cert tls.Certificate) string {
	sum := sha256.Sum256(cert.Certificate[0])
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}

// certFiles is a certificate in two files that others renew.
type certFiles struct {
	cert, key string
	now       func() time.Time

	mu      sync.Mutex
	loaded  *tls.Certificate
	checked time.Time
	stamp   time.Time
}

func newCertFiles(cert, key string, now func() time.Time) (*certFiles, error) {
	f := &certFiles{cert: cert, key: key, now: now}
	if err := f.load(); err != nil {
		return nil, fmt.Errorf("--tls-cert and --tls-key: %w", err)
	}
	return f, nil
}

func (f *certFiles) load() error {
	info, err := os.Stat(f.cert)
	if err != nil {
		return err
	}
	f.checked = f.now()
	if f.loaded != nil && info.ModTime().Equal(f.stamp) {
		return nil
	}
	c, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return err
	}
	f.loaded, f.stamp = &c, info.ModTime()
	return nil
}

// watch reads the files again when it is told to.
func (f *certFiles) watch(ctx context.Context, hangup <-chan os.Signal, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			if err := f.reread(); err != nil {
				log.Error("certificate not read again, the old one goes on", "error", err)
			} else {
				log.Info("certificate read again", "file", f.cert)
			}
		}
	}
}

// reread reads the files whatever their times say.
func (f *certFiles) reread() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stamp = time.Time{}
	return f.load()
}

// Get returns the certificate, read again when its file has changed. While the
// files are being replaced the old one goes on.
func (f *certFiles) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now().Sub(f.checked) >= certReread {
		if err := f.load(); err != nil {
			f.checked = f.now()
		}
	}
	return f.loaded, nil
}
