package dmarc

import (
	"context"
	"errors"
	"slices"

	"github.com/mailbricks/mailbricks/internal/domainname"
)

// AggregateDestinations gives the mail addresses to which the aggregate reports asked for by a record may go, each once, in
// the record's order and as [MailAddress] gives them: those of its rua within the organizational domain of domain, which
// has published the record, and those elsewhere whose domain agrees (RFC 9990, "Verifying External Destinations"). A domain
// that agrees may name other addresses of its own instead.
//
// Only the first MaxDestinations addresses of the record are looked at. Each costs at most nine questions, besides the eight
// for domain. An error means that the DNS did not answer for some; the addresses found are valid nevertheless, and it may
// be tried again.
func (e *Evaluator) AggregateDestinations(ctx context.Context, domain string, r *Record) ([]string, error) {
	return e.destinations(ctx, domain, r, aggregateURIs)
}

// FailureDestinations is [Evaluator.AggregateDestinations] for failure reports and ruf. There are none for the
// record of a public suffix domain, psd=y (RFC 9991, "DMARC Failure Reports").
func (e *Evaluator) FailureDestinations(ctx context.Context, domain string, r *Record) ([]string, error) {
	if r != nil && r.PSD == PSDYes {
		return nil, nil
	}
	return e.destinations(ctx, domain, r, failureURIs)
}

// uriList gives one of a record's lists.
type uriList func(*Record) []string

func aggregateURIs(r *Record) []string { return r.AggregateURIs }
func failureURIs(r *Record) []string   { return r.FailureURIs }

func (e *Evaluator) destinations(ctx context.Context, domain string, r *Record, list uriList) ([]string, error) {
	if r == nil {
		return nil, nil
	}
	name, ok := domainname.Identity(domain)
	if !ok {
		return nil, notDomain(domain)
	}
	ctx, cancel := e.limit(ctx)
	defer cancel()
	s := e.session()
	limit := orDefault(e.MaxDestinations, DefaultMaxDestinations)
	consents := map[string]consent{}
	var out []string
	var errs []error
	for _, uri := range list(r) {
		address, ok := MailAddress(uri)
		if !ok { // a scheme that is not supported (RFC 9989 §4.7, "rua")
			continue
		}
		if limit--; limit < 0 {
			break
		}
		host := uriHost(uri)
		c, known := consents[host]
		if !known {
			var err error
			if c, err = s.consent(ctx, name, host, list); err != nil {
				errs = append(errs, err)
			}
			consents[host] = c
		}
		for _, a := range c.addresses(address) {
			if !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	return out, errors.Join(errs...)
}

// consent is what a destination host says to reports about a domain.
type consent struct {
	agrees bool
	others []string // addresses that it wants them sent to instead
}

func (c consent) addresses(asked string) []string {
	if c.agrees && len(c.others) == 0 {
		return []string{asked}
	}
	return c.others
}

// consent asks a destination host for its consent.
func (s *session) consent(ctx context.Context, domain, host string, list uriList) (consent, error) {
	if same, err := s.sameOrganization(ctx, domain, host); err != nil || same {
		return consent{agrees: same}, err
	}
	txts, err := s.text(ctx, domain+"._report._dmarc."+host)
	if err != nil {
		return consent{}, err
	}
	c := consent{}
	overridden := false
	for _, txt := range txts {
		r, err := ParseRecord(txt)
		if err != nil {
			continue
		}
		c.agrees = true
		for _, uri := range list(r) {
			if uriHost(uri) != host { // then neither the one nor the other
				return consent{}, nil
			}
			overridden = true
			if a, ok := MailAddress(uri); ok && len(c.others) < orDefault(s.MaxDestinations, DefaultMaxDestinations) {
				c.others = append(c.others, a)
			}
		}
	}
	c.agrees = c.agrees && (!overridden || len(c.others) > 0)
	return c, nil
}

func (s *session) sameOrganization(ctx context.Context, a, b string) (bool, error) {
	if a == b {
		return true, nil
	}
	v := Verdict{AuthorDomain: a}
	same, _, err := s.relaxed(ctx, &v, b)
	return same, err
}
