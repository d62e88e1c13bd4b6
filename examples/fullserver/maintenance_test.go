package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailbox/retention"
)

// twoMessages is an mbox.
const twoMessages = "From bob@example.com Thu Jan  1 00:00:00 2026\nSubject: one\nStatus: RO\n\n>From here\n\n" +
	"From bob@example.com Fri Jan  2 00:00:00 2026\nSubject: two\n\nbody\n\n"

// both runs a test with a server that runs and without one.
func both(t *testing.T, test func(t *testing.T, file string, do func(stdin string, args ...string) (stdout, stderr string, code int))) {
	t.Helper()
	for _, running := range []bool{false, true} {
		t.Run(map[bool]string{false: "offline", true: "running"}[running], func(t *testing.T) {
			t.Parallel()
			file, _ := testConfig(t, "imap")
			extend(t, file, "[retention]\ntrash = \"30d\"\nmailboxes = [\"Old=1d\"]\n")
			if running {
				serve(t, file)
			}
			do := func(stdin string, args ...string) (string, string, int) {
				return run(t, stdin, append([]string{"-config", file}, args...)...)
			}
			_, errs, code := do("secret\n", "email", "add", "ann@example.com")
			require.Equal(t, exitOK, code, errs)
			test(t, file, do)
		})
	}
}

// extend adds to a configuration.
func extend(t *testing.T, file, text string) {
	t.Helper()
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, append(data, text...), 0o600))
}

func TestMailGoesOutAndComesBack(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, _ string, do func(string, ...string) (string, string, int)) {
		out, errs, code := do(twoMessages, "mail", "import", "ann@example.com", "-format", "mbox", "-")
		require.Equal(t, exitOK, code, errs)
		require.Equal(t, "imported 2 messages, 0 were there already\n", out)
		out, _, code = do(twoMessages, "mail", "import", "ann@example.com", "-")
		require.Equal(t, exitOK, code)
		require.Equal(t, "imported 0 messages, 2 were there already\n", out)

		out, errs, code = do("", "mail", "export", "ann@example.com", "-", "-format", "mbox", "-mailbox", "INBOX")
		require.Equal(t, exitOK, code, errs)
		require.Equal(t, strings.Replace(strings.ReplaceAll(twoMessages, "From bob@example.com ", "From MAILER-DAEMON "),
			"Subject: two\n", "Subject: two\nStatus: O\n", 1), out)
		require.Contains(t, errs, "exported 2 messages in 1 mailbox")

		dir := t.TempDir()
		paths := map[string]string{"tar": "mail.tar.gz", "maildir": "Maildir", "mbox": "boxes"}
		for format, path := range paths {
			_, errs, code = do("", "mail", "export", "ann@example.com", filepath.Join(dir, path), "-format", format)
			require.Equal(t, exitOK, code, errs)
		}
		for format, path := range paths {
			path = filepath.Join(dir, path)
			out, errs, code = do("", "mail", "import", "ann@example.com", path, "-under", "Copy of "+format)
			require.Equal(t, exitOK, code, errs)
			require.Contains(t, out, "imported 2 messages", format)
		}
		require.FileExists(t, filepath.Join(dir, "boxes", "INBOX.mbox"))
		require.DirExists(t, filepath.Join(dir, "Maildir", "cur"))
		tar, _, code := do("", "mail", "export", "ann@example.com", "-")
		require.Equal(t, exitOK, code)
		out, errs, code = do(tar, "mail", "import", "ann@example.com", "-")
		require.Equal(t, exitOK, code, errs)
		require.Equal(t, "imported 0 messages, 8 were there already\n", out)
	})
}

