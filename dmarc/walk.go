package dmarc

import (
	"context"
	"strings"
)

// maxLabels is the number of labels from which on a tree walk leaves names out, so that it never asks for more than
// eight names (RFC 9989 §4.10).
const maxLabels = 8

// session is one evaluation: it asks for no name twice.
type session struct {
	resolver Resolver
	records  map[string]*Record // by domain; nil: no record there
}

// record gives the policy record that a domain publishes, nil when it has none (RFC 9989 §4.10, steps 2 and 6).
func (s *session) record(ctx context.Context, domain string) (*Record, error) {
	if r, ok := s.records[domain]; ok {
		return r, nil
	}
	name := "_dmarc." + domain
	if len(name) > maxName {
		return nil, nil
	}
	txts, err := s.resolver.LookupTXT(ctx, absolute(name))
	if err != nil && !notFound(err) {
		return nil, lookupError(name, err)
	}
	var found *Record
	for _, txt := range txts {
		r, err := ParseRecord(txt)
		if err != nil {
			continue
		}
		if found != nil { // several records count as none
			found = nil
			break
		}
		found = r
	}
	s.records[domain] = found
	return found, nil
}

// next is the name behind name in a tree walk; empty at the end (RFC 9989 §4.10, steps 4 and 7).
func next(name string) string {
	name = parent(name)
	for n := strings.Count(name, ".") + 1; n >= maxLabels; n-- {
		name = parent(name)
	}
	return name
}

// place is what a tree walk finds.
type place struct {
	org string // the organizational domain
	psd string // the public suffix domain above it that has a record; empty: none
	any bool   // a record was found
}

// walk finds the organizational domain of a domain (RFC 9989 §4.10.2).
func (s *session) walk(ctx context.Context, domain string) (place, error) {
	p := place{org: domain}
	below := domain // the name one label below the target
	for target := domain; target != ""; target = next(target) {
		for below != target && parent(below) != target {
			below = parent(below)
		}
		r, err := s.record(ctx, target)
		if err != nil {
			return place{}, err
		}
		if r == nil {
			continue
		}
		p.any = true
		if r.PSD == PSDYes && target != domain {
			p.org, p.psd = below, target
			return p, nil
		}
		p.org = target // the last one has the fewest labels
		if r.PSD != PSDUnknown {
			return p, nil
		}
	}
	return p, nil
}

// discovery is the policy record that applies to an author domain.
type discovery struct {
	record *Record // nil: none
	domain string  // where it was found
	org    string  // the organizational domain; empty when it was not needed
}

// discover looks at the author domain, its organizational domain and its public suffix domain (RFC 9989 §4.10.1).
func (s *session) discover(ctx context.Context, author string) (discovery, error) {
	r, err := s.record(ctx, author)
	if err != nil || r != nil {
		return discovery{record: r, domain: author}, err
	}
	p, err := s.walk(ctx, author)
	if err != nil || !p.any {
		return discovery{}, err
	}
	for _, domain := range []string{p.org, p.psd} {
		if domain == "" {
			continue
		}
		if r, err := s.record(ctx, domain); err != nil || r != nil {
			return discovery{record: r, domain: domain, org: p.org}, err
		}
	}
	return discovery{}, nil
}
