//go:build interop

package interop

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// mailboxes is what a server says of an account.
type mailboxes struct {
	LSUB      []string `json:"lsub"`
	Mailboxes map[string]struct {
		UIDValidity string `json:"uidvalidity"`
		UIDNext     string `json:"uidnext"`
		Messages    []struct {
			UID          int      `json:"uid"`
			Flags        []string `json:"flags"`
			Size         int      `json:"size"`
			InternalDate string   `json:"internaldate"`
		} `json:"messages"`
	} `json:"mailboxes"`
}

// A Maildir that Dovecot made is opened with its folders, UIDs, flags, keywords, sizes and dates.
func TestDovecotMaildirOpens(t *testing.T) {
	t.Parallel()
	need(t, "python3", "tar")
	suites := os.Getenv("MAILBRICKS_SUITES")
	if suites == "" {
		t.Skip("MAILBRICKS_SUITES is not set")
	}
	var want, got mailboxes
	manifest, err := os.ReadFile(filepath.Join(suites, "dovecot-maildir", "manifest.json"))
	require.NoError(t, err)
	var raw struct {
		LSUB      []string        `json:"lsub"`
		Mailboxes json.RawMessage `json:"mailboxes"`
	}
	require.NoError(t, json.Unmarshal(manifest, &raw))
	require.NoError(t, json.Unmarshal(raw.Mailboxes, &want.Mailboxes))

	w := newWorld(t)
	a := w.newHost(2, "a.test")
	home := filepath.Join(a.dir, "data", "mail", "a.test", "ann")
	sh(t, `rm -rf $HOME_DIR; mkdir -p $HOME_DIR; tar xzf $TAR -C $HOME_DIR --strip-components=1`,
		"HOME_DIR="+home, "TAR="+filepath.Join(suites, "dovecot-maildir", "Maildir.tar.gz"))
	a.start()
	out := sh(t, `python3 testdata/imapdump.py`, append(a.env(), "U=ann@a.test")...)
	require.NoError(t, json.Unmarshal([]byte(out), &got))

	for name, box := range want.Mailboxes {
		mine, ok := got.Mailboxes[name]
		require.True(t, ok, "mailbox %s", name)
		require.Equal(t, box.UIDValidity, mine.UIDValidity, name)
		require.Equal(t, box.UIDNext, mine.UIDNext, name)
		require.Len(t, mine.Messages, len(box.Messages), name)
		for i, m := range box.Messages {
			flags := slices.DeleteFunc(slices.Clone(m.Flags), func(f string) bool { return f == `\Recent` })
			slices.Sort(flags)
			require.Equal(t, m.UID, mine.Messages[i].UID, name)
			require.Equal(t, flags, mine.Messages[i].Flags, "%s UID %d", name, m.UID)
			require.Equal(t, m.Size, mine.Messages[i].Size, "%s UID %d", name, m.UID)
			require.Equal(t, date(t, m.InternalDate), date(t, mine.Messages[i].InternalDate), "%s UID %d", name, m.UID)
		}
	}
	for _, line := range raw.LSUB {
		name := strings.Trim(line[strings.Index(line, `"/" `)+4:], `"`)
		require.Contains(t, got.LSUB, name)
	}
}

func date(t *testing.T, s string) time.Time {
	t.Helper()
	d, err := time.Parse("2-Jan-2006 15:04:05 -0700", strings.TrimSpace(s))
	require.NoError(t, err)
	return d.UTC()
}
