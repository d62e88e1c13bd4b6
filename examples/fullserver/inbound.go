package main

import (
	"context"
	"slices"

	"golang.org/x/net/publicsuffix"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/auth/directory"
	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/imapd"
	"github.com/mailbricks/mailbricks/pop3d"
	"github.com/mailbricks/mailbricks/resolver"
	"github.com/mailbricks/mailbricks/senderauth"
	"github.com/mailbricks/mailbricks/senderauth/sign"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/smtpd/submission"
)

// settings are the servers as one configuration has them. Each new connection gets the settings in force.
type settings struct {
	mx, submission, lmtp *smtpd.Server
	imap                 *imapd.Server
	pop3                 *pop3d.Server
}

func (a *app) settings(c *config, certs *certificates, dns *resolver.Resolver) *settings {
	return &settings{
		mx: a.mx(c, certs, dns), submission: a.submission(c, certs), lmtp: a.lmtp(c, certs),
		imap: &imapd.Server{
			Hostname: c.hostname, Auth: a.login, Store: a.store.Store, TLSConfig: certs.config(), Logger: a.log,
			MaxConnections: c.limits.connections, MaxConnectionsPerIP: c.limits.connectionsPerIP, MaxAppendSize: unlimited(c.limits.messageSize),
			MayAppend: roomToAppend(c),
			Trace:     imapd.Trace{Auth: func(s *imapd.Session, _ string, err error) { a.failedLogIn("IMAP", s.Peer, err) }},
		},
		pop3: &pop3d.Server{
			Hostname: c.hostname, Auth: a.login, Store: a.store.Store, TLSConfig: certs.config(), Logger: a.log,
			MaxConnections: c.limits.connections, MaxConnectionsPerIP: c.limits.connectionsPerIP,
			Trace: pop3d.Trace{Auth: func(s *pop3d.Session, _ string, err error) { a.failedLogIn("POP3", s.Peer, err) }},
		},
	}
}

// servers makes the server of each service; now gives the settings in force, which hold for each new connection.
func (a *app) servers(certs *certificates, now func() *settings) map[string]server {
	mx := func() *smtpd.Server { return now().mx }
	submission := func() *smtpd.Server { return now().submission }
	lmtp := func() *smtpd.Server { return now().lmtp }
	smtp := func(settings func() *smtpd.Server) *smtpd.Server {
		return &smtpd.Server{TLSConfig: certs.config(), Logger: a.log, PerConnection: settings}
	}
	imap := func() *imapd.Server {
		return &imapd.Server{TLSConfig: certs.config(), Logger: a.log, PerConnection: func() *imapd.Server { return now().imap }}
	}
	// One POP3 server for both services: it keeps the sessions of a user apart (RFC 1939 §4).
	pop3 := &pop3d.Server{TLSConfig: certs.config(), Logger: a.log, PerConnection: func() *pop3d.Server { return now().pop3 }}
	return map[string]server{
		"smtp": smtp(mx), "submission": smtp(submission), "submissions": smtp(submission),
		"imap": imap(), "imaps": imap(), "pop3": pop3, "pop3s": pop3, "lmtp": smtp(lmtp),
	}
}

// smtp is what the services that take mail have in common.
func (a *app) smtp(c *config, certs *certificates) *smtpd.Server {
	srv := &smtpd.Server{
		Hostname: c.hostname, Handler: a.deliver, TLSConfig: certs.config(), Logger: a.log,
		Spool:          &mailbricks.Spool{Dir: c.path("state", "spool")},
		MaxMessageSize: unlimited(c.limits.messageSize), MaxRecipients: c.limits.recipients, MaxHops: c.limits.hopCount,
		MaxConnections: c.limits.connections, MaxConnectionsPerIP: c.limits.connectionsPerIP,
	}
	c.defence.session.set(srv)
	if bans := a.guards.Load().bans.guard; bans != nil {
		srv.Trace.Outcome = bans.Outcome
	}
	return srv
}

// unlimited makes the size 0, which the configuration has for "no limit", what a server has for it.
func unlimited(n int64) int64 {
	if n == 0 {
		return -1
	}
	return n
}

