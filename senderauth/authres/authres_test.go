package authres_test

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/mailbricks/mailbricks/senderauth/authres"
	"github.com/stretchr/testify/require"
)

func prop(ptype, name, value string) authres.Property {
	return authres.Property{Type: ptype, Name: name, Value: value}
}

// RFC 8601 Appendix B.
func TestParseTheStandardsExamples(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want authres.Field
	}{
		{"example.org 1; none", authres.Field{ServID: "example.org", Version: 1}},
		{"example.com;\r\n          spf=pass smtp.mailfrom=example.net", authres.Field{ServID: "example.com", Results: []authres.Result{
			{Method: "spf", Value: "pass", Props: []authres.Property{prop("smtp", "mailfrom", "example.net")}},
		}}},
		{"example.com;\r\n auth=pass (cram-md5) smtp.auth=sender@example.net;\r\n spf=pass smtp.mailfrom=example.net", authres.Field{ServID: "example.com", Results: []authres.Result{
			{Method: "auth", Value: "pass", Comment: "cram-md5", Props: []authres.Property{prop("smtp", "auth", "sender@example.net")}},
			{Method: "spf", Value: "pass", Props: []authres.Property{prop("smtp", "mailfrom", "example.net")}},
		}}},
		{"example.com; iprev=pass\r\n policy.iprev=192.0.2.200", authres.Field{ServID: "example.com", Results: []authres.Result{
			{Method: "iprev", Value: "pass", Props: []authres.Property{prop("policy", "iprev", "192.0.2.200")}},
		}}},
		{"example.com;\r\n dkim=pass reason=\"good signature\"\r\n header.i=@mail-router.example.net;\r\n dkim=fail reason=\"bad signature\"\r\n header.i=@newyork.example.com",
			authres.Field{ServID: "example.com", Results: []authres.Result{
				{Method: "dkim", Value: "pass", Reason: "good signature", Props: []authres.Property{prop("header", "i", "@mail-router.example.net")}},
				{Method: "dkim", Value: "fail", Reason: "bad signature", Props: []authres.Property{prop("header", "i", "@newyork.example.com")}},
			}}},
		{"foo.example.net (foobar) 1 (baz);\r\n dkim (Because I like it) / 1 (One yay) = (wait for it) fail\r\n" +
			" policy (A dot can go here) . (like that) expired\r\n (this surprised me) = (as I wasn't expecting it) 1362471462",
			authres.Field{ServID: "foo.example.net", Version: 1, Results: []authres.Result{
				{Method: "dkim", Version: 1, Value: "fail", Comment: "as I wasn't expecting it", Props: []authres.Property{prop("policy", "expired", "1362471462")}},
			}}},
		{"example.com;\r\n dkim=pass (good signature) header.d=example.com", authres.Field{ServID: "example.com", Results: []authres.Result{
			{Method: "dkim", Value: "pass", Comment: "good signature", Props: []authres.Property{prop("header", "d", "example.com")}},
		}}},
		{"example.com;\r\n auth=pass (cram-md5) smtp.auth=sender@example.com;\r\n spf=fail smtp.mailfrom=example.com", authres.Field{ServID: "example.com", Results: []authres.Result{
			{Method: "auth", Value: "pass", Comment: "cram-md5", Props: []authres.Property{prop("smtp", "auth", "sender@example.com")}},
			{Method: "spf", Value: "fail", Props: []authres.Property{prop("smtp", "mailfrom", "example.com")}},
		}}},
		{"example.net;\r\n dkim=pass (good signature) header.i=@newyork.example.com", authres.Field{ServID: "example.net", Results: []authres.Result{
			{Method: "dkim", Value: "pass", Comment: "good signature", Props: []authres.Property{prop("header", "i", "@newyork.example.com")}},
		}}},
		// Examples in the text: §2.4, §2.7.4, §2.7.6.
		{"x; dkim=policy policy.dkim-rules=unsigned-subject", authres.Field{ServID: "x", Results: []authres.Result{
			{Method: "dkim", Value: "policy", Props: []authres.Property{prop("policy", "dkim-rules", "unsigned-subject")}},
		}}},
		{"x ; auth=pass smtp.auth=client@c.example smtp.mailfrom=bob@b.example", authres.Field{ServID: "x", Results: []authres.Result{
			{Method: "auth", Value: "pass", Props: []authres.Property{prop("smtp", "auth", "client@c.example"), prop("smtp", "mailfrom", "bob@b.example")}},
		}}},
		{"example.com;\r\n foo=pass bar.baz=blob (2 of 3 tests OK)", authres.Field{ServID: "example.com", Results: []authres.Result{
			{Method: "foo", Value: "pass", Comment: "2 of 3 tests OK", Props: []authres.Property{prop("bar", "baz", "blob")}},
		}}},
		// What servers write.
		{"x; dmarc=pass (p=none sp=none) action=none header.from=a.example; x_y=pass a_b.c_d=\"e;f\"", authres.Field{ServID: "x", Results: []authres.Result{
			{Method: "dmarc", Value: "pass", Comment: "p=none sp=none", Props: []authres.Property{prop("", "action", "none"), prop("header", "from", "a.example")}},
			{Method: "x_y", Value: "pass", Props: []authres.Property{prop("a_b", "c_d", "e;f")}},
		}}},
		{"x; spf=pass (a (b \\( c) d) smtp.mailfrom=(e)a.example(f;g);dkim=none", authres.Field{ServID: "x", Results: []authres.Result{
			{Method: "spf", Value: "pass", Comment: "a (b ( c) d", Props: []authres.Property{prop("smtp", "mailfrom", "a.example")}},
			{Method: "dkim", Value: "none"},
		}}},
		{`"my id"; spf=pass smtp.mailfrom="a \"b\" c"@example.com`, authres.Field{ServID: "my id", Results: []authres.Result{
			{Method: "spf", Value: "pass", Props: []authres.Property{prop("smtp", "mailfrom", `a "b" c@example.com`)}},
		}}},
		{"bücher.example; spf=pass smtp.mailfrom=zoë@bücher.example;", authres.Field{ServID: "bücher.example", Results: []authres.Result{
			{Method: "spf", Value: "pass", Props: []authres.Property{prop("smtp", "mailfrom", "zoë@bücher.example")}},
		}}},
		{"x; none ;", authres.Field{ServID: "x"}},
		{"x; none=pass", authres.Field{ServID: "x", Results: []authres.Result{{Method: "none", Value: "pass"}}}},
		{"x; foo=pass reason=ok reason.x=y", authres.Field{ServID: "x", Results: []authres.Result{
			{Method: "foo", Value: "pass", Reason: "ok", Props: []authres.Property{prop("reason", "x", "y")}},
		}}},
	} {
		got, err := authres.Parse(c.text)
		require.NoError(t, err, "%q", c.text)
		if strings.HasPrefix(c.text, "foo.example.net") {
			got.Results[0].Comment = c.want.Results[0].Comment // any of the many
		}
		require.Equal(t, c.want, got, "%q", c.text)
	}
	r := authres.Result{Props: []authres.Property{prop("header", "d", "a"), prop("header", "d", "b")}}
	d, ok := r.Get("HEADER", "D")
	require.True(t, ok)
	require.Equal(t, "a", d)
	_, ok = r.Get("header", "from")
	require.False(t, ok)
}

