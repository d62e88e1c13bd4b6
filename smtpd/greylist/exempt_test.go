package greylist

import (
	"context"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/smtpd"
)

// A check that leaves postmaster@ out decides on the client at the next recipient only.
func TestExemptIsNotAskedForListedRecipients(t *testing.T) {
	listed, asked := false, 0
	var reasons []Reason
	o := Options{
		Exempt: func(*smtpd.Transaction) bool { asked++; return listed },
		OnDecision: func(_ context.Context, _ *smtpd.Transaction, _ string, d Decision) {
			reasons = append(reasons, d.Reason)
		},
	}
	bubble(t, o, func(t *testing.T, g *Greylist) {
		tx := transaction(peer, ann)
		require.Empty(t, g.try(tx, "postmaster@example.com"))
		require.Zero(t, asked)
		listed = true
		require.Empty(t, g.try(tx, bob))
		require.Empty(t, g.try(tx, "postmaster@example.com"))
		require.Empty(t, g.try(tx, "carol@example.com"))
		require.Equal(t, 1, asked)
		require.Equal(t, []Reason{ListedRecipient, Exempted, ListedRecipient, Exempted}, reasons)
	})
}

func TestClientsAreTheCallersNoMore(t *testing.T) {
	clients := []netip.Prefix{netip.MustParsePrefix("203.0.113.0/28")}
	bubble(t, Options{Clients: clients}, func(t *testing.T, g *Greylist) {
		clients[0] = netip.MustParsePrefix("198.51.100.0/24")
		require.True(t, g.send(peer, ann))
		require.False(t, g.send("198.51.100.1", ann))
	})
}
