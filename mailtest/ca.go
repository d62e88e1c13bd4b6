package mailtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks/internal/domainname"
)

// CA is a certificate authority in memory, with an ECDSA P-256 key. What it issues is valid from 1990 to 2100, thus
// also on the clock of a synctest bubble, which starts in the year 2000.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewCA makes a certificate authority that nobody trusts but who is given its Pool.
func NewCA() *CA {
	key := newKey()
	template := newTemplate("mailtest CA")
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	return &CA{cert: issue(template, template, key, key), key: key}
}

// Certificate issues a certificate for these DNS names (also "*.example.com", also U-labels) and IP addresses, good for
// servers and clients. What can be neither is left out. The chain includes the authority's own certificate, as DANE-TA
// needs it (RFC 7671 §5.2.2).
func (ca *CA) Certificate(names ...string) tls.Certificate {
	template := newTemplate("mailtest")
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if ascii, ok := certName(name); ok {
			template.DNSNames = append(template.DNSNames, ascii)
		}
	}
	key := newKey()
	leaf := issue(template, ca.cert, key, ca.key)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw, ca.cert.Raw}, PrivateKey: key, Leaf: leaf}
}

// Root is the authority's own certificate. It must not be changed.
func (ca *CA) Root() *x509.Certificate { return ca.cert }

// Pool has the authority as its only root.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

// ServerConfig is a TLS configuration with a new certificate for these names.
func (ca *CA) ServerConfig(names ...string) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{ca.Certificate(names...)}, MinVersion: tls.VersionTLS12}
}

// ClientConfig is a TLS configuration that trusts the authority and expects a server of this name.
func (ca *CA) ClientConfig(serverName string) *tls.Config {
	return &tls.Config{RootCAs: ca.Pool(), ServerName: serverName, MinVersion: tls.VersionTLS12}
}

func newTemplate(subject string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes([]byte(rand.Text())[:16]), // RFC 5280 §4.1.2.2: at most 20 octets
		Subject:      pkix.Name{CommonName: subject},
		NotBefore:    time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

func newKey() *ecdsa.PrivateKey {
	return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
}

func issue(template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) *x509.Certificate {
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey))))
}

// must is for what fails only if this package is wrong: crypto/rand never fails and names were checked.
func must[T any](v T, err error) T {
	if err != nil {
		panic("mailtest: " + err.Error())
	}
	return v
}

// certName gives a name as a certificate holds it; its first label may be "*" (RFC 6125 §6.4.3).
func certName(name string) (string, bool) {
	host, wild := strings.CutPrefix(name, "*.")
	host, ok := domainname.Identity(host)
	if wild {
		host = "*." + host
	}
	return host, ok
}
