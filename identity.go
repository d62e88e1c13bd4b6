package mailbricks

import (
	"context"
	"crypto/tls"
	"errors"
	"net/netip"
)

// ErrAuth says that credentials were refused. It is never wrapped around a reason that tells an unknown user from a
// wrong password.
var ErrAuth = errors.New("mailbricks: authentication failed")

// ErrTemporary says that something could not be decided now: a back end is down, a disk is full. Trying again may help.
var ErrTemporary = errors.New("mailbricks: temporary failure")

// Identity is who has logged in.
type Identity struct {
	// Login is the name whose credentials were shown, in its canonical form: an account's address.
	Login string
	// User is the authorization identity (RFC 4422 §2): whose mail is read or sent. It equals Login unless one user acts
	// for another.
	User string
	// Scope limits what the credentials are good for (an application password, a token); empty: everything.
	Scope string
}

// Peer is the other end of a connection.
type Peer struct {
	// Addr is where it connects from, Local where it connects to. Both are invalid for a peer without an IP address.
	Addr, Local netip.AddrPort
	// Hello is the name that an SMTP client gave with EHLO or HELO.
	Hello string
	// Protocol is the word of RFC 3848 for Received ("ESMTPSA") or "IMAP" or "POP3".
	Protocol string
	// TLS is nil while the connection is in clear.
	TLS *tls.ConnectionState
	// Identity is nil while nobody has logged in.
	Identity *Identity
}

// Exchange is one run of a SASL mechanism (RFC 4422), seen from the server. Servers get it from the authenticator that
// they are given and need to know nothing of mechanisms.
type Exchange interface {
	// Next takes the client's response, decoded; nil means that the client has sent none yet (no initial response),
	// which is not the same as an empty one. It returns a challenge to send, or the identity with which the exchange ends
	// well, or both, when a last challenge must be sent and answered by an empty response before success. ErrAuth means
	// refused credentials, ErrTemporary that they could not be checked, any other error a malformed response.
	//
	// Next may wait (to slow down guessing) until ctx ends.
	Next(ctx context.Context, response []byte) (challenge []byte, id *Identity, err error)
}
