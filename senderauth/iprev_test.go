package senderauth

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// deaf has names for addresses, and no answer to what is asked about them.
type deaf struct{ names []string }

func (deaf) LookupTXT(context.Context, string) ([]string, error) { return nil, nil }

func (deaf) LookupMX(context.Context, string) ([]*net.MX, error) { return nil, nil }

func (d deaf) LookupAddr(ctx context.Context, _ string) ([]string, error) {
	if d.names == nil {
		<-ctx.Done()
	}
	return d.names, ctx.Err()
}

func (deaf) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestIPRevTakesLimitedTime(t *testing.T) {
	t.Parallel()
	for _, names := range [][]string{nil, {"mail.sender.example.", "mx.sender.example."}} {
		synctest.Test(t, func(t *testing.T) {
			start, addr := time.Now(), netip.MustParseAddr("192.0.2.25")
			require.Equal(t, IPRev{Value: "temperror", Addr: addr}, lookUp(t.Context(), deaf{names}, addr))
			require.Equal(t, MaxIPRevTime, time.Since(start))
		})
	}
}
