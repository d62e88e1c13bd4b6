package mutf7_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/mutf7"
)

// The examples of RFC 3501 §5.1.3, and others.
func TestNamesHaveOneForm(t *testing.T) {
	t.Parallel()
	for name, coded := range map[string]string{
		"":                   "",
		"INBOX":              "INBOX",
		"~peter/mail/台北/日本語": "~peter/mail/&U,BTFw-/&ZeVnLIqe-",
		"Jim & Bob":          "Jim &- Bob",
		"&&":                 "&-&-",
		"Entwürfe":           "Entw&APw-rfe",
		"☺!":                 "&Jjo-!",
		"😀":                  "&2D3eAA-",
		"ü&ü":                "&APw-&-&APw-",
	} {
		require.Equal(t, coded, mutf7.Encode(name, ""))
		got, ok := mutf7.Decode(coded)
		require.True(t, ok, coded)
		require.Equal(t, name, got)
		require.Equal(t, name, mutf7.DecodeLoose(coded, ""))
	}
	require.Equal(t, "a&AC4-b&AC8-c", mutf7.Encode("a.b/c", "./"))
	require.Equal(t, "a.b", mutf7.DecodeLoose("a&AC4-b", "/"))
	require.Equal(t, "a&AC8-b", mutf7.DecodeLoose("a&AC8-b", "/"))
}

func TestOtherFormsAreRefusedOrStandForThemselves(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"a&", "a&b", "&AP-", "&APw=-", "&A\nPw-", "&2D0-", "&3gA-", "&/////-", "&AP8AAA-", "ü", "a\x00", "a\r", "&APw", "&AAA-", "&AAo-",
	} {
		_, ok := mutf7.Decode(bad)
		require.False(t, ok, bad)
		require.Equal(t, bad, mutf7.DecodeLoose(bad, ""), bad)
	}
	for coded, loose := range map[string]string{ // not as Encode writes them
		"&Jjo-&Jjo-": "☺☺",
		"&APx-":      "ü", // bits are left over
		"&-&":        "&&",
		"&AGE-":      "a",
		"&AC0-":      "-",
		"&AIU-":      "\u0085",
	} {
		_, ok := mutf7.Decode(coded)
		require.False(t, ok, coded)
		require.Equal(t, loose, mutf7.DecodeLoose(coded, ""))
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"", "INBOX", "&U,BTFw-/&ZeVnLIqe-", "&Jjo-&Jjo-", "&2D3eAA-", "&-&", "a&AC4-b", "ü.\xff", "&APw=-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if text, ok := mutf7.Decode(s); ok {
			require.Equal(t, s, mutf7.Encode(text, ""), "one form only")
			require.True(t, utf8.ValidString(text))
			require.Equal(t, text, mutf7.DecodeLoose(s, ""))
		}
		if utf8.ValidString(s) && !strings.ContainsRune(s, utf8.RuneError) && !strings.ContainsFunc(s, unicode.IsControl) {
			back, ok := mutf7.Decode(mutf7.Encode(s, ""))
			require.True(t, ok)
			require.Equal(t, s, back)
			require.Equal(t, s, mutf7.DecodeLoose(mutf7.Encode(s, "./"), ""))
		}
		require.NotContains(t, mutf7.DecodeLoose(strings.ReplaceAll(s, "/", ""), "/"), "/")
	})
}
