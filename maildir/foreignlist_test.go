package maildir_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// foreignThree makes an account with three messages in cur, a to c, and the uidlist and the keywords that another program
// has written.
func foreignThree(t *testing.T, m *maildir.Maildir, list, keywords string) string {
	t.Helper()
	dir := filepath.Join(m.Root, "example.com", "ann")
	for _, sub := range []string{"tmp", "new", "cur"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, sub), 0o700))
	}
	for i, letters := range []string{"S", "a", "Fb"} {
		put(t, filepath.Join(dir, "cur", fmt.Sprintf("170000000%d.M1P1.host:2,%s", i, letters)), fmt.Sprintf("message %d\n", i))
	}
	if list != "" {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "dovecot-uidlist"), []byte(list), 0o600))
	}
	if keywords != "" {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "dovecot-keywords"), []byte(keywords), 0o600))
	}
	return dir
}

// Lists as they are found in trees that have a history: every message keeps the UID that the list gives it.
func TestListsOfOthers(t *testing.T) {
	t.Parallel()
	const a, b, c = "1700000000.M1P1.host", "1700000001.M1P1.host", "1700000002.M1P1.host"
	for name, tt := range map[string]struct {
		list string
		uids []mailbox.UID
		next mailbox.UID
	}{
		"version 3":                 {"3 V77 N20 G0123456789abcdef0123456789abcdef\n3 :" + a + "\n5 :" + b + "\n9 :" + c + "\n", []mailbox.UID{3, 5, 9}, 20},
		"version 1":                 {"1 77 20\n3 " + a + "\n5 " + b + ":2,S\n9 " + c + "\n", []mailbox.UID{3, 5, 9}, 20},
		"CRLF":                      {"3 V77 N20\r\n3 :" + a + "\r\n5 W11 :" + b + ":2,S\r\n9 :" + c + "\r\n", []mailbox.UID{3, 5, 9}, 20},
		"version 1 and CRLF":        {"1 77 20\r\n3 " + a + "\r\n5 " + b + "\r\n9 " + c + "\r\n", []mailbox.UID{3, 5, 9}, 20},
		"a line twice":              {"3 V77 N20\n3 :" + a + "\n3 :" + a + "\n5 :" + b + "\n9 :" + c + "\n", []mailbox.UID{3, 5, 9}, 20},
		"a UID for two names":       {"3 V77 N20\n3 :" + a + "\n3 :" + b + "\n9 :" + c + "\n", []mailbox.UID{3, 9, 20}, 21},
		"two UIDs for one name":     {"3 V77 N20\n3 :" + a + "\n5 :" + b + "\n9 :" + c + "\n11 :" + a + "\n", []mailbox.UID{5, 9, 11}, 20},
		"three UIDs for one name":   {"3 V77 N20\n3 :" + a + "\n5 :" + b + "\n9 :" + c + "\n11 :" + a + "\n12 :" + a + "\n", []mailbox.UID{5, 9, 12}, 20},
		"descending":                {"3 V77 N20\n9 :" + c + "\n5 :" + b + "\n3 :" + a + "\n", []mailbox.UID{9, 20, 21}, 22},
		"N behind":                  {"3 V77 N4\n3 :" + a + "\n5 :" + b + "\n9 :" + c + "\n", []mailbox.UID{3, 5, 9}, 10},
		"files that are gone":       {"3 V77 N20\n1 :x\n3 :" + a + "\n5 :" + b + "\n9 :" + c + "\n12 :y\n", []mailbox.UID{3, 5, 9}, 20},
		"a file that is not listed": {"3 V77 N20\n3 :" + a + "\n9 :" + c + "\n", []mailbox.UID{3, 9, 20}, 21},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMaildir(t, t.TempDir(), 0)
			foreignThree(t, m, tt.list, "0 first\r\n1 second\r\n")
			for range 2 { // as it was found, and as we have written it
				box := open(t, m, mailbox.Inbox)
				require.Equal(t, tt.uids, uidsOf(t, box))
				st, err := box.Status(t.Context())
				require.NoError(t, err)
				require.EqualValues(t, 77, st.UIDValidity)
				require.Equal(t, tt.next, st.UIDNext)
				texts := map[string][]mailbox.Flag{}
				for _, uid := range tt.uids {
					texts[text(t, box, uid)] = one(t, box, uid).Flags
				}
				require.Equal(t, map[string][]mailbox.Flag{
					"message 0\r\n": {mailbox.Seen}, "message 1\r\n": {"first"}, "message 2\r\n": {mailbox.Flagged, "second"},
				}, texts)
				require.NoError(t, m.Close())
				m = newMaildir(t, m.Root, 0)
			}
		})
	}
}

