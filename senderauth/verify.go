package senderauth

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dkim/arc"
	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/internal/dnserror"
	"github.com/mailbricks/mailbricks/spf"
)

// verify checks the signatures in one pass over the message, and evaluates DMARC. It fails when the message cannot be read.
func (c *checker) verify(ctx context.Context, r *Result, msg *mailbricks.Message) error {
	left := max(c.MaxTime-r.state.spent, c.MaxTime/3)
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	from := msg.Values("From")
	evaluator := c.DMARC
	if evaluator.Resolver == nil {
		evaluator.Resolver = r.state.dns
		early := soon(func() { discover(ctx, &evaluator, from) })
		defer early.join()
		defer cancel()
	}
	if err := c.signatures(ctx, r, msg, left/4*3); err != nil { // the rest is DMARC's
		return err
	}
	m := dmarc.Message{From: from}
	m.SPF, m.DKIM = identifiers(r)
	r.DMARC = evaluator.Evaluate(ctx, m)
	c.vouch(ctx, &evaluator, r, from)
	return nil
}

// signatures checks DKIM and ARC, whose look-ups may take limit.
func (c *checker) signatures(ctx context.Context, r *Result, msg *mailbricks.Message, limit time.Duration) error {
	o := c.DKIM
	o.LookupTimeout = atMost(o.LookupTimeout, limit)
	signatures := dkim.NewVerifier(r.state.dns, o)
	to := sink{dkim: signatures, buffers: &c.buffers}
	if mayHaveChain(msg.Header()) {
		o := c.ARC
		o.LookupTimeout = atMost(o.LookupTimeout, limit)
		to.arc = arc.NewVerifier(r.state.dns, o)
	}
	if _, err := msg.WriteTo(to); err != nil {
		return fmt.Errorf("senderauth: reading the message: %w", err)
	}
	var wg sync.WaitGroup
	if to.arc == nil {
		r.ARC.Status = arc.None
	} else {
		wg.Go(func() { r.ARC = to.arc.Result(ctx) })
	}
	r.DKIM = signatures.Results(ctx)
	wg.Wait()
	for i := range r.DKIM {
		if d := &r.DKIM[i]; d.Status == dkim.Pass && d.BodyUnsigned > 0 && !c.AcceptPartialBody {
			d.Status, d.Err = dkim.Policy, ErrPartialBody
		}
	}
	return nil
}

// atMost is a limit of time, 0 standing for the default, that another one bounds.
func atMost(d, limit time.Duration) time.Duration {
	if d <= 0 || d > limit {
		return limit
	}
	return d
}

// identifiers are what DMARC compares with the author's domain.
func identifiers(r *Result) (dmarc.SPF, []dmarc.DKIM) {
	signers := make([]dmarc.DKIM, 0, len(r.DKIM))
	for i := range r.DKIM {
		d := &r.DKIM[i]
		signers = append(signers, dmarc.DKIM{Domain: d.Domain, Pass: d.Status == dkim.Pass, TempError: d.Status == dkim.TempError})
	}
	return dmarc.SPF{Domain: r.SPF.Domain, Pass: r.SPF.Result == spf.Pass, TempError: r.SPF.Result == spf.TempError}, signers
}

// discover asks for what the evaluation of DMARC begins with, so that it is there when the signatures have been checked.
func discover(ctx context.Context, evaluator *dmarc.Evaluator, from []string) {
	limit := evaluator.MaxAuthorDomains
	if limit <= 0 {
		limit = dmarc.DefaultMaxAuthorDomains
	}
	domains, _ := dmarc.AuthorDomains(from...)
	domains = domains[:min(len(domains), limit)]
	if len(domains) == 0 {
		return
	}
	look := func(domain string) {
		txts, err := evaluator.Resolver.LookupTXT(ctx, "_dmarc."+domain+".")
		if err != nil && !dnserror.NotFound(err) || slices.ContainsFunc(txts, isRecord) {
			return
		}
		_, _ = evaluator.OrganizationalDomain(ctx, domain)
	}
	var wg sync.WaitGroup
	for _, domain := range domains[1:] {
		wg.Go(func() { look(domain) })
	}
	look(domains[0]) // mostly the only one
	wg.Wait()
}

func isRecord(txt string) bool {
	_, err := dmarc.ParseRecord(txt)
	return err == nil
}
