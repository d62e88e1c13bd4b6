package smtpd

import (
	"crypto/tls"
	"errors"
)

// errNoCertificate is the error for a TLSConfig with which every handshake would fail.
var errNoCertificate = errors.New("smtpd: TLSConfig has no certificate and no function that gives one")

// check says why the fields of a Server cannot be served, and warns of those that cannot serve anybody. Those that PerConnection
// gives instead come later.
func (set *settings) check() error {
	if set.PerConnection != nil {
		return nil
	}
	if set.TLSConfig != nil && !hasCertificate(set.TLSConfig) {
		return errNoCertificate
	}
	switch byProxy := set.TrustXCLIENT != nil; {
	case set.RequireAuth && set.Auth == nil && !byProxy:
		set.logger.Warn("smtpd: RequireAuth without Auth, nobody can send mail")
	case set.Auth != nil && set.TLSConfig == nil && !set.AllowInsecureAuth:
		set.logger.Warn("smtpd: Auth without TLSConfig or AllowInsecureAuth, nobody can log in")
	}
	return nil
}

// hasCertificate says whether a configuration can serve a handshake; tls.Listen asks for the same.
func hasCertificate(c *tls.Config) bool {
	return len(c.Certificates) > 0 || c.GetCertificate != nil || c.GetConfigForClient != nil
}