// mx takes mail from other servers.
func (a *app) mx(c *config, certs *certificates, dns *resolver.Resolver) *smtpd.Server {
	srv := a.smtp(c, certs)
	trusted := func(peer mailbricks.Peer) bool { return isTrusted(c, peer) }
	auth := senderauth.Options{
		Resolver:       dns,
		Policy:         authPolicy(c),
		TrustedSealers: c.policy.trustedSealers,
		Skip:           func(s *smtpd.Session) bool { return trusted(s.Peer) },
		DMARC:          evaluator(c),
		OnResult:       a.record,
	}
	g := a.guards.Load()
	srv.Checks = slices.Concat(
		g.gate(g.inbound), []smtpd.Check{room(c), a.recipients(trusted)}, a.strangers(c, dns), []smtpd.Check{senderauth.Check(auth)})
	return srv
}

// submission takes mail from the users of this server.
func (a *app) submission(c *config, certs *certificates) *smtpd.Server {
	srv := a.smtp(c, certs)
	srv.Auth, srv.RequireAuth, srv.UnqualifiedSenders = a.login, true, true
	loggedIn := func(peer mailbricks.Peer) bool { return peer.Identity != nil }
	g := a.guards.Load()
	srv.Checks = append(g.gate(g.outbound), room(c), submission.Check(a.dir), a.recipients(loggedIn))
	return srv
}

// lmtp takes mail from another mail server in front of this one, which has checked it (RFC 2033).
func (a *app) lmtp(c *config, certs *certificates) *smtpd.Server {
	srv := a.smtp(c, certs)
	srv.LMTP, srv.Handler = true, a.deliverEach()
	nobody := func(mailbricks.Peer) bool { return false }
	srv.Checks = []smtpd.Check{room(c), a.recipients(nobody)}
	return srv
}

// deliverEach has an outcome for each recipient, which LMTP has a reply for. Those that are one account each, as nearly all
// are, get the message together, so that it is written once. Any other gets it alone: what one of its targets is refused is
// settled within its outcome, and never by a notification because another recipient has got the message.
func (a *app) deliverEach() mailbricks.Handler {
	together := a.dir.Expand(a.store)
	return mailbricks.HandlerFunc(func(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
		results := make(mailbricks.Results, len(env.Recipients))
		hand := func(next mailbricks.Handler, which ...int) {
			if len(which) == 0 {
				return
			}
			part := msg.Clone()
			defer part.Close()
			var rcpts []mailbricks.Recipient
			for _, i := range which {
				rcpts = append(rcpts, env.Recipients[i])
			}
			outcomes := mailbricks.ResultsOf(next.Handle(ctx, env.WithRecipients(rcpts), part), len(which))
			for k, i := range which {
				results[i] = outcomes[k]
			}
		}
		var accounts []int
		for i, rcpt := range env.Recipients {
			targets, err := a.dir.Resolve(rcpt.Address)
			if err == nil && len(targets) == 1 && a.dir.IsAccount(targets[0]) {
				accounts = append(accounts, i)
			} else {
				hand(a.deliver, i)
			}
		}
		hand(together, accounts...)
		return results.Err()
	})
}

// evaluator evaluates DMARC.
func evaluator(c *config) dmarc.Evaluator {
	if c.policy.dmarcMode == "rfc7489" {
		return dmarc.Evaluator{PublicSuffixes: publicsuffix.List}
	}
	return dmarc.Evaluator{}
}

func isTrusted(c *config, peer mailbricks.Peer) bool {
	return contains(c.policy.trustedNetworks, peer)
}

// isOwn says whether a message is one of this server's users, which leaves with its signature: not one that an alias
// sends on.
func (a *app) isOwn(env *mailbricks.Envelope) bool {
	return sign.Own(env) || isTrusted(a.config(), env.Peer)
}

// recipients refuses addresses that nobody here has or that have no room, and other servers' addresses unless the peer may
// relay.
func (a *app) recipients(mayRelay func(mailbricks.Peer) bool) smtpd.Check {
	return smtpd.Check{Name: "recipients", Rcpt: func(ctx context.Context, tx *smtpd.Transaction, rcpt *mailbricks.Recipient) error {
		if !a.dir.Takes(rcpt.Address) {
			if mayRelay(tx.Session.Peer) {
				return nil
			}
			return &mailbricks.Reply{Code: 550, Enhanced: "5.7.1", Text: "<" + rcpt.Address + ">: relaying denied"}
		}
		targets, err := a.dir.Resolve(rcpt.Address)
		if err != nil {
			return directory.Refusal(rcpt.Address, err)
		}
		return a.taken(ctx, targets, tx.Envelope.Size)
	}}
}
