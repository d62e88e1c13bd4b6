package dmarc_test

import (
	"context"
	"fmt"

	"github.com/mailbricks/mailbricks/dmarc"
)

func Example() {
	// In production Resolver stays nil, which is net.DefaultResolver.
	dns := zone{"_dmarc.example.com": {"v=DMARC1; p=reject; rua=mailto:dmarc@example.com"}}
	evaluator := &dmarc.Evaluator{Resolver: dns}

	verdict := evaluator.Evaluate(context.Background(), dmarc.Message{
		From: []string{"Ann <ann@news.example.com>"},
		SPF:  dmarc.SPF{Domain: "bounces.example.net", Pass: true},
	})
	fmt.Println(verdict.Result, verdict.Disposition, verdict.RecordDomain)

	verdict = evaluator.Evaluate(context.Background(), dmarc.Message{
		From: []string{"Ann <ann@news.example.com>"},
		DKIM: []dmarc.DKIM{{Domain: "example.com", Pass: true}},
	})
	fmt.Println(verdict.Result, verdict.Aligned)
	// Output:
	// fail reject example.com
	// pass [{dkim example.com}]
}
