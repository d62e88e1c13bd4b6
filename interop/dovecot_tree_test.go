//go:build interop

package interop

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The size of the account that Dovecot makes.
const (
	treeFolders  = 30
	treeMessages = 20_000
	treeBatch    = 250 // messages in one APPEND

	ourMessages = 1500 // in the account that is made here
)

// treeNames are its mailboxes as IMAP writes them, INBOX first.
func treeNames() []string {
	names := []string{"INBOX", "Drafts", "Junk", "Sent", "Trash", "Archive", "Archive/2024/Q1", "Archive/2024/Q2",
		"Entw&APw-rfe", "&ZeVnLIqe-/&U,BTFw-", "a&-b", "Mit Leerzeichen", "Viele Schl&APw-ssel", "&2D3eAA-"}
	for n := len(names); n < treeFolders; n++ {
		names = append(names, fmt.Sprintf("Listen/Liste %02d", n))
	}
	return names
}

// treeLetter is the n-th message of a mailbox.
func treeLetter(name string, n int) string {
	return fmt.Sprintf("From: Bob <bob@example.org>\r\nTo: ann@a.test\r\nSubject: message %d\r\nMessage-ID: <%d.%x@example.org>\r\n"+
		"Date: Mon, 06 May 2024 07:08:09 +0200\r\n\r\n%s", n, n, name, strings.Repeat("A line of text that is not long.\r\n", 1+n%17))
}

// treeFlags are the flags that it gets; none at all for some.
func treeFlags(name string, n int) string {
	var flags []string
	for i, flag := range []string{`\Seen`, `\Answered`, `\Flagged`, `\Draft`, "$Forwarded", "NonJunk"} {
		if n%(2+3*i) == 1 {
			flags = append(flags, flag)
		}
	}
	if strings.HasPrefix(name, "Viele") {
		flags = append(flags, fmt.Sprintf("schluessel-%02d", n%24))
	}
	return strings.Join(flags, " ")
}