// Letters of keywords whose names are lost stay on the messages, and no new keyword is taken for one of them.
func TestLettersWithoutNames(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	dir := foreignThree(t, m, "", "")
	b := open(t, m, mailbox.Inbox)
	require.Equal(t, []mailbox.UID{1, 2, 3}, uidsOf(t, b))
	require.Empty(t, one(t, b, 2).Flags)
	uid := appendTo(t, b, "with a keyword\r\n", "New")
	metas, err := b.SetFlags(t.Context(), []mailbox.UID{1}, mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{"Newer"}})
	require.NoError(t, err)
	require.Equal(t, []mailbox.Flag{mailbox.Seen, "Newer"}, metas[0].Flags)
	require.Empty(t, one(t, b, 2).Flags, "the letter was somebody else's")
	require.Equal(t, []mailbox.Flag{mailbox.Flagged}, one(t, b, 3).Flags)
	require.Equal(t, []mailbox.Flag{"New"}, one(t, b, uid).Flags)

	// Somebody brings the names back from a backup.
	require.NoError(t, m.Close())
	names, err := os.ReadFile(filepath.Join(dir, "dovecot-keywords"))
	require.NoError(t, err)
	require.NotContains(t, string(names), "0 ")
	require.NotContains(t, "\n"+string(names), "\n1 ")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "dovecot-keywords"), append([]byte("0 first\n1 second\n"), names...), 0o600))
	b = open(t, newMaildir(t, m.Root, 0), mailbox.Inbox)
	require.Equal(t, []mailbox.Flag{"first"}, one(t, b, 2).Flags)
	require.Equal(t, []mailbox.Flag{mailbox.Flagged, "second"}, one(t, b, 3).Flags)
	require.Equal(t, []mailbox.Flag{mailbox.Seen, "Newer"}, one(t, b, 1).Flags)
}

// When the names of all keywords are lost while a session is open, nothing that a message has is taken for another keyword.
func TestNamesOfKeywordsVanish(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	dir := foreignThree(t, m, "", "0 first\n1 second\n")
	b := open(t, m, mailbox.Inbox)
	require.Equal(t, []mailbox.Flag{"first"}, one(t, b, 2).Flags)
	require.NoError(t, os.Remove(filepath.Join(dir, "dovecot-keywords")))
	_, err := b.SetFlags(t.Context(), []mailbox.UID{1}, mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{"Newer"}})
	require.NoError(t, err)
	require.NotContains(t, one(t, b, 2).Flags, mailbox.Flag("Newer"))
	require.NotContains(t, one(t, b, 3).Flags, mailbox.Flag("Newer"))
	require.Contains(t, one(t, b, 1).Flags, mailbox.Flag("Newer"))
}

// The small files of other programs have line ends of all kinds.
func TestSubscriptionsOfOthers(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"version 1":   "Sent\nLists.go.dev\nEntw&APw-rfe\n",
		"version 2":   "V\t2\n\nSent\nLists\tgo\tdev\nEntw&APw-rfe\n",
		"CRLF":        "V\t2\r\n\r\nSent\r\nLists\tgo\tdev\r\nEntw&APw-rfe\r\n",
		"LAYOUT=fs":   "Sent\nLists/go/dev\nEntw&APw-rfe\n",
		"UTF-8":       "V\t2\n\nSent\nLists\tgo\tdev\nEntwürfe\n",
		"twice":       "Sent\nSent\nLists.go.dev\nEntw&APw-rfe",
		"hostile":     "V\t2\n\nSent\n..\t..\t\tetc\n/etc\n\x00\nLists\tgo\tdev\n\xff\xfe\nEntw&APw-rfe\na\x1bb\n" + strings.Repeat("x", 2000) + "\n",
		"empty lines": "Sent\nLists.go.dev\nEntw&APw-rfe\n\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMaildir(t, t.TempDir(), 0)
			m.Folders = []maildir.Folder{}
			dir := foreignThree(t, m, "", "")
			require.NoError(t, os.WriteFile(filepath.Join(dir, "subscriptions"), []byte(content), 0o600))
			subscribed := func() (names []string) {
				for _, info := range listOf(t, m) {
					if info.Subscribed {
						names = append(names, info.Name)
					}
				}
				return names
			}
			require.Equal(t, []string{"Entwürfe", "Lists/go/dev", "Sent"}, subscribed())
			o := mustStore(t, m).(mailbox.Organizer)
			require.NoError(t, o.Subscribe(t.Context(), "more", true))
			require.Equal(t, []string{"Entwürfe", "Lists/go/dev", "Sent", "more"}, subscribed())
			data, err := os.ReadFile(filepath.Join(dir, "subscriptions"))
			require.NoError(t, err)
			require.Equal(t, "V\t2\n\nSent\nLists\tgo\tdev\nEntw&APw-rfe\nmore\n", string(data))
		})
	}
}
