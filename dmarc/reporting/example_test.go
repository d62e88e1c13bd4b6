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

	record, _ := dmarc.ParseRecord("v=DMARC1; p=none; rua=mailto:dmarc@example.com")
	verdict := dmarc.Verdict{Result: dmarc.Fail, AuthorDomain: "example.com", RecordDomain: "example.com", Record: record}
	reports.Record(context.Background(), reporting.Evaluation{Verdict: verdict, Source: netip.MustParseAddr("192.0.2.1")})

	pending, err := reports.Pending(context.Background())
	fmt.Println(pending[0].Domain, pending[0].Messages, pending[0].Destinations, err)
	// Output: example.com 1 [dmarc@example.com] <nil>
}
