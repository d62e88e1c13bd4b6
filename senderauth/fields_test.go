package senderauth_test

import (
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/dkim"
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

func TestWhoSignedIsTold(t *testing.T) {
	t.Parallel()
	for identifier, want := range map[string]string{
		"":                        "dkim=pass header.d=sender.example header.s=ed",
		"@sender.example":         "dkim=pass header.d=sender.example header.s=ed",
		"ann@mail.sender.example": "dkim=pass header.d=sender.example header.i=ann@mail.sender.example",
	} {
		s := &dkim.Signer{Domain: "sender.example", Selector: "ed", Key: keys().ed, Identifier: identifier, Now: longAgo}
		field, err := s.Sign(strings.NewReader(letter))
		require.NoError(t, err)
		_, got, err := outcome(t, senderauth.Options{Resolver: zones(t, none).Resolver()}, honest(field+letter))
		require.NoError(t, err)
		require.Contains(t, got, want)
	}
}
