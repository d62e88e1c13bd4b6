package directory_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/idna"
	"pgregory.net/rapid"

	"github.com/mailbricks/mailbricks/auth/directory"
)

func TestOnlyAddressesThatMailCanReachBecomeAccountsAndAliases(t *testing.T) {
	t.Parallel()
	d, dir := open(t, nil, directory.Options{})
	for _, address := range []string{
		"lit@[1.2.3.4]", "a@1.2.3.4", "a@b_c.test", "..@a.test", ".dot@a.test", "dot.@a.test", "a..b@a.test", "a:b@a.test", `a\b@a.test`, `"x"@a.test`,
		"#x@a.test", "/x@a.test", "a b@a.test", "a|b@a.test", "a,b@a.test", "a@b@a.test", "a\u202e@a.test", "a\u0085@a.test", "a\u00a0@a.test",
		strings.Repeat("x", 65) + "@a.test", "a@-b.test", "a@b-.test", "a@b..test", "@a.test", "a@", "a",
	} {
		require.Error(t, d.AddAccount(address, "secret"), address)
		if !strings.HasPrefix(address, "@") && address[0] != '/' {
			require.Error(t, d.AddAlias(address, "ann@a.test"), address)
		}
	}
	require.Error(t, d.AddAlias("@b_c.test", "ann@a.test"))
	require.Error(t, d.AddAlias("//", "ann@a.test"))
	require.NoFileExists(t, dir+"/accounts.cf")
	require.NoFileExists(t, dir+"/aliases.cf")
	for _, address := range []string{"a/b@a.test", "o'neil+x@a.test", "büro@müller.test", strings.Repeat("x", 64) + "@a.test", "a@xn--mller-kva.test", "a@localhost"} {
		require.NoError(t, d.AddAccount(address, "secret"), address)
	}
}

func TestTakes(t *testing.T) {
	t.Parallel()
	d, _ := open(t, files, directory.Options{Hostname: "Mail.Host.test"})
	for address, want := range map[string]bool{
		"x@localhost.localdomain": true, "postmaster": true, "postmaster@mail.host.test": true, "Postmaster+x@mail.host.test": true, "MAILER-DAEMON@mail.host.test": true,
		"x@mail.host.test": false, "postmaster@elsewhere.test": false, "x@elsewhere.test": false,
	} {
		require.Equal(t, want, d.Takes(address), address)
	}
	for _, address := range []string{"postmaster@mail.host.test", "postmaster+x@localhost.localdomain"} {
		got, err := d.Resolve(address)
		require.NoError(t, err, address)
		require.Equal(t, []string{"user1@localhost.localdomain"}, got)
	}
}

// Accounts keep the names that earlier versions gave them, which converted the whole domain at once.
func TestDomainsOfAccountsKeepTheirForm(t *testing.T) {
	t.Parallel()
	earlier := idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(false), idna.VerifyDNSLength(true))
	part := rapid.OneOf(
		rapid.SampledFrom([]string{".", "-", "xn--", "xn--mller-kva", "Bücher", "straße", "例え", "אב", "İ", "ﬁ", "Σς", "u\u0308", "ａ", "。", "한", "_", "!"}),
		rapid.StringOfN(rapid.RuneFrom([]rune("abcXYZ019-.")), 1, 6, -1),
		rapid.StringN(1, 3, -1),
	)
	kept := 0
	rapid.Check(t, func(t *rapid.T) {
		domain := strings.Join(rapid.SliceOfN(part, 1, 6).Draw(t, "parts"), "")
		before, err := earlier.ToASCII(strings.TrimSuffix(domain, "."))
		if err != nil || strings.ContainsAny(domain, "․‥…﹒≠≮≯") || // characters that RFC 5892 §3 disallows
			strings.HasSuffix(before, ".") ||
			strings.Trim(strings.ToLower(before), "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" {
			return // never the domain of an account
		}
		kept++
		now, err := directory.CanonicalDomain(domain)
		require.NoError(t, err, "%q", domain)
		require.Equal(t, strings.ToLower(before), now, "%q", domain)
	})
	require.NotZero(t, kept)
}

func TestDomainsThatAreNone(t *testing.T) {
	t.Parallel()
	for _, domain := range []string{"", ".", "a..b", "a b", "a!b.example", "1א.example", "_ü.example", strings.Repeat("例", 5000), strings.Repeat("a.", 127) + "a"} {
		_, err := directory.CanonicalDomain(domain)
		require.Error(t, err, "%.80q", domain)
	}
	for domain, want := range map[string]string{"[IPv6:2001:DB8::1]": "[ipv6:2001:db8::1]", "_x.Bücher.example.": "_x.xn--bcher-kva.example"} {
		got, err := directory.CanonicalDomain(domain)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}
