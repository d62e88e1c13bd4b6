//go:build interop

package interop

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailbox/archive"
	"github.com/mailbricks/mailbricks/maildir"
)

// doveadm runs a command for ann, and gives its output.
func (d *dovecot) doveadm(args ...string) string {
	d.t.Helper()
	cmd := exec.Command("doveadm", append([]string{"-c", filepath.Join(d.dir, "dovecot.conf"), "-f", "tab"}, args...)...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	require.NoError(d.t, err, errs.String())
	return string(out)
}

// archived is an account in a Maildir with mail that is hard on formats.
func archived(t *testing.T) mailbox.Store {
	t.Helper()
	m := maildir.New(t.TempDir(), anyAccount())
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	store, err := m.Store(t.Context(), mailbricks.Identity{User: "ann@example.com"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	require.NoError(t, store.(mailbox.Organizer).Create(t.Context(), "Über/uns & mehr", ""))
	for _, name := range []string{"INBOX", "Über/uns & mehr"} {
		box, err := store.Open(t.Context(), name)
		require.NoError(t, err)
		for i, text := range []string{
			"Subject: plain\r\n\r\nbody\r\n",
			"Subject: from\r\n\r\nFrom me\r\n>From you\r\nFrom x Thu Jan  1 00:00:00 2026\r\n\r\n\r\n",
			"Subject: gone\r\n\r\n",
			"Subject: long\r\n\r\n" + strings.Repeat("0123456789", 10_000) + "\r\n",
		} {
			var flags []mailbox.Flag
			if i%2 == 0 {
				flags = []mailbox.Flag{mailbox.Seen, "$Forwarded"}
			}
			_, err := box.Append(t.Context(), strings.NewReader(text), mailbox.AppendOptions{
				Size: int64(len(text)), Flags: flags, InternalDate: time.Date(2026, 1, 1+i, 2, 3, 4, 0, time.UTC)})
			require.NoError(t, err)
		}
		_, err = box.Expunge(t.Context(), []mailbox.UID{3})
		require.NoError(t, err)
		require.NoError(t, box.Close())
	}
	return store
}

// anyAccount has an account for every address.
func anyAccount() maildir.Accounts {
	return maildir.AccountsFunc(func(context.Context, string) (maildir.Account, error) { return maildir.Account{}, nil })
}

// exportTo writes an archive.
func exportTo(t *testing.T, store mailbox.Store, path string, format archive.Format) {
	t.Helper()
	w, err := archive.Create(path, archive.CreateOptions{Format: format})
	require.NoError(t, err)
	_, err = archive.Copy(t.Context(), w, archive.FromStore(store), nil)
	require.NoError(t, err)
	require.NoError(t, w.Close())
}

// listed are the messages of a store as doveadm fetch shows them, without what formats may change.
func listed(t *testing.T, store mailbox.Store, withUIDs bool) (out []string) {
	t.Helper()
	infos, err := store.List(t.Context())
	require.NoError(t, err)
	for _, info := range infos {
		if info.NoSelect || info.NonExistent {
			continue
		}
		box, err := store.Open(t.Context(), info.Name)
		require.NoError(t, err)
		uids, _, err := box.UIDs(t.Context())
		require.NoError(t, err)
		metas, err := box.Messages(t.Context(), uids)
		require.NoError(t, err)
		for _, m := range metas {
			flags := []string{}
			for _, f := range m.Flags {
				flags = append(flags, string(f))
			}
			slices.Sort(flags)
			uid := "-"
			if withUIDs {
				uid = fmt.Sprint(m.UID)
			}
			out = append(out, fmt.Sprintf("%s %s %v %d %s", info.Name, uid, flags, m.Size, m.InternalDate.UTC().Format(time.DateTime)))
		}
		require.NoError(t, box.Close())
	}
	slices.Sort(out)
	return out
}

// dovecotList are the messages that Dovecot shows, likewise.
func dovecotList(d *dovecot, withUIDs bool) (out []string) {
	d.t.Helper()
	for line := range strings.Lines(d.doveadm("fetch", "-u", "ann", "mailbox uid flags size.virtual date.received.unixtime", "ALL")) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(fields) != 5 || fields[0] == "mailbox" {
			continue
		}
		flags := []string{}
		for f := range strings.FieldsSeq(fields[2]) {
			if f != `\Recent` {
				flags = append(flags, f)
			}
		}
		slices.Sort(flags)
		uid := "-"
		if withUIDs {
			uid = fields[1]
		}
		var seconds int64
		_, err := fmt.Sscan(fields[4], &seconds)
		require.NoError(d.t, err)
		out = append(out, fmt.Sprintf("%s %s %v %s %s", fields[0], uid, flags, fields[3], time.Unix(seconds, 0).UTC().Format(time.DateTime)))
	}
	slices.Sort(out)
	return out
}

// Dovecot shows an exported Maildir with the same UIDs, flags, sizes and dates.
func TestDovecotReadsAnExportedMaildir(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := archived(t)
	d := w.newDovecot(3)
	exportTo(t, store, d.maildir(), archive.Maildir)
	d.start()
	require.Equal(t, listed(t, store, true), dovecotList(d, true))
}

// doveadm import takes exported mbox files, and what Dovecot then has in its own Maildir comes back.
func TestDovecotImportsExportedMboxes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := archived(t)
	d := w.newDovecot(3)
	require.NoError(t, os.MkdirAll(d.home, 0o700))
	boxes := filepath.Join(d.home, "boxes")
	exportTo(t, store, boxes, archive.Mbox)
	d.start()
	for _, name := range []string{"INBOX", "Über/uns & mehr"} {
		file := strings.ReplaceAll(name, "/", "%2F") + ".mbox"
		require.NoError(t, os.Mkdir(filepath.Join(d.home, "one"), 0o700))
		require.NoError(t, os.Chown(filepath.Join(d.home, "one"), mailUser, mailUser))
		source := fmt.Sprintf("mbox:%s:INBOX=%s:INDEX=MEMORY", filepath.Join(d.home, "one"), filepath.Join(boxes, file))
		d.doveadm("import", "-u", "ann", source, "Back/"+name, "ALL")
		require.NoError(t, os.RemoveAll(filepath.Join(d.home, "one")))
	}
	got := dovecotList(d, false)
	require.Len(t, got, len(listed(t, store, false)))
	for _, line := range got {
		require.Contains(t, line, "Back/")
	}

	// The bodies of lines that begin with "From " are quoted in an mbox, and Dovecot leaves them so.
	d.stop()
	r, err := archive.Open(d.maildir(), archive.Maildir, archive.Options{})
	require.NoError(t, err)
	m := maildir.New(t.TempDir(), anyAccount())
	defer m.Close()
	back, err := m.Store(t.Context(), mailbricks.Identity{User: "ann@example.com"})
	require.NoError(t, err)
	defer back.Close()
	to := archive.IntoStore(back, archive.ImportOptions{})
	stats, err := archive.Copy(t.Context(), to, r, nil)
	require.NoError(t, err)
	require.NoError(t, to.Close())
	require.NoError(t, r.Close())
	require.Equal(t, len(got), stats.Messages)
	require.Equal(t, got, listed(t, back, false))
}
