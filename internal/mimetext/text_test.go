package mimetext_test

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mailbricks/mailbricks/internal/mimeindex"
	"github.com/mailbricks/mailbricks/internal/mimetext"
)

func text(t *testing.T, message string) string {
	t.Helper()
	root, err := mimeindex.Parse(strings.NewReader(message), mimeindex.Limits{})
	require.NoError(t, err)
	off, n, _ := root.Section(nil, mimeindex.Text)
	b, err := io.ReadAll(mimetext.NewReader(root, io.NewSectionReader(strings.NewReader(message), off, n)))
	require.NoError(t, err)
	return string(b)
}

func TestText(t *testing.T) {
	t.Parallel()
	for charset, test := range map[string]struct{ raw, want string }{
		"us-ascii":          {"a\xc3\xa4", "aä"},
		"UTF-8":             {"a\xc3\xa4\xff", "aä\xff"},
		"iso-8859-1":        {"\xe4", "ä"},
		"ISO-8859-15":       {"\xa4", "€"},
		"windows-1252":      {"\x80", "€"},
		"cp1252":            {"\x80", "€"},
		"cp866":             {"\x80", "А"},
		"cp850":             {"\x84", "ä"},
		"koi8-r":            {"\xc1", "а"},
		"iso-2022-jp":       {"\x1b$B$\"\x1b(B", "あ"},
		"shift_jis":         {"\x82\xa0", "あ"},
		"cp932":             {"\x82\xa0", "あ"},
		"gb2312":            {"\xc4\xe3", "你"},
		"gb18030":           {"\xc4\xe3", "你"},
		"hz-gb-2312":        {"~{Dc~}", "你"},
		"big5":              {"\xa7A", "你"},
		"ks_c_5601-1987":    {"\xb0\xa1", "가"},
		"euc-kr":            {"\xb0\xa1", "가"},
		"utf-16":            {"\xff\xfea\x00", "a"},
		"utf-16be":          {"\x00a", "a"},
		"utf-32":            {"\x00\x00\xfe\xff\x00\x00\x00a", "a"},
		"utf-7":             {"A+ImIDkQ. 1 +- 1 +2D3eAA-x+AGE", "A≢Α. 1 + 1 😀xa"},
		"unicode-1-1-utf-7": {"Hi Mom -+Jjo--!", "Hi Mom -☺-!"},
		"x-unknown":         {"\xe4", "\xe4"},
		"iso-2022-kr":       {"\xe4", "\xe4"},
		"\"":                {"\xe4", "\xe4"},
	} {
		require.Equal(t, test.want, text(t, "Content-Type: text/plain; charset=\""+charset+"\"\r\n\r\n"+test.raw), "%s", charset)
	}
	require.Equal(t, "ä", text(t, "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: base64\r\n\r\n5A=="))
	require.True(t, mimetext.KnownCharset("US-ASCII"))
	require.True(t, mimetext.KnownCharset("iso-8859-7"))
	require.False(t, mimetext.KnownCharset("iso-2022-kr"))
	require.False(t, mimetext.KnownCharset("x-unknown"))
}

func TestDecodeHeader(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"":      "",
		"plain": "plain",
		// RFC 2047 §8
		"(=?ISO-8859-1?Q?a?=)":                                   "(a)",
		"(=?ISO-8859-1?Q?a?= b)":                                 "(a b)",
		"(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)":                "(ab)",
		"(=?ISO-8859-1?Q?a?=  \t =?ISO-8859-1?Q?b?=)":            "(ab)",
		"(=?ISO-8859-1?Q?a_b?=)":                                 "(a b)",
		"(=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=)":               "(a b)",
		"=?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>":          "Keith Moore <moore@cs.utk.edu>",
		"=?ISO-8859-1?Q?Andr=E9?= Pirard <PIRARD@vm1.ulg.ac.be>": "André Pirard <PIRARD@vm1.ulg.ac.be>",
		"=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?= =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=": "If you can read this you understand the example.",
		// a character cut in two, a language, blanks, case
		"=?utf-8?B?w6Q=?= =?UTF-8?q?=C3?= =?utf-8?q?=A4?=": "ää",
		"=?us-ascii*en?q?a?=":                              "a",
		"=?utf-8?q?a b?=":                                  "a b",
		"x=?utf-8?q?a?=y":                                  "xay",
		// what is no encoded word
		"=?utf-8?x?a?=":           "=?utf-8?x?a?=",
		"=?utf-8?q?a":             "=?utf-8?q?a",
		"=??q?a?=":                "=??q?a?=",
		"=?a b?q?c?=":             "=?a b?q?c?=",
		"=? =?utf-8?q?a?=":        "=? a",
		"=?utf-8?q?=4?= =?utf-8?": "=4 =?utf-8?",
		"=?x-unknown?q?=E4?=":     "\xe4",
		"a =?utf-8?q??= b":        "a  b",
		"=?utf-8?b?!!?=":          "",
		"?=":                      "?=",
	} {
		require.Equal(t, want, mimetext.DecodeHeader(value), "%q", value)
	}
}