func TestMailThatCannotGoOutOrCome(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, _ string, do func(string, ...string) (string, string, int)) {
		_, _, code := do(twoMessages, "mail", "import", "ann@example.com", "-format", "mbox", "-")
		require.Equal(t, exitOK, code)
		tar, _, code := do("", "mail", "export", "ann@example.com", "-")
		require.Equal(t, exitOK, code)
		dir := t.TempDir()
		full := filepath.Join(dir, "full")
		require.NoError(t, os.Mkdir(full, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(full, "x"), nil, 0o600))
		for what, c := range map[string]struct {
			stdin string
			args  string
			says  string
		}{
			"no account":      {"", "export bob@example.com -", "bob@example.com is no account"},
			"no such mailbox": {"", "export ann@example.com - -mailbox None", "no such mailbox"},
			"many in an mbox": {"", "export ann@example.com - -format mbox", "name it with -mailbox"},
			"maildir out":     {"", "export ann@example.com - -format maildir", "cannot go to standard output"},
			"maildir in":      {"", "import ann@example.com - -format maildir", "cannot come from standard input"},
			"not empty":       {"", "export ann@example.com " + full + " -format maildir", "exists already"},
			"no folder":       {"", "export ann@example.com " + filepath.Join(dir, "none", "x"), "no such file"},
			"no file":         {"", "import ann@example.com " + filepath.Join(dir, "none"), "no such file"},
			"cut short":       {tar[:len(tar)/2], "import ann@example.com -", "cut short"},
			"no tar":          {strings.Repeat("x", 2000), "import ann@example.com -", "archive: not in the right format"},
			"text":            {"example\n", "import ann@example.com -", "it is no tar, and an mbox begins with"},
			"long text":       {strings.Repeat("Subject: x\n", 200), "import ann@example.com -", "it is no tar, and an mbox begins with"},
			"gzip of maildir": {"", "export ann@example.com " + filepath.Join(dir, "x") + " -format maildir -gzip", "-gzip is for a tar"},
			"no mbox":         {"Subject: x\n\n", "import ann@example.com - -format mbox", "not with a From_ line"},
			"into no account": {tar, "import bob@example.com -", "bob@example.com is no account"},
			"mailbox of tar":  {"", "import ann@example.com " + full + " -mailbox X", "-mailbox is for"},
			"format":          {"", "export ann@example.com - -format zip", "zip"},
		} {
			_, errs, code := do(c.stdin, append([]string{"mail"}, strings.Fields(c.args)...)...)
			require.Equal(t, exitError, code, what)
			require.Contains(t, errs, c.says, what)
			require.Equal(t, 1, strings.Count(errs, "\n"), "%s: one line: %s", what, errs)
		}
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, entries, 1, "nothing partial stays")
	})
}

// A message that cannot be read keeps no other one from being exported.
func TestExportNamesWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, file string, do func(string, ...string) (string, string, int)) {
		_, _, code := do(twoMessages, "mail", "import", "ann@example.com", "-format", "mbox", "-")
		require.Equal(t, exitOK, code)
		packed := filepath.Join(filepath.Dir(file), "data", "mail", "example.com", "ann", "cur", "1700000000.M1P1.host,S=700:2,S")
		require.NoError(t, os.WriteFile(packed, []byte("\x1f\x8b\x08 as Dovecot compressed it"), 0o600))
		path := filepath.Join(t.TempDir(), "mail.tar")
		_, errs, code := do("", "mail", "export", "ann@example.com", path)
		require.Equal(t, exitError, code)
		require.Contains(t, errs, `left out: mailbox "INBOX", UID 3: `)
		require.Contains(t, errs, "1 message or mailbox was left out as unreadable")
		out, errs, code := do("", "mail", "import", "ann@example.com", path)
		require.Equal(t, exitOK, code, errs)
		require.Equal(t, "imported 0 messages, 2 were there already\n", out)
	})
}

