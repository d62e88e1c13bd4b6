package dmarc_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/stretchr/testify/require"
)

func TestAuthorDomains(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ from, want, err string }{
		// Well-formed.
		{"a@example.com", "example.com", ""},
		{"Ann <a@Example.COM>", "example.com", ""},
		{`"Ann, of \"x@y.com\"" <a@example.com>`, "example.com", ""},
		{"=?utf-8?q?ceo=40bank.com?= <a@example.com>", "example.com", ""},
		{"a@example.com (Ann (of x@y.com) \\) )", "example.com", ""},
		{"Ann\r\n\t<a@example.com>", "example.com", ""},
		{"a@b.example.com, c@B.example.com", "b.example.com", ""},
		{"a@b.com, Bob <c@d.com>", "b.com d.com", ""},
		{"Group: a@b.com, c@d.com;", "b.com d.com", ""},
		{`"quoted @ local"@example.com`, "example.com", ""},
		{`"a\"@b.com"@example.com`, "example.com", ""},
		{"ann@bücher.example", "xn--bcher-kva.example", ""},
		{"ann@XN--BCHER-KVA.example", "xn--bcher-kva.example", ""},
		{"用户@例え.テスト", "xn--r8jz45g.xn--zckzah", ""},
		{"root@localhost", "localhost", ""},
		// Obsolete and sloppy, but not ambiguous.
		{"<@hop1.net,@hop2.net:a@example.com>", "example.com", ""},
		{"a @ (c) example . com", "example.com", ""},
		{"Doe, John <j@example.com>", "example.com", ""},
		{"a@b.com; c@d.com", "b.com d.com", ""},
		{"John Q. Public <j@example.com>", "example.com", ""},
		{"j@example.com <j@example.com>", "example.com", ""},
		{"ceo@bank.com <x@evil.com>", "evil.com", ""},
		{"a..b.@example.com", "example.com", ""},
		{"a@example.com.", "example.com", ""},
		{"Ann Smith a@example.com", "example.com", ""},
		{",, a@example.com ,", "example.com", ""},
		{"\"Ann\" a@example.com", "example.com", ""},
		// No domain.
		{"", "", "no author"},
		{"Ann", "", "no author"},
		{"Nobody:;", "", "no author"},
		{"<>", "", "no author"},
		{"<ann>", "", "no author malformed"},
		{"a@[192.0.2.1]", "", "no author"},
		{"a@", "", "no author malformed"},
		// Ambiguous: every domain counts, and the field is malformed.
		{"a@bank.com@evil.com", "bank.com evil.com", "malformed"},
		{"<a@bank.com@evil.com>", "bank.com evil.com", "malformed"},
		{"<a@bank.com> <b@evil.com>", "bank.com evil.com", "malformed"},
		{"<a@bank.com> b@evil.com", "bank.com evil.com", "malformed"},
		{"a@bank.com: b@evil.com", "bank.com evil.com", "malformed"},
		{"a@bank.com\x00, b@evil.com", "evil.com", "malformed"},
		{"a@bank.com\x00.evil.com", "bank.com", "malformed"},
		{"a@bank com", "bank", "malformed"},
		{"a@example.com x", "example.com", "malformed"},
		{"<a@bank.com", "bank.com", "malformed"},
		{`"a@bank.com`, "bank.com", "malformed"},
		{`"ceo@bank.com"`, "bank.com", "malformed"},
		{"=?utf-8?q?ceo=40bank.com?=", "bank.com", "malformed"},
		{"(a@bank.com)", "bank.com", "malformed"},
		{"(a@bank.com", "bank.com", "malformed"},
		{"@bank.com", "bank.com", "malformed"},
		{"a@exa$mple.com", "exa", "malformed"},
		{"a@\"bank.com\"", "", "malformed no author"},
		{"a@b..com", "", "malformed no author"},
		{"a@-._x.com", "-._x.com", ""},
		{"a@" + strings.Repeat("x", 64) + ".com", "", "malformed no author"},
		{"a@bank.com\\@evil.com", "bank.com evil.com", "malformed"},
		{"a)b@bank.com", "bank.com", "malformed"},
	} {
		got, err := dmarc.AuthorDomains(c.from)
		require.Equal(t, c.want, strings.Join(got, " "), "%q", c.from)
		require.Equal(t, strings.Contains(c.err, "no author"), errIs(err, dmarc.ErrNoAuthor), "%q %v", c.from, err)
		require.Equal(t, strings.Contains(c.err, "malformed"), errIs(err, dmarc.ErrMalformedFrom), "%q %v", c.from, err)
		require.Equal(t, c.err == "", err == nil, "%q %v", c.from, err)
	}
}

func TestAuthorDomainsOfManyFields(t *testing.T) {
	t.Parallel()
	got, err := dmarc.AuthorDomains()
	require.Empty(t, got)
	require.ErrorIs(t, err, dmarc.ErrNoAuthor)

	got, err = dmarc.AuthorDomains("a@bank.com", "b@evil.com", "c@bank.com")
	require.Equal(t, []string{"bank.com", "evil.com"}, got)
	require.ErrorIs(t, err, dmarc.ErrManyFrom)
	require.NotErrorIs(t, err, dmarc.ErrNoAuthor)
}

// A huge field costs time in step with its size.
func TestAuthorDomainsOfAHugeField(t *testing.T) {
	t.Parallel()
	start := time.Now()
	for _, part := range []string{"<a@b>", "a@b,", "(", "\"", "<", "@", "a@b<", "a:", ">", "<@a:", ".", "\\", "a@", "[", "\x00"} {
		_, _ = dmarc.AuthorDomains(strings.Repeat(part, 1<<18/len(part)))
	}
	var b strings.Builder
	for i := range 20_000 {
		b.WriteString("a@d" + strings.Repeat("x", i%50) + string(rune('a'+i%26)) + ".example,")
	}
	got, _ := dmarc.AuthorDomains(b.String())
	require.Len(t, got, 64)
	require.Less(t, time.Since(start), 20*time.Second)
}

func FuzzAuthorDomains(f *testing.F) {
	for _, s := range []string{
		"Ann <a@example.com>", "G: a@b.com, <@r:c@d.com>;", `"x\"@y" <a@b> (c (d))`, "=?utf-8?b?YUBi?= <\xff@\xfe>", "a@[1.2.3.4], ü@ü.de", "<a@b><c@d> e@f:",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := dmarc.AuthorDomains(s)
		if len(got) == 0 && err == nil {
			t.Fatal("neither a domain nor an error")
		}
		for _, d := range got {
			again, err := dmarc.AuthorDomains("Ann <ann@" + d + ">")
			if err != nil || len(again) != 1 || again[0] != d {
				t.Fatalf("%q is read as %q, %v", d, again, err)
			}
		}
		if more, _ := dmarc.AuthorDomains(s, "x@unlikely.example"); len(more) < len(got) {
			t.Fatalf("another field hides domains: %q, %q", got, more)
		}
	})
}
