package dmarc

import "context"

// candidate is an identifier that is, or may have been, authenticated.
type candidate struct {
	Identifier
	strict bool
	pass   bool // otherwise it could not be checked for now
}

// candidates are the identifiers of m that can make a difference, each once.
func candidates(m Message, r *Record) []candidate {
	var out []candidate
	seen := map[candidate]bool{}
	add := func(method, domain string, strict, pass, temp bool) {
		name, ok := normalize(domain)
		c := candidate{Identifier{method, name}, strict, pass}
		if ok && (pass || temp) && !seen[c] {
			seen[c] = true
			out = append(out, c)
		}
	}
	add("spf", m.SPF.Domain, r.StrictSPF, m.SPF.Pass, m.SPF.TempError)
	for _, d := range m.DKIM {
		add("dkim", d.Domain, r.StrictDKIM, d.Pass, d.TempError)
	}
	return out
}

// align looks for identifiers aligned with the author domain and makes v Pass when there are any (RFC 9989 §5.3.4). An
// error means that it cannot be known.
func (s *session) align(ctx context.Context, v *Verdict, m Message) error {
	unchecked := false
	var failed error
	all := candidates(m, v.Record)
	for _, c := range all {
		if c.Domain == v.AuthorDomain { // aligned whatever the organizational domain is
			if c.pass {
				v.Aligned = append(v.Aligned, c.Identifier)
			} else {
				unchecked = true
			}
		}
	}
	for _, c := range all {
		if c.Domain == v.AuthorDomain || c.strict {
			continue
		}
		same, err := s.sameOrg(ctx, v, c.Domain)
		switch {
		case err != nil:
			failed = err
		case same && c.pass:
			v.Aligned = append(v.Aligned, c.Identifier)
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

// sameOrg says whether domain has the organizational domain of the author domain (RFC 9989 §3.2.10.1). Only a domain
// with the same top-level label is worth a question.
func (s *session) sameOrg(ctx context.Context, v *Verdict, domain string) (bool, error) {
	if topLabel(domain) != topLabel(v.AuthorDomain) {
		return false, nil
	}
	if v.OrgDomain == "" {
		p, err := s.walk(ctx, v.AuthorDomain)
		if err != nil {
			return false, err
		}
		v.OrgDomain = p.org
	}
	if !within(domain, v.OrgDomain) { // a domain is within its organizational domain
		return false, nil
	}
	p, err := s.walk(ctx, domain)
	return err == nil && p.org == v.OrgDomain, err
}

func topLabel(name string) string {
	for p := parent(name); p != ""; p = parent(name) {
		name = p
	}
	return name
}
