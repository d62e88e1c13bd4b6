package archive_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailbox/archive"
)

// readWithPython prints the messages of an mbox or Maildir as Python's mailbox module sees them.
const readWithPython = `
import json, mailbox, sys
kind, path = sys.argv[1:]
box = mailbox.mbox(path, create=False) if kind == "mbox" else mailbox.Maildir(path, create=False)
out = []
for key in sorted(box.keys()):
    m = box[key]
    out.append({"subject": m["Subject"], "flags": "".join(sorted(m.get_flags())), "body": m.get_payload()})
if kind == "maildir":
    out.append({"subject": ",".join(sorted(box.list_folders())), "flags": "", "body": ""})
print(json.dumps(out))
`

// writeWithPython makes an mbox and a Maildir.
const writeWithPython = `
import mailbox, sys
for box, kind in ((mailbox.mbox(sys.argv[1]), mailbox.mboxMessage), (mailbox.Maildir(sys.argv[2]), mailbox.MaildirMessage)):
    for subject, flags, body in (("one", "RF" if kind is mailbox.mboxMessage else "SF", "From here\nbody\n"), ("two", "", "x\n\n\ny\n")):
        m = kind("Subject: %s\n\n%s" % (subject, body))
        m.set_flags(flags)
        if kind is mailbox.MaildirMessage:
            m.set_subdir("cur")
        box.add(m)
    box.close()
`

func python(t *testing.T, script string, args ...string) []byte {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	cmd := exec.Command(path, append([]string{"-c", script}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	return out
}

type seen struct{ Subject, Flags, Body string }

func TestPythonReadsWhatIsExported(t *testing.T) {
	t.Parallel()
	store := newStore()
	put(t, store, "INBOX", "Subject: one\r\n\r\nFrom here\r\n>From there\r\n", day(1), mailbox.Seen, mailbox.Flagged)
	put(t, store, "INBOX", "Subject: two\r\n\r\nbody\r\n\r\n", day(2))
	put(t, store, "INBOX", "Subject: three\r\n\r\nbody\r\n", day(3), mailbox.Answered, mailbox.Draft, mailbox.Deleted, "work")
	put(t, store, "A/B", "Subject: four\r\n\r\n", day(3))
	dir := t.TempDir()
	for format, want := range map[archive.Format][]seen{
		archive.Mbox: { // which does not take the quoting off
			{"one", "FOR", ">From here\n>>From there\n"}, {"two", "O", "body\n\n"}, {"three", "ADOT", "body\n"}},
		archive.Maildir: {
			{"one", "FS", "From here\n>From there\n"}, {"two", "", "body\n\n"}, {"three", "DRTa", "body\n"}, {"A.B", "", ""}},
	} {
		path := filepath.Join(dir, string(format))
		w, err := archive.Create(path, archive.CreateOptions{Format: format})
		require.NoError(t, err)
		move(t, w, archive.FromStore(store))
		if format == archive.Mbox {
			path = filepath.Join(path, "INBOX.mbox")
		}
		var got []seen
		require.NoError(t, json.Unmarshal(python(t, readWithPython, string(format), path), &got))
		require.Equal(t, want, got, format)
	}
}

func TestWhatPythonWritesIsImported(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mbox, maildir := filepath.Join(dir, "x.mbox"), filepath.Join(dir, "Maildir")
	python(t, writeWithPython, mbox, maildir)
	for path, format := range map[string]archive.Format{mbox: archive.Mbox, maildir: archive.Maildir} {
		r, err := archive.Open(path, format, archive.Options{})
		require.NoError(t, err)
		messages, err := readAll(t, r)
		require.NoError(t, err)
		require.Len(t, messages, 2)
		if strings.Contains(messages[0].content, "two") { // files of the same second
			messages[0], messages[1] = messages[1], messages[0]
		}
		require.Equal(t, "Subject: one\r\n\r\nFrom here\r\nbody\r\n", messages[0].content)
		require.ElementsMatch(t, []mailbox.Flag{mailbox.Seen, mailbox.Flagged}, messages[0].flags)
		require.Equal(t, "Subject: two\r\n\r\nx\r\n\r\n\r\ny\r\n", messages[1].content)
	}
}
