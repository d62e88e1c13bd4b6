package senderauth

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/senderauth/authres"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/smtpd/iprev"
	"github.com/mailbricks/mailbricks/spf"
)

// Check is the check; see the package comment. Put it behind checks that refuse without asking the DNS, and in front of
// those that use its results.
func Check(o Options) smtpd.Check {
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.MaxTime <= 0 {
		o.MaxTime = DefaultMaxTime
	}
	if o.SPF.MaxTime == 0 {
		o.SPF.MaxTime = -1 // MaxTime is enough
	}
	if o.DMARC.MaxTime == 0 {
		o.DMARC.MaxTime = -1
	}
	c := &checker{Options: o}
	return smtpd.Check{Name: "senderauth", Mail: c.mail, Message: c.message}
}

type checker struct {
	Options
	buffers sync.Pool // of *[bufferSize]byte
}

// known says whether the sender needs no check.
func (c *checker) known(s *smtpd.Session) bool {
	return s.Peer.Identity != nil || c.trusted(s)
}

func (c *checker) trusted(s *smtpd.Session) bool { return c.Skip != nil && c.Skip(s) }

// state is what is kept of a transaction from MAIL until the message is there.
type state struct {
	dns   Resolver
	spent time.Duration // of MaxTime
}

// mail does what can be done before the message is there.
func (c *checker) mail(ctx context.Context, tx *smtpd.Transaction) error {
	if !c.known(tx.Session) {
		c.begin(ctx, tx)
	}
	return nil
}

func (c *checker) begin(ctx context.Context, tx *smtpd.Transaction) *Result {
	r := &Result{state: state{dns: share(c.Resolver)}}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, c.MaxTime/3*2)
	defer cancel()
	c.early(ctx, tx, r)
	r.state.spent = time.Since(start)
	tx.Set(resultKey{}, r)
	return r
}

// early checks what is known of the client, all at the same time.
func (c *checker) early(ctx context.Context, tx *smtpd.Transaction, r *Result) {
	s := tx.Session
	client := spf.Client{IP: s.Peer.Addr.Addr(), Helo: s.Peer.Hello, From: tx.Envelope.From}
	checker := c.SPF
	if checker.Hostname == "" {
		checker.Hostname = s.Hostname
	}
	if checker.Resolver == nil {
		checker.Resolver = r.state.dns
	}
	others := []func(){func() { r.SPF = checker.Check(ctx, client) }}
	if c.CheckHelo && client.From != "" {
		others = append(others, func() {
			v := checker.Check(ctx, spf.Client{IP: client.IP, Helo: client.Helo})
			r.Helo = &v
		})
	}
	sideBySide(func() { r.IPRev = iprev.OfSession(ctx, r.state.dns, s) }, others...)
}

// message does the rest. An error is the reply.
func (c *checker) message(ctx context.Context, tx *smtpd.Transaction, msg *mailbricks.Message) error {
	if c.trusted(tx.Session) {
		return nil
	}
	servID := c.AuthServID
	if servID == "" {
		servID = tx.Session.Hostname
	}
	if tx.Session.Peer.Identity != nil {
		removeForged(msg, servID)
		return nil
	}
	r, ok := tx.Value(resultKey{}).(*Result)
	if !ok {
		r = c.begin(ctx, tx)
	}
	if err := c.verify(ctx, r, msg); err != nil {
		return err
	}
	c.Policy.decide(r)
	// Removal comes last, as signatures may cover what is removed (RFC 8601 §5).
	removeForged(msg, servID)
	msg.Prepend(authres.Name, r.Field(servID).String())
	if c.OnResult != nil {
		c.OnResult(ctx, tx, msg, r)
	}
	return act(r.Decision, tx.Envelope)
}
