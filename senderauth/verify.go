package senderauth

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dkim/arc"
	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/spf"
)

// verify checks the signatures in one pass over the message, and evaluates DMARC. It fails when the message cannot be read.
func (c *checker) verify(ctx context.Context, st *state, msg *mailbricks.Message) error {
	left := c.MaxTime - st.spent
	ctx, cancel := context.WithTimeout(ctx, left)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	from := msg.Values("From")
	evaluator := c.DMARC
	if evaluator.Resolver == nil {
		evaluator.Resolver = st.dns
		wg.Go(func() { discover(ctx, &evaluator, from) })
	}
	keys, cancelKeys := context.WithTimeout(ctx, left/4*3) // the rest is DMARC's
	defer cancelKeys()
	r := st.result
	if err := c.signatures(keys, st, msg); err != nil {
		return err
	}
	m := dmarc.Message{From: from}
	m.SPF, m.DKIM = identifiers(r)
	r.DMARC = evaluator.Evaluate(ctx, m)
	c.vouch(ctx, &evaluator, r, from)
	return nil
}

// signatures checks DKIM and ARC.
func (c *checker) signatures(ctx context.Context, st *state, msg *mailbricks.Message) error {
	r, signatures := st.result, dkim.NewVerifier(st.dns, c.DKIM)
	to := sink{dkim: signatures, buffers: &c.buffers}
	if mayHaveChain(msg.Header()) {
		to.arc = arc.NewVerifier(st.dns, c.ARC)
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
	domains, _ := dmarc.AuthorDomains(from...)
	var wg sync.WaitGroup
	for i, domain := range domains[:min(len(domains), dmarc.DefaultMaxAuthorDomains)] {
		look := func() {
			txts, err := evaluator.Resolver.LookupTXT(ctx, "_dmarc."+domain+".")
			if err != nil && !notFound(err) || slices.ContainsFunc(txts, isRecord) {
				return
			}
			_, _ = evaluator.OrganizationalDomain(ctx, domain)
		}
		if i == 0 { // mostly the only one
			defer look()
			continue
		}
		wg.Go(look)
	}
	defer wg.Wait()
}

func isRecord(txt string) bool {
	_, err := dmarc.ParseRecord(txt)
	return err == nil
}
