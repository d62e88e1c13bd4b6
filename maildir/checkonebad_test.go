package maildir_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

// A mailbox that cannot be read is a finding, and the others are looked at and mended.
func TestCheckPassesAMailboxThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for name, hooks := range map[string]func(ill func(string) error) *hooked{
		"names": func(ill func(string) error) *hooked { return &hooked{readNames: ill} },
		"all": func(ill func(string) error) *hooked {
			return &hooked{stat: ill, lstat: ill, readNames: ill, readDir: ill, openFile: ill}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMaildir(t, t.TempDir(), 0)
			s := mustStore(t, m)
			for _, name := range []string{"Aa", "Zz"} {
				require.NoError(t, s.(mailbox.Organizer).Create(t.Context(), name, ""))
				put(t, filepath.Join(m.Root, "example.com", "ann", "."+name, "cur", "1700000001.host,S=1:2,S"), "12345")
			}
			files := hooks(func(name string) error {
				if strings.Contains(filepath.ToSlash(name), "/.Aa/cur") {
					return &os.PathError{Op: "open", Path: name, Err: syscall.EACCES}
				}
				return nil
			})
			files.FS = unsynced{durable.OS()}
			maildir.SetFS(m, files)
			for _, opts := range []maildir.CheckOptions{{}, {Rebuild: true}, {Repair: true}} {
				findings, _ := checkup(t, m, opts)
				list := strings.Join(findings, "\n")
				require.Contains(t, list, ".Aa")
				require.Contains(t, list, ".Zz/cur/1700000001.host,S=1:2,S")
			}
			require.FileExists(t, filepath.Join(m.Root, "example.com", "ann", ".Zz", "cur", "1700000001.host,S=5,W=5:2,S"))
		})
	}
}

// Two messages that differ only in what their names say wrongly do not get one name, and a name that is long gets no longer.
func TestRepairGivesNoNameTwice(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	b := open(t, m, mailbox.Inbox)
	cur := filepath.Join(m.Root, "example.com", "ann", "cur")
	long := strings.Repeat("x", 215)
	for i, name := range []string{"17.a,S=1", "17.a,S=2", "17.a,S=3", "17.b,S=3,W=3", "17.b,S=4", long + ",S=1"} {
		put(t, filepath.Join(cur, name+":2,S"), string(rune('1'+i))+"\r\n")
	}
	uids := uidsOf(t, b)
	require.Len(t, uids, 6)
	before := map[mailbox.UID]string{}
	for _, uid := range uids {
		before[uid] = contentOf(t, b, uid)
	}
	_, stats := checkup(t, m, maildir.CheckOptions{Repair: true})
	require.Zero(t, stats.Findings)
	next := newMaildir(t, m.Root, 0)
	b = open(t, next, mailbox.Inbox)
	after := map[mailbox.UID]string{}
	for _, uid := range uidsOf(t, b) {
		after[uid] = contentOf(t, b, uid)
	}
	require.Equal(t, before, after, "also with the same UIDs")
	findings, _ := checkup(t, next, maildir.CheckOptions{})
	require.Empty(t, findings)
}
