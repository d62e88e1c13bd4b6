package imapd

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/saslline"
	"github.com/mailbricks/mailbricks/internal/serving"
	"github.com/mailbricks/mailbricks/mailbox"
)

// insecure says whether nobody may log in for want of TLS (RFC 3501 §6.2.3).
func (c *conn) insecure() bool { return c.Peer.TLS == nil && !c.set.AllowInsecureAuth }

func (c *conn) mayLogIn() error {
	switch {
	case c.insecure():
		return no(codePrivacyRequired, "Log in over TLS only") // RFC 5530 §3
	case c.set.Auth == nil || c.set.Store == nil:
		return no(codeUnavailable, "Nobody can log in here")
	}
	return nil
}

// login is LOGIN (RFC 3501 §6.2.3): the PLAIN mechanism (RFC 4616) by another name.
func (c *conn) login(ctx context.Context) error {
	var user, password string
	if !c.dec.SP() || !c.dec.AString(&user) || !c.dec.SP() || !c.dec.AString(&password) || !c.dec.End() {
		return c.dec.Err()
	}
	if err := c.mayLogIn(); err != nil {
		return err
	}
	exchange, err := c.set.Auth.Start(ctx, "PLAIN", c.Peer)
	if err != nil {
		return c.loggedIn(ctx, "LOGIN", nil, err)
	}
	_, id, err := exchange.Next(ctx, []byte("\x00"+user+"\x00"+password))
	if err == nil && id == nil {
		err = mailbricks.ErrAuth
	}
	return c.loggedIn(ctx, "LOGIN", id, err)
}

// authenticate is AUTHENTICATE (RFC 3501 §6.2.2) with an initial response (RFC 4959).
func (c *conn) authenticate(ctx context.Context) error {
	var mechanism, initial string
	if !c.dec.SP() || !c.dec.Keyword(&mechanism) {
		return c.dec.Err()
	}
	if c.dec.Accept(' ') && !c.dec.Atom(&initial) || !c.dec.End() {
		return c.dec.Err()
	}
	if err := c.mayLogIn(); err != nil {
		return err
	}
	if !slices.Contains(c.set.Auth.Mechanisms(c.Peer), mechanism) {
		return no(codeCannot, "Unknown mechanism")
	}
	response, err := saslline.Initial(initial, initial != "") // RFC 4959
	if err != nil {
		return badResponse(err)
	}
	exchange, err := c.set.Auth.Start(ctx, mechanism, c.Peer)
	if err != nil {
		return c.loggedIn(ctx, mechanism, nil, err)
	}
	id, err := c.exchange(ctx, exchange, response)
	if _, ours := errors.AsType[*reply](err); ours || c.broken() != nil {
		return err
	}
	return c.loggedIn(ctx, mechanism, id, err)
}

// exchange runs a mechanism. Its error is a reply when the client's lines are at fault.
func (c *conn) exchange(ctx context.Context, ex mailbricks.Exchange, first []byte) (*mailbricks.Identity, error) {
	id, err := saslline.Exchange(first, func(response []byte) ([]byte, *mailbricks.Identity, error) {
		return ex.Next(ctx, response)
	}, c.challenge)
	return id, badResponse(err)
}

// challenge sends a challenge and waits for the line that answers.
func (c *conn) challenge(challenge string) (string, error) {
	c.enc.Raw("+ ").Raw(challenge).CRLF()
	if err := c.dec.NextLine(); err != nil {
		return "", err
	}
	return c.dec.Rest(), nil
}

// badResponse makes a reply of an error that is the client's (RFC 3501 §6.2.2); others stay.
func badResponse(err error) error {
	switch {
	case errors.Is(err, saslline.ErrCancelled):
		return bad("Cancelled")
	case errors.Is(err, saslline.ErrBase64):
		return bad("Invalid base64")
	case errors.Is(err, saslline.ErrNotEmpty):
		return bad("Expected an empty response")
	case errors.Is(err, saslline.ErrTooMany):
		return bad("Too many challenges")
	}
	return err
}

// loggedIn ends a log-in: well, if err is nil and the user's store opens.
func (c *conn) loggedIn(ctx context.Context, mechanism string, id *mailbricks.Identity, err error) error {
	if c.set.Trace.Auth != nil {
		defer func() { c.set.Trace.Auth(&c.Session, mechanism, err) }()
	}
	if err != nil {
		return c.loginFailed(mechanism, err)
	}
	if err = c.enter(ctx, id); err != nil {
		c.log.Warn("imapd: log-in refused", "mechanism", mechanism, "user", id.User, "err", err)
		return err
	}
	c.log.Info("imapd: logged in", "mechanism", mechanism, "login", id.Login, "user", id.User)
	return ok("CAPABILITY "+c.capabilities(), "Logged in")
}

