package dmarc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/mailbricks/mailbricks/internal/domainname"
)

// The defaults of an Evaluator's limits.
const (
	DefaultMaxAuthorDomains = 4
	DefaultMaxIdentifiers   = 16
	DefaultMaxDestinations  = 4
	DefaultMaxTime          = 20 * time.Second
)

// What Verdict.Err may have in its chain, besides what [AuthorDomains] returns and errors of the Resolver.
var (
	// ErrInvalidRecord: the policy record has a wrong policy and no address for reports either (PermError).
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

// Evaluator evaluates DMARC. Its zero value is ready for use and follows RFC 9989; its fields must not change while it is in
// use. One Evaluator serves any number of evaluations at once.
type Evaluator struct {
	// Resolver asks the DNS; nil: net.DefaultResolver.
	Resolver Resolver
	// PublicSuffixes, when it is there, makes the Evaluator follow RFC 7489 instead: organizational domains come from this
	// list and not from the DNS, a policy is looked for at the author domain and its organizational domain only, the tag
	// pct counts and the tags np, psd and t do not.
	PublicSuffixes PublicSuffixList
	// Sample says for a message that fails whether the policy is to be applied, which should be so for percent of 100
	// messages (RFC 7489 §6.6.4); nil: at random. It is asked only when the Evaluator follows RFC 7489 and pct is below 100,
	// and must be safe for use by several goroutines.
	Sample func(percent int) bool
	// MaxAuthorDomains limits the domains of a From field that are looked at (RFC 9989 §11.5); 0: 4.
	MaxAuthorDomains int
	// MaxIdentifiers limits the identifiers below the author's organizational domain, other than the author domain, that
	// are looked at for each author domain; 0: 16. Others do not count as aligned.
	MaxIdentifiers int
	// MaxDestinations limits the addresses for reports that are looked at, and those that a domain may name instead of one
	// of them; 0: 4.
	MaxDestinations int
	// MaxTime limits the time of one evaluation, which is TempError behind it; 0: 20 seconds, negative: only the context
	// limits it.
	MaxTime time.Duration
}

func orDefault(limit, otherwise int) int {
	if limit <= 0 {
		return otherwise
	}
	return limit
}

// limit applies MaxTime.
func (e *Evaluator) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	switch {
	case e.MaxTime < 0:
		return context.WithCancel(ctx)
	case e.MaxTime == 0:
		return context.WithTimeout(ctx, DefaultMaxTime)
	}
	return context.WithTimeout(ctx, e.MaxTime)
}

// Evaluate finds out whether a message passes (RFC 9989 §5.3). Errors are in the verdict.
//
// Several author domains are evaluated one by one. The one whose failure asks for the strictest disposition decides;
// the message passes only if each of them does (RFC 9989 §11.5). A message without exactly one well-formed From field
// never passes (RFC 9989 §4.4), but it does fail for the domains that can be found in what there is, so that doubling the
// field does not get around a policy.
func (e *Evaluator) Evaluate(ctx context.Context, m Message) Verdict {
	ctx, cancel := e.limit(ctx)
	defer cancel()
	domains, err := AuthorDomains(m.From...)
	if limit := orDefault(e.MaxAuthorDomains, DefaultMaxAuthorDomains); len(domains) > limit {
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

// OrganizationalDomain finds the organizational domain of a domain, by the tree walk of RFC 9989 §4.10 or with
// PublicSuffixes. An error means that the DNS did not answer or that domain is no domain name.
func (e *Evaluator) OrganizationalDomain(ctx context.Context, domain string) (string, error) {
	name, ok := domainname.Identity(domain)
	if !ok {
		return "", notDomain(domain)
	}
	ctx, cancel := e.limit(ctx)
	defer cancel()
	return e.session().organization(ctx, name)
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
	if s.PublicSuffixes != nil {
		v.Discovery = PublicSuffixes
	}
	found, err := s.discover(ctx, author)
	if err != nil {
		return v.temporary(err)
	}
	if found.record == nil {
		return v
	}
	v.Record, v.RecordDomain, v.OrgDomain = found.record, found.domain, found.org
	if v.Record.Invalid {
		v.Result, v.Err = PermError, fail(found.domain, ErrInvalidRecord)
		return v
	}
	v.Policy, v.TestMode = v.effective(v.Record.Subdomain)
	if err := s.align(ctx, &v, m); err != nil {
		return v.temporary(err)
	}
	if v.Result == Pass {
		return v
	}
	if v.RecordDomain != author && v.Record.Nonexistent != v.Record.Subdomain {
		exists, err := s.exists(ctx, author)
		if err != nil {
			return v.temporary(err)
		}
		if !exists {
			v.Policy, v.TestMode = v.effective(v.Record.Nonexistent)
		}
	}
	if s.PublicSuffixes != nil && v.Policy != PolicyNone && !s.selected(v.Record.Percent) {
		v.Policy, v.SampledOut = v.Policy.milder(), true
	}
	v.Result, v.Disposition = Fail, v.Policy
	return v
}

func (v Verdict) temporary(err error) Verdict {
	v.Result, v.Err = TempError, err
	return v
}

// effective is p for the domain of the record itself and sub for the domains below it, after test mode.
func (v Verdict) effective(sub Policy) (policy Policy, milder bool) {
	policy = sub
	if v.RecordDomain == v.AuthorDomain {
		policy = v.Record.Policy
	}
	if v.Record.Testing && policy != PolicyNone {
		return policy.milder(), true
	}
	return policy, false
}

// selected says whether a policy for percent of the messages is to be applied to this one (RFC 7489 §6.6.4).
func (e *Evaluator) selected(percent int) bool {
	switch {
	case percent >= 100:
		return true
	case e.Sample != nil:
		return e.Sample(percent)
	}
	return rand.IntN(100) < percent
}

func notDomain(domain string) error { return fmt.Errorf("dmarc: %.253q is no domain name", domain) }

func fail(what string, err error) error {
	if what == "" {
		return fmt.Errorf("dmarc: %w", err)
	}
	return fmt.Errorf("dmarc: %q: %w", what, err)
}
