package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// Files and validity of the self-signed certificate.
const (
	selfSignedCert  = "self-signed.crt"
	selfSignedKey   = "self-signed.key"
	selfSignedYears = 10
)

// certificates serves the certificate of the configuration in force; it is replaced while sessions run.
type certificates struct {
	now  atomic.Pointer[tls.Certificate]
	from string // where it was read, and the dates of the files
}

// load reads the certificate that a configuration names and takes it.
func (c *certificates) load(conf *config) error {
	pair, err := c.read(conf)
	if err != nil {
		return err
	}
	c.take(conf, pair)
	return nil
}

// take puts a certificate into use.
func (c *certificates) take(conf *config, pair *tls.Certificate) {
	c.from = certificateSource(conf)
	c.now.Store(pair)
}

func certificateSource(conf *config) string {
	return conf.tls.mode + " " + conf.tls.cert + " " + conf.tls.key + " " + fileDates(conf.tls.cert, conf.tls.key)
}

// read gives the certificate that a configuration names: the one in use if nothing has changed, as its key may have been
// readable at the start only.
func (c *certificates) read(conf *config) (*tls.Certificate, error) {
	if now := c.now.Load(); now != nil && c.from == certificateSource(conf) {
		return now, nil
	}
	cert, key := conf.tls.cert, conf.tls.key
	if conf.tls.mode == "self-signed" {
		cert, key = conf.path("tls", selfSignedCert), conf.path("tls", selfSignedKey)
		if err := ensureSelfSigned(conf.hostname, cert, key); err != nil {
			return nil, fmt.Errorf("self-signed certificate: %w", err)
		}
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s, key %s: %w", cert, key, err)
	}
	return &pair, nil
}

// config is for all servers. Certificates come and go through it.
func (c *certificates) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, // RFC 8996
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.now.Load(), nil
		},
	}
}

// ensureSelfSigned makes a certificate for the host if there is none, or if the one there is for another host or has
// run out.
func ensureSelfSigned(hostname, certFile, keyFile string) error {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err == nil && pair.Leaf.VerifyHostname(hostname) == nil && time.Now().Before(pair.Leaf.NotAfter) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	cert, key, err := selfSigned(hostname)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{keyFile, key}, {certFile, cert}} {
		if err := durable.WriteFile(durable.OS(), f.name, f.data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// selfSigned makes a certificate and its key, both in PEM.
func selfSigned(hostname string) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: hostname},
		DNSNames:              []string{hostname},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.AddDate(selfSignedYears, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	if hostname == "localhost" {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), nil
}

// fileDates tells whether one of several files has changed.
func fileDates(names ...string) string {
	var dates string
	for _, name := range names {
		if info, err := os.Stat(name); err == nil {
			dates += fmt.Sprint(info.Size(), info.ModTime().UnixNano(), ";")
		} else {
			dates += "-;"
		}
	}
	return dates
}
