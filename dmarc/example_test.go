package dmarc_test

import (
	"context"
	"fmt"

	"github.com/mailbricks/mailbricks/dmarc"
)

// texts is a Resolver for this example; a program leaves Evaluator.Resolver nil to use that of the system.
type texts map[string][]string

func (t texts) LookupTXT(_ context.Context, name string) ([]string, error) { return t[name], nil }

func Example() {
	evaluator := &dmarc.Evaluator{Resolver: texts{"_dmarc.example.com.": {"v=DMARC1; p=reject"}}}
	verdict := evaluator.Evaluate(context.Background(), dmarc.Message{
		From: []string{"Ann <ann@news.example.com>"},
		SPF:  dmarc.SPF{Domain: "bounces.example.net", Pass: true},
		DKIM: []dmarc.DKIM{{Domain: "example.com", Pass: true}},
	})
	fmt.Println(verdict.Result, verdict.Policy, verdict.Aligned)
	// Output: pass reject [{dkim example.com}]
}
