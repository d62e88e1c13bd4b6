package dmarc

import (
	"context"

	"github.com/mailbricks/mailbricks/internal/domainname"
)

// candidate is an identifier that is, or may have been, authenticated.
type candidate struct {
	Identifier
	strict bool
	pass   bool // otherwise it could not be checked for now
}

// candidates are the identifiers of m that can make a difference, each once: first those that passed.
func candidates(m Message, r *Record) []candidate {
	var out []candidate
	seen := map[candidate]bool{}
	for _, pass := range []bool{true, false} {
		add := func(method, domain string, strict, passed, temp bool) {
			if passed != pass || !passed && !temp {
				return
			}
			name, ok := domainname.Identity(domain)
			c := candidate{Identifier{method, name}, strict, pass}
			if ok && !seen[c] {
				seen[c] = true
				out = append(out, c)
			}
		}
		add("spf", m.SPF.Domain, r.StrictSPF, m.SPF.Pass, m.SPF.TempError)
		for _, d := range m.DKIM {
			add("dkim", d.Domain, r.StrictDKIM, d.Pass, d.TempError)
		}
	}
	return out
}

// align looks for identifiers aligned with the author domain and makes v Pass when there are any (RFC 9989 §5.3.4). An
// error means that it cannot be known.
func (s *session) align(ctx context.Context, v *Verdict, m Message) error {
	unchecked := false
	var failed error
	limit := orDefault(s.MaxIdentifiers, DefaultMaxIdentifiers)
	for _, c := range candidates(m, v.Record) {
		same := c.Domain == v.AuthorDomain // aligned whatever the organizational domain is
		if !same && !c.strict && limit > 0 {
			var walked bool
			var err error
			if same, walked, err = s.relaxed(ctx, v, c.Domain); err != nil {
				failed = err
			}
			if walked {
				limit--
			}
		}
		switch {
		case same && c.pass:
			v.align(c.Identifier)
		case same:
			unchecked = true
		}
	}
	switch {
	case len(v.Aligned) > 0:
		v.Result = Pass
		return nil
	case failed != nil:
		return failed
	case unchecked:
		return fail("", ErrUnchecked)
	}
	return nil
}

func (v *Verdict) align(id Identifier) {
	v.Aligned = append(v.Aligned, id)
	if id.Method == "spf" {
		v.SPFAligned = true
	} else {
		v.DKIMAligned = true
	}
}

// relaxed says whether domain has the organizational domain of the author domain (RFC 9989 §3.2.10.1). Only one with the
// same top-level label, and then within that organizational domain, is worth a tree walk.
func (s *session) relaxed(ctx context.Context, v *Verdict, domain string) (same, walked bool, err error) {
	if domainname.TopLabel(domain) != domainname.TopLabel(v.AuthorDomain) {
		return false, false, nil
	}
	if v.OrgDomain == "" {
		if v.OrgDomain, err = s.organization(ctx, v.AuthorDomain); err != nil {
			return false, false, err
		}
	}
	if !domainname.Within(domain, v.OrgDomain) {
		return false, false, nil
	}
	org, err := s.organization(ctx, domain)
	return err == nil && org == v.OrgDomain, true, err
}
