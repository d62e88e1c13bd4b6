package senderauth

import (
	"context"
	"fmt"
	"io"
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
	signatures, chain := dkim.NewVerifier(st.dns, c.DKIM), arc.NewVerifier(st.dns, c.ARC)
	if _, err := msg.WriteTo(io.MultiWriter(signatures, chain)); err != nil {
		return fmt.Errorf("senderauth: reading the message: %w", err)
	}
	r := st.result
	var wg sync.WaitGroup
	wg.Go(func() { r.ARC = chain.Result(ctx) })
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
	for i, domain := range domains {
		if i == dmarc.DefaultMaxAuthorDomains {
			break
		}
		wg.Go(func() {
			txts, err := evaluator.Resolver.LookupTXT(ctx, "_dmarc."+domain+".")
			if err != nil && !notFound(err) || slices.ContainsFunc(txts, isRecord) {
				return
			}
			_, _ = evaluator.OrganizationalDomain(ctx, domain)
		})
	}
	wg.Wait()
}

func isRecord(txt string) bool {
	_, err := dmarc.ParseRecord(txt)
	return err == nil
}
