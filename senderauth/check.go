package senderauth

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/senderauth/authres"
	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/spf"
)

// Check is the check; see the package comment. Put it behind checks that refuse without asking the DNS, and in front of
// those that use its results.
func Check(o Options) smtpd.Check {
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.SPF.Resolver == nil {
		o.SPF.Resolver = o.Resolver
	}
	if o.DMARC.Resolver == nil {
		o.DMARC.Resolver = o.Resolver
	}
	c := &checker{o}
	return smtpd.Check{Name: "senderauth", Mail: c.mail, Message: c.message}
}

type checker struct{ Options }

// known says whether the sender needs no check.
func (c *checker) known(s *smtpd.Session) bool {
	return s.Peer.Identity != nil || c.trusted(s)
}

func (c *checker) trusted(s *smtpd.Session) bool { return c.Skip != nil && c.Skip(s) }

// mail does what can be done before the message is there, all at the same time.
func (c *checker) mail(ctx context.Context, tx *smtpd.Transaction) error {
	if !c.known(tx.Session) {
		tx.Set(resultKey{}, c.early(ctx, tx))
	}
	return nil
}

type iprevKey struct{}

func (c *checker) early(ctx context.Context, tx *smtpd.Transaction) *Result {
	s := tx.Session
	client := spf.Client{IP: s.Peer.Addr.Addr(), Helo: s.Peer.Hello, From: tx.Envelope.From}
	checker := c.SPF
	if checker.Hostname == "" {
		checker.Hostname = s.Hostname
	}
	r := new(Result)
	var wg sync.WaitGroup
	if known, ok := s.Value(iprevKey{}).(IPRev); ok {
		r.IPRev = known
	} else {
		wg.Go(func() { r.IPRev = lookUp(ctx, c.Resolver, client.IP) })
	}
	if c.CheckHelo && client.From != "" {
		wg.Go(func() {
			v := checker.Check(ctx, spf.Client{IP: client.IP, Helo: client.Helo})
			r.Helo = &v
		})
	}
	wg.Go(func() { r.SPF = checker.Check(ctx, client) })
	wg.Wait()
	if r.IPRev.Value != "temperror" { // that is worth another try with the next message
		s.Set(iprevKey{}, r.IPRev)
	}
	if r.IPRev.Name != "" && s.ReverseName == "" {
		s.ReverseName = r.IPRev.Name
	}
	return r
}

// message does the rest. An error is the reply.
func (c *checker) message(ctx context.Context, tx *smtpd.Transaction, msg *mailbricks.Message) error {
	servID := c.AuthServID
	if servID == "" {
		servID = tx.Session.Hostname
	}
	if c.trusted(tx.Session) {
		return nil
	}
	if tx.Session.Peer.Identity != nil {
		removeForged(msg, servID)
		return nil
	}
	r, ok := tx.Value(resultKey{}).(*Result)
	if !ok {
		r = c.early(ctx, tx)
		tx.Set(resultKey{}, r)
	}
	if err := c.verify(ctx, r, msg); err != nil {
		return err
	}
	// Removal comes last, as signatures may cover what is removed (RFC 8601 §5).
	removeForged(msg, servID)
	msg.Prepend(authres.Name, r.Field(servID).String())
	if c.OnResult != nil {
		c.OnResult(ctx, tx, r)
	}
	return c.act(r, tx.Envelope)
}

// verify checks the signatures in one pass over the message, and evaluates DMARC.
func (c *checker) verify(ctx context.Context, r *Result, msg *mailbricks.Message) error {
	results, err := dkim.Verify(ctx, msg.Reader(), c.Resolver, c.DKIM)
	if err != nil {
		return fmt.Errorf("senderauth: %w", err)
	}
	r.DKIM = results
	m := dmarc.Message{
		From: msg.Values("From"),
		SPF:  dmarc.SPF{Domain: r.SPF.Domain, Pass: r.SPF.Result == spf.Pass, TempError: r.SPF.Result == spf.TempError},
	}
	for i := range r.DKIM {
		d := &r.DKIM[i]
		if d.Status == dkim.Pass && d.BodyUnsigned > 0 && !c.AcceptPartialBody {
			d.Status, d.Err = dkim.Policy, ErrPartialBody
		}
		m.DKIM = append(m.DKIM, dmarc.DKIM{Domain: d.Domain, Pass: d.Status == dkim.Pass, TempError: d.Status == dkim.TempError})
	}
	r.DMARC = c.DMARC.Evaluate(ctx, m)
	return nil
}
