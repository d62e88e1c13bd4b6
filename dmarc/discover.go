package dmarc

import (
	"context"
	"errors"
	"fmt"

	"github.com/mailbricks/mailbricks/internal/domainname"
)

// ErrManyRecords: a domain has more than one DMARC policy record, so that none of them counts (RFC 9989 §4.10).
var ErrManyRecords = errors.New("more than one DMARC policy record")

// session is one evaluation: it asks for no name twice.
type session struct {
	*Evaluator
	published map[string]published // by domain
}

func (e *Evaluator) session() *session {
	return &session{Evaluator: e, published: map[string]published{}}
}

// published is what a domain has in the way of policy records. Several records count as none, but RFC 7489 does not look
// further then.
type published struct {
	record *Record
	many   bool
}

// look gives what a domain publishes (RFC 9989 §4.10, steps 2 and 6).
func (s *session) look(ctx context.Context, domain string) (published, error) {
	if found, ok := s.published[domain]; ok {
		return found, nil
	}
	txts, err := s.text(ctx, "_dmarc."+domain)
	if err != nil {
		return published{}, err
	}
	var found published
	for _, txt := range txts {
		r, err := parseRecord(txt, s.PublicSuffixes != nil)
		if err != nil {
			continue
		}
		if found.record != nil {
			found = published{many: true}
			break
		}
		found.record = r
	}
	s.published[domain] = found
	return found, nil
}

// Lookup gives the policy record that a domain itself publishes, for a look at one's own: [Evaluator.Evaluate] looks
// further up. The error is [ErrNoRecord], which tells of a text that is close to being one, [ErrManyRecords], or that the DNS
// did not answer, or that domain is no domain name.
func (e *Evaluator) Lookup(ctx context.Context, domain string) (*Record, error) {
	name, ok := domainname.Identity(domain)
	if !ok {
		return nil, notDomain(domain)
	}
	ctx, cancel := e.limit(ctx)
	defer cancel()
	txts, err := e.text(ctx, "_dmarc."+name)
	if err != nil {
		return nil, err
	}
	var record *Record
	reason := fail(name, ErrNoRecord)
	for _, txt := range txts {
		r, err := parseRecord(txt, e.PublicSuffixes != nil)
		if err != nil {
			reason = fmt.Errorf("%w: %+.80q", err, txt)
			continue
		}
		if record != nil {
			return nil, fail(name, ErrManyRecords)
		}
		record = r
	}
	if record == nil {
		return nil, reason
	}
	return record, nil
}

// finding is the policy record that applies to an author domain.
type finding struct {
	record *Record // nil: none
	domain string  // where it was found
	org    string  // the organizational domain; empty when it was not needed
}

// discover finds the policy record for an author domain.
func (s *session) discover(ctx context.Context, author string) (finding, error) {
	found, err := s.look(ctx, author)
	if err != nil {
		return finding{}, err
	}
	if s.PublicSuffixes != nil {
		return s.discoverByList(ctx, author, found)
	}
	if found.record != nil {
		return finding{record: found.record, domain: author}, nil
	}
	p, err := s.walk(ctx, author)
	if err != nil || !p.any {
		return finding{}, err
	}
	// The organizational domain, then the public suffix domain (RFC 9989 §4.10.1). What the walk has not asked for, because
	// the name has more than eight labels, is not asked for now either (RFC 9989 §5.1.8).
	for _, domain := range []string{p.org, p.psd} {
		if r := s.published[domain].record; r != nil {
			return finding{record: r, domain: domain, org: p.org}, nil
		}
	}
	return finding{}, nil
}

// discoverByList looks at the author domain and at its organizational domain (RFC 7489 §6.6.3).
func (s *session) discoverByList(ctx context.Context, author string, found published) (finding, error) {
	domain, org := author, orgByList(s.PublicSuffixes, author)
	if found.record == nil && !found.many && org != author {
		var err error
		if found, err = s.look(ctx, org); err != nil {
			return finding{}, err
		}
		domain = org
	}
	if found.record == nil {
		return finding{}, nil
	}
	return finding{record: found.record, domain: domain, org: org}, nil
}

// organization gives the organizational domain of a domain.
func (s *session) organization(ctx context.Context, domain string) (string, error) {
	if s.PublicSuffixes != nil {
		return orgByList(s.PublicSuffixes, domain), nil
	}
	p, err := s.walk(ctx, domain)
	return p.org, err
}
