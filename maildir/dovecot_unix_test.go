//go:build unix

package maildir_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
)

// doveadm gives a function that runs Dovecot's own tool on the account of ann under root.
func doveadm(t *testing.T, root string) func(stdin string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("doveadm")
	if err != nil {
		t.Skip("Dovecot is not installed")
	}
	if out, err := exec.Command("dovecot", "--version").Output(); err != nil || !strings.HasPrefix(string(out), "2.3.") {
		t.Skipf("Dovecot is not of version 2.3: %s %v", out, err)
	}
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o711)) // root's as well: both are below one folder
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "home"), 0o755))
	uid, gid := os.Getuid(), os.Getgid()
	attr := &syscall.SysProcAttr{}
	if uid == 0 { // Dovecot does not read mail as root
		uid, gid = 54321, 54321
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), NoSetGroups: true}
	}
	config := filepath.Join(dir, "dovecot.conf")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
mail_location = maildir:%s
base_dir = %s
state_dir = %s
log_path = /dev/stderr
ssl = no
first_valid_uid = 1
first_valid_gid = 1
namespace inbox {
  inbox = yes
  separator = /
}
`, filepath.Join(root, "example.com", "ann"), dir, dir), 0o644))
	own := func() {
		for _, tree := range []string{root, dir} {
			require.NoError(t, filepath.WalkDir(tree, func(path string, _ fs.DirEntry, err error) error {
				if err != nil {
					return err
				}
				return os.Lchown(path, uid, gid)
			}))
		}
	}
	return func(stdin string, args ...string) string {
		t.Helper()
		own()
		cmd := exec.Command(path, append([]string{"-c", config}, args...)...)
		cmd.Env = []string{"USER=ann", "HOME=" + filepath.Join(dir, "home"), "PATH=" + os.Getenv("PATH")}
		cmd.Stdin = strings.NewReader(stdin)
		cmd.SysProcAttr = attr
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		return string(out)
	}
}

// Dovecot reads what we wrote, under the same UIDs; we read what it writes then.
func TestDovecotAndBack(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	run := doveadm(t, m.Root)
	b := open(t, m, mailbox.Inbox)
	appendTo(t, b, "Subject: one\r\n\r\nbody\r\n", mailbox.Seen, "kw1", "$Forwarded")
	appendTo(t, b, "Subject: two\r\n\r\n")
	deliver(t, m, "Subject: three\r\n\r\n")
	require.Len(t, uidsOf(t, b), 3)
	_, err := b.SetFlags(t.Context(), []mailbox.UID{1, 3}, mailbox.FlagChange{Op: mailbox.AddFlags, Flags: []mailbox.Flag{mailbox.Answered, "Junk"}})
	require.NoError(t, err)
	_, err = b.Expunge(t.Context(), []mailbox.UID{2})
	require.NoError(t, err)
	o := mustStore(t, m).(mailbox.Organizer)
	require.NoError(t, o.Create(t.Context(), "Neu/Ä", ""))
	require.NoError(t, o.Subscribe(t.Context(), "Neu/Ä", true))
	_, err = b.Copy(t.Context(), []mailbox.UID{1}, "Neu/Ä")
	require.NoError(t, err)
	before, err := b.Status(t.Context())
	require.NoError(t, err)
	require.NoError(t, m.Close())

	got := strings.Join(strings.Fields(run("", "-f", "flow", "fetch", "uid flags size.virtual hdr.subject", "mailbox", "INBOX")), " ")
	require.Regexp(t, regexp.MustCompile(`^uid=1 flags=\\Answered \\Seen kw1 \$Forwarded Junk size.virtual=22 hdr.subject=one `+
		`uid=3 flags=\\Answered Junk size.virtual=\d+ hdr.subject=three$`), got)
	require.Contains(t, run("", "mailbox", "status", "messages uidnext uidvalidity", "*"), "Neu/Ä messages=1 uidnext=2 ")
	require.Contains(t, run("", "mailbox", "status", "uidnext uidvalidity", "INBOX"), fmt.Sprintf("uidnext=4 uidvalidity=%d", before.UIDValidity))
	require.Contains(t, run("", "mailbox", "list", "-s"), "Neu/Ä\n")

	run("", "flags", "add", `\Flagged of-dovecot`, "mailbox", "INBOX", "uid", "3")
	run("Subject: four\r\n\r\nx\r\n", "save", "-m", "INBOX")
	run("", "mailbox", "create", "-s", "Von Dovecot/ü")
	require.Contains(t, run("", "-f", "flow", "fetch", "uid", "mailbox", "INBOX"), "uid=4")

	m = newMaildir(t, m.Root, 0)
	b = open(t, m, mailbox.Inbox)
	require.Equal(t, []mailbox.UID{1, 3, 4}, uidsOf(t, b))
	require.ElementsMatch(t, []mailbox.Flag{mailbox.Answered, "Junk", mailbox.Flagged, "of-dovecot"}, one(t, b, 3).Flags)
	require.Contains(t, text(t, b, 4), "Subject: four\r\n\r\nx\r\n")
	c, err := b.Changes(t.Context(), before.ModSeq)
	require.NoError(t, err)
	require.Len(t, c.Changed, 2, "a client that was away hears of what Dovecot did")
	infos := listOf(t, m)
	require.Contains(t, infos, mailbox.Info{Name: "Von Dovecot/ü", Subscribed: true})
}

// Dovecot reads the copies of messages that have LF line ends and no sizes in their names.
func TestDovecotReadsCopies(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	run := doveadm(t, m.Root)
	b := open(t, m, mailbox.Inbox)
	put(t, filepath.Join(m.Root, "example.com", "ann", "new", "1791000000.M1P1.z"), lfOnly)
	uids := uidsOf(t, b)
	require.EqualValues(t, 28, one(t, b, 1).Size)
	_, err := b.Copy(t.Context(), uids, "Archive")
	require.NoError(t, err)
	_, err = b.Move(t.Context(), uids, "Trash")
	require.NoError(t, err)
	require.NoError(t, m.Close())
	for _, name := range []string{"Archive", "Trash"} {
		got := run("", "-f", "flow", "fetch", "size.physical size.virtual text", "mailbox", name)
		require.Equal(t, "size.physical=21 size.virtual=28 text="+lfOnly+"\n", got)
	}
}
