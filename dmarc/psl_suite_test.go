package dmarc_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// pslFile opens a file of the public suffix list's suite.
func pslFile(t testing.TB, name string) io.Reader {
	t.Helper()
	suites := os.Getenv("MAILBRICKS_SUITES")
	if suites == "" {
		t.Skip("MAILBRICKS_SUITES names no folder with the conformance suites")
	}
	f, err := os.Open(filepath.Join(suites, "dmarc", "psl", name))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	return f
}

// pslCheck is a line of the suite: a name, and the domain that someone registered, which is "" for a public suffix.
type pslCheck struct{ group, name, registered string }

func pslChecks(t *testing.T) []pslCheck {
	var checks []pslCheck
	group := ""
	for scanner := bufio.NewScanner(pslFile(t, "tests/tests.txt")); scanner.Scan(); {
		line := scanner.Text()
		if comment, ok := strings.CutPrefix(line, "// "); ok {
			group = comment
		} else if name, registered, ok := strings.Cut(line, " "); ok {
			if name == "null" {
				name = ""
			}
			registered = strings.TrimSuffix(registered, "null")
			if name, ok := strings.CutPrefix(name, "//"); ok {
				registered = unlisted(name)
				checks = append(checks, pslCheck{group + " (now unlisted)", name, registered})
				continue
			}
			checks = append(checks, pslCheck{group, name, registered})
		}
	}
	return checks
}

// unlisted is the domain that someone registered when no rule of the list is for a name: its last two labels.
func unlisted(name string) string {
	labels := strings.Split(name, ".")
	if len(labels) < 2 {
		return ""
	}
	return strings.Join(labels[len(labels)-2:], ".")
}

// registered is the domain that someone registered of which name is, in the sense of the suite.
func registered(t *testing.T, list dmarc.PublicSuffixList, name string) string {
	org, err := (&dmarc.Evaluator{Resolver: zone{}, PublicSuffixes: list}).OrganizationalDomain(t.Context(), name)
	if err != nil || list.PublicSuffix(org) == org { // no name, or a public suffix
		return ""
	}
	return org
}

// TestSuitePublicSuffix runs the 82 checks of the public suffix list's own suite, with the list compiled into
// golang.org/x/net and with the suite's own. The suite has made comments of four of them: they are about "local", which
// the list no longer has, so that what holds for it is what holds for all unlisted names (the list's rule "*").
func TestSuitePublicSuffix(t *testing.T) {
	t.Parallel()
	checks := pslChecks(t)
	require.Len(t, checks, 78+4)
	file, err := dmarc.ParsePublicSuffixes(pslFile(t, "public_suffix_list.dat"))
	require.NoError(t, err)
	for _, list := range []struct {
		name string
		dmarc.PublicSuffixList
	}{{"compiled", publicsuffix.List}, {"file", file}} {
		var groups []string
		run, passed := map[string]int{}, map[string]int{}
		for i, c := range checks {
			if run[c.group] == 0 {
				groups = append(groups, c.group)
			}
			run[c.group]++
			t.Run(fmt.Sprintf("%s/%02d %s", list.name, i+1, c.name), func(t *testing.T) {
				want, err := idna.Lookup.ToASCII(c.registered)
				require.NoError(t, err)
				require.Equal(t, want, registered(t, list, c.name))
				passed[c.group]++
			})
		}
		table := fmt.Sprintf("public suffix list, %s:\n%-52s %4s %7s", list.name, "group", "run", "passed")
		sum := 0
		for _, g := range groups {
			table += fmt.Sprintf("\n%-52s %4d %7d", g, run[g], passed[g])
			sum += passed[g]
		}
		t.Logf("%s\n%-52s %4d %7d", table, "all", len(checks), sum)
	}
}

