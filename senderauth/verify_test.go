package senderauth

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/stretchr/testify/require"
)

// aSecond answers after one second that there is a record.
type aSecond struct{ asked atomic.Int32 }

func (a *aSecond) LookupTXT(context.Context, string) ([]string, error) {
	a.asked.Add(1)
	time.Sleep(time.Second)
	return []string{"v=DMARC1; p=none"}, nil
}

func TestAuthorDomainsAreLookedUpSideBySide(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ authors, limit, asked int }{
		{0, 0, 0}, {1, 0, 1}, {3, 0, 3}, {9, 1, 1}, {9, 7, 7},
		{9, 0, dmarc.DefaultMaxAuthorDomains}, {9, -1, dmarc.DefaultMaxAuthorDomains},
	} {
		synctest.Test(t, func(t *testing.T) {
			var from []string
			for i := range c.authors {
				from = append(from, fmt.Sprintf("ann@d%d.example", i))
			}
			dns, start := &aSecond{}, time.Now()
			evaluator := &dmarc.Evaluator{Resolver: dns, MaxAuthorDomains: c.limit}
			discover(t.Context(), evaluator, []string{strings.Join(from, ", ")})
			require.EqualValues(t, c.asked, dns.asked.Load(), "%+v", c)
			require.Equal(t, time.Duration(min(c.asked, 1))*time.Second, time.Since(start), "%+v", c)
		})
	}
}
