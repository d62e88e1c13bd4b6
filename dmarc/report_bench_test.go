package dmarc_test

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"

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