// loginFailed answers a log-in that failed. Nothing tells an unknown user from a wrong password.
func (c *conn) loginFailed(mechanism string, err error) error {
	r := &reply{kind: "NO", code: codeAuthenticationFail, text: "Authentication failed", err: err}
	switch {
	case errors.Is(err, mailbricks.ErrAuth):
	case errors.Is(err, mailbricks.ErrTemporary), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		r.code, r.text = codeUnavailable, "Cannot check credentials now, please try again later"
		return r
	case mechanism != "LOGIN":
		r.kind, r.code, r.text = "BAD", "", "Malformed response"
	}
	c.log.Warn("imapd: authentication failed", "mechanism", mechanism, "err", err)
	if c.authFailures++; serving.Reached(c.authFailures, c.set.maxAuthFailures) {
		c.status(c.tag, r)
		return c.bye("", "Too many failed log-ins")
	}
	return r
}

// lockedText is for users whose mail is encrypted and not opened by what they have shown: not the password (as with SCRAM or
// OAUTHBEARER), or one that the store does not know.
const lockedText = "Your mail is encrypted and this log-in does not open it: log in with your password (PLAIN over TLS) or ask your administrator"

// enter opens the user's store and makes the session one of theirs.
func (c *conn) enter(ctx context.Context, id *mailbricks.Identity) error {
	if !c.set.home.users.Enter(id.User, c.set.maxPerUser) {
		return no(codeLimit, "Too many sessions of this user")
	}
	store, err := c.set.Store(ctx, *id)
	if err != nil {
		c.set.home.users.Leave(id.User)
		if errors.Is(err, mailbricks.ErrAuth) { // RFC 5530 §3: the credentials are good, but not for this
			return &reply{kind: "NO", code: codeAuthorizationFailed, text: "No mail for this user here", err: err}
		}
		if errors.Is(err, mailbox.ErrLocked) { // not AUTHENTICATIONFAILED: no guess, and no reason to forget the password
			return &reply{kind: "NO", code: codeUnavailable, text: lockedText, err: err}
		}
		return err
	}
	c.user, c.store = id.User, store
	c.Peer.Identity = id
	c.place.Leave()
	c.dec.SetLimits(c.set.limits)
	c.loginBy = time.Time{}
	return nil
}

// starttls is STARTTLS (RFC 3501 §6.2.1).
func (c *conn) starttls(context.Context) error {
	if !c.dec.End() {
		return c.dec.Err()
	}
	if c.Peer.TLS != nil {
		return bad("TLS is on already")
	}
	if c.set.TLSConfig == nil {
		return no(codeUnavailable, "TLS is not available")
	}
	c.after = func() error {
		// What came in clear together with STARTTLS is a man in the middle's (CVE-2011-0411).
		if c.br.Buffered() > 0 {
			return c.bye("", "Plaintext behind STARTTLS")
		}
		if err := c.enc.Flush(); err != nil {
			return err
		}
		return c.startTLS()
	}
	return ok("", "Begin TLS negotiation now")
}

// capabilities is what CAPABILITY lists for this connection (RFC 3501 §7.2.1). Extensions add their names here.
func (c *conn) capabilities() string {
	caps := []string{"IMAP4rev1", "LITERAL+", "SASL-IR", "ID", "ENABLE", "IDLE", "NAMESPACE", "UNSELECT", "UIDPLUS", "MOVE",
		"CHILDREN", "ESEARCH", "LIST-EXTENDED", "LIST-STATUS", "SPECIAL-USE", "CREATE-SPECIAL-USE", "STATUS=SIZE",
		c.appendLimit()}
	if c.store != nil {
		return strings.Join(caps, " ")
	}
	if c.Peer.TLS == nil && c.set.TLSConfig != nil {
		caps = append(caps, "STARTTLS")
	}
	if c.insecure() {
		caps = append(caps, "LOGINDISABLED")
	} else if c.set.Auth != nil {
		for _, mechanism := range c.set.Auth.Mechanisms(c.Peer) {
			caps = append(caps, "AUTH="+mechanism)
		}
	}
	return strings.Join(caps, " ")
}
