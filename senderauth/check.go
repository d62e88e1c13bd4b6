package senderauth

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks"
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
	if o.MaxTime <= 0 {
		o.MaxTime = DefaultMaxTime
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
	result *Result
	dns    Resolver
	spent  time.Duration // of MaxTime
}

type (
	stateKey struct{}
	iprevKey struct{}
)

// mail does what can be done before the message is there.
func (c *checker) mail(ctx context.Context, tx *smtpd.Transaction) error {
	if !c.known(tx.Session) {
		c.begin(ctx, tx)
	}
	return nil
}

func (c *checker) begin(ctx context.Context, tx *smtpd.Transaction) *state {
	st := &state{result: new(Result), dns: share(c.Resolver)}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, c.MaxTime/3*2)
	defer cancel()
	c.early(ctx, tx, st)
	st.spent = time.Since(start)
	tx.Set(stateKey{}, st)
	tx.Set(resultKey{}, st.result)
	return st
}

// early checks what is known of the client, all at the same time.
func (c *checker) early(ctx context.Context, tx *smtpd.Transaction, st *state) {
	s, r := tx.Session, st.result
	client := spf.Client{IP: s.Peer.Addr.Addr(), Helo: s.Peer.Hello, From: tx.Envelope.From}
	checker := c.SPF
	if checker.Hostname == "" {
		checker.Hostname = s.Hostname
	}
	if checker.Resolver == nil {
		checker.Resolver = st.dns
	}
	var wg sync.WaitGroup
	if known, ok := s.Value(iprevKey{}).(IPRev); ok {
		r.IPRev = known
	} else {
		wg.Go(func() { r.IPRev = lookUp(ctx, st.dns, client.IP) })
	}
	if c.CheckHelo && client.From != "" {
		wg.Go(func() {
			v := checker.Check(ctx, spf.Client{IP: client.IP, Helo: client.Helo})
			r.Helo = &v
		})
	}
	r.SPF = checker.Check(ctx, client)
	wg.Wait()
	if r.IPRev.Value != "temperror" { // that is worth another try with the next message
		s.Set(iprevKey{}, r.IPRev)
	}
	if r.IPRev.Name != "" && s.ReverseName == "" {
		s.ReverseName = r.IPRev.Name
	}
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
	st, ok := tx.Value(stateKey{}).(*state)
	if !ok {
		st = c.begin(ctx, tx)
	}
	r := st.result
	if err := c.verify(ctx, st, msg); err != nil {
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
