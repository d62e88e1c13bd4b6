package senderauth

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/dkim/arc"
	"github.com/mailbricks/mailbricks/senderauth/authres"
	"github.com/stretchr/testify/require"
)

// A set of any length tells so much and no more; what is told first counts.
func TestWhatASetTellsIsLimited(t *testing.T) {
	t.Parallel()
	many := strings.Repeat("dkim=pass header.d=list.example; ", 10*authres.MaxResults)
	passed := "dmarc=pass header.from=sender.example smtp.remote-ip=192.0.2.1; "

	m, says := told(arc.Set{Results: " mx.list.example; " + passed + many}, "sender.example")
	require.False(t, says, "the authserv-id is no result, and what stands behind it is not read")
	require.Empty(t, m.DKIM)

	m, says = told(arc.Set{Results: passed + many}, "sender.example")
	require.True(t, says)
	require.Len(t, m.DKIM, authres.MaxResults-1)
	require.Equal(t, netip.MustParseAddr("192.0.2.1"), origin(arc.Set{Results: passed + many}))

	m, says = told(arc.Set{Results: many + passed}, "sender.example")
	require.False(t, says)
	require.Len(t, m.DKIM, authres.MaxResults)
	require.False(t, origin(arc.Set{Results: many + passed}).IsValid())
}
