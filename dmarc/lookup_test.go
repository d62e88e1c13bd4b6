package dmarc_test

import (
	"net"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/stretchr/testify/require"
)

func TestLookup(t *testing.T) {
	t.Parallel()
	s := &spy{zone: zone{
		"_dmarc.example.com":           {"v=spf1 -all", "v=DMARC1; p=reject; pct=50"},
		"_dmarc.many.example":          {"v=DMARC1; p=none", "v=DMARC1; p=reject"},
		"_dmarc.close.example":         {"v=dmarc1; p=none"},
		"_dmarc.slow.example":          {"TIMEOUT"},
		"_dmarc.xn--bcher-kva.example": {"v=DMARC1; p=none"},
	}}
	e := &dmarc.Evaluator{Resolver: s}
	r, err := e.Lookup(t.Context(), "Example.COM.")
	require.NoError(t, err)
	require.Equal(t, dmarc.PolicyReject, r.Policy)
	require.Equal(t, []dmarc.Warning{{Tag: "pct", Problem: "is obsolete: RFC 9989 does not have it"}}, r.Warnings)
	_, err = e.Lookup(t.Context(), "bücher.example")
	require.NoError(t, err)

	_, err = e.Lookup(t.Context(), "many.example")
	require.ErrorIs(t, err, dmarc.ErrManyRecords)
	_, err = e.Lookup(t.Context(), "close.example")
	require.ErrorIs(t, err, dmarc.ErrNoRecord)
	require.ErrorContains(t, err, "the value of v is not in upper case")
	_, err = e.Lookup(t.Context(), "a.example.com")
	require.ErrorIs(t, err, dmarc.ErrNoRecord)
	_, err = e.Lookup(t.Context(), "slow.example")
	var dns *net.DNSError
	require.ErrorAs(t, err, &dns)
	_, err = e.Lookup(t.Context(), strings.Repeat("a.", 124)+"com") // no room for "_dmarc."
	require.ErrorIs(t, err, dmarc.ErrNoRecord)
	require.Len(t, s.names, 6)
	_, err = e.Lookup(t.Context(), "exa mple")
	require.ErrorContains(t, err, "is no domain name")
}
