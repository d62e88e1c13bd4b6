package imapd_test

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/imapd"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailtest"
)

// imapClient is go-imap's client, logged in.
func (w *world) imapClient(options *imapclient.Options) *imapclient.Client {
	w.t.Helper()
	conn, err := w.network.Dialer("").Dial("tcp", address)
	require.NoError(w.t, err)
	c := imapclient.New(conn, options)
	require.NoError(w.t, c.WaitGreeting())
	require.NoError(w.t, c.Authenticate(sasl.NewPlainClient("", "joe", "secret")))
	return c
}

// TestGoImapClient goes through everything that an independent client library can say to us.
func TestGoImapClient(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.put(nested, mail("two"), mail("three"))
	c := w.imapClient(nil)
	defer c.Close()

	require.NoError(t, c.Create("Archiv für Müll", &imap.CreateOptions{SpecialUse: []imap.MailboxAttr{imap.MailboxAttrArchive}}).Wait())
	require.NoError(t, c.Subscribe("Archiv für Müll").Wait())
	list, err := c.List("", "*", &imap.ListOptions{ReturnStatus: &imap.StatusOptions{NumMessages: true}, ReturnSubscribed: true}).Collect()
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, "Archiv für Müll", list[1].Mailbox)
	require.Contains(t, list[1].Attrs, imap.MailboxAttrArchive)
	require.Contains(t, list[1].Attrs, imap.MailboxAttrSubscribed)
	require.EqualValues(t, 3, *list[0].Status.NumMessages)

	selected, err := c.Select("INBOX", nil).Wait()
	require.NoError(t, err)
	require.EqualValues(t, 3, selected.NumMessages)
	require.EqualValues(t, 4, selected.UIDNext)

	section := &imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader, HeaderFields: []string{"Subject"}, Peek: true}
	messages, err := c.Fetch(imap.SeqSetNum(1, 2), &imap.FetchOptions{Envelope: true, Flags: true, UID: true, RFC822Size: true, InternalDate: true,
		BodyStructure: &imap.FetchItemBodyStructure{Extended: true}, BodySection: []*imap.FetchItemBodySection{section}}).Collect()
	require.NoError(t, err)
	require.Len(t, messages, 2)
	require.Equal(t, "outer", messages[0].Envelope.Subject)
	require.Equal(t, "multipart/mixed", messages[0].BodyStructure.MediaType())
	require.Equal(t, "Subject: two\r\n\r\n", string(messages[1].FindBodySection(section)))
	require.True(t, messages[1].InternalDate.Equal(arrived()))
	require.EqualValues(t, 2, messages[1].UID)

	stored, err := c.Store(imap.UIDSetNum(2, 3), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted, "$Key"}}, nil).Collect()
	require.NoError(t, err)
	require.Len(t, stored, 2)
	found, err := c.UIDSearch(&imap.SearchCriteria{Flag: []imap.Flag{"$Key"}, Header: []imap.SearchCriteriaHeaderField{{Key: "Subject", Value: "T"}}},
		&imap.SearchOptions{ReturnAll: true, ReturnCount: true}).Wait()
	require.NoError(t, err)
	require.EqualValues(t, 2, found.Count)
	require.Equal(t, "2:3", found.All.String())

	copied, err := c.Copy(imap.SeqSetNum(1, 3), "Archiv für Müll").Wait()
	require.NoError(t, err)
	require.Equal(t, "1:2", copied.DestUIDs.String())
	moved, err := c.Move(imap.UIDSetNum(1), "Archiv für Müll").Wait()
	require.NoError(t, err)
	require.Equal(t, "1", moved.SourceUIDs.String())
	gone, err := c.UIDExpunge(imap.UIDSetNum(3)).Collect()
	require.NoError(t, err)
	require.Equal(t, []uint32{2}, gone)

	appended := c.Append("INBOX", 12, &imap.AppendOptions{Flags: []imap.Flag{imap.FlagSeen}, Time: arrived()})
	_, err = appended.Write([]byte("A: b\r\n\r\nbody"))
	require.NoError(t, err)
	require.NoError(t, appended.Close())
	data, err := appended.Wait()
	require.NoError(t, err)
	require.EqualValues(t, 4, data.UID)

	status, err := c.Status("Archiv für Müll", &imap.StatusOptions{NumMessages: true, UIDNext: true, UIDValidity: true, NumUnseen: true, Size: true}).Wait()
	require.NoError(t, err)
	require.EqualValues(t, 3, *status.NumMessages)
	namespace, err := c.Namespace().Wait()
	require.NoError(t, err)
	require.Equal(t, '/', namespace.Personal[0].Delim)
	id, err := c.ID(&imap.IDData{Name: "test"}).Wait()
	require.NoError(t, err)
	require.Equal(t, "mailbricks", id.Name)
	require.NoError(t, c.Rename("Archiv für Müll", "x", nil).Wait())
	require.NoError(t, c.Delete("x").Wait())
	require.NoError(t, c.Unselect().Wait())
	require.NoError(t, c.Logout().Wait())
}

