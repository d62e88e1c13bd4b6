// Package dmarc says whether the domain in a message's From field stands behind the message, and what the domain's
// owner asks receivers to do when it does not: Domain-based Message Authentication, Reporting, and Conformance as
// RFC 9989 has it, with the DNS tree walk in place of a public suffix list.
//
//	evaluator := &dmarc.Evaluator{}
//	verdict := evaluator.Evaluate(ctx, dmarc.Message{
//		From: []string{"Ann <ann@news.example.com>"},
//		SPF:  dmarc.SPF{Domain: "bounces.example.com", Pass: true},
//		DKIM: []dmarc.DKIM{{Domain: "example.net", Pass: true}},
//	})
//
// SPF and DKIM are the caller's affair, as is what to do about a verdict; RFC 9989 §5.4 has advice on that. A message
// costs at most eight questions to the DNS for each domain that is looked at, and no domain is looked at that cannot
// matter. Memory is bounded by the answers of the DNS.
//
// Who wants RFC 7489 with a public suffix list instead names one:
//
//	evaluator := &dmarc.Evaluator{PublicSuffixes: publicsuffix.List} // golang.org/x/net/publicsuffix
//
// This package does not link that list, which takes net/http and 1.7 MB along. A newer list than the compiled one can be
// read from a file with [ParsePublicSuffixes].
//
// Where reports about the verdicts may go is found by [Evaluator.AggregateDestinations] and
// [Evaluator.FailureDestinations] (RFC 9990, "Verifying External Destinations").
package dmarc
