package reporting_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"
	"os"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/mailbricks/mailbricks/dmarc/reporting"
)

func Example() {
	dir, err := os.MkdirTemp("", "dmarc")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	queue := func(_ context.Context, m reporting.Mail) error { return nil } // takes a report for good
	reports := &reporting.Reporter{Dir: dir, Email: "dmarc-reports@example.org", Hostname: "mx.example.org", Send: queue}
	if err := reports.Open(); err != nil {
		log.Fatal(err)
	}
	defer reports.Close()
	go reports.Run(context.Background()) // sends what is due, until it is closed

	record, err := dmarc.ParseRecord("v=DMARC1; p=none; rua=mailto:dmarc@example.com")
	if err != nil {
		log.Fatal(err)
	}
	verdict := dmarc.Verdict{Result: dmarc.Fail, AuthorDomain: "example.com", RecordDomain: "example.com", Record: record}
	evaluation := reporting.Evaluation{Verdict: verdict, Source: netip.MustParseAddr("192.0.2.1")}
	if err := reports.Record(context.Background(), evaluation); err != nil {
		log.Fatal(err)
	}

	pending, err := reports.Pending(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range pending {
		fmt.Println(p.Domain, p.Messages, p.Destinations)
	}
	// Output: example.com 1 [dmarc@example.com]
}