func TestContains(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text, needle string
		want         bool
	}{
		{"Hello World", "lo wo", true},
		{"Hello World", "low", false},
		{"", "", true},
		{"x", "", true},
		{"", "x", false},
		{"STRASSE", "straße", false}, // RFC 5051 knows single characters only
		{"ÄRGER", "ärger", true},
		{"a\u0308rger", "ÄRGER", true},
		{"ärger", "A\u0308RGER", true},
		{"ΣΊΣΥΦΟΣ", "σίσυφος", true},
		{"ﬁsh", "fish", false}, // the title case of the ligature is the ligature; its decomposition keeps the case
		{"한글", "\u1112\u1161\u11ab", true},
		{"日本語", "本", true},
		{"\xe4\xff", "\xff", true},
		{"\xe4", "ä", false},
		{"ab\xc3", "\xc3", true},
		{"aab", "ab", true},
	} {
		require.Equal(t, test.want, mimetext.Contains(test.text, test.needle), "%q in %q", test.needle, test.text)
	}
	require.Equal(t, mimetext.Fold("Ä"), mimetext.Fold("a\u0308"))
}

// TestMatcherPieces: where the text is cut does not matter.
func TestMatcherPieces(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		letters := rapid.StringOf(rapid.SampledFrom([]rune("aAäÄ\u0308ßé한")))
		text, needle := letters.Draw(t, "text"), rapid.StringOfN(rapid.SampledFrom([]rune("aäÄ\u0308")), 0, 4, -1).Draw(t, "needle")
		m := mimetext.NewMatcher(needle)
		for range 2 {
			rest := []byte(text)
			for len(rest) > 0 {
				n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
				written, err := m.Write(rest[:n])
				require.NoError(t, err)
				require.Equal(t, n, written)
				rest = rest[n:]
			}
			require.Equal(t, strings.Contains(mimetext.Fold(text), mimetext.Fold(needle)), m.Found())
			m.Reset()
			require.Equal(t, needle == "", m.Found())
		}
	})
}

func TestMatcherForgets(t *testing.T) {
	t.Parallel()
	m := mimetext.NewMatcher("ab")
	_, _ = m.Write([]byte("xa"))
	m.Reset()
	_, _ = m.Write([]byte("b\xc3"))
	require.False(t, m.Found())
	m.Reset()
	_, _ = m.Write([]byte("\xa4ab"))
	require.True(t, m.Found())
}

func FuzzText(f *testing.F) {
	f.Add("base64", "utf-7", "YWI=+AGE-")
	f.Add("quoted-printable", "iso-2022-jp", "=1B$B$\"=\r\n=1B(B")
	f.Add("7bit", "hz-gb-2312", "~{Dc~}")
	f.Fuzz(func(t *testing.T, encoding, charset, body string) {
		part := &mimeindex.Part{Encoding: encoding, Params: []mimeindex.Param{{Name: "charset", Value: charset}}}
		whole, err := io.ReadAll(mimetext.NewReader(part, strings.NewReader(body)))
		pieces, err2 := io.ReadAll(mimetext.NewReader(part, iotest.OneByteReader(strings.NewReader(body))))
		require.NoError(t, err)
		require.NoError(t, err2)
		require.Equal(t, whole, pieces)
		mimetext.DecodeHeader(body)
		mimetext.DecodeHeader("=?" + charset + "?q?" + body + "?=")
		mimeindex.ParseDate(body)
		base, _ := mimetext.BaseSubject(body)
		again, reply := mimetext.BaseSubject(base)
		if !strings.Contains(base, "=?") { // a decoded word may look like another one
			require.Equal(t, base, again)
			require.False(t, reply && base == again && base == "")
		}
		if body != "" {
			require.True(t, mimetext.Contains("x"+body+"y", body) || !strings.Contains(mimetext.Fold("x"+body+"y"), mimetext.Fold(body)))
		}
	})
}
