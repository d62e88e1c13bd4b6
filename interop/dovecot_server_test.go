//go:build interop

package interop

import (
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// mailUser owns mail while Dovecot has it, which refuses to work as root: the number of Debian's user "mail".
const mailUser = 8

// dovecot is Debian's Dovecot with one account, whose Maildir is home/Maildir.
type dovecot struct {
	t    *testing.T
	ip   string
	dir  string
	home string
	cmd  *exec.Cmd
}

// newDovecot configures one at the world's n-th address. It is not started.
func (w *world) newDovecot(n int) *dovecot {
	w.t.Helper()
	d := &dovecot{t: w.t, ip: w.ip(n), dir: filepath.Join(w.dir, fmt.Sprintf("dovecot-%d", n))}
	d.home = filepath.Join(d.dir, "home")
	require.NoError(w.t, os.MkdirAll(d.home, 0o755))
	require.NoError(w.t, os.Chmod(filepath.Dir(w.dir), 0o711)) // so that others than root get through
	require.NoError(w.t, os.WriteFile(filepath.Join(d.dir, "dovecot.conf"), fmt.Appendf(nil, `
protocols = imap lmtp
listen = %[1]s
base_dir = %[2]s/run
state_dir = %[2]s/run
log_path = %[2]s/log
instance_name = interop-%[4]d
ssl = no
disable_plaintext_auth = no
mail_location = maildir:~/Maildir
mail_fsync = never
mail_max_keyword_length = 100
first_valid_uid = 1
first_valid_gid = 1
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=%[3]d gid=%[3]d home=%[2]s/home
}
namespace inbox {
  inbox = yes
  separator = /
}
service imap-login {
  inet_listener imaps {
    port = 0
  }
}
service lmtp {
  inet_listener lmtp {
    port = 24
  }
}
`, d.ip, d.dir, mailUser, os.Getpid()), 0o644))
	return d
}

func (d *dovecot) maildir() string { return filepath.Join(d.home, "Maildir") }

func (d *dovecot) address() string { return net.JoinHostPort(d.ip, "143") }

// start runs it until stop, or until the test ends.
func (d *dovecot) start() {
	d.t.Helper()
	require.NoError(d.t, filepath.WalkDir(d.home, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, mailUser, mailUser)
	}))
	cmd := exec.Command("dovecot", "-F", "-c", filepath.Join(d.dir, "dovecot.conf"))
	require.NoError(d.t, cmd.Start())
	d.cmd = cmd
	d.t.Cleanup(func() {
		if d.cmd == cmd {
			d.stop()
		}
		if d.t.Failed() {
			log, _ := os.ReadFile(filepath.Join(d.dir, "log"))
			d.t.Logf("log of Dovecot:\n%s", log)
		}
	})
	eventually(d.t, "Dovecot", func() error {
		conn, err := net.Dial("tcp", d.address())
		if err == nil {
			_ = conn.Close()
		}
		return err
	})
}

func (d *dovecot) stop() {
	d.t.Helper()
	require.NoError(d.t, d.cmd.Process.Signal(syscall.SIGTERM))
	_ = d.cmd.Wait()
	d.cmd = nil
}

// session logs in.
func (d *dovecot) session() *imapRaw {
	d.t.Helper()
	return dialIMAP(d.t, d.address(), "ann", nil)
}

// lmtp hands in messages for ann, each for itself.
func (d *dovecot) lmtp(letters ...string) {
	d.t.Helper()
	conn, err := net.Dial("tcp", net.JoinHostPort(d.ip, "24"))
	require.NoError(d.t, err)
	defer conn.Close()
	c := textproto.NewConn(conn)
	say := func(code int, format string, args ...any) {
		d.t.Helper()
		if format != "" {
			require.NoError(d.t, c.PrintfLine(format, args...))
		}
		_, _, err := c.ReadResponse(code)
		require.NoError(d.t, err)
	}
	say(220, "")
	say(250, "LHLO a.test")
	for _, letter := range letters {
		say(250, "MAIL FROM:<bob@example.org>")
		say(250, "RCPT TO:<ann>")
		say(354, "DATA")
		w := c.DotWriter()
		_, err := io.WriteString(w, letter)
		require.NoError(d.t, err)
		require.NoError(d.t, w.Close())
		say(250, "")
	}
	say(221, "QUIT")
}

// forget removes what Dovecot derives from the messages and from its other files.
func (d *dovecot) forget() {
	d.t.Helper()
	removed := 0
	require.NoError(d.t, filepath.WalkDir(d.maildir(), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !strings.HasPrefix(e.Name(), "dovecot.") {
			return err
		}
		removed++
		return os.Remove(path)
	}))
	require.NotZero(d.t, removed)
}

// move puts a Maildir where another server looks for it.
func move(t *testing.T, from, to string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o700))
	require.NoError(t, os.Rename(from, to))
}
