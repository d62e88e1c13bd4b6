package reporting

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// What the mail path pays for a message: the same row each time, and rows that differ.
func BenchmarkRecord(b *testing.B) {
	for _, rows := range []int{1, 1000} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			r := testReporter(b, b.TempDir())
			require.NoError(b, r.Open())
			defer r.Close()
			e := testEvaluation(b, "example.com")
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				e.Source = netip.AddrFrom4([4]byte{10, 0, byte(i % rows >> 8), byte(i % rows)})
				if err := r.Record(b.Context(), e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
