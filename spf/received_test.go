package spf_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/mailbricks/mailbricks/senderauth/authres"
	"github.com/mailbricks/mailbricks/spf"
	"github.com/stretchr/testify/require"
)

func TestReceivedSPF(t *testing.T) {
	t.Parallel()
	z := record("v=spf1 ip4:192.0.2.1 -all")
	require.Equal(t, "pass (mx.example.net: domain of ann@example.com designates\r\n"+
		"\t192.0.2.1 as permitted sender) identity=mailfrom; client-ip=192.0.2.1;\r\n"+
		"\tenvelope-from=\"ann@example.com\"; helo=mail.example.com;\r\n"+
		"\treceiver=mx.example.net; mechanism=\"ip4:192.0.2.1\";",
		check(t, z, "192.0.2.1", "ann@example.com").ReceivedSPF("mx.example.net"))
	require.Equal(t, "fail (domain of ann@example.com does not designate 2001:db8::1\r\n"+
		"\tas permitted sender) identity=mailfrom; client-ip=\"2001:db8::1\";\r\n"+
		"\tenvelope-from=\"ann@example.com\"; helo=mail.example.com; mechanism=all;",
		check(t, z, "2001:db8::1", "ann@example.com").ReceivedSPF(""))
	require.Equal(t, "none (host mail.example.com does not say who may send for it)\r\n"+
		"\tidentity=helo; client-ip=192.0.2.1; helo=mail.example.com;",
		check(t, z, "192.0.2.1", "").ReceivedSPF(""))
	neutral := check(t, record("v=spf1"), "192.0.2.1", "ann@example.com").ReceivedSPF("")
	require.Contains(t, neutral, "mechanism=default;")
	require.Contains(t, check(t, record("v=spf1 moo"), "192.0.2.1", "ann@example.com").ReceivedSPF(""), `problem="`)
}

func TestReceivedSPFCannotBeInjected(t *testing.T) {
	t.Parallel()
	for _, evil := range []string{
		"a\r\nX-Evil: 1\r\n\r\nbody@example.com", `a"; result=pass; x="@example.com`, `a) (b@example.com`, `a\@example.com`, "\x00\x7f\xff@example.com",
		strings.Repeat("x", 5000) + "@example.com", strings.Repeat(" ", 300) + "@example.com", "\u2028\u00a0\u202e@example.com", strings.Repeat(`"\()`, 200) + "@example.com",
	} {
		for r := spf.None; r <= spf.PermError; r++ {
			v := spf.Verdict{
				Result: r, Client: spf.Client{IP: netip.MustParseAddr("192.0.2.1"), From: evil, Helo: evil}, Mechanism: evil, Err: errors.New(evil),
			}
			value := v.ReceivedSPF(evil)
			requireOneField(t, value)
			require.True(t, strings.HasPrefix(value, r.String()))
		}
	}
}

// requireOneField checks that a value is one well-formed header field: only folds, short lines, quotes and comments that
// close, and outside of them nothing but pairs.
func requireOneField(t *testing.T, value string) {
	t.Helper()
	require.True(t, utf8.ValidString(value))
	for i, line := range strings.Split(value, "\r\n") {
		require.Less(t, len(line), 998)
		require.Equal(t, i > 0, strings.HasPrefix(line, "\t"))
		require.NotEmpty(t, strings.TrimSpace(line))
	}
	require.NotContains(t, strings.ReplaceAll(value, "\r\n\t", ""), "\n")
	require.NotContains(t, strings.ReplaceAll(value, "\r\n\t", ""), "\r")
	quoted, depth, plain := false, 0, ""
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '\\' && (quoted || depth > 0):
			i++
		case c == '"' && depth == 0:
			quoted = !quoted
		case c == '(' && !quoted:
			depth++
		case c == ')' && !quoted:
			depth--
		case !quoted && depth == 0:
			plain += string(c)
		}
	}
	require.False(t, quoted)
	require.Zero(t, depth)
	require.NotContains(t, plain, "X-Evil")
	require.NotContains(t, plain, "result=")
}

func TestResinfo(t *testing.T) {
	t.Parallel()
	checker := spf.Checker{Resolver: zone{
		"example.com": txt("v=spf1 -all"), "bad.example.com": txt("v=spf1 moo\";spf=pass"), "late.example.com": {"*": {"TIMEOUT"}},
		"xn--bcher-kva.example": txt("v=spf1 +all"),
	}}
	for _, c := range []struct{ helo, from, want string }{
		{"h.example.com", "ann@example.com", "spf=fail smtp.mailfrom=example.com"},
		{"h.example.com", "Zoë@Bücher.example", "spf=pass smtp.mailfrom=xn--bcher-kva.example"},
		{"Example.COM.", "", "spf=fail smtp.helo=example.com"},
		{"h.example.com", "ann@none.example.com", "spf=none smtp.mailfrom=none.example.com"},
		{"[192.0.2.1]", "", "spf=none"},
		{"h.example.com", "x@bad.example.com", `spf=permerror reason="syntax error" smtp.mailfrom=bad.example.com`},
		{"h.example.com", "x@late.example.com", `spf=temperror reason="DNS look-up failed" smtp.mailfrom=late.example.com`},
	} {
		v := checker.Check(t.Context(), spf.Client{IP: netip.MustParseAddr("192.0.2.1"), Helo: c.helo, From: c.from})
		require.Equal(t, c.want, strings.ReplaceAll(v.Resinfo(), "\r\n\t", " "))
	}
}

// Whatever a verdict holds, another parser finds one result with one property.
func TestResinfoCannotBeInjected(t *testing.T) {
	t.Parallel()
	for _, evil := range []string{
		"a.example\r\nX-Evil: 1", "a.example; dkim=pass header.d=b.example", `a" smtp.helo="b`, `a\`, "a (b", "\x00\x7f\xff", "\u2028\u00a0", strings.Repeat(`"\`, 3000), "=?utf-8?q?a?=",
	} {
		for r := spf.None; r <= spf.PermError; r++ {
			v := spf.Verdict{Result: r, Domain: evil, Err: errors.New(evil), Client: spf.Client{From: evil, Helo: evil}}
			field, err := authres.Parse("mx.example.com; " + v.Resinfo())
			require.NoError(t, err, "%q", v.Resinfo())
			require.Len(t, field.Results, 1)
			require.Equal(t, []any{"spf", r.String(), 1}, []any{field.Results[0].Method, field.Results[0].Value, len(field.Results[0].Props)})
			requireOneField(t, v.Resinfo())
		}
	}
}