func TestCheckOnTheCommandLine(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, file string, do func(string, ...string) (string, string, int)) {
		_, _, code := do(twoMessages, "mail", "import", "ann@example.com", "-format", "mbox", "-")
		require.Equal(t, exitOK, code)
		out, errs, code := do("", "maildir", "check")
		require.Equal(t, exitOK, code, errs+out)
		require.Equal(t, "2 messages of 1 account: all is well\n", out)

		dir := filepath.Join(filepath.Dir(file), "data", "mail", "example.com", "ann")
		require.NoError(t, os.WriteFile(filepath.Join(dir, "cur", ".x"), nil, 0o600))
		out, errs, code = do("", "maildir", "check", "ann@example.com")
		require.Equal(t, exitError, code)
		require.Contains(t, out, "ann@example.com: warning: ")
		require.Equal(t, "fullserver: 1 finding is left, in 2 messages of 1 account\n", errs)
		out, _, code = do("", "maildir", "check", "-json")
		require.Equal(t, exitError, code)
		var line findingLine
		require.NoError(t, json.Unmarshal([]byte(out), &line))
		require.Equal(t, findingLine{Address: "ann@example.com", Severity: "warning", Path: line.Path, What: line.What}, line)
		require.Equal(t, filepath.Join(dir, "cur", ".x"), line.Path)
		out, errs, code = do("", "maildir", "check", "-repair", "-rebuild")
		require.Equal(t, exitOK, code, errs)
		require.Contains(t, out, "(mended)")
		require.NoError(t, os.WriteFile(filepath.Join(dir, "cur", "1700000000.M1P1.h:2,S"), nil, 0o600))
		out, errs, code = do("", "maildir", "check")
		require.Equal(t, exitOK, code, errs)
		require.Contains(t, out, "note: ")
		require.Contains(t, out, "3 messages of 1 account: all is well\n", "a note is for people, and stays")
		_, errs, code = do("", "maildir", "check", "bob@example.com")
		require.Equal(t, exitError, code)
		require.Equal(t, "fullserver: bob@example.com is no account\n", errs)
	})
}

func TestBackupAndRestoreOnTheCommandLine(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, file string, do func(string, ...string) (string, string, int)) {
		_, _, code := do(twoMessages, "mail", "import", "ann@example.com", "-format", "mbox", "-")
		require.Equal(t, exitOK, code)
		_, _, code = do("secret\n", "email", "add", "bob@example.com")
		require.Equal(t, exitOK, code)
		dir := t.TempDir()
		out, errs, code := do("", "backup", "ann@example.com", filepath.Join(dir, "ann"))
		require.Equal(t, exitOK, code, errs)
		require.Equal(t, "ann@example.com: 2 messages in 6 mailboxes, 0 copied\n", out)
		out, errs, code = do("", "backup", "-all", filepath.Join(dir, "all"))
		require.Equal(t, exitOK, code, errs)
		require.Contains(t, out, "bob@example.com: 0 messages")
		require.FileExists(t, filepath.Join(dir, "all", "example.com", "ann", "mailbricks-backup"))

		_, _, code = do(strings.ReplaceAll(twoMessages, "one", "three"), "mail", "import", "ann@example.com", "-format", "mbox", "-")
		require.Equal(t, exitOK, code)
		out, errs, code = do("", "restore", "ann@example.com", filepath.Join(dir, "ann"), "-merge")
		require.Equal(t, exitOK, code, errs)
		require.Equal(t, "ann@example.com: 0 messages in 0 mailboxes came back\n", out)
		out, errs, code = do("", "restore", "-all", filepath.Join(dir, "all"))
		require.Equal(t, exitOK, code, errs)
		require.Contains(t, out, "ann@example.com: 2 messages in 6 mailboxes came back\n")
		require.Contains(t, errs, "clients fetch these mailboxes anew: INBOX")
		out, _, code = do("", "mail", "export", "ann@example.com", "-", "-format", "mbox", "-mailbox", "INBOX")
		require.Equal(t, exitOK, code)
		require.NotContains(t, out, "three")

		messages, err := filepath.Glob(filepath.Join(dir, "ann", "mail-*", "*", "*M*"))
		require.NoError(t, err)
		require.Len(t, messages, 2)
		require.NoError(t, os.Remove(messages[0]))
		_, errs, code = do("", "restore", "ann@example.com", filepath.Join(dir, "ann"))
		require.Equal(t, exitError, code)
		require.Contains(t, errs, "it has 1 of 2 messages and 6 of 6 mailboxes; -merge brings back what is there")

		for args, says := range map[string]string{
			"backup ann@example.com":                                                     "name an account and a folder",
			"backup -all":                                                                "name an account and a folder",
			"backup -all ann@example.com /x":                                             "name an account and a folder",
			"backup carl@example.com " + dir:                                             "carl@example.com is no account",
			"restore ann@example.com " + dir:                                             "no backup here",
			"restore carl@example.com " + dir:                                            "carl@example.com is no account",
			"restore bob@example.com " + filepath.Join(dir, "ann"):                       "another account: of \"ann@example.com\"; -from says that this is meant",
			"restore bob@example.com " + filepath.Join(dir, "all"):                       "no backup here: " + filepath.Join(dir, "all") + "; there is one in " + filepath.Join(dir, "all", "example.com", "bob"),
			"restore -all -from bob@example.com " + filepath.Join(dir, "all"):            "-from is for one account",
			"backup ann@example.com " + filepath.Join(filepath.Dir(file), "data/mail/x"): "within the folder of the accounts",
		} {
			_, errs, code := do("", strings.Fields(args)...)
			require.Equal(t, exitError, code, args)
			require.Contains(t, errs, says)
		}
	})
}

