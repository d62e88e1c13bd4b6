package archive_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox/archive"
)

// outline has a line for each mailbox and message that a reader gives.
func outline(t testing.TB, r archive.Reader) (out []string) {
	t.Helper()
	defer r.Close()
	for {
		e, err := r.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return out
		}
		require.NoError(t, err)
		switch {
		case e.Mailbox != nil:
			out = append(out, e.Mailbox.Name)
			require.True(t, e.Mailbox.Subscribed, "or clients do not show it")
		case e.Message != nil:
			content, err := io.ReadAll(e.Message.Content)
			require.NoError(t, err)
			out = append(out, fmt.Sprintf("%v %q", e.Message.Flags, content))
		}
	}
}

const fromLine = "From - Thu Jan  1 00:00:00 2026\n"

func TestFoldersOfOtherProgramsMboxes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"Thunderbird": {map[string]string{
			"Inbox": fromLine + "X-Mozilla-Status: 0003\nX-Mozilla-Status2: 00000000\nX-Mozilla-Keys: $label1           \nSubject: a\n\n\n" +
				fromLine + "X-Mozilla-Status: 1008\nX-Mozilla-Status2: 00000000\nSubject: deleted\n\n\n",
			"Inbox.msf":                "// <!-- <mdb:mork:z v=\"1.4\"/> -->",
			"Work.sbd/Project":         fromLine + "Subject: b\n\n\n",
			"Work":                     "",
			"Work.sbd/Project.sbd/Old": fromLine + "X-Mozilla-Status: 0004\n\n\n",
		}, []string{"INBOX", `[\Seen \Answered $label1] "Subject: a\r\n\r\n"`, `[\Deleted $Forwarded] "Subject: deleted\r\n\r\n"`,
			"Work/Project", `[] "Subject: b\r\n\r\n"`, "Work/Project/Old", `[\Flagged] "\r\n"`}},
		"Dovecot": {map[string]string{
			"Entw&APw-rfe": fromLine + "From: Mail System Internal Data <MAILER-DAEMON@host>\nSubject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\n" +
				"X-IMAP: 1735689600 0000000002\nStatus: RO\n\nThis text is part of the internal format of your mail folder.\n\n" +
				fromLine + "X-IMAPbase: 1735689600 0000000002\nStatus: RO\nX-UID: 1\nSubject: a\n\n\n",
			"lists/go":            fromLine + "Subject: b\n\n\n",
			".imap/INBOX/dovecot": fromLine,
			".subscriptions":      "lists/go\n",
		}, []string{"Entwürfe", `[\Seen] "Subject: a\r\n\r\n"`, "lists/go", `[] "Subject: b\r\n\r\n"`}},
		"Apple Mail": {map[string]string{
			"Old.mbox/mbox":              fromLine + "Subject: a\n\n\n",
			"Old.mbox/table_of_contents": "x",
		}, []string{"Old", `[] "Subject: a\r\n\r\n"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := tree(t, c.files)
			format, err := archive.Detect(dir)
			require.NoError(t, err)
			require.Equal(t, archive.Mbox, format)
			r, err := archive.Open(dir, archive.Mbox, archive.Options{})
			require.NoError(t, err)
			require.Equal(t, c.want, outline(t, r))
		})
	}
	_, err := archive.Open(tree(t, map[string]string{"notes.txt": "hello", "link/x": ""}), archive.Mbox, archive.Options{})
	require.ErrorIs(t, err, archive.ErrFormat)
}

// A Maildir of a program that keeps no subscriptions, as mutt's, is shown by clients.
func TestMaildirWithoutSubscriptionsIsSubscribed(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"cur/1.a:2,S": "Subject: a\n\n", ".Old.2020/cur/2.b:2,": "Subject: b\n\n", "home/.dovecot.sieve": "keep;"})
	format, err := archive.Detect(dir)
	require.NoError(t, err)
	require.Equal(t, archive.Maildir, format)
	r, err := archive.Open(dir, archive.Maildir, archive.Options{})
	require.NoError(t, err)
	require.Equal(t, []string{"INBOX", `[\Seen] "Subject: a\r\n\r\n"`, "Old/2020", `[] "Subject: b\r\n\r\n"`}, outline(t, r))
}

func TestDetect(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"a": fromLine, "b": "\x1f\x8b", "c": "", "Frome": "From", "own/x.mbox": ""})
	for name, want := range map[string]archive.Format{"a": archive.Mbox, "b": archive.Tar, "c": archive.Tar, "Frome": archive.Tar, "own": archive.Mbox} {
		got, err := archive.Detect(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, want, got, name)
	}
	_, err := archive.Detect(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// Names of devices on Windows are names of files on no system, so that an archive can be taken there.
func TestMailboxesWithNamesOfDevices(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "out")
	w, err := archive.Create(dir, archive.CreateOptions{Format: archive.Mbox})
	require.NoError(t, err)
	names := []string{"CON", "aux.x", "com1", "com10", "Lpt9.txt", "console"}
	for _, name := range names {
		_, err := w.Write(t.Context(), archive.Entry{Mailbox: &archive.Mailbox{Name: name}})
		require.NoError(t, err)
	}
	require.NoError(t, w.Finish())
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	require.Equal(t, []string{"%43ON.mbox", "%4Cpt9.txt.mbox", "%61ux.x.mbox", "%63om1.mbox", "com10.mbox", "console.mbox"}, got)
	r, err := archive.Open(dir, archive.Mbox, archive.Options{})
	require.NoError(t, err)
	require.ElementsMatch(t, names, outline(t, r))
}

func TestATarOfSomethingElseIsNamed(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	require.NoError(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "Maildir/", Mode: 0o700}))
	require.NoError(t, w.Close())
	_, err := archive.NewTarReader(&b, archive.Options{}).Next(t.Context())
	require.ErrorIs(t, err, archive.ErrFormat)
	require.ErrorContains(t, err, `begins with "Maildir/"`)
	require.ErrorContains(t, err, "unpack it")
}