// RFC 8601 §2.2, rule by rule.
func TestParseFollowsTheGrammar(t *testing.T) {
	t.Parallel()
	spf := func(id string, version int, value string) authres.Field {
		return authres.Field{ServID: id, Version: version, Results: []authres.Result{
			{Method: "spf", Value: "pass", Props: []authres.Property{prop("smtp", "mailfrom", value)}},
		}}
	}
	for text, want := range map[string]authres.Field{
		// authres-payload, authserv-id, authres-version, no-result
		"x;none": {ServID: "x"}, "\r\n\t(c) x (c)\r\n ; (c) NONE (c)": {ServID: "x"}, "x 1;none": {ServID: "x", Version: 1}, "x (c) 01 (c) ;none": {ServID: "x", Version: 1},
		"\"x\";none": {ServID: "x"}, "\"x y;\\\"\";none": {ServID: `x y;"`}, "xn--bcher-kva.example;none": {ServID: "xn--bcher-kva.example"},
		// resinfo, methodspec, result
		"x;spf=pass smtp.mailfrom=a":                                 spf("x", 0, "a"),
		"x; spf (c)\r\n = (c) pass\tsmtp . mailfrom = (c)\r\n a (c)": {ServID: "x", Results: []authres.Result{{Method: "spf", Value: "pass", Comment: "c", Props: []authres.Property{prop("smtp", "mailfrom", "a")}}}},
		"x;spf/1=pass":             {ServID: "x", Results: []authres.Result{{Method: "spf", Version: 1, Value: "pass"}}},
		"x;spf / (c) 2 (c) = pass": {ServID: "x", Results: []authres.Result{{Method: "spf", Version: 2, Value: "pass"}}},
		// reasonspec
		"x;spf=pass reason=ok":                   {ServID: "x", Results: []authres.Result{{Method: "spf", Value: "pass", Reason: "ok"}}},
		"x;spf=pass REASON (c) = \"o;(k\" a.b=c": {ServID: "x", Results: []authres.Result{{Method: "spf", Value: "pass", Comment: "c", Reason: "o;(k", Props: []authres.Property{prop("a", "b", "c")}}}},
		// propspec, pvalue: a value, a domain name, an address, an address without local part, with a quoted one
		"x;spf=pass smtp.mailfrom=\"\"":               spf("x", 0, ""),
		"x;spf=pass smtp.mailfrom=a.example":          spf("x", 0, "a.example"),
		"x 1;spf=pass smtp.mailfrom=@a.example":       spf("x", 1, "@a.example"),
		"x;spf=pass smtp.mailfrom=a.b+c=d@a.example;": spf("x", 0, "a.b+c=d@a.example"),
		"x;spf=pass smtp.mailfrom=\"a@b\"@a.example":  spf("x", 0, "a@b@a.example"),
		"x;spf=pass smtp.mailfrom=zoë@bücher.example": spf("x", 0, "zoë@bücher.example"),
	} {
		got, err := authres.Parse(text)
		require.NoError(t, err, "%q", text)
		require.Equal(t, want, got, "%q", text)
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	for text, id := range map[string]string{
		"": "", ";": "", "dkim=pass header.d=x": "", "example/net; dkim=pass": "", `"unfinished; x=y`: "", "(comment": "", "a b; spf=pass": "a",
		"x": "x", "x;;": "x", "x; spf": "x", "x; spf=": "x", "x; =pass": "x", "x; spf=pass smtp": "x", "x; spf=pass smtp.": "x", "x; spf=pass smtp.mailfrom": "x",
		"x; spf=pass smtp.mailfrom=": "x", "x; spf=pass (": "x", "x; spf=pass reason=": "x", `x; spf=pass smtp.a="b`: "x", "x; spf/=pass": "x", "x; spf/99999999=pass": "x",
		"x y; spf=pass": "x", "x; none none": "x",
	} {
		f, err := authres.Parse(text)
		require.ErrorIs(t, err, authres.ErrSyntax, "%q", text)
		require.Equal(t, id, f.ServID, "%q", text)
	}
	for _, text := range []string{"x 2; spf=pass", "x 0; none", "x 11", "x 99999999999999; none"} {
		f, err := authres.Parse(text)
		require.ErrorIs(t, err, authres.ErrVersion, "%q", text)
		require.Equal(t, "x", f.ServID)
	}
}

// Faults of other readers and writers of these fields.
func TestSemicolonsCommentsAndVersionsAreRead(t *testing.T) {
	t.Parallel()
	f, err := authres.Parse(`mx.example.com (a; b) 1; dkim/1=fail (sig; spf=pass) reason="not; dmarc=pass" header.d="a;b"`)
	require.NoError(t, err)
	require.Equal(t, authres.Field{ServID: "mx.example.com", Version: 1, Results: []authres.Result{{
		Method: "dkim", Version: 1, Value: "fail", Comment: "sig; spf=pass", Reason: "not; dmarc=pass", Props: []authres.Property{prop("header", "d", "a;b")},
	}}}, f)
}

func TestNothingBreaksOutOfAValue(t *testing.T) {
	t.Parallel()
	f := authres.Field{ServID: "mx.example.com", Results: []authres.Result{
		{Value: "pass"}, {Method: "arc"}, // no method, no result: not written
		{Method: "dkim", Value: "fail", Reason: "bad\r\nX-Injected: y", Comment: `) \ ; spf=pass (`, Props: []authres.Property{
			prop("header", "d", `a" \; dmarc=pass`), prop("header", "x\r\ny", "z"), prop("x_y", "z", "w"), prop("smtp", "mailfrom", "a b@c.example"),
			prop("", "action", "none"), prop("smtp", "rcptto", "a@b@[192.0.2.1]"),
		}},
	}}
	require.Equal(t, "mx.example.com;\r\n"+
		"\tdkim=fail (\\) \\\\ ; spf=pass \\() reason=\"bad??X-Injected: y\"\r\n"+
		"\theader.d=\"a\\\" \\\\; dmarc=pass\" header.xy=z xy.z=w\r\n"+
		"\tsmtp.mailfrom=\"a b\"@c.example smtp.rcptto=\"a@b@[192.0.2.1]\"", f.String())
	got, err := authres.Parse(f.String())
	require.NoError(t, err)
	require.Len(t, got.Results, 1)
	require.Equal(t, `) \ ; spf=pass (`, got.Results[0].Comment)
	d, _ := got.Results[0].Get("header", "d")
	require.Equal(t, `a" \; dmarc=pass`, d)
	from, _ := got.Results[0].Get("smtp", "mailfrom")
	require.Equal(t, "a b@c.example", from)
}

func TestForged(t *testing.T) {
	t.Parallel()
	const id = "mx.example.com"
	for _, value := range []string{
		"mx.example.com; spf=pass", "MX.Example.COM; spf=pass", "mx.example.com 1; none", "mx.example.com.; spf=pass", " (x) mx.example.com (y) ; spf=pass",
		`"mx.example.com"; spf=pass`, `"mx.ex\ample.com" 1; spf=pass`, "\r\n mx.example.com\r\n ; spf=pass", "mx.example.com", "mx.example.com; nonsense", "ｍｘ.example.com; spf=pass",
		// Versions that nobody knows go, whatever their id (RFC 8601 §5).
		"mx.example.com 2; x", "other.example 2; spf=pass",
		// What cannot be read goes too.
		"", ";", "dkim=pass header.d=paypal.example", "mx.example.com/x; spf=pass", "=?utf-8?q?mx.example.com?=; spf=pass", "(mx.example.com; spf=pass", `"mx.example.com; spf=pass`,
		// Careless readers.
		"other.example mx.example.com; spf=pass", "other.example (mx.example.com); spf=pass", "other.example <mx.example.com>; spf=pass", "x(y)mx.example.com; spf=pass",
		strings.Repeat("a", 2000) + "; spf=pass",
	} {
		require.True(t, authres.Forged(value, id), "%q", value)
	}
	for _, value := range []string{
		"other.example; spf=pass", "example.com; spf=pass", "mx.example.com.evil.example; spf=pass", "xmx.example.com; spf=pass smtp.mailfrom=mx.example.com", "other.example 1; none",
		"other.example; nonsense",
	} {
		require.False(t, authres.Forged(value, id), "%q", value)
	}
	require.True(t, authres.Forged("xn--bcher-kva.example; spf=pass", "bücher.example"))
	require.True(t, authres.Forged("BÜCHER.example; spf=pass", "xn--bcher-kva.example"))
	require.True(t, authres.Forged("Bu\u0308cher.example; spf=pass", "bücher.example"))
	require.False(t, authres.SameID("a.example", "b.example"))
}

func TestSpellingsOfAnID(t *testing.T) {
	t.Parallel()
	for _, same := range [][2]string{
		{"MX.example.", "mx.example"}, {"bücher.example", "XN--BCHER-KVA.example"}, {"mx_1.example", "MX_1.Example"}, {"例え。テスト", "xn--r8jz45g.xn--zckzah."},
		{"no name!", " NO NAME! "}, {"1א.example", "1א.EXAMPLE"},
	} {
		require.True(t, authres.SameID(same[0], same[1]), "%q", same)
	}
	require.False(t, authres.SameID("bücher.example", "bucher.example"))
}

func TestAHugeIDIsNotConverted(t *testing.T) {
	id := strings.Repeat("例", 5000) + ".example" // a quarter of a second of punycode
	require.Zero(t, testing.AllocsPerRun(5, func() { authres.SameID(id, "mx.example.com") }), "memory that only a conversion needs")
}

// allocated is how many octets f allocates; nothing else may run meanwhile.
func allocated(f func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}

// Not parallel, as it counts what is allocated.
func TestAHugeFieldCostsLittle(t *testing.T) {
	const size = 1 << 18
	for _, part := range []string{
		"(", ")", "\"", "\\", "a ", "x; ", "a=b; ", "a=b;", "; a=b c.d=e", "=?", "ü ", "例", "a.b=(", "/1", "(a)", "c.d=e ", ";none", "(;)", "(a a) ",
		"\x80", "mx.example.com ",
	} {
		text := strings.Repeat(part, size/len(part))
		for _, head := range []string{"", "x; ", "x; a=b ", "x; a=b c.d=", "x (", `"x`, "x; a=b ("} {
			for _, value := range []string{head + text, head + text + ") ;", head + text + `" ;`} {
				require.Less(t, allocated(func() { authres.Forged(value, "mx.example.com") }), 64<<10, "Forged: %q and %q", head, part)
				// A value that is quoted or has many octets is copied as it grows; comments are read and dropped.
				var f authres.Field
				require.Less(t, allocated(func() { f, _ = authres.Parse(value) }), 16*size, "Parse: %q and %q", head, part)
				require.LessOrEqual(t, len(f.Results), authres.MaxResults)
			}
		}
	}
	value := "x; " + strings.Repeat("a=b;", 1<<18)
	require.Less(t, allocated(func() { authres.Forged(value, "mx.example.com") }), 64<<10)
	require.Less(t, allocated(func() { _, _ = authres.Parse(value) }), 256<<10)
	value = "x; " + strings.Repeat("a=b"+strings.Repeat(" c.d=e", authres.MaxProps)+";", 1<<20/(4+6*authres.MaxProps))
	require.Less(t, allocated(func() { _, _ = authres.Parse(value) }), 2<<20)
}

func TestParseBounds(t *testing.T) {
	t.Parallel()
	for _, n := range []int{authres.MaxResults, authres.MaxResults + 1} {
		f, err := authres.Parse("x; none;" + strings.Repeat("a=b;", n))
		require.Equal(t, n > authres.MaxResults, errors.Is(err, authres.ErrSyntax), "%d results: %v", n, err)
		require.Len(t, f.Results, authres.MaxResults, "what stands in front is there")
	}
	for _, n := range []int{authres.MaxProps, authres.MaxProps + 1} {
		f, err := authres.Parse("x; dkim=pass; a=b reason=r" + strings.Repeat(" c.d=e", n) + "; e=f")
		if n > authres.MaxProps {
			require.ErrorIs(t, err, authres.ErrSyntax)
			require.Len(t, f.Results, 1)
			continue
		}
		require.NoError(t, err)
		require.Len(t, f.Results, 3)
		require.Len(t, f.Results[1].Props, n)
	}
	f, err := authres.Parse("x; a=b (" + strings.Repeat("ü", authres.MaxComment) + ")")
	require.NoError(t, err)
	require.Equal(t, strings.Repeat("ü", authres.MaxComment/2), f.Results[0].Comment)
	f, err = authres.Parse("x; a=b (a" + strings.Repeat("ü", authres.MaxComment) + ")")
	require.NoError(t, err)
	require.Equal(t, "a"+strings.Repeat("ü", authres.MaxComment/2), f.Results[0].Comment, "no half of a rune")
}

// What stands behind the head does not count, and a head that is longer than a line goes.
func TestForgedReadsTheHeadOnly(t *testing.T) {
	t.Parallel()
	const id = "mx.example.com"
	long := strings.Repeat("a=b;", 1000)
	pad := func(n int) string { return "(" + strings.Repeat(";", n) + ")" }
	for _, value := range []string{
		"other.example;" + long, "other.example 1;" + long, "other.example" + pad(900) + ";" + long,
		"other.example nonsense;" + long, "other.example;(" + long,
	} {
		require.False(t, authres.Forged(value, id), "%q", value)
	}
	for _, value := range []string{
		"mx.example.com;" + long, "other.example 2;" + long, pad(900) + "mx.example.com;" + long,
		pad(2000) + "mx.example.com;" + long, "other.example" + pad(2000) + ";" + long, "other.example" + pad(2000) + " 2;" + long,
		`"other.example` + pad(2000) + `";` + long,
		pad(998-2-8) + "mx.example.com;" + long, pad(998-2-3) + "mx\u00fc.example;" + long,
	} {
		require.True(t, authres.Forged(value, id), "%q", value)
	}
}

func TestString(t *testing.T) {
	t.Parallel()
	f := authres.Field{ServID: "mx.example.com", Results: []authres.Result{
		{Method: "iprev", Value: "pass", Props: []authres.Property{prop("policy", "iprev", "2001:db8::1")}},
		{Method: "spf", Value: "pass", Props: []authres.Property{prop("smtp", "mailfrom", "ann@example.org")}},
		{Method: "dkim", Value: "pass", Props: []authres.Property{
			prop("header", "d", "example.org"), prop("header", "s", "2024"), prop("header", "a", "rsa-sha256"), prop("header", "b", "dzdVyO/f"), prop("header", "i", "@mail.example.org"),
		}},
		{Method: "dkim", Value: "fail", Reason: "body hash did not verify", Comment: "(sic)", Props: []authres.Property{prop("header", "d", "list.example")}},
		{Method: "bad method!", Value: ""},
	}}
	require.Equal(t, "mx.example.com;\r\n"+
		"\tiprev=pass policy.iprev=\"2001:db8::1\";\r\n"+
		"\tspf=pass smtp.mailfrom=ann@example.org;\r\n"+
		"\tdkim=pass header.d=example.org header.s=2024 header.a=rsa-sha256\r\n"+
		"\theader.b=\"dzdVyO/f\" header.i=@mail.example.org;\r\n"+
		"\tdkim=fail (\\(sic\\)) reason=\"body hash did not verify\"\r\n"+
		"\theader.d=list.example", f.String())
	require.Equal(t, "mx.example.com;\r\n\tnone", authres.Field{ServID: "mx.example.com"}.String())
	require.Equal(t, "\"?\";\r\n\tnone", authres.Field{}.String(), "a field has an authserv-id")
}

// requireOneField checks the outer form that no value may break.
func requireOneField(t *testing.T, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Fatalf("%q is no UTF-8", text)
	}
	for i, line := range strings.Split(text, "\r\n") {
		if len(line) > 996 || strings.ContainsAny(line, "\r\n\x00") || i > 0 && (!strings.HasPrefix(line, "\t") || strings.TrimSpace(line) == "") {
			t.Fatalf("line %q", line)
		}
	}
}

