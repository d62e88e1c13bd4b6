package dmarc_test

import (
	"context"
	"fmt"

	"github.com/mailbricks/mailbricks/dmarc"
	"golang.org/x/net/publicsuffix"
)

// RFC 7489 with a public suffix list in place of the tree walk.
func ExampleEvaluator_publicSuffixes() {
	dns := zone{"_dmarc.example.co.uk": {"v=DMARC1; p=quarantine; pct=100"}}
	evaluator := &dmarc.Evaluator{Resolver: dns, PublicSuffixes: publicsuffix.List}

	verdict := evaluator.Evaluate(context.Background(), dmarc.Message{From: []string{"ann@news.example.co.uk"}})
	fmt.Println(verdict.Result, verdict.Disposition, verdict.OrgDomain, verdict.Discovery)
	// Output: fail quarantine example.co.uk psl
}

// What a record's author did wrong.
func ExampleParseRecord() {
	record, err := dmarc.ParseRecord("v=DMARC1; p=Reject; rua=mailto: dmarc@example.com; pct=100")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(record.Policy, record.AggregateURIs)
	for _, warning := range record.Warnings {
		fmt.Println(warning)
	}
	// Output:
	// reject [mailto:dmarc@example.com]
	// pct is obsolete: RFC 9989 does not have it
	// rua has "mailto: dmarc@example.com", which has blanks in it
}

// Reports go elsewhere only with the consent of who gets them.
func ExampleEvaluator_AggregateDestinations() {
	dns := zone{
		"_dmarc.example.com":                             {"v=DMARC1; p=none; rua=mailto:a@example.com, mailto:b@reports.example.net, mailto:c@victim.example"},
		"example.com._report._dmarc.reports.example.net": {"v=DMARC1"},
	}
	evaluator := &dmarc.Evaluator{Resolver: dns}
	verdict := evaluator.Evaluate(context.Background(), dmarc.Message{From: []string{"ann@example.com"}})
	addresses, err := evaluator.AggregateDestinations(context.Background(), verdict.RecordDomain, verdict.Record)
	fmt.Println(addresses, err)
	// Output: [a@example.com b@reports.example.net] <nil>
}
