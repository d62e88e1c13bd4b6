package imapd_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
)

// faultyBox fails where it is told to.
type faultyBox struct {
	mailbox.Mailbox
	faults *faults
}

// faults names the method that fails.
type faults struct {
	mu     sync.Mutex
	method string
}

var errDisk = errors.New("open /srv/secret: input/output error")

func (f *faults) set(method string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.method = method
}

func (f *faults) at(method string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.method == method {
		return errDisk
	}
	return nil
}

func (b faultyBox) Status(ctx context.Context) (mailbox.Status, error) {
	if err := b.faults.at("Status"); err != nil {
		return mailbox.Status{}, err
	}
	return b.Mailbox.Status(ctx)
}

func (b faultyBox) UIDs(ctx context.Context) ([]mailbox.UID, mailbox.ModSeq, error) {
	if err := b.faults.at("UIDs"); err != nil {
		return nil, 0, err
	}
	return b.Mailbox.UIDs(ctx)
}

func (b faultyBox) Changes(ctx context.Context, since mailbox.ModSeq) (mailbox.Changes, error) {
	if err := b.faults.at("Changes"); err != nil {
		return mailbox.Changes{}, err
	}
	return b.Mailbox.Changes(ctx, since)
}

func (b faultyBox) Messages(ctx context.Context, uids []mailbox.UID) ([]mailbox.Meta, error) {
	if err := b.faults.at("Messages"); err != nil {
		return nil, err
	}
	return b.Mailbox.Messages(ctx, uids)
}

func (b faultyBox) Content(ctx context.Context, uid mailbox.UID) (mailbox.Content, error) {
	content, err := b.Mailbox.Content(ctx, uid)
	if err == nil {
		err = b.faults.at("Content")
	}
	return faultyContent{content, b.faults}, err
}

func (b faultyBox) Append(ctx context.Context, r io.Reader, opts mailbox.AppendOptions) (mailbox.UID, error) {
	if err := b.faults.at("Append"); err != nil {
		return 0, err
	}
	return b.Mailbox.Append(ctx, r, opts)
}

func (b faultyBox) SetFlags(ctx context.Context, uids []mailbox.UID, change mailbox.FlagChange) ([]mailbox.Meta, error) {
	if err := b.faults.at("SetFlags"); err != nil {
		return nil, err
	}
	return b.Mailbox.SetFlags(ctx, uids, change)
}

func (b faultyBox) Expunge(ctx context.Context, uids []mailbox.UID) ([]mailbox.UID, error) {
	if err := b.faults.at("Expunge"); err != nil {
		return nil, err
	}
	return b.Mailbox.Expunge(ctx, uids)
}

func (b faultyBox) Copy(ctx context.Context, uids []mailbox.UID, dest string) (mailbox.Copied, error) {
	if err := b.faults.at("Copy"); err != nil {
		return mailbox.Copied{}, err
	}
	return b.Mailbox.Copy(ctx, uids, dest)
}

func (b faultyBox) Move(ctx context.Context, uids []mailbox.UID, dest string) (mailbox.Copied, error) {
	if err := b.faults.at("Move"); err != nil {
		return mailbox.Copied{}, err
	}
	return b.Mailbox.Move(ctx, uids, dest)
}

func (b faultyBox) Close() error { return errors.Join(b.Mailbox.Close(), b.faults.at("Close")) }

type faultyContent struct {
	mailbox.Content
	faults *faults
}

func (c faultyContent) ReadAt(p []byte, off int64) (int, error) {
	if err := c.faults.at("ReadAt"); err != nil {
		return 0, err
	}
	if len(p) > 1 {
		if err := c.faults.at("ReadAt of many"); err != nil {
			return 0, err
		}
	}
	return c.Content.ReadAt(p, off)
}

