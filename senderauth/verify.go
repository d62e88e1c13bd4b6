package senderauth

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/spf"
)

// verify checks the signatures in one pass over the message, and evaluates DMARC. It fails when the message cannot be read.
func (c *checker) verify(ctx context.Context, st *state, msg *mailbricks.Message) error {
	r := st.result
	ctx, cancel := context.WithTimeout(ctx, c.MaxTime-st.spent)
	defer cancel()
	m := dmarc.Message{From: msg.Values("From")}
	evaluator := c.DMARC
	if evaluator.Resolver == nil {
		evaluator.Resolver = st.dns
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	if c.DMARC.Resolver == nil {
		wg.Go(func() { discover(ctx, &evaluator, m.From) })
	}

	signatures := dkim.NewVerifier(st.dns, c.DKIM)
	if _, err := msg.WriteTo(signatures); err != nil {
		return fmt.Errorf("senderauth: reading the message: %w", err)
	}
	r.DKIM = signatures.Results(ctx)
	for i := range r.DKIM {
		if d := &r.DKIM[i]; d.Status == dkim.Pass && d.BodyUnsigned > 0 && !c.AcceptPartialBody {
			d.Status, d.Err = dkim.Policy, ErrPartialBody
		}
	}
	m.SPF, m.DKIM = identifiers(r)
	r.DMARC = evaluator.Evaluate(ctx, m)
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
