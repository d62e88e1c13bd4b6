package dmarc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// The defaults of an Evaluator's limits.
const (
	DefaultMaxAuthorDomains = 4
	DefaultMaxTime          = 20 * time.Second
)

// What Verdict.Err may have in its chain, besides what [AuthorDomains] returns and errors of the Resolver.
var (
	// ErrInvalidRecord: the policy record has no valid policy and no address for reports either (PermError).
	ErrInvalidRecord = errors.New("policy record without a valid policy")
	// ErrManyAuthors: the From field has more than one domain, so that all must pass.
	ErrManyAuthors = errors.New("more than one author domain")
	// ErrTooManyAuthors: the From field has more domains than are looked at.
	ErrTooManyAuthors = errors.New("too many author domains")
	// ErrUnchecked: SPF or DKIM would have decided, but could not be checked for now (TempError).
	ErrUnchecked = errors.New("SPF or DKIM could not be checked for now")
)

// Message is what an evaluation needs to know of a message.
type Message struct {
	// From has the value of each From field of the header.
	From []string
	SPF  SPF
	DKIM []DKIM
}

// SPF is the outcome of the SPF check of the MAIL FROM identity (RFC 9989 §4.4.2).
type SPF struct {
	// Domain is the domain that was checked: that of the reverse-path, or of HELO when that is null.
	Domain string
	Pass   bool
	// TempError says that the check could not be made for now.
	TempError bool
}

// DKIM is the outcome of the check of one signature (RFC 9989 §4.4.1).
type DKIM struct {
	// Domain is the signature's d= tag.
	Domain string
	Pass   bool
	// TempError says that the check could not be made for now.
	TempError bool
}

// Evaluator evaluates DMARC. Its zero value is ready for use; its fields must not change while it is in use. One
// Evaluator serves any number of evaluations at once.
type Evaluator struct {
	// Resolver asks the DNS; nil: net.DefaultResolver.
	Resolver Resolver
	// MaxAuthorDomains limits the domains of a From field that are looked at (RFC 9989 §11.5); 0: 4.
	MaxAuthorDomains int
	// MaxTime limits the time of one evaluation, which is TempError behind it; 0: 20 seconds, negative: only the context
	// limits it.
	MaxTime time.Duration
}

// Evaluate finds out whether a message passes (RFC 9989 §5.3). Errors are in the verdict.
//
// Several author domains are evaluated one by one. The one whose failure asks for the strictest disposition decides;
// the message passes only if each of them does (RFC 9989 §11.5). A message without exactly one well-formed From field
// never passes (RFC 9989 §4.4), but it does fail for the domains that can be found in what there is, so that doubling the
// field does not get around a policy.
func (e *Evaluator) Evaluate(ctx context.Context, m Message) Verdict {
	if e.MaxTime >= 0 {
		limit := e.MaxTime
		if limit == 0 {
			limit = DefaultMaxTime
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	domains, err := AuthorDomains(m.From...)
	limit := e.MaxAuthorDomains
	if limit <= 0 {
		limit = DefaultMaxAuthorDomains
	}
	if len(domains) > limit {
		domains, err = domains[:limit], errors.Join(err, fail("", ErrTooManyAuthors))
	}
	s := e.session()
	var out *Verdict
	for _, domain := range domains {
		if v := s.evaluate(ctx, domain, m); out == nil || graver(v, *out) {
			out = &v
		}
	}
	if out == nil {
		return Verdict{Result: PermError, Err: err}
	}
	if err != nil {
		out.Err = errors.Join(err, out.Err)
		if out.Result == Pass || out.Result == None {
			out.Result = PermError
		}
	} else if len(domains) > 1 && out.Err == nil {
		out.Err = fail("", ErrManyAuthors)
	}
	return *out
}

// OrganizationalDomain finds the organizational domain of a domain by the tree walk of RFC 9989 §4.10. An error means
// that the DNS did not answer or that domain is no domain name.
func (e *Evaluator) OrganizationalDomain(ctx context.Context, domain string) (string, error) {
	name, ok := normalize(domain)
	if !ok {
		return "", fmt.Errorf("dmarc: %.253q is no domain name", domain)
	}
	p, err := e.session().walk(ctx, name)
	return p.org, err
}

func (e *Evaluator) session() *session {
	s := &session{resolver: e.Resolver, records: map[string]*Record{}}
	if s.resolver == nil {
		s.resolver = net.DefaultResolver
	}
	return s
}

// graver says whether a decides over b when both are of one message.
func graver(a, b Verdict) bool {
	rank := map[Result]int{Fail: 4, TempError: 3, PermError: 2, None: 1, Pass: 0}
	if a.Result == Fail && b.Result == Fail {
		return a.Disposition > b.Disposition
	}
	return rank[a.Result] > rank[b.Result]
}

// evaluate evaluates one author domain.
func (s *session) evaluate(ctx context.Context, author string, m Message) Verdict {
	v := Verdict{AuthorDomain: author}
	found, err := s.discover(ctx, author)
	if err != nil {
		v.Result, v.Err = TempError, err
		return v
	}
	if found.record == nil {
		return v
	}
	v.Record, v.RecordDomain, v.OrgDomain = found.record, found.domain, found.org
	if v.Record.Invalid {
		v.Result, v.Err = PermError, fail(found.domain, ErrInvalidRecord)
		return v
	}
	v.Policy = s.effective(v, v.Record.Subdomain)
	if err := s.align(ctx, &v, m); err != nil || v.Result == Pass {
		if err != nil {
			v.Result, v.Err = TempError, err
		}
		return v
	}
	if v.RecordDomain != author && v.Record.Nonexistent != v.Record.Subdomain {
		exists, err := s.exists(ctx, author)
		if err != nil {
			v.Result, v.Err = TempError, err
			return v
		}
		if !exists {
			v.Policy = s.effective(v, v.Record.Nonexistent)
		}
	}
	v.Result, v.Disposition = Fail, v.Policy
	return v
}

// effective is p for the domain of the record itself and sub for the domains below it, after test mode.
func (s *session) effective(v Verdict, sub Policy) Policy {
	p := sub
	if v.RecordDomain == v.AuthorDomain {
		p = v.Record.Policy
	}
	if v.Record.Testing {
		p = p.milder()
	}
	return p
}

func fail(what string, err error) error {
	if what == "" {
		return fmt.Errorf("dmarc: %w", err)
	}
	return fmt.Errorf("dmarc: %q: %w", what, err)
}
