package dmarc

import (
	"strings"

	"github.com/mailbricks/mailbricks/internal/domainname"
)

// PublicSuffixList says under which domains the public registers names: golang.org/x/net/publicsuffix.List is one, and so
// is what [ParsePublicSuffixes] makes of a file. An [Evaluator] that has one follows RFC 7489.
type PublicSuffixList interface {
	// PublicSuffix gives the public suffix of a domain that is in lower case, with A-labels and without a final dot:
	// "co.uk" for "www.example.co.uk". A domain that no rule of the list knows has its last label for one.
	PublicSuffix(domain string) string
}

// orgByList gives the organizational domain: the label in front of the public suffix and that suffix (RFC 7489 §3.2). A
// public suffix is its own, as no label stands in front of it.
func orgByList(list PublicSuffixList, domain string) string {
	suffix := list.PublicSuffix(domain)
	if !domainname.Within(domain, suffix) { // no answer
		suffix = domainname.TopLabel(domain)
	}
	front := strings.TrimSuffix(strings.TrimSuffix(domain, suffix), ".")
	if front == "" {
		return domain
	}
	return front[strings.LastIndexByte(front, '.')+1:] + "." + suffix
}
