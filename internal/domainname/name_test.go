package domainname_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mailbricks/mailbricks/internal/domainname"
)

// profiles are in the order of their strictness.
var profiles = []struct {
	name string
	form func(string) (string, bool)
}{{"DNS", domainname.DNS}, {"Identity", domainname.Identity}, {"Host", domainname.Host}}

var (
	label63 = strings.Repeat("a", domainname.MaxLabel)
	name253 = strings.Repeat(label63+".", 3) + label63[:61]
)

func TestNamesHaveOneForm(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		want string // in the profiles that take it
		take int    // how many of the profiles do
	}{
		{"example.com", "example.com", 3},
		{"EXAMPLE.Com.", "example.com", 3},
		{"localhost", "localhost", 3},
		{"1and1.example", "1and1.example", 3},
		{"a.1b", "a.1b", 3},
		{"r3---sn.example", "r3---sn.example", 3},
		{label63 + ".example", label63 + ".example", 3},
		{name253, name253, 3},
		{name253 + ".", name253, 3},
		// U-labels, A-labels and what is neither.
		{"bücher.example", "xn--bcher-kva.example", 3},
		{"BÜCHER.example.", "xn--bcher-kva.example", 3},
		{"bu\u0308cher.example", "xn--bcher-kva.example", 3}, // not in NFC
		{"XN--BCHER-KVA.example", "xn--bcher-kva.example", 3},
		{"straße.example", "xn--strae-oqa.example", 3}, // no transitional mapping
		{"例え。テスト", "xn--r8jz45g.xn--zckzah", 3},
		{"例え．テスト｡", "xn--r8jz45g.xn--zckzah", 3},
		{"ｅｘａｍｐｌｅ.com", "example.com", 3},
		{"ｘn--bcher-kva.example", "xn--bcher-kva.example", 3},
		{"exam\u00adple.com", "example.com", 3},
		{"xn--a.bücher.example", "xn--a.xn--bcher-kva.example", 3}, // no A-label, but nothing to convert either
		{"ab--c.bücher.example", "ab--c.xn--bcher-kva.example", 3},
		// The Bidi rule is for the labels that are converted.
		{"אב.example", "xn--4dbc.example", 3},
		{"1a.אב.example", "1a.xn--4dbc.example", 3},
		{"_dmarc.אב.example", "_dmarc.xn--4dbc.example", 2},
		{"1א.example", "", 0},
		{"אa.example", "", 0},
		// No host names.
		{"_dmarc.example.com", "_dmarc.example.com", 2},
		{"_x.bücher.example", "_x.xn--bcher-kva.example", 2},
		{"-a.example", "-a.example", 2},
		{"a-.example", "a-.example", 2},
		{"example.a-", "example.a-", 2},
		{"192.0.2.1", "192.0.2.1", 2},
		{"host.2001", "host.2001", 2},
		{"7", "7", 2},
		{"a b.example", "a b.example", 1},
		{`a\.b.example`, `a\.b.example`, 1},
		{"ann@example.com", "ann@example.com", 1},
		{"[192.0.2.1]", "[192.0.2.1]", 1},
		{"*.example", "*.example", 1},
		{"a!.bücher.example", "a!.xn--bcher-kva.example", 1},
		// No names at all.
		{"", "", 0}, {".", "", 0}, {"。", "", 0}, {"..", "", 0}, {".a", "", 0}, {"a..b", "", 0}, {"a..", "", 0}, {"a.。", "", 0},
		{"ü..", "", 0}, {".ü", "", 0}, {"ü..a", "", 0}, {"\u00ad.example", "", 0},
		{"a\x00b.example", "", 0}, {"a\tb", "", 0}, {"a\x7f", "", 0}, {"a\r\nb", "", 0}, {"a\n.ü", "", 0},
		{"\xff.example", "", 0}, {"b\xfccher.example", "", 0}, {"ü.\xe3\x80", "", 0}, {"\ufffd.example", "", 0},
		{"_ü.example", "", 0}, {"ü!.example", "", 0}, {"-ü.example", "", 0}, {"ü-.example", "", 0}, {"xn--ü.example", "", 0},
		{"ｘn--a.example", "", 0},
		{"ü\u2024b.example", "", 0}, {"ü\u2025b", "", 0}, {"\u2488.example", "", 0}, {"ü\u00a0.example", "", 0}, {"℀.example", "", 0},
		{"a\u200db.example", "", 0}, {"\u0301.example", "", 0},
		{label63 + "a.example", "", 0}, {strings.Repeat("ü", 64), "", 0}, {name253 + "a", "", 0}, {name253 + "..", "", 0},
		{strings.Repeat("ü.", 32) + "ü", strings.Repeat("xn--tda.", 31) + "xn--tda", 0}, // 33 labels of 7 octets and 32 dots
	} {
		for i, p := range profiles {
			got, ok := p.form(c.in)
			require.Equal(t, i < c.take, ok, "%s(%q) gives %q", p.name, c.in, got)
			if ok {
				require.Equal(t, c.want, got, "%s(%q)", p.name, c.in)
			} else {
				require.Empty(t, got, "%s(%q)", p.name, c.in)
			}
		}
	}
}

