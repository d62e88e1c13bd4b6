package main

import (
	"context"
	"errors"

	"golang.org/x/net/publicsuffix"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/resolver"
	"github.com/mailbricks/mailbricks/spf"
)

// evaluate checks a message by SPF and DKIM, and with the outcomes by DMARC.
func (c *dmarcCommand) evaluate(ctx context.Context, dns *resolver.Resolver, file *message) (f findings, err error) {
	f.SPF = spf.Check(ctx, dns, c.client())
	if f.DKIM, err = dkim.Verify(ctx, file, dns, dkim.Options{Now: c.now()}); err != nil {
		return f, err
	}
	msg, err := file.parse()
	if errors.Is(err, errHeaderTooLarge) { // as package dkim has it: a fault of the message
		f.DMARC = dmarc.Verdict{Result: dmarc.PermError, Err: err}
		return f, nil
	}
	if err != nil {
		return f, err
	}
	m := dmarc.Message{
		From: msg.Values("From"),
		SPF:  dmarc.SPF{Domain: f.SPF.Domain, Pass: f.SPF.Result == spf.Pass, TempError: f.SPF.Result == spf.TempError},
	}
	for _, r := range f.DKIM {
		m.DKIM = append(m.DKIM, dmarc.DKIM{Domain: r.Domain, Pass: r.Status == dkim.Pass, TempError: r.Status == dkim.TempError})
	}
	evaluator := &dmarc.Evaluator{Resolver: dns}
	if c.RFC7489 {
		evaluator.PublicSuffixes = publicsuffix.List
	}
	f.DMARC = evaluator.Evaluate(ctx, m)
	f.OrgDomain = f.DMARC.OrgDomain
	if f.OrgDomain == "" && f.DMARC.AuthorDomain != "" { // nothing depended on it
		f.OrgDomain, _ = evaluator.OrganizationalDomain(ctx, f.DMARC.AuthorDomain)
		f.DMARC.OrgDomain = f.OrgDomain
	}
	return f, nil
}
