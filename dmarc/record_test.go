package dmarc_test

import (
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/stretchr/testify/require"
)

func TestParseRecord(t *testing.T) {
	t.Parallel()
	r, err := dmarc.ParseRecord("v=DMARC1; p=quarantine; sp=reject; np=none; adkim=s; aspf=s; t=y; psd=n; fo=1:d:s; " +
		"rua=mailto:a@example.com, mailto:b@example.com!10m; ruf=mailto:c@example.com")
	require.NoError(t, err)
	require.Equal(t, []dmarc.Policy{dmarc.PolicyQuarantine, dmarc.PolicyReject, dmarc.PolicyNone}, []dmarc.Policy{r.Policy, r.Subdomain, r.Nonexistent})
	require.True(t, r.StrictDKIM && r.StrictSPF && r.Testing && !r.Invalid)
	require.Equal(t, dmarc.PSDNo, r.PSD)
	require.Equal(t, "1:d:s", r.FailureOptions)
	require.Equal(t, []string{"mailto:a@example.com", "mailto:b@example.com"}, r.AggregateURIs)
	require.Equal(t, []string{"mailto:c@example.com"}, r.FailureURIs)
}

func TestParseRecordIsTolerant(t *testing.T) {
	t.Parallel()
	for _, text := range []string{ // all of them ask for reject and nothing else
		"v=DMARC1;p=reject", "v=DMARC1; p=reject;", "v=DMARC1 ;p=reject", "v = DMARC1 ; p = reject ; ", "V=DMARC1;P=Reject", "v=DMARC1;p=REJECT",
		"v=DMARC1;;;p=reject;;", "v=DMARC1; p=reject; unknown=1; x; =; pct=50", "v=DMARC1; p=reject; adkim=x; aspf=; t=maybe; psd=q; fo=9; rua=nonsense; ruf=",
		"v=DMARC1; p=reject; p=none", "v=DMARC1;\tp=reject\t", "v=DMARC1; p=reject; fo=0:1", "v=DMARC1; p=reject; fo=d:d", "v=DMARC1; p=reject; rua=mailto:@x, mailto:a@, ftp:, a@b.com",
		"v=DMARC1; p=reject; fo=0; rf=afrf; ri=86400; pct=100", "v=DMARC1; p=reject; \x80=\xff; rua=mailto:\xff@x.com", "v=DMARC1; p=reject; adkim=r; aspf=R; psd=u; t=n",
	} {
		r, err := dmarc.ParseRecord(text)
		require.NoError(t, err, "%q", text)
		require.Equal(t, text, r.Text)
		r.Text, r.Warnings = "", nil
		r.Percent = 100
		require.Equal(t, &dmarc.Record{
			Policy: dmarc.PolicyReject, Subdomain: dmarc.PolicyReject, Nonexistent: dmarc.PolicyReject, FailureOptions: "0", Percent: 100,
		}, r, "%q", text)
	}
	// People put blanks into URIs.
	r, err := dmarc.ParseRecord("v=DMARC1; p=none; rua=mailto: admin@DOMAIN.com; ruf=mailto: admin@DOMAIN.com")
	require.NoError(t, err)
	require.Equal(t, []string{"mailto:admin@DOMAIN.com"}, r.AggregateURIs)
	require.Equal(t, r.AggregateURIs, r.FailureURIs)
}

func TestNoRecord(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "v", "v=", "v=DMARC", "v=DMARC12;p=none", "v=dmarc1;p=none", "v=DMARC1 p=none", "p=none;v=DMARC1", " v=DMARC1;p=none", "\tv=DMARC1", ";v=DMARC1",
		"v=spf1 -all", "x=DMARC1;p=none", "v==DMARC1", "v=\"DMARC1\"", "vv=DMARC1",
	} {
		_, err := dmarc.ParseRecord(text)
		require.ErrorIs(t, err, dmarc.ErrNoRecord, "%q", text)
	}
}

// RFC 9989 §4.10.1.
func TestRecordsWithoutAValidPolicy(t *testing.T) {
	t.Parallel()
	for _, tags := range []string{"", "p=", "p=rejekt", "p=reject; sp=no", "p=reject; np=", "sp=reject"} {
		r, err := dmarc.ParseRecord("v=DMARC1; " + tags)
		require.NoError(t, err)
		require.True(t, r.Invalid, tags)
		r, err = dmarc.ParseRecord("v=DMARC1; " + tags + "; rua=mailto:a@example.com")
		require.NoError(t, err)
		require.False(t, r.Invalid, tags)
		require.Zero(t, r.Policy+r.Subdomain+r.Nonexistent, tags)
	}
	r, _ := dmarc.ParseRecord("v=DMARC1; p=x; rua=https://example.com/dmarc")
	require.False(t, r.Invalid, "any valid URI will do")
}

func FuzzParseRecord(f *testing.F) {
	f.Add("v=DMARC1; p=reject; sp=none; np=quarantine; adkim=s; aspf=s; t=y; psd=y; fo=1:d:s; rua=mailto:a@b!1k,https://x; ruf=mailto: c@d")
	f.Add("v = DMARC1 ;p = reject;;=;x")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := dmarc.ParseRecord(text)
		if err != nil {
			return
		}
		if r.Invalid && (r.Policy|r.Subdomain|r.Nonexistent != dmarc.PolicyNone || len(r.AggregateURIs) > 0) {
			t.Fatalf("%+v", r)
		}
		for _, uri := range append(r.AggregateURIs, r.FailureURIs...) {
			if strings.ContainsFunc(uri, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == ',' || c == '!' || c == ';' }) {
				t.Fatalf("URI %q", uri)
			}
		}
		again, err := dmarc.ParseRecord(text + ";v=2;zz=1")
		if err != nil || again.Policy != r.Policy || again.Invalid != r.Invalid {
			t.Fatalf("an unknown tag at the end makes %+v of %+v: %v", again, r, err)
		}
	})
}