// A store that fails makes a NO without its text, and the session goes on.
func TestFailingStore(t *testing.T) {
	t.Parallel()
	f := new(faults)
	w := startWrapped(t, func(b mailbox.Mailbox) mailbox.Mailbox { return faultyBox{b, f} })
	w.put(nested, mail("two"))
	c := w.selected()
	c.do("x STORE 1 +FLAGS.SILENT (\\Deleted)")
	const no = "a NO [UNAVAILABLE] "
	c.do("x FETCH 1 BODYSTRUCTURE") // its structure is known from here on
	for _, test := range []struct{ method, command, want string }{
		{"ReadAt", "FETCH 1 BODY.PEEK[2.HEADER.FIELDS (SUBJECT)]", no},
		{"Status", "STATUS INBOX (MESSAGES)", no}, {"Status", "EXAMINE INBOX", no}, {"Status", "EXPUNGE", no},
		{"Status", "APPEND INBOX {3+}\r\na\r\n", "a OK APPEND completed"},
		{"Status", "LIST \"\" % RETURN (STATUS (MESSAGES))", "a OK"},
		{"UIDs", "SELECT INBOX", no}, {"Messages", "SELECT INBOX", no}, {"Messages", "FETCH 1 FLAGS", no}, {"Messages", "SEARCH SEEN", no},
		{"Messages", "EXPUNGE", no}, {"Changes", "NOOP", "a OK"}, {"Changes", "STORE 2 +FLAGS (x)", "a OK"},
		{"Content", "FETCH 1 BODY[]", no}, {"Content", "SEARCH BODY x", no}, {"ReadAt", "FETCH 1:2 ENVELOPE", no}, {"ReadAt", "FETCH 2 BODYSTRUCTURE", no},
		{"ReadAt", "SEARCH TEXT x", no}, {"ReadAt", "SEARCH FROM x", no}, {"ReadAt", "SEARCH SENTON 1-Feb-1994", no}, {"ReadAt", "SEARCH HEADER x \"\"", no},
		{"Append", "APPEND INBOX {3+}\r\na\r\n", no}, {"SetFlags", "STORE 1 +FLAGS (\\Seen)", no}, {"SetFlags", "FETCH 2 BODY[]", "a OK"},
		{"Expunge", "EXPUNGE", no}, {"Expunge", "CLOSE", no}, {"Copy", "COPY 1 INBOX", no}, {"Move", "MOVE 1 INBOX", no},
		{"Close", "STATUS INBOX (MESSAGES)", no}, {"Close", "APPEND INBOX {3+}\r\na\r\n", "a OK"}, {"Close", "UNSELECT", "a OK"},
	} {
		if answer := c.do("x FETCH 1 UID"); answer[0] == "x BAD Select a mailbox first" {
			c.do("x SELECT INBOX")
		}
		f.set(test.method)
		lines := c.do("a " + test.command)
		f.set("")
		last := lines[len(lines)-1]
		require.True(t, strings.HasPrefix(last, test.want), "%s failed: %s: %s", test.method, test.command, last)
		require.NotContains(t, strings.Join(lines, ""), "secret")
	}
}

// A disk that breaks in the middle of a literal leaves no way but to end the connection: what was promised cannot come.
func TestContentThatBreaksInTheMiddle(t *testing.T) {
	t.Parallel()
	f := new(faults)
	w := startWrapped(t, func(b mailbox.Mailbox) mailbox.Mailbox { return faultyBox{b, f} })
	w.put("Subject: x\n\n" + strings.Repeat("x", 1<<20))
	c := w.selected()
	f.set("ReadAt of many")
	c.send("a FETCH 1 BODY.PEEK[]\r\n")
	got, _ := io.ReadAll(c.Reader)
	require.NotContains(t, string(got), "a OK")
	require.Less(t, len(got), 1<<20)
}

// damagedContent has a piece that cannot be read.
type damagedContent struct {
	mailbox.Content
	from, to int64
}

func (c damagedContent) ReadAt(p []byte, off int64) (int, error) {
	if off < c.to && off+int64(len(p)) > c.from {
		return 0, errors.New("a damaged piece")
	}
	return c.Content.ReadAt(p, off)
}

type damagedBox struct{ mailbox.Mailbox }

func (b damagedBox) Content(ctx context.Context, uid mailbox.UID) (mailbox.Content, error) {
	c, err := b.Mailbox.Content(ctx, uid)
	if err == nil && uid == 1 {
		c = damagedContent{c, 32 << 10, 48 << 10}
	}
	return c, err
}

// A client that fetches all messages gets those behind one of which a piece cannot be read, and of that what can be.
func TestFetchPassesDamagedMessages(t *testing.T) {
	t.Parallel()
	w := startWrapped(t, func(b mailbox.Mailbox) mailbox.Mailbox { return damagedBox{b} })
	w.put("Subject: x\n\n" + strings.Repeat("x", 1<<20))
	w.put("Subject: y\n\nBody of y.\n")
	w.selected().Talk(`
		C: a FETCH 1:2 BODY.PEEK[TEXT]
		S: * 2 FETCH (BODY[TEXT] {12}
		S: Body of y.
		S: )
		S: a NO [UNAVAILABLE] Some messages cannot be read now
		C: b FETCH 1 BODY.PEEK[]<49140.24>
		S: b NO [UNAVAILABLE] Some messages cannot be read now
		C: c FETCH 1 BODY.PEEK[]<49152.3>
		S: * 1 FETCH (BODY[]<49152> {3}
		S: xxx)
		S: c OK FETCH completed
	`)
}

// What messages are gone by the time a command gets to them is no error of the client's.
type vanishing struct{ mailbox.Mailbox }

func (vanishing) Copy(context.Context, []mailbox.UID, string) (mailbox.Copied, error) {
	return mailbox.Copied{}, nil
}

func (vanishing) Move(context.Context, []mailbox.UID, string) (mailbox.Copied, error) {
	return mailbox.Copied{}, nil
}

func TestMessagesThatVanishUnderACommand(t *testing.T) {
	t.Parallel()
	w := startWrapped(t, func(b mailbox.Mailbox) mailbox.Mailbox { return vanishing{b} })
	w.put(mail("1"))
	w.selected().Talk(`
		C: a COPY 1 INBOX
		S: a NO [EXPUNGEISSUED] The messages are gone
		C: b UID MOVE 1 INBOX
		S: b OK [EXPUNGEISSUED] The messages are gone
	`)
}
