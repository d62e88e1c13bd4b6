package auth

import (
	"bytes"
	"context"
	"errors"

	"github.com/mailbricks/mailbricks"
)

// errResponse is the error of a response that is not the mechanism's.
var errResponse = errors.New("auth: malformed SASL response")

// plain is the mechanism PLAIN (RFC 4616).
type plain struct {
	auth *Authenticator
	peer mailbricks.Peer
}

func (p *plain) Next(ctx context.Context, response []byte) ([]byte, *mailbricks.Identity, error) {
	if response == nil {
		return []byte{}, nil, nil
	}
	parts := bytes.Split(response, []byte{0}) // RFC 4616 §2: [authzid] NUL authcid NUL passwd
	if len(parts) != 3 {
		return nil, nil, errResponse
	}
	id, err := p.auth.Verify(ctx, p.peer.Addr.Addr(), string(parts[1]), string(parts[2]))
	if err != nil {
		return nil, nil, err
	}
	if authzid := string(parts[0]); authzid != "" && authzid != string(parts[1]) && authzid != id.Login {
		return nil, nil, mailbricks.ErrAuth // nobody acts for another
	}
	if err := p.auth.proved(ctx, p.peer, id, string(parts[2])); err != nil {
		return nil, nil, err
	}
	return nil, id, nil
}

// login is the mechanism LOGIN, which no RFC describes: the server asks for the name, then for the password. A client
// may give the name as initial response.
type login struct {
	auth *Authenticator
	peer mailbricks.Peer
	name *string
}

func (l *login) Next(ctx context.Context, response []byte) ([]byte, *mailbricks.Identity, error) {
	if response == nil {
		return []byte("Username:"), nil, nil
	}
	if l.name == nil {
		name := string(response)
		l.name = &name
		return []byte("Password:"), nil, nil
	}
	id, err := l.auth.Verify(ctx, l.peer.Addr.Addr(), *l.name, string(response))
	if err != nil {
		return nil, nil, err
	}
	if err := l.auth.proved(ctx, l.peer, id, string(response)); err != nil {
		return nil, nil, err
	}
	return nil, id, nil
}
