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
	"regexp"
	"slices"
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

	treeLMTP = 100 // handed in by LMTP, and not yet looked at

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

// changeAgain is change for the other server, in mailboxes that change has left alone and in those that it made. So many
// messages go from one that Dovecot writes its list of UIDs anew.
func changeAgain(c *imapRaw) {
	c.t.Helper()
	c.open("SELECT", "INBOX")
	c.do(`UID STORE 1000:1100 +FLAGS (\Flagged OfDovecot)`)
	c.do(`UID STORE 1050:1150 -FLAGS (\Seen NewKeyword)`)
	c.do(`UID STORE 2000:2100 +FLAGS.SILENT (\Deleted)`)
	c.do("EXPUNGE")
	c.do(`UID MOVE 3000:3010 "Neu/&AMQ-rger"`)
	for n := range 10 {
		text := treeLetter("appended there", n)
		c.do("APPEND INBOX (\\Answered OfDovecot) \" 8-Jul-2023 01:02:03 +0000\" {%d+}\r\n%s", len(text), text)
	}
	c.open("SELECT", "Viele Schl&APw-ssel")
	c.do(`UID STORE 30:* +FLAGS.SILENT (\Deleted)`)
	c.do("EXPUNGE")
	c.do(`RENAME "Alt/2024" "Alt/Vorjahr"`)
	c.do(`DELETE "Listen/Liste 22"`)
	c.do(`CREATE "Von Dovecot/&AOQ-"`)
	c.do(`SUBSCRIBE "Von Dovecot/&AOQ-"`)
	c.do(`UNSUBSCRIBE "Neu/&AMQ-rger"`)
	c.do("CLOSE")
}

// listIDs are the ids in the first lines of the lists of UIDs, by UIDVALIDITY and id: each mailbox of a tree has others.
func listIDs(t *testing.T, tree string) []string {
	t.Helper()
	lists, err := filepath.Glob(filepath.Join(tree, ".*", "dovecot-uidlist"))
	require.NoError(t, err)
	var out []string
	for _, path := range append(lists, filepath.Join(tree, "dovecot-uidlist")) {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		line, _, _ := strings.Cut(string(data), "\n")
		found := regexp.MustCompile(`^3 (V\d+) .*(G[0-9a-f]{32})`).FindStringSubmatch(line)
		require.NotNil(t, found, "%s: %s", path, line)
		out = append(out, found[1]+" "+found[2])
	}
	slices.Sort(out)
	require.Len(t, slices.Compact(slices.Clone(out)), len(out))
	return out
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
	var letters []string
	for n := range treeLMTP {
		letters = append(letters, treeLetter("handed in", n))
	}
	d.lmtp(letters...)
	t.Logf("Dovecot has made the tree in %v", time.Since(began))
	made := c.dump()
	require.Len(t, made.Boxes, treeFolders)
	c.do("ENABLE CONDSTORE")
	known := map[string]string{} // what a client that knows of modseqs keeps
	for name := range made.Boxes {
		known[name] = c.open("EXAMINE", name)["HIGHESTMODSEQ"]
	}
	guids := c.guids()
	c.logout()
	client.run(d.ip, user, open)
	client.nothingToDo("Dovecot", d.ip, user, open)
	t.Logf("mbsync has it after %v", time.Since(began))
	d.stop()

	ids := listIDs(t, d.maildir())
	move(t, d.maildir(), home)
	h.start()
	c = ours()
	same(t, made, c.dump(), "opened here")
	require.Equal(t, ids, listIDs(t, home), "the ids of the mailboxes")
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
	for name, id := range c.guids() {
		from := strings.Replace(name, "Alt", "Archive", 1)
		if was, ok := made.Boxes[from]; ok && was.Validity == changed.Boxes[name].Validity {
			require.Equal(t, guids[from], id, "id of %s", name)
		}
	}
	client.nothingToDo("back at Dovecot", d.ip, user, open)
	changeAgain(c)
	d.lmtp(letters[:10]...)
	again := c.dump()
	require.NotEqual(t, changed, again)
	c.logout()
	client.run(d.ip, user, open)
	d.stop()
	t.Logf("changed there after %v", time.Since(began))

	// What Dovecot changed is found here.
	ids = listIDs(t, d.maildir())
	move(t, d.maildir(), home)
	h.start()
	c = ours()
	same(t, again, c.dump(), "here again")
	require.Equal(t, ids, listIDs(t, home), "the ids of the mailboxes")
	client.nothingToDo("here again", h.ip, user, security)
	c.do(`APPEND "Sent" (\Seen) {%d+}`+"\r\n%s", len(letters[0]), letters[0])
	last := c.dump()
	c.logout()
	client.run(h.ip, user, security)
	h.stop()

	// And by Dovecot from nothing but what is in our files and names.
	move(t, home, d.maildir())
	d.forget()
	d.start()
	c = d.session()
	same(t, last, c.dump(), "at Dovecot without its index")
	client.nothingToDo("at Dovecot without its index", d.ip, user, open)
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