func TestRetentionOnTheCommandLine(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, _ string, do func(string, ...string) (string, string, int)) {
		_, errs, code := do(twoMessages, "mail", "import", "ann@example.com", "-format", "mbox", "-mailbox", "Old", "-")
		require.Equal(t, exitOK, code, errs)
		out, errs, code := do("", "retention", "run", "-dry-run", "-json")
		require.Equal(t, exitOK, code, errs)
		var lines []retentionLine
		require.NoError(t, json.Unmarshal([]byte(out), &lines))
		require.Empty(t, lines, "what was put there today stays, however old it is")
		out, errs, code = do("", "retention", "run", "ann@example.com")
		require.Equal(t, exitOK, code, errs)
		require.Equal(t, "There is nothing to delete.\n", out)
		_, errs, code = do("", "retention", "run", "bob@example.com")
		require.Equal(t, exitError, code)
		require.Contains(t, errs, "bob@example.com is no account")
	})
	file, _ := testConfig(t)
	_, errs, code := run(t, "", "-config", file, "retention", "run")
	require.Equal(t, exitError, code)
	require.Contains(t, errs, "nothing is ever deleted")
}

func TestRetentionSaysWhatItDeletes(t *testing.T) {
	t.Parallel()
	file, _ := testConfig(t)
	extend(t, file, "[retention]\nmailboxes = [\"INBOX=1s\"]\n")
	do := func(stdin string, args ...string) string {
		out, errs, code := run(t, stdin, append([]string{"-config", file}, args...)...)
		require.Equal(t, exitOK, code, errs)
		return out
	}
	do("secret\n", "email", "add", "ann@example.com")
	do(twoMessages, "mail", "import", "ann@example.com", "-")
	want := ""
	require.Eventually(t, func() bool { // save dates are in seconds
		want = do("", "retention", "run", "-dry-run")
		return strings.Contains(want, "would be")
	}, 20*time.Second, 200*time.Millisecond)
	require.Regexp(t, "^ann@example.com INBOX: 2 messages, [0-9]+B, would be deleted\n$", want)
	require.Equal(t, strings.Replace(want, "would be deleted", "deleted", 1), do("", "retention", "run"))
	require.Equal(t, "There is nothing to delete.\n", do("", "retention", "run"))
}

