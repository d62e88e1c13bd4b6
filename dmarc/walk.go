package dmarc

import (
	"context"
	"strings"

	"github.com/mailbricks/mailbricks/internal/domainname"
)

// maxLabels is the number of labels from which on a tree walk leaves names out, so that it never asks for more than
// eight names (RFC 9989 §4.10).
const maxLabels = 8

// next is the name behind name in a tree walk; empty at the end (RFC 9989 §4.10, steps 4 and 7).
func next(name string) string {
	name = domainname.Parent(name)
	for n := strings.Count(name, ".") + 1; n >= maxLabels; n-- {
		name = domainname.Parent(name)
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
		for below != target && domainname.Parent(below) != target {
			below = domainname.Parent(below)
		}
		found, err := s.look(ctx, target)
		if err != nil {
			return place{}, err
		}
		r := found.record
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