func FuzzString(f *testing.F) {
	f.Add("mx.example.com", "spf", "pass", "because", "(a) \\", "smtp", "mailfrom", "a@b.c")
	f.Add("0", "0", "0", "0", "ͲÚ֤ާًҮƴ00000000000Ǐ0000000000(0000000000Ы00000000000000000000000 ªӈ", "0", "0", "0") // a comment that is folded
	f.Add("", "0", "0", "0", "0", "0", "0", "0")
	f.Add("??@0", "spf", "pass", "", "", "smtp", "mailfrom", "??@0") // an authserv-id is no pvalue
	f.Add("x\r\nEvil: y", "dkim\r\n", "pa;ss", "\"; dkim=pass header.d=x; x=\"", ") ; dkim=pass (", "header.d=", "b", "\xff\u2028; dkim=pass")
	f.Fuzz(func(t *testing.T, id, method, result, reason, comment, ptype, name, value string) {
		r := authres.Result{Method: method, Value: result, Reason: reason, Comment: comment, Props: []authres.Property{prop(ptype, name, value), prop("header", "d", value)}}
		text := authres.Field{ServID: id, Results: []authres.Result{r, r}}.String()
		requireOneField(t, text)
		got, err := authres.Parse(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if n := len(got.Results); n != 0 && n != 2 {
			t.Fatalf("%d results in %q", n, text)
		}
		for _, g := range got.Results {
			if n := len(g.Props); n != 1 && n != 2 {
				t.Fatalf("%d properties in %q", n, text)
			}
			if again := (authres.Field{ServID: got.ServID, Results: got.Results}).String(); len(value) <= 100 && len(reason) <= 100 && len(comment) <= 100 && len(id) <= 100 && again != text {
				t.Fatalf("%q becomes %q", text, again)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("example.com 1; dkim/1=pass (c) reason=\"r\" header.d=example.net header.b=\"a/b=\"; spf=fail smtp.mailfrom=a@b")
	f.Add("x (a (b) \\)) ; none")
	f.Add("\"\n\";")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := authres.Parse(text)
		if err == nil && got.ServID == "" {
			t.Fatalf("no id in %q", text)
		}
		if err == nil && got.ServID != "" && !authres.Forged(text, got.ServID) {
			t.Fatalf("%q claims %q, unseen", text, got.ServID)
		}
		requireOneField(t, got.String())
	})
}