func TestRetentionKeys(t *testing.T) {
	t.Parallel()
	c, err := loadConfig("", []string{"FULLSERVER_HOSTNAME=a.b", "FULLSERVER_RETENTION_JUNK=30d", "FULLSERVER_RETENTION_MAILBOXES=a=b=90d,inbox=1h"}, false)
	require.NoError(t, err)
	require.Equal(t, []retention.Rule{{Mailbox: "a=b", Age: 90 * 24 * time.Hour}, {Mailbox: "INBOX", Age: time.Hour},
		{Use: mailbox.UseJunk, Age: 30 * 24 * time.Hour}}, c.retention.policy().Rules)
	c, err = loadConfig("", []string{"FULLSERVER_HOSTNAME=a.b", "FULLSERVER_RETENTION_TRASH=0"}, false)
	require.NoError(t, err)
	require.Empty(t, c.retention.policy().Rules)
	for _, bad := range []string{"JUNK=soon", "TRASH=-1h", "TRASH=99999d", "MAILBOXES=Trash", "MAILBOXES=a//b=1d", "MAILBOXES=a=0", "MAILBOXES=a=60000d"} {
		_, err := loadConfig("", []string{"FULLSERVER_HOSTNAME=a.b", "FULLSERVER_RETENTION_" + bad}, false)
		require.Error(t, err, bad)
	}
}

// What is too old goes without anybody's asking.
func TestRetainAllDeletes(t *testing.T) {
	t.Parallel()
	a := openTestApp(t, "FULLSERVER_RETENTION_MAILBOXES=INBOX=1s")
	require.NoError(t, a.dir.AddAccount("ann@example.com", "secret"))
	store, err := a.mailOf(t.Context(), "ann@example.com")
	require.NoError(t, err)
	defer store.Close()
	box, err := store.Open(t.Context(), "INBOX")
	require.NoError(t, err)
	defer box.Close()
	_, err = box.Append(t.Context(), strings.NewReader("Subject: x\r\n\r\n"), mailbox.AppendOptions{Size: 14, InternalDate: time.Now().Add(-time.Hour)})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		a.retainAll(t.Context())
		uids, _, err := box.UIDs(t.Context())
		return err == nil && len(uids) == 0
	}, 20*time.Second, 100*time.Millisecond)
}

func TestProgressIsABarOnATerminalAndALineElsewhere(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	now := time.Now()
	b := newProgressBar(&out)
	b.now = func() time.Time { return now }
	b.show(progressReport{Done: 1, Total: 4, What: "messages"})
	require.Empty(t, out.String())
	now = now.Add(2 * lineInterval)
	b.show(progressReport{Done: 2, Total: 4, What: "messages"})
	b.show(progressReport{Done: 3, What: "messages"})
	b.end()
	require.Equal(t, "messages 2 of 4 (50%)\n", out.String())

	out.Reset()
	b.terminal = true
	b.show(progressReport{Done: 1, Total: 2, What: "messages"})
	require.Equal(t, "\r\x1b[K["+strings.Repeat("#", 15)+strings.Repeat(".", 15)+"] 1 of 2 (50%) messages", out.String())
	b.clear()
	b.clear()
	require.True(t, strings.HasSuffix(out.String(), "messages\r\x1b[K"))
}

// A command whose process goes ends in the server, too.
func TestAStreamEndsWithItsProcess(t *testing.T) {
	t.Parallel()
	a := openTestApp(t)
	require.NoError(t, a.dir.AddAccount("ann@example.com", "secret"))
	here, there := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- a.answerStream(t.Context(), there, &mailImport{Address: "ann@example.com"}) }()
	f := &frames{conn: here}
	kind, _, err := f.read()
	require.NoError(t, err)
	require.EqualValues(t, frameGo, kind)
	require.NoError(t, f.write(frameData, []byte("x")))
	require.NoError(t, here.Close())
	require.NoError(t, <-done)
}

func TestFramesThatAreTooLongAreRefused(t *testing.T) {
	t.Parallel()
	here, there := net.Pipe()
	go func() {
		_, _ = here.Write([]byte{'d', 0xff, 0, 0, 0})
		_ = here.Close()
	}()
	_, _, err := (&frames{conn: there}).read()
	require.ErrorContains(t, err, "frame of")
	_, _, err = (&frames{conn: there}).read()
	require.True(t, errors.Is(err, io.EOF), fmt.Sprint(err))
}