// makeTree fills an account over IMAP. INBOX gets a third of the messages; batch are sent with one command (RFC 3502).
func makeTree(c *imapRaw, messages, batch int) {
	c.t.Helper()
	inbox := messages / 3
	start := time.Date(2019, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	for i, name := range treeNames() {
		if i > 0 {
			c.create(name)
		}
		if i%3 != 2 {
			c.do(`SUBSCRIBE "%s"`, name)
		}
		count := (messages - inbox) / (treeFolders - 1)
		if i == 0 {
			count = inbox
		} else if i == 1 {
			count += (messages - inbox) % (treeFolders - 1)
		}
		for n := 0; n < count; {
			var b bytes.Buffer
			for end := min(n+batch, count); n < end; n++ {
				text := treeLetter(name, n)
				when := start.Add(time.Duration(n) * 37 * time.Minute).Format("_2-Jan-2006 15:04:05 -0700")
				fmt.Fprintf(&b, " (%s) \"%s\" {%d+}\r\n%s", treeFlags(name, n), when, len(text), text)
			}
			c.do(`APPEND "%s"%s`, name, b.String())
		}
		if i%2 == 0 { // gaps
			c.open("SELECT", name)
			c.do(`UID STORE %d:%d +FLAGS.SILENT (\Deleted)`, count-20, count)
			c.do(`UID STORE 5,9:14,20 +FLAGS.SILENT (\Deleted)`)
			c.do("CLOSE")
		}
	}
	for _, command := range []string{"CREATE", "SUBSCRIBE", "DELETE"} { // a subscription without a mailbox
		c.do(`%s "Gone/away"`, command)
	}
}

// mbsync runs isync between a local Maildir and an account, and gives a function that tells whether anything changed.
type mbsync struct {
	t   *testing.T
	dir string
}

func newMbsync(w *world) *mbsync {
	m := &mbsync{w.t, filepath.Join(w.dir, "mbsync")}
	for _, sub := range []string{"near", "state"} {
		require.NoError(w.t, os.MkdirAll(filepath.Join(m.dir, sub), 0o700))
	}
	return m
}

// run synchronizes both ways with a server, all but the mailbox that is replaced: mbsync does not go on with one that got
// another UIDVALIDITY, as it should.
func (m *mbsync) run(ip, user, security string) string {
	m.t.Helper()
	config := filepath.Join(m.dir, "config")
	require.NoError(m.t, os.WriteFile(config, fmt.Appendf(nil, `FSync no
IMAPStore far
Host %s
User %s
Pass secret
%s
Timeout 120

MaildirStore near
Path %[4]s/near/
Inbox %[4]s/near/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns * "!Listen/Liste 20"
Create Both
Remove Both
Expunge Both
CopyArrivalDate yes
SyncState %[4]s/state/
`, ip, user, security, m.dir), 0o600))
	return sh(m.t, `mbsync -V -c "$CONFIG" all 2>&1`, "CONFIG="+config)
}

// state is a sum over all that mbsync keeps: what it has stored, and what it knows of both sides.
func (m *mbsync) state() string {
	m.t.Helper()
	sum := sha256.New()
	require.NoError(m.t, filepath.WalkDir(m.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Dir(path) == m.dir {
			return err
		}
		fmt.Fprintln(sum, path)
		if strings.Contains(path, "/state/") {
			data, err := os.ReadFile(path)
			fmt.Fprintf(sum, "%s\n", data)
			return err
		}
		return nil
	}))
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// nothingToDo says that a run changes nothing.
func (m *mbsync) nothingToDo(when, ip, user, security string) {
	m.t.Helper()
	before := m.state()
	out := m.run(ip, user, security)
	require.Equal(m.t, before, m.state(), "%s: mbsync had something to do:\n%s", when, out)
}

// change does everything that a client does to an account.
func change(c *imapRaw) {
	c.t.Helper()
	c.open("SELECT", "INBOX")
	c.do(`UID STORE 100:140 +FLAGS (\Seen \Flagged)`)
	c.do(`UID STORE 110:150 -FLAGS (\Answered NonJunk)`)
	c.do(`UID STORE 120:160 +FLAGS (NewKeyword $MDNSent)`)
	c.do(`UID STORE 200:230 +FLAGS.SILENT (\Deleted)`)
	c.do("EXPUNGE")
	c.do(`UID MOVE 300:350 "Archive/2024/Q1"`)
	c.do(`UID COPY 400:420 "Entw&APw-rfe"`)
	for n := range 20 {
		text := treeLetter("appended", n)
		c.do("APPEND INBOX (\\Seen appended) \" 7-Jul-2023 01:02:03 +0000\" {%d+}\r\n%s", len(text), text)
	}
	c.do(`CREATE "Neu/&AMQ-rger"`)
	c.do(`UID COPY 500:510 "Neu/&AMQ-rger"`)
	c.do(`SUBSCRIBE "Neu/&AMQ-rger"`)
	c.do(`UNSUBSCRIBE "Gone/away"`)
	c.do(`RENAME "Archive" "Alt"`)
	c.do(`UNSUBSCRIBE "Archive"`)
	c.do(`DELETE "Listen/Liste 20"`)
	c.do(`UNSUBSCRIBE "Listen/Liste 20"`)
	c.do(`CREATE "Listen/Liste 20"`) // another mailbox, which must not look like the one before
	c.do(`DELETE "Listen/Liste 21"`)
	c.do("CLOSE")
}

// A tree of Dovecot's is the same here, for clients that kept a state as well; what is changed here, Dovecot finds.
func TestDovecotTreeThereAndBack(t *testing.T) {
	t.Parallel()
	need(t, "dovecot", "mbsync")
	w := newWorld(t)
	d := w.newDovecot(3)
	h := w.newHost(2, "a.test")
	const user = "ann@a.test"
	home := filepath.Join(h.dir, "data", "mail", "a.test", "ann")
	security := "SSLType IMAPS\nPort 993\nCertificateFile " + filepath.Join(h.dir, "cert.pem")
	const open = "SSLType None\nPort 143"
	client := newMbsync(w)
	ours := func() *imapRaw {
		return dialIMAP(t, net.JoinHostPort(h.ip, "993"), user, h.ca.ClientConfig(h.name))
	}

	d.start()
	c := d.session()
	began := time.Now()
	makeTree(c, treeMessages, treeBatch)
	t.Logf("Dovecot has made the tree in %v", time.Since(began))
	made := c.dump()
	require.Len(t, made.Boxes, treeFolders)
	c.do("ENABLE CONDSTORE")
	known := map[string]string{} // what a client that knows of modseqs keeps
	for name := range made.Boxes {
		known[name] = c.open("EXAMINE", name)["HIGHESTMODSEQ"]
	}
	c.logout()
	client.run(d.ip, user, open)
	client.nothingToDo("Dovecot", d.ip, user, open)
	t.Logf("mbsync has it after %v", time.Since(began))
	d.stop()

	move(t, d.maildir(), home)
	h.start()
	c = ours()
	same(t, made, c.dump(), "opened here")
	client.nothingToDo("opened here", h.ip, user, security)
	same(t, made, c.dump(), "after mbsync")
	change(c)
	changed := c.dump()
	c.logout()
	client.run(h.ip, user, security)
	client.nothingToDo("changed here", h.ip, user, security)
	c = ours()
	same(t, changed, c.dump(), "after mbsync again")
	c.logout()
	h.stop()
	t.Logf("changed here after %v", time.Since(began))

	move(t, home, d.maildir())
	d.start()
	c = d.session()
	// Its own index and log, which are still there and know nothing of what we did, mislead neither it nor its clients.
	c.do("ENABLE QRESYNC")
	for name, was := range made.Boxes {
		if now, ok := changed.Boxes[name]; ok && now.Validity == was.Validity {
			require.Equal(t, flagsOf(now), c.catchUp(name, was, known[name]), "changes of %s since modseq %s", name, known[name])
		}
	}
	same(t, changed, c.dump(), "back at Dovecot")
	client.nothingToDo("back at Dovecot", d.ip, user, open)
	c.logout()
	d.stop()

	// And once more here: what Dovecot did meanwhile to its files changes nothing.
	move(t, d.maildir(), home)
	h.start()
	c = ours()
	same(t, changed, c.dump(), "here again")
	c.logout()
	t.Logf("all after %v", time.Since(began))
}

// A tree that was made here, Dovecot opens as if it were its own.
func TestDovecotOpensOurTree(t *testing.T) {
	t.Parallel()
	need(t, "dovecot", "mbsync")
	w := newWorld(t)
	d := w.newDovecot(3)
	h := w.newHost(2, "a.test")
	const user = "bob@a.test"
	security := "SSLType IMAPS\nPort 993\nCertificateFile " + filepath.Join(h.dir, "cert.pem")
	client := newMbsync(w)
	h.start()
	c := dialIMAP(t, net.JoinHostPort(h.ip, "993"), user, h.ca.ClientConfig(h.name))
	makeTree(c, ourMessages, 1)
	made := c.dump()
	require.Len(t, made.Boxes, treeFolders)
	c.logout()
	client.run(h.ip, user, security)
	h.stop()

	move(t, filepath.Join(h.dir, "data", "mail", "a.test", "bob"), d.maildir())
	d.start()
	c = d.session()
	same(t, made, c.dump(), "opened by Dovecot")
	client.nothingToDo("opened by Dovecot", d.ip, user, "SSLType None\nPort 143")
	c.logout()
}