func TestALabelMayComeFromMoreCharactersThanItHolds(t *testing.T) {
	t.Parallel()
	syllables := strings.Repeat("\u1112\u1161\u11ab", 25) // decomposed, 75 characters that become 25
	got, ok := domainname.Host(syllables + ".example")
	require.True(t, ok)
	want, _ := domainname.Host(strings.Repeat("한", 25) + ".example")
	require.Equal(t, want, got)
}

func TestRelationsOfNames(t *testing.T) {
	t.Parallel()
	require.Equal(t, "b.c", domainname.Parent("a.b.c"))
	require.Empty(t, domainname.Parent("c"))
	require.Empty(t, domainname.Parent(""))
	require.Equal(t, "c", domainname.TopLabel("a.b.c"))
	require.Equal(t, "c", domainname.TopLabel("c"))
	for _, c := range []struct {
		name, domain string
		want         bool
	}{
		{"a.b", "a.b", true}, {"x.a.b", "a.b", true}, {"y.x.a.b", "a.b", true}, {"xa.b", "a.b", false}, {"b", "a.b", false},
		{"a.b", "x.a.b", false}, {"a.b.c", "a.b", false}, {"", "a", false}, {"a", "", false},
	} {
		require.Equal(t, c.want, domainname.Within(c.name, c.domain), "%q in %q", c.name, c.domain)
	}
}

func TestSignaturesHaveAStricterGrammar(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Example.COM": "example.com", "_a.b_": "_a.b_", "a-b.c--d": "a-b.c--d", "märz": "xn--mrz-qla",
		"a.b.": "", "例え。": "", "-": "", "-a": "", "a-": "", "a-.b": "", "a.-b": "", "a.b-": "", "": "", "a b": "", "1א": "",
	} {
		got, ok := domainname.DKIM(in)
		require.Equal(t, want, got, in)
		require.Equal(t, want != "", ok, in)
	}
}

func TestFormIsItsOwnForm(t *testing.T) {
	t.Parallel()
	part := rapid.OneOf(
		rapid.SampledFrom([]string{".", "。", "．", "-", "_", "xn--", "bücher", "אב", "例え", "EXAMPLE", "1", "\u00ad", "\u0308", "\u200d", "ß", label63, "!", "\\", "ａ", "\u2024"}),
		rapid.StringN(0, 4, -1),
	)
	rapid.Check(t, func(t *rapid.T) {
		checkForm(t, strings.Join(rapid.SliceOfN(part, 0, 12).Draw(t, "parts"), ""))
	})
}

