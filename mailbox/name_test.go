package mailbox_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
)

func TestCleanName(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"INBOX": "INBOX", "inbox": "INBOX", "iNbOx/Sub": "INBOX/Sub", "a/inbox": "a/inbox", "inboxes": "inboxes",
		"a b/ü": "a b/ü", "..": "..", "~": "~", "&-": "&-",
		strings.Repeat("x", mailbox.MaxName):            strings.Repeat("x", mailbox.MaxName),
		"a" + strings.Repeat("/a", mailbox.MaxLevels-1): "a" + strings.Repeat("/a", mailbox.MaxLevels-1),
		"": "", "/": "", "/a": "", "a/": "", "a//b": "", "a\x00": "", "a\r\n": "", "\x7f": "", "\u0085": "", "\u2028": "", "\ufeffa": "",
		"\xff": "", "\ufffd": "",
		strings.Repeat("x", mailbox.MaxName+1):        "",
		"a" + strings.Repeat("/a", mailbox.MaxLevels): "",
	} {
		got, err := mailbox.CleanName(in)
		require.Equal(t, want, got, "%q", in)
		if want == "" {
			require.ErrorIs(t, err, mailbox.ErrName, "%q", in)
		} else {
			require.NoError(t, err, "%q", in)
		}
	}
	require.Equal(t, []string{"a", "a/b"}, mailbox.Above("a/b/c"))
	require.Empty(t, mailbox.Above("a"))
	require.True(t, mailbox.IsBelow("a/b", "a"))
	require.False(t, mailbox.IsBelow("ab", "a"))
	require.False(t, mailbox.IsBelow("a", "a"))
}

func FuzzCleanName(f *testing.F) {
	f.Add("inbox/Ä")
	f.Add("a//b\x00")
	f.Fuzz(func(t *testing.T, name string) {
		clean, err := mailbox.CleanName(name)
		if err != nil {
			require.ErrorIs(t, err, mailbox.ErrName)
			return
		}
		require.True(t, utf8.ValidString(clean))
		require.False(t, strings.ContainsAny(clean, "\r\n\x00"))
		again, err := mailbox.CleanName(clean)
		require.NoError(t, err)
		require.Equal(t, clean, again)
	})
}

func TestCleanFlags(t *testing.T) {
	t.Parallel()
	got, err := mailbox.CleanFlags([]mailbox.Flag{`\SEEN`, "Kw", "kw", `\seen`, `\Draft`})
	require.NoError(t, err)
	require.Equal(t, []mailbox.Flag{mailbox.Seen, "Kw", mailbox.Draft}, got)
	long := mailbox.Flag(strings.Repeat("k", mailbox.MaxKeyword))
	_, err = mailbox.CleanFlags([]mailbox.Flag{long})
	require.NoError(t, err)
	for _, bad := range []mailbox.Flag{"", `\`, `\Recent`, "a b", "a(", "a]", "é", "a\n", long + "k"} {
		_, err = mailbox.CleanFlags([]mailbox.Flag{mailbox.Seen, bad})
		require.ErrorIs(t, err, mailbox.ErrFlags, "%q", bad)
	}
}

func TestFlagChangeApply(t *testing.T) {
	t.Parallel()
	have := []mailbox.Flag{mailbox.Seen, "Kw"}
	for _, c := range []struct {
		change mailbox.FlagChange
		want   []mailbox.Flag
	}{
		{mailbox.FlagChange{Op: mailbox.ReplaceFlags, Flags: []mailbox.Flag{"x", "X"}}, []mailbox.Flag{"x"}},
		{mailbox.FlagChange{Op: mailbox.ReplaceFlags}, nil},
		{mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{"KW", "new"}}, []mailbox.Flag{mailbox.Seen, "Kw", "new"}},
		{mailbox.FlagChange{Op: mailbox.RemoveFlags, Flags: []mailbox.Flag{`\SEEN`, "new"}}, []mailbox.Flag{"Kw"}},
	} {
		require.Equal(t, c.want, c.change.Apply(have))
	}
	require.Equal(t, []mailbox.Flag{mailbox.Seen, "Kw"}, have)
}

func TestFlagChangeRefused(t *testing.T) {
	t.Parallel()
	add := mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Seen}, UnchangedSince: 7}
	for _, c := range []struct {
		change mailbox.FlagChange
		meta   mailbox.Meta
		want   bool
	}{
		{add, mailbox.Meta{ModSeq: 9, Flags: []mailbox.Flag{"Kw"}}, true},
		{add, mailbox.Meta{ModSeq: 9, Flags: []mailbox.Flag{"Kw", mailbox.Seen}}, false},
		{add, mailbox.Meta{ModSeq: 7, Flags: []mailbox.Flag{mailbox.Seen}}, false},
		{mailbox.FlagChange{UnchangedSince: 7}, mailbox.Meta{ModSeq: 8, Flags: []mailbox.Flag{"Kw"}}, true},
		{mailbox.FlagChange{Flags: []mailbox.Flag{"b", "A"}, UnchangedSince: 7}, mailbox.Meta{ModSeq: 8, Flags: []mailbox.Flag{"a", "b"}}, false},
		{mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Seen}}, mailbox.Meta{ModSeq: 9}, false},
	} {
		require.Equal(t, c.want, c.change.Refused(c.meta), "%+v of %+v", c.change, c.meta)
	}
}
