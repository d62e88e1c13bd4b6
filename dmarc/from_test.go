package dmarc_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

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
		{"Empty:;, a@b.com", "b.com", ""},
		{"One: a@b.com;, Two: (none) ;", "b.com", ""},
		{"=?utf-8?q?G=2C?=: =?utf-8?q?a=40x.com?= <a@b.com>;", "b.com", ""},
		{"(c1) a (c2) @ (c3) b.com (c4 (c5 @x.com))", "b.com", ""},
		{`"quoted @ local"@example.com`, "example.com", ""},
		{`"a\"@b.com"@example.com`, "example.com", ""},
		{"ann@bücher.example", "xn--bcher-kva.example", ""},
		{"ann@XN--BCHER-KVA.example", "xn--bcher-kva.example", ""},
		{"用户@例え.テスト", "xn--r8jz45g.xn--zckzah", ""},
		{"root@localhost", "localhost", ""},
		// Obsolete and sloppy, but not ambiguous.
		{"<@hop1.net,@hop2.net:a@example.com>", "example.com", ""},
		{"Ann <@hop1.net (x):\"a@b\"@example.com>", "example.com", ""},
		{"Ann <, ,@hop1.net,,@hop2.net:a@example.com>", "example.com", ""},
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
		{"=?windows-1252?q?ceo=40bank.com?=", "bank.com", "malformed"},
		{"=?utf-8?b?Y2VvQGJhbmsuY29t?=", "bank.com", "malformed"},
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

// Only the first 64 KiB of all fields are read, so that work and memory do not grow with them; the rest makes the field
// malformed.
func TestAuthorDomainsOfHugeFields(t *testing.T) {
	parts := []string{
		"<a@b>", "a@b,", "(", "\"", "<", "@", "a@b<", "a:", ">", "<@a:", ".", "\\", "a@", "[", "\x00", "\xff", "a@\u00fc,", "=?utf-8?q?=40?= ", "=?x?q?a@b?=", "\"a@b\"", " ",
	}
	for _, part := range parts {
		huge := strings.Repeat(strings.Repeat(part, 1000/len(part))+" ", 10<<20/1000) // a blank to cut it at
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := dmarc.AuthorDomains(huge)
		runtime.ReadMemStats(&after)
		require.ErrorIs(t, err, dmarc.ErrMalformedFrom, part)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(40<<20), part)
	}
	many := make([]string, 100_000)
	for i := range many {
		many[i] = "ann@" + strings.Repeat("x", i%50) + "d.example"
	}
	got, err := dmarc.AuthorDomains(many...)
	require.ErrorIs(t, err, dmarc.ErrMalformedFrom)
	require.Len(t, got, 50)

	got, _ = dmarc.AuthorDomains(strings.Repeat("x", dmarc.MaxFrom-8) + ", a@bank.com.evil.example")
	require.Empty(t, got, "no half of a domain")

	// Nothing comes from behind the limit, and 64 domains at most from before it.
	got, err = dmarc.AuthorDomains("a@first.example"+strings.Repeat(" ", dmarc.MaxFrom), "b@second.example")
	require.Equal(t, []string{"first.example"}, got)
	require.ErrorIs(t, err, dmarc.ErrMalformedFrom)
	got, err = dmarc.AuthorDomains(strings.Repeat(" ", dmarc.MaxFrom-len("a@b.example")) + "a@b.example")
	require.Equal(t, []string{"b.example"}, got)
	require.NoError(t, err)
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, "a@d%d.example,", i)
	}
	got, err = dmarc.AuthorDomains(b.String())
	require.NoError(t, err)
	require.Len(t, got, 64)
}

// A label of many kilobytes is no work for the conversion to A-labels, which would take seconds.
func TestAuthorDomainsOfHugeLabels(t *testing.T) {
	t.Parallel()
	label := func(n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteRune(rune(0x4e00 + i))
		}
		return b.String()
	}
	for _, domain := range []string{label(64), label(20_000), label(64) + ".example", "example." + label(64), strings.Repeat("\u00fc.", 600) + "example"} {
		got, err := dmarc.AuthorDomains("a@" + domain)
		require.Empty(t, got)
		require.ErrorIs(t, err, dmarc.ErrMalformedFrom)
	}
	for _, domain := range []string{label(10) + "." + label(10), strings.Repeat(label(1)+"\u3002", 20) + "example"} {
		got, err := dmarc.AuthorDomains("a@" + domain)
		require.NoError(t, err)
		require.Len(t, got, 1)
	}
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

func BenchmarkAuthorDomains(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if got, err := dmarc.AuthorDomains("=?utf-8?q?Ann_M=C3=BCller?= (sales) <ann.mueller@news.example.com>"); err != nil || len(got) != 1 {
			b.Fatal(got, err)
		}
	}
}
