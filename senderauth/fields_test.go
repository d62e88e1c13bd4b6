package senderauth_test

import (
	"testing"

	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/senderauth"
	"github.com/mailbricks/mailbricks/senderauth/authres"
	"github.com/stretchr/testify/require"
)

// Package spf writes its part of the field by itself; it says the same.
func TestSPFSaysTheSameByItself(t *testing.T) {
	t.Parallel()
	for _, from := range []string{"ann@sender.example", "x@soft.example", "x@neutral.example", "x@broken.example", "x@nothing.example", "", "x@slow.example", "x@localhost"} {
		dns := zones(t, none)
		dns.SetFailure("slow.example", mailtest.ServFail, "TXT")
		r, field, err := outcome(t, senderauth.Options{Resolver: dns.Resolver()}, mail{ip: "198.51.100.7", helo: "x.sender.example", from: from, raw: letter})
		require.NoError(t, err)
		ours, err := authres.Parse(field)
		require.NoError(t, err)
		theirs, err := authres.Parse("mx.example.com; " + r.SPF.Resinfo())
		require.NoError(t, err)
		require.Equal(t, theirs.Results[0], ours.Results[1], from)
	}
}