func TestGoImapClientIdle(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	numbers := make(chan uint32, 10)
	c := w.imapClient(&imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(data *imapclient.UnilateralDataMailbox) {
			if data.NumMessages != nil {
				numbers <- *data.NumMessages
			}
		},
	}})
	defer c.Close()
	_, err := c.Select("INBOX", nil).Wait()
	require.NoError(t, err)
	idle, err := c.Idle()
	require.NoError(t, err)
	w.put(mail("1"))
	require.EqualValues(t, 1, <-numbers)
	require.NoError(t, idle.Close())
	require.NoError(t, idle.Wait())
}

// program finds a client program, or skips the test.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

// tlsWorld is a server with TLS on loopback, and the file of the authority.
func tlsWorld(t *testing.T) (w *world, port, ca string) {
	t.Helper()
	authority := mailtest.NewCA()
	w, addr := listenTCP(t, func(s *imapd.Server) {
		s.TLSConfig = authority.ServerConfig("localhost", "127.0.0.1")
	})
	ca = filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Root().Raw}), 0o600))
	_, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	return w, port, ca
}

// output runs a program to its end.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

const pythonClient = `
import imaplib, ssl, sys
port, ca = int(sys.argv[1]), sys.argv[2]
c = ssl.create_default_context(cafile=ca)
i = imaplib.IMAP4('localhost', port)
i.starttls(c)
i.login('joe', 'secret'); i.enable('CONDSTORE')
def ok(r):
    assert r[0] == 'OK', r
    return r[1]
ok(i.select('INBOX'))
ok(i.append('INBOX', '\\Seen', None, b'Subject: python\n\nbody\n'))
assert ok(i.search(None, 'SUBJECT', '"python"')) == [b'2'], 'search'
assert b'(UID 2 FLAGS (\\Recent \\Seen)' in ok(i.uid('FETCH', '2', '(FLAGS)'))[0], 'fetch'
assert b'body\r\n' == ok(i.fetch('2', '(BODY.PEEK[TEXT])'))[0][1], 'text'
ok(i.create('py')); ok(i.copy('1:2', 'py')); ok(i.store('1', '+FLAGS', '\\Deleted')); assert ok(i.expunge()) == [b'1'], 'expunge'
ok(i.status('py', '(MESSAGES UNSEEN)')); ok(i.list()); ok(i.lsub()); ok(i.namespace())
ok(i.check()); ok(i.noop()); ok(i.close()); ok(i.rename('py', 'pz')); ok(i.delete('pz'))
i.logout()
i = imaplib.IMAP4('localhost', port); i.starttls(c)
i.authenticate('PLAIN', lambda x: b'\0joe\0secret'); i.logout()
print('done')
`

func TestPythonImaplib(t *testing.T) {
	t.Parallel()
	python := program(t, "python3")
	w, port, ca := tlsWorld(t)
	w.put(mail("one"))
	require.Equal(t, "done\n", output(t, python, "-c", pythonClient, port, ca))
}