// checkForm checks what holds for every text.
func checkForm(t require.TestingT, in string) {
	before, taken := "", true
	for _, p := range profiles {
		got, ok := p.form(in)
		if !ok {
			require.Empty(t, got, "%s(%q)", p.name, in)
			taken = false
			continue
		}
		require.True(t, taken, "%s takes %q that a wider profile refuses", p.name, in)
		require.True(t, before == "" || before == got, "%q is %q and %q", in, before, got)
		before = got
		again, ok := p.form(got)
		require.True(t, ok && again == got, "%s(%q) gives %q and that %q", p.name, in, got, again)
		require.LessOrEqual(t, len(got), domainname.MaxName)
		for label := range strings.SplitSeq(got, ".") {
			require.NotEmpty(t, label, in)
			require.LessOrEqual(t, len(label), domainname.MaxLabel, in)
		}
		for i := range len(got) {
			c := got[i]
			require.True(t, c >= ' ' && c <= '~' && (c < 'A' || c > 'Z'), "%s(%q) gives %q", p.name, in, got)
			plain := 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.'
			require.True(t, plain || p.name == "DNS" || p.name == "Identity" && c == '_', "%s(%q) gives %q", p.name, in, got)
		}
		if signer, ok := domainname.DKIM(in); ok {
			require.Equal(t, got, signer, in)
		} else if p.name == "Host" {
			require.NotEqual(t, in, strings.TrimRight(in, ".。．｡"), "a host name that signs nothing has a final dot")
		}
		dotted, ok := p.form(got + ".")
		require.True(t, ok && dotted == got, "%q with a dot", got)
		upper, ok := p.form(strings.ToUpper(got))
		require.True(t, ok && upper == got, "%q in capitals", got)
	}
}

func FuzzForm(f *testing.F) {
	for _, seed := range []string{"example.com", "bücher.example.", "XN--BCHER-KVA.例え。テスト", "_dmarc.אב.example", "1א.a", "-a.1", name253, "a\u2024ü", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) { checkForm(t, in) })
}

// hostile are 64 KB each that would cost minutes of CPU time if they were converted.
func hostile() map[string]string {
	const size = 64 << 10
	return map[string]string{
		"ALabel":   strings.Repeat("例", size/3) + ".example",
		"Labels":   strings.Repeat(strings.Repeat("例", 60)+".", size/181),
		"Dropped":  strings.Repeat("\u00ad", size/2) + "a",
		"ASCII":    strings.Repeat("a", size),
		"Dots":     strings.Repeat(".", size),
		"Punycode": "xn--" + strings.Repeat("a", size),
		"Wide":     "ｘn--" + strings.Repeat("a", size),
	}
}

func TestHostileNamesCostNothing(t *testing.T) {
	for name, in := range hostile() { // no conversion can do without memory
		for _, p := range profiles {
			require.Zero(t, testing.AllocsPerRun(5, func() {
				if _, ok := p.form(in); ok {
					t.Errorf("%s takes %s", p.name, name)
				}
			}), "%s(%s)", p.name, name)
		}
	}
}

func TestNoAllocationForWhatHasTheForm(t *testing.T) {
	for _, in := range []string{"mail.example.com", "mail.example.com.", "xn--bcher-kva.example", name253} {
		for _, p := range profiles {
			require.Zero(t, testing.AllocsPerRun(10, func() { p.form(in) }), "%s(%q)", p.name, in)
		}
	}
}

func BenchmarkForm(b *testing.B) {
	bench := func(name, in string) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				domainname.Identity(in)
			}
		})
	}
	bench("Plain", "mail.example.com")
	bench("Capitals", "Mail.Example.COM")
	bench("ULabel", "bücher.example")
	bench("LongestULabel", strings.Repeat("ü", 126)+".example")
	bench("MostULabels", strings.Repeat("ü.", 31)+"ü")
	for name, in := range hostile() {
		bench("Hostile"+name, in)
	}
}
