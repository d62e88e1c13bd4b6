package dmarc_test

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/stretchr/testify/require"
)

// largeReport has records from n sources, as those of a large receiver have them.
func largeReport(n int) *dmarc.Report {
	r := sampleReport()
	record := r.Records[0]
	r.Records = make([]dmarc.ReportRecord, n)
	for i := range r.Records {
		r.Records[i] = record
		r.Records[i].Source = netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)})
		r.Records[i].HeaderFrom = fmt.Sprintf("%d.example.com", i%100)
	}
	return r
}

func BenchmarkParseReport10000Records(b *testing.B) {
	doc := reportXML(b, largeReport(10_000))
	packed := gzipped(b, doc)
	for name, input := range map[string]string{"xml": doc, "gzip": packed} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			for b.Loop() {
				_, err := dmarc.ParseReport(strings.NewReader(input))
				require.NoError(b, err)
			}
		})
	}
}

func BenchmarkWriteXML10000Records(b *testing.B) {
	r := largeReport(10_000)
	b.SetBytes(int64(len(reportXML(b, r))))
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, r.WriteXML(io.Discard))
	}
}

// plainRecord is what encoding/xml needs to know of a record.
type plainRecord struct {
	Source      string `xml:"row>source_ip"`
	Count       int64  `xml:"row>count"`
	Disposition string `xml:"row>policy_evaluated>disposition"`
	DKIM        string `xml:"row>policy_evaluated>dkim"`
	SPF         string `xml:"row>policy_evaluated>spf"`
	HeaderFrom  string `xml:"identifiers>header_from"`
	Results     []struct {
		Domain   string `xml:"domain"`
		Selector string `xml:"selector"`
		Result   string `xml:"result"`
	} `xml:"auth_results>dkim"`
}

// The ratio is the time of ParseReport over that of encoding/xml for the same report, in turn; below 1 is faster.
func BenchmarkParseReportAgainstEncodingXML(b *testing.B) {
	doc := reportXML(b, largeReport(1000))
	var ours, theirs time.Duration
	for b.Loop() {
		start := time.Now()
		report, err := dmarc.ParseReport(strings.NewReader(doc))
		require.NoError(b, err)
		ours += time.Since(start)
		start = time.Now()
		var plain struct {
			Records []plainRecord `xml:"record"`
		}
		require.NoError(b, xml.NewDecoder(strings.NewReader(doc)).Decode(&plain))
		theirs += time.Since(start)
		require.Len(b, plain.Records, len(report.Records))
	}
	b.ReportMetric(float64(ours)/float64(theirs), "ratio")
}
