package dkim_test

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/stretchr/testify/require"
)

// zone is a Resolver over TXT records by name, without final dot; a name with no records exists.
type zone map[string][]string

func (z zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	short, absolute := strings.CutSuffix(name, ".")
	if !absolute {
		return nil, &net.DNSError{Err: "the test wants absolute names", Name: name, IsTemporary: true}
	}
	records, ok := z[short]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return records, nil
}

// The example of RFC 6376 Appendix A.2 with the key of Appendix C. What was signed has more indentation than the page
// and one space less in the body.
const rfc6376Message = "DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;\r\n" +
	"      c=simple/simple; q=dns/txt; i=joe@football.example.com;\r\n" +
	"      h=Received : From : To : Subject : Date : Message-ID;\r\n" +
	"      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n" +
	"      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB\r\n" +
	"        4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut\r\n" +
	"        KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV\r\n" +
	"        4bmp/YzhwvcubU4=;\r\n" +
	"Received: from client1.football.example.com  [192.0.2.1]\r\n" +
	"      by submitserver.example.com with SUBMISSION;\r\n" +
	"      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)\r\n" +
	"From: Joe SixPack <joe@football.example.com>\r\n" +
	"To: Suzie Q <suzie@shopping.example.net>\r\n" +
	"Subject: Is dinner ready?\r\n" +
	"Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n" +
	"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n" +
	"\r\n" +
	"Hi.\r\n" +
	"\r\n" +
	"We lost the game. Are you hungry yet?\r\n" +
	"\r\n" +
	"Joe.\r\n"

const rfc6376Key = "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkM" +
	"oGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/R" +
	"tdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToI" +
	"MmPSPDdQPNUYckcQ2QIDAQAB"

// The example of RFC 8463 Appendix A.
const rfc8463Message = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n" +
	" d=football.example.com; i=@football.example.com;\r\n" +
	" q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n" +
	" subject : date : message-id : from : subject : date;\r\n" +
	" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n" +
	" b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n" +
	" Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n" +
	"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n" +
	" d=football.example.com; i=@football.example.com;\r\n" +
	" q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n" +
	" date : message-id : from : subject : date;\r\n" +
	" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n" +
	" b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3\r\n" +
	" DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz\r\n" +
	" dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=\r\n" +
	rfc8463Unsigned

const rfc8463Unsigned = "From: Joe SixPack <joe@football.example.com>\r\n" +
	"To: Suzie Q <suzie@shopping.example.net>\r\n" +
	"Subject: Is dinner ready?\r\n" +
	"Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n" +
	"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n" +
	"\r\n" +
	"Hi.\r\n" +
	"\r\n" +
	"We lost the game.  Are you hungry yet?\r\n" +
	"\r\n" +
	"Joe.\r\n"

const (
	rfc8463Ed25519Key = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
	rfc8463RSAKey     = "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3id" +
		"Y6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hst" +
		"T5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB"
)

func rfcZone() zone {
	return zone{
		"brisbane._domainkey.example.com":          {rfc6376Key},
		"brisbane._domainkey.football.example.com": {rfc8463Ed25519Key},
		"test._domainkey.football.example.com":     {rfc8463RSAKey},
	}
}

func verify(t *testing.T, message string, r dkim.Resolver, opts dkim.Options) []dkim.Result {
	t.Helper()
	results, err := dkim.Verify(t.Context(), strings.NewReader(message), r, opts)
	require.NoError(t, err)
	return results
}

func TestVerifiesExampleOfRFC6376(t *testing.T) {
	t.Parallel()
	results := verify(t, rfc6376Message, rfcZone(), dkim.Options{})
	require.Len(t, results, 1)
	r := results[0]
	require.NoError(t, r.Err)
	require.Equal(t, dkim.Pass, r.Status)
	require.Equal(t, "example.com", r.Domain)
	require.Equal(t, "joe@football.example.com", r.Identifier)
	require.Equal(t, "brisbane", r.Selector)
	require.Equal(t, "rsa-sha256", r.Algorithm)
	require.Equal(t, "AuUoFEfD", r.Prefix)
	require.Equal(t, 1024, r.KeyBits)
	require.Equal(t, []string{"received", "from", "to", "subject", "date", "message-id"}, r.Signed)
	require.False(t, r.FromOversigned)
	require.False(t, r.BodyLimited)
	require.True(t, r.Time.IsZero())
}

func TestVerifiesExampleOfRFC8463(t *testing.T) {
	t.Parallel()
	results := verify(t, rfc8463Message, rfcZone(), dkim.Options{})
	require.Len(t, results, 2)
	for _, r := range results {
		require.NoError(t, r.Err)
		require.Equal(t, dkim.Pass, r.Status)
		require.True(t, r.FromOversigned)
		require.EqualValues(t, 1528637909, r.Time.Unix())
	}
	require.Equal(t, "ed25519-sha256", results[0].Algorithm)
	require.Equal(t, 256, results[0].KeyBits)
	require.Equal(t, "/gCrinpc", results[0].Prefix)
	require.Equal(t, "rsa-sha256", results[1].Algorithm)
	require.Equal(t, "test", results[1].Selector)
}

// Every octet behind the signatures is signed, so none may change.
func TestChangedOctetDoesNotPass(t *testing.T) {
	t.Parallel()
	z := rfcZone()
	for i := strings.Index(rfc8463Message, "From:"); i < len(rfc8463Message); i++ {
		old := rfc8463Message[i]
		if old == '\r' || old == '\n' {
			continue
		}
		message := rfc8463Message[:i] + string(old^1) + rfc8463Message[i+1:]
		for _, r := range verify(t, message, z, dkim.Options{}) {
			require.NotEqual(t, dkim.Pass, r.Status, "octet %d, %q flipped", i, old)
		}
	}
}