func TestCurl(t *testing.T) {
	t.Parallel()
	curl := program(t, "curl")
	w, port, ca := tlsWorld(t)
	w.put(mail("one"))
	message := filepath.Join(t.TempDir(), "m.eml")
	require.NoError(t, os.WriteFile(message, []byte("Subject: curl\n\nbody\n"), 0o600))
	run := func(path string, args ...string) string {
		args = append([]string{"-sS", "--ssl-reqd", "--cacert", ca, "-u", "joe:secret", "imap://localhost:" + port + "/" + path}, args...)
		return output(t, curl, args...)
	}
	require.Contains(t, run(""), `* LIST (\HasNoChildren) "/" INBOX`)
	run("INBOX", "-T", message)
	require.Equal(t, "Subject: curl\r\n\r\nbody\r\n", run("INBOX;MAILINDEX=2"))
	require.Equal(t, "body\r\n", run("INBOX;UID=2;SECTION=TEXT"))
	require.Contains(t, run("INBOX", "-X", "SEARCH SUBJECT curl"), "* SEARCH 2")
	require.Contains(t, run("INBOX?ALL"), "* SEARCH 1 2")
}

func TestMbsync(t *testing.T) {
	t.Parallel()
	mbsync := program(t, "mbsync")
	w, port, ca := tlsWorld(t)
	for i := range 20 {
		w.put(mail(fmt.Sprint("message ", i)))
	}
	require.NoError(t, w.store().(mailbox.Organizer).Create(t.Context(), "Früchte/Äpfel", ""))
	w.putInto("Früchte/Äpfel", mail("apple"))
	dir := t.TempDir()
	config := filepath.Join(dir, "mbsyncrc")
	require.NoError(t, os.WriteFile(config, []byte(strings.NewReplacer("PORT", port, "CA", ca, "DIR", dir).Replace(`
IMAPAccount a
Host localhost
Port PORT
User joe
Pass secret
SSLType STARTTLS
CertificateFile CA
AuthMechs LOGIN

IMAPStore r
Account a

MaildirStore l
Path DIR/mail/
Inbox DIR/mail/INBOX
SubFolders Verbatim

Channel c
Far :r:
Near :l:
Patterns *
Create Both
Expunge Both
SyncState *
`)), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "mail"), 0o700))
	output(t, mbsync, "-c", config, "-a")
	files := func(pattern string) []string {
		names, err := filepath.Glob(filepath.Join(dir, "mail", pattern))
		require.NoError(t, err)
		return names
	}
	inbox := append(files("INBOX/new/*"), files("INBOX/cur/*")...)
	require.Len(t, inbox, 20)
	require.Len(t, append(files("Fr*/*pfel/new/*"), files("Fr*/*pfel/cur/*")...), 1)

	// A message goes here, one comes there, and one is new on our side.
	require.NoError(t, os.Remove(inbox[0]))
	raw := []byte("From: a@example.com\nSubject: pushed\nMessage-ID: <pushed@example.com>\n\nfrom here\n")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "mail/INBOX/new/1.pushed.host"), raw, 0o600))
	w.put(mail("new one"))
	output(t, mbsync, "-c", config, "-a")
	c := w.selected()
	require.Equal(t, "* SEARCH 21", c.do("x SEARCH SUBJECT pushed")[0])
	require.Equal(t, "* ESEARCH (TAG \"x\") COUNT 21", c.do("x SEARCH RETURN (COUNT) ALL")[0])
	require.Contains(t, fetchString(c, "21", "BODY[]"), "Subject: pushed\r\nMessage-ID: <pushed@example.com>\r\n")
	require.Len(t, append(files("INBOX/new/*"), files("INBOX/cur/*")...), 21)
}

// TestNetcatScripts is how people and test suites type IMAP: all at once, with bare LFs.
func TestNetcatScripts(t *testing.T) {
	t.Parallel()
	w, addr := listenTCP(t, nil)
	w.put(mail("one"))
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("a1 LOGIN joe secret\na3 EXAMINE INBOX\na4 FETCH 1 BODY[]\na5 LOGOUT\n"))
	require.NoError(t, err)
	var got bytes.Buffer
	_, err = got.ReadFrom(conn)
	require.NoError(t, err)
	require.Contains(t, got.String(), "ready\r\na1 OK ")
	require.Contains(t, got.String(), "Body of one.\r\n)\r\na4 OK FETCH completed\r\n* BYE ")
}