// TestSuitePublicSuffixRules asks both lists for a name below each of the suite's rules. They are of different days, so a
// few rules may differ; more would be a fault of the reader.
func TestSuitePublicSuffixRules(t *testing.T) {
	t.Parallel()
	file, err := dmarc.ParsePublicSuffixes(pslFile(t, "public_suffix_list.dat"))
	require.NoError(t, err)
	rules := 0
	var differences []string
	for scanner := bufio.NewScanner(pslFile(t, "public_suffix_list.dat")); scanner.Scan(); {
		rule := strings.TrimSpace(scanner.Text())
		if rule == "" || strings.HasPrefix(rule, "//") {
			continue
		}
		rules++
		name := strings.TrimPrefix(strings.TrimPrefix(rule, "!"), "*.")
		for _, front := range []string{"", "a.", "b.a."} {
			name, err := idna.Lookup.ToASCII(front + name)
			require.NoError(t, err)
			if file.PublicSuffix(name) != publicsuffix.List.PublicSuffix(name) {
				differences = append(differences, rule)
				break
			}
		}
	}
	require.Greater(t, rules, 9000)
	t.Logf("%d rules, %d of them with different answers, as the lists are of different days: %s, ...", rules, len(differences), strings.Join(differences[:min(10, len(differences))], ", "))
	require.Less(t, len(differences), rules/20)
}

func TestParsePublicSuffixes(t *testing.T) {
	t.Parallel()
	list, err := dmarc.ParsePublicSuffixes(strings.NewReader("\ufeff// comment\n\ncom\n  co.uk  and more\n*.ck\r\n!www.ck\n*\nРФ\nexample\n*.example\n!sub.deep.example\nlow.sub.deep.example\n"))
	require.NoError(t, err)
	for name, want := range map[string]string{
		"com": "com", "a.com": "com", "a.co.uk": "co.uk", "uk": "uk", "a.b.uk": "uk",
		"ck": "ck", "a.ck": "a.ck", "b.a.ck": "a.ck", "www.ck": "ck", "x.www.ck": "ck",
		"a.xn--p1ai": "xn--p1ai", "a.b.unlisted": "unlisted", "example": "example", "a.example": "a.example", "b.a.example": "a.example",
		"sub.deep.example": "deep.example", "x.low.sub.deep.example": "deep.example", // an exception goes before a longer rule
		"": "",
	} {
		require.Equal(t, want, list.PublicSuffix(name), name)
	}
	for _, rule := range []string{"a..b", "!com", "a.*.b", "a_b!", "*.", "!", strings.Repeat("a.", 200), "\xff.com"} {
		_, err := dmarc.ParsePublicSuffixes(strings.NewReader("com\n" + rule + "\n"))
		require.ErrorContains(t, err, "line 2", rule)
	}
	_, err = dmarc.ParsePublicSuffixes(strings.NewReader(strings.Repeat("a", 1<<20)))
	require.ErrorIs(t, err, bufio.ErrTooLong)
	_, err = dmarc.ParsePublicSuffixes(io.MultiReader(strings.NewReader("com\n"), broken{}))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

// broken is a reader that fails.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func FuzzParsePublicSuffixes(f *testing.F) {
	f.Add("com\n*.ck\n!www.ck // x\n公司.cn\n", "a.www.ck")
	f.Add("*.b\nb\n!a.b", "b")
	f.Fuzz(func(t *testing.T, text, domain string) {
		list, err := dmarc.ParsePublicSuffixes(strings.NewReader(text))
		if err != nil {
			return
		}
		suffix := list.PublicSuffix(domain)
		if suffix != domain && !strings.HasSuffix(domain, "."+suffix) {
			t.Fatalf("the suffix of %q is %q", domain, suffix)
		}
		e := &dmarc.Evaluator{Resolver: zone{}, PublicSuffixes: list}
		org, err := e.OrganizationalDomain(t.Context(), domain)
		if err != nil {
			return
		}
		if again, err := e.OrganizationalDomain(t.Context(), org); err != nil || again != org {
			t.Fatalf("the organizational domain of %q is %q, of that %q, %v", domain, org, again, err)
		}
	})
}

func BenchmarkParsePublicSuffixes(b *testing.B) {
	text, err := io.ReadAll(pslFile(b, "public_suffix_list.dat"))
	require.NoError(b, err)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := dmarc.ParsePublicSuffixes(strings.NewReader(string(text))); err != nil {
			b.Fatal(err)
		}
	}
}
