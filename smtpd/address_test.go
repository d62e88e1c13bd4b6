package smtpd

import (
	"errors"
	"net/mail"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestParseAddress(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 64)
	label := strings.Repeat("y", 63)
	for in, want := range map[string]string{
		"ann@example.com":                   "",
		"Ann.B@EXAMPLE.com":                 "",
		"a@b":                               "",
		"!#$%&'*+-/=?^_`{|}~@example.com":   "",
		`"a b"@example.com`:                 "",
		`"a@b"@example.com`:                 "",
		`""@example.com`:                    "",
		`"a\"b"@example.com`:                "",
		`"a\\b"@example.com`:                "",
		`"ann"@example.com`:                 "ann@example.com",
		`"a\nn"@example.com`:                "ann@example.com",
		`"a\@b"@example.com`:                `"a@b"@example.com`,
		`"a..b"@example.com`:                "",
		`"x> NOTIFY=NEVER"@example.com`:     "",
		"a@[192.0.2.1]":                     "",
		"a@[IPv6:2001:db8::1]":              "",
		"a@[ipv6:::1]":                      "",
		"a@[IPv6:::ffff:192.0.2.1]":         "",
		"a@[001.2.003.0]":                   "", // Snum = 1*3DIGIT
		"a@[IPv6:1:2:3:4:5:6::]":            "",
		"a@[IPv6:1:2:3:4:5:6:7:8]":          "",
		"a@[IPv6:1:2:3:4:5:6:192.0.2.001]":  "",
		"a@[IPv6:1:2:3:4::192.0.2.1]":       "",
		"a@\u2603.example":                  "", // not of IDNA 2008
		"a@xn--bcher-kva.example":           "",
		"a@xn--ls8h.example":                "", // not of IDNA 2008, and there are such
		"a@xn--a.example":                   "",
		"a@B\u00dcCHER.example":             "",
		"a@bücher.example":                  "",
		"jörg@example.com":                  "",
		`"jörg x"@example.com`:              "",
		"用户@例子.广告":                          "",
		"a@1.2.3.example":                   "",
		"a@a-b.example":                     "",
		long + "@example.com":               "",
		"a@" + label + "." + label + ".com": "",
	} {
		if want == "" {
			want = in
		}
		got, err := ParseAddress(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got)
	}
	for in, want := range map[string]error{
		"":                        errEmptyPath,
		"ann":                     errUnqualified,
		`"ann"`:                   errUnqualified,
		"@example.com":            errLocalPart,
		"@a.example:b@c.example":  errLocalPart,
		"a@":                      errDomain,
		"a@b@c":                   errDomain,
		".a@example.com":          errLocalPart,
		"a.@example.com":          errLocalPart,
		"a..b@example.com":        errLocalPart,
		"a b@example.com":         errLocalPart,
		"a,b@example.com":         errLocalPart,
		"a\x7f@example.com":       errLocalPart,
		"a\u0085@example.com":     errLocalPart,
		"\"\u0085\"@example.com":  errLocalPart,
		"\"a\u009f\"@example.com": errLocalPart,
		`"a@example.com`:          errLocalPart,
		`"a\`:                     errLocalPart,
		`"a"b@example.com`:        errLocalPart,
		"\"a\tb\"@example.com":    errLocalPart,
		"\"a\\\tb\"@example.com":  errLocalPart,
		`a"b"@example.com`:        errLocalPart,
		"a@-example.com":          errDomain,
		"a@example-.com":          errDomain,
		"a@example..com":          errDomain,
		"a@example.com.":          errDomain,
		"a@.example.com":          errDomain,
		"a@exa_mple.com":          errDomain,
		"a@exa mple.com":          errDomain,
		"a@xn---":                 errDomain,
		"a@例子。广告":                 errDomain,
		"a@b\u00e9ta..example":    errDomain,
		"a@be\u0301ta.example":    errDomain,
		"a@-\u00e9.example":       errDomain,
		"a@ab--\u00e9.example":    errDomain,
		"a@\u00e9_.example":       errDomain,
		"a@" + strings.Repeat("\u00e9", 60) + ".example": errDomain,
		"a@Ⅳ.example":                          errDomain,
		"a@" + label + "y.com":                 errDomain,
		"a@[300.0.0.1]":                        errLiteral,
		"a@[0001.2.3.4]":                       errLiteral,
		"a@[1.2.3]":                            errLiteral,
		"a@[1.2.3.4.5]":                        errLiteral,
		"a@[1.2.3.-4]":                         errLiteral,
		"a@[IPv6:1:2:3:4:5:6:7::]":             errLiteral, // "::" is two groups at least
		"a@[IPv6:1:2:3:4:5::192.0.2.1]":        errLiteral,
		"a@[IPv6:1:2:3:4:5:6:7:192.0.2.1]":     errLiteral,
		"a@[192.0.2.1":                         errLiteral,
		"a@[2001:db8::1]":                      errLiteral,
		"a@[IPv6:fe80::1%eth0]":                errLiteral,
		"a@[IPv6:192.0.2.1]":                   errLiteral,
		"a@[x:y]":                              errLiteral,
		"a@[]":                                 errLiteral,
		"\xff@example.com":                     errUTF8,
		long + "x@example.com":                 errLocalTooLong,
		strings.Repeat("x", 300):               errPathLong,
		"a@" + strings.Repeat("b.", 127) + "c": errPathLong,
		"a@" + strings.Repeat("例.", 60) + "example": errDomainLong, // as A-labels
	} {
		got, err := ParseAddress(in)
		require.ErrorIs(t, err, want, "%q gave %q", in, got)
	}
}

func TestSourceRoutesAreDropped(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"@a.example:b@c.example":              "b@c.example",
		"@a.example,@b.example:c@d.example":   "c@d.example",
		`@a.example:"x:y"@c.example`:          `"x:y"@c.example`,
		"@[IPv6:::1]:b@c.example":             "b@c.example",
		"@a.example,@[IPv6:::1]:b@[IPv6:::2]": "b@[IPv6:::2]",
		"@a.example:b@[IPv6:2001:db8::1]":     "b@[IPv6:2001:db8::1]",
		"@[IPv6:::1],@x:a@b":                  "a@b",
		`@[1.2.3.4]:"a]:b"@c.example`:         `"a]:b"@c.example`,
		"@a.example:b":                        "b",
	} {
		got, err := parsePath(in, 64)
		if want == "b" {
			require.ErrorIs(t, err, errUnqualified)
		} else {
			require.NoError(t, err, in)
		}
		require.Equal(t, want, got)
	}
	for _, in := range []string{"@a.example", "@a.example:", "@:b@c.example", "@a,b:c@d.example", "@-a:b@c.example", "@a:@b:c@d", "@a,:b@c", "@[:b@c]", "@[1.2.3.4]", "@[1.2.3.4]x:a@b", "@a,b@c:d@e"} {
		_, err := parsePath(in, 64)
		require.ErrorIs(t, err, errRoute, in)
	}
}

func TestSplitPath(t *testing.T) {
	t.Parallel()
	path, words, reply := splitPath(`<"a>\" b"@c.example>  SIZE=1  X`)
	require.Nil(t, reply)
	require.Equal(t, `"a>\" b"@c.example`, path)
	require.Equal(t, []string{"SIZE=1", "X"}, words)
	for _, in := range []string{"", "a@b", "<a@b", "<a@b>x", `<"a>b`, `<"a\`, ">"} {
		_, _, reply := splitPath(in)
		require.NotNil(t, reply, in)
		require.Equal(t, 501, reply.Code)
	}
}

func TestValidHello(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"example.com", "localhost", "a_b", "example.com.", "[192.0.2.1]", "[IPv6:2001:db8::1]", "-x"} {
		require.True(t, validHello(name), name)
	}
	for _, name := range []string{"", "a b", "a(b)", "[", "[]", "[a", "[x]", "jörg.example", "a\x00", "a;b", "<x>", strings.Repeat("x", 256)} {
		require.False(t, validHello(name), name)
	}
}

func TestDecodeXtext(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"a@b": "a@b", "<>": "<>", "a+2Bb+3Dc@d": "a+b=c@d"} {
		got, ok := decodeXtext(in)
		require.True(t, ok, in)
		require.Equal(t, want, got)
	}
	for _, in := range []string{"", "a=b", "a b", "+", "+2", "+2b", "+XY", "+0A", "+7F", "ö"} {
		_, ok := decodeXtext(in)
		require.False(t, ok, in)
	}
}

func FuzzPath(f *testing.F) {
	for _, seed := range []string{
		"a@b.example", `"a b"@c.example`, "@a,@b:c@d", "a@[IPv6:::1]", "postmaster", "用户@例子.广告", `"\""@x`, "a@xn--bcher-kva.example", "a@xn--", "@[IPv6:::1]:a@b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		address, err := parsePath(path, 64)
		if err != nil && !errors.Is(err, errUnqualified) {
			return
		}
		require.True(t, utf8.ValidString(address))
		require.NotContains(t, address, "\r")
		require.NotContains(t, address, "\n")
		require.NotContains(t, address, "\x00")
		require.LessOrEqual(t, len(address), maxPath-2)
		again, err2 := parsePath(address, -1)
		require.Equal(t, err, err2, "a parsed address parses")
		require.Equal(t, address, again, "to itself")
		got, words, reply := splitPath("<" + address + "> SIZE=1")
		require.Nil(t, reply, "it can be put between brackets again")
		require.Equal(t, address, got)
		require.Equal(t, []string{"SIZE=1"}, words)
		if err == nil && !strings.HasPrefix(address, `""@`) && !strings.Contains(address, "[") { // which net/mail does not take
			_, err := mail.ParseAddress("<" + address + ">")
			require.NoError(t, err, "%q is an address for net/mail, too", address)
		}
	})
}
