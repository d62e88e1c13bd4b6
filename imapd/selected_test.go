package imapd_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/imapd"
	"github.com/mailbricks/mailbricks/mailbox"
)

// numbered puts n messages into INBOX.
func (w *world) numbered(n int) {
	for i := range n {
		w.put(mail(fmt.Sprint(i + 1)))
	}
}

func TestSelectAndExamine(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.numbered(3)
	w.login().Talk(`
		C: a EXAMINE INBOX
		S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
		S: * OK [PERMANENTFLAGS ()] Flags permitted
		S: * 3 EXISTS
		S: * 3 RECENT
		S: * OK [UNSEEN 1] First unseen
		S: * OK [UIDVALIDITY <>] UIDs valid
		S: * OK [UIDNEXT 4] Predicted next UID
		S: a OK [READ-ONLY] EXAMINE completed
		C: b FETCH 1 (FLAGS BODY[TEXT]<0.4>)
		S: * 1 FETCH (FLAGS (\Recent) BODY[TEXT]<0> {4}
		S: Body)
		S: b OK FETCH completed
		C: c STORE 1 +FLAGS (\Deleted)
		S: c NO [READ-ONLY] Mailbox is read-only
		C: d EXPUNGE
		S: d NO [READ-ONLY] Mailbox is read-only
		C: e UID EXPUNGE 1
		S: e NO [READ-ONLY] Mailbox is read-only
		C: f MOVE 1 INBOX
		S: f NO [READ-ONLY] Mailbox is read-only
		C: g SELECT INBOX
		S: <>
		S: * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] Flags permitted
		S: * 3 EXISTS
		S: * 3 RECENT
		S: * OK [UNSEEN 1] First unseen
		S: <>
		S: <>
		S: g OK [READ-WRITE] SELECT completed
		C: h STORE 1:2 +FLAGS.SILENT (\Seen \Deleted)
		S: h OK STORE completed
		C: i EXAMINE INBOX
		S: <>
		S: <>
		S: * 3 EXISTS
		S: * 0 RECENT
		S: * OK [UNSEEN 3] First unseen
		S: <>
		S: <>
		S: i OK [READ-ONLY] EXAMINE completed
		C: j CLOSE
		S: j OK CLOSE completed
		C: k STATUS INBOX (MESSAGES)
		S: * STATUS INBOX (MESSAGES 3)
		S: k OK STATUS completed
		C: l SELECT nowhere
		S: l NO [NONEXISTENT] No such mailbox
		C: m SELECT
		S: m BAD expected a space
	`)
}

// RFC 3501 §6.3.1: a SELECT that fails leaves no mailbox selected.
func TestFailedSelectDeselects(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"nowhere", "&bad"} {
		c := start(t, nil).selected()
		c.do("a SELECT " + name)
		require.Equal(t, []string{"b BAD Select a mailbox first"}, c.do("b FETCH 1 FLAGS"))
	}
}

func TestCloseUnselectExpunge(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.numbered(5)
	w.login().Talk(`
		C: a SELECT INBOX
		S: <>
		S: <>
		S: <>
		S: <>
		S: <>
		S: <>
		S: <>
		S: a OK <>
		C: b STORE 1,3,4 FLAGS.SILENT (\Deleted)
		S: b OK STORE completed
		C: c UID EXPUNGE 3:*
		S: * 4 EXPUNGE
		S: * 3 EXPUNGE
		S: * 3 RECENT
		S: c OK UID EXPUNGE completed
		C: d UNSELECT
		S: d OK UNSELECT completed
		C: e STATUS INBOX (MESSAGES)
		S: * STATUS INBOX (MESSAGES 3)
		S: e OK STATUS completed
	`)
	c := w.selected()
	c.Talk(`
		C: a EXPUNGE
		S: * 1 EXPUNGE
		S: a OK EXPUNGE completed
		C: b EXPUNGE
		S: b OK EXPUNGE completed
		C: c UID EXPUNGE 1
		S: c OK UID EXPUNGE completed
		C: d UID EXPUNGE
		S: d BAD expected a space
		C: e STORE 1 +FLAGS.SILENT \Deleted
		S: e OK STORE completed
		C: f CLOSE
		S: f OK CLOSE completed
		C: g STATUS INBOX (MESSAGES)
		S: * STATUS INBOX (MESSAGES 1)
		S: g OK STATUS completed
	`)
}

// RFC 3501 §6.4.6.
func TestStore(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.numbered(3)
	w.selected().Talk(`
		C: A003 STORE 2:3 +FLAGS (\deleted)
		S: * 2 FETCH (FLAGS (\Recent \Deleted))
		S: * 3 FETCH (FLAGS (\Recent \Deleted))
		S: A003 OK STORE completed
		C: a UID STORE 2 -FLAGS \Deleted
		S: * 2 FETCH (UID 2 FLAGS (\Recent))
		S: a OK UID STORE completed
		C: b STORE 1 FLAGS \Seen \Flagged $Work
		S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Work)
		S: * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Work \*)] Flags permitted
		S: * 1 FETCH (FLAGS (\Recent \Seen \Flagged $Work))
		S: b OK STORE completed
		C: c STORE 1 FLAGS ()
		S: * 1 FETCH (FLAGS (\Recent))
		S: c OK STORE completed
		C: d STORE 1 FLAGS ()
		S: * 1 FETCH (FLAGS (\Recent))
		S: d OK STORE completed
		C: e STORE 4 FLAGS ()
		S: e BAD No message has this number
		C: f UID STORE 77 FLAGS ()
		S: f OK UID STORE completed
		C: g STORE 1 FLAGS (\Recent)
		S: g BAD \Recent cannot be set
		C: h STORE 1 FLAGS (\Nonsense)
		S: h BAD unknown system flag
		C: i STORE 1 LABELS (x)
		S: i BAD expected FLAGS
		C: j STORE 1 FLAGS
		S: j BAD expected a space
		C: k STORE 1 ++FLAGS ()
		S: k BAD expected a name
		C: l STORE 1 +FLAGS (` + strings.TrimSuffix(strings.Repeat("\\Seen ", 3), " ") + ` a)
		S: <>
		S: <>
		S: * 1 FETCH (FLAGS (\Recent \Seen a))
		S: l OK STORE completed
	`)
}

// RFC 3501 §6.4.6: what others did to the flags is told even with .SILENT.
func TestSilentStoreStillTellsOfOthers(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.numbered(2)
	a, b := w.selected(), w.selected()
	a.do("a STORE 1 +FLAGS (\\Flagged)")
	b.Talk(`
		C: a STORE 1 +FLAGS.SILENT (\Seen)
		S: * 1 FETCH (FLAGS (\Flagged))
		S: a OK STORE completed
	`)
	a.Talk(`
		C: b NOOP
		S: * 1 FETCH (FLAGS (\Recent \Flagged \Seen))
		S: b OK NOOP completed
	`)
}

// RFC 3501 §7.1: TRYCREATE is for what CREATE can help.
func TestImpossibleDestinations(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]*world{"memory": start(t, nil), "maildir": startOnMaildir(t)} {
		w.numbered(1)
		c := w.selected()
		for _, name := range []string{`""`, `"/"`, `a//b`, `/a`, `a/`, `"` + strings.Repeat("x", mailbox.MaxName+1) + `"`, strings.Repeat("a/", mailbox.MaxLevels) + "a"} {
			want := []string{"a NO [CANNOT] Invalid mailbox name"}
			for _, command := range []string{"COPY 1 " + name, "UID COPY 1 " + name, "MOVE 1 " + name, "APPEND " + name + " {3}", "CREATE " + name} {
				if command == "CREATE a/" {
					continue // RFC 3501 §6.3.3: that is a
				}
				require.Equal(t, want, c.do("a "+command))
			}
		}
		require.Equal(t, []string{"a NO [TRYCREATE] No such mailbox"}, c.do("a COPY 1 nowhere"), name)
	}
}

// RFC 3501 §6.4.7, RFC 4315 §3.
func TestCopy(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.numbered(4)
	c := w.selected()
	c.do("x STORE 2:3 +FLAGS.SILENT (\\Flagged key)")
	c.do("x CREATE MEETING")
	c.Talk(`
		C: A003 COPY 2:4 MEETING
		S: A003 OK [COPYUID <> 2:4 1:3] COPY completed
		C: a COPY 1 nowhere
		S: a NO [TRYCREATE] No such mailbox
		C: b UID COPY 1,3 meeting
		S: b NO [TRYCREATE] No such mailbox
		C: c UID COPY 1,3,99 MEETING
		S: c OK [COPYUID <> 1,3 4:5] COPY completed
		C: d UID COPY 99 MEETING
		S: d OK UID COPY completed
		C: e COPY 5 MEETING
		S: e BAD No message has this number
		C: f COPY 1 INBOX
		S: * 5 EXISTS
		S: * 5 RECENT
		S: f OK [COPYUID <> 1 5] COPY completed
		C: g COPY 1
		S: g BAD expected a space
		C: h COPY 1 &bad
		S: h NO [CANNOT] Mailbox name is not valid modified UTF-7
		C: i STATUS MEETING (MESSAGES)
		S: * STATUS MEETING (MESSAGES 5)
		S: i OK STATUS completed
		C: j EXAMINE MEETING
		S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft key)
		S: <>
		S: * 5 EXISTS
		S: * 5 RECENT
		S: <>
		S: <>
		S: <>
		S: j OK <>
		C: k FETCH 1 (FLAGS INTERNALDATE)
		S: * 1 FETCH (FLAGS (\Recent \Flagged key) INTERNALDATE "17-Jul-1996 02:44:25 -0700")
		S: k OK FETCH completed
	`)
}

// RFC 6851 §4.3: COPYUID, then EXPUNGE, then OK.
func TestMove(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.numbered(5)
	c := w.selected()
	c.do("x CREATE foo")
	c.Talk(`
		C: a UID MOVE 2:3,9 foo
		S: * OK [COPYUID <> 2:3 1:2] Moved
		S: * 3 EXPUNGE
		S: * 2 EXPUNGE
		S: * 3 RECENT
		S: a OK UID MOVE completed
		C: b MOVE 1 foo
		S: * OK [COPYUID <> 1 3] Moved
		S: * 1 EXPUNGE
		S: * 2 RECENT
		S: b OK MOVE completed
		C: c MOVE 1 nowhere
		S: c NO [TRYCREATE] No such mailbox
		C: d UID MOVE 77 foo
		S: d OK UID MOVE completed
		C: e MOVE 9 foo
		S: e BAD No message has this number
		C: f STATUS foo (MESSAGES)
		S: * STATUS foo (MESSAGES 3)
		S: f OK STATUS completed
	`)
}

// RFC 3501 §6.3.11.
func TestAppend(t *testing.T) {
	t.Parallel()
	w := start(t, func(s *imapd.Server) { s.MaxAppendSize = 500 })
	c := w.login()
	c.do("x CREATE saved-messages")
	text := "Date: Mon, 7 Feb 1994 21:52:25 -0800 (PST)\r\n" +
		"From: Fred Foobar <foobar@Blurdybloop.COM>\r\n" +
		"Subject: afternoon meeting\r\n" +
		"To: mooch@owatagu.siam.edu\r\n" +
		"Message-Id: <B27397-0100000@Blurdybloop.COM>\r\n" +
		"MIME-Version: 1.0\r\n" +
		"Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\n\r\n" +
		"Hello Joe, do you think we can meet at 3:30 tomorrow?\r\n"
	c.Talk("C: A003 APPEND saved-messages (\\Seen) {" + fmt.Sprint(len(text)) + "}\nS: + OK")
	c.send(text + "\r\n")
	c.Talk("S: A003 OK [APPENDUID <> 1] APPEND completed")
	c.Talk(`
		C: a APPEND saved-messages (\Draft Key) " 7-Feb-1994 21:52:25 -0800" {6+}
		C: a
		C:
		C: b
		S: a OK [APPENDUID <> 2] APPEND completed
		C: b SELECT saved-messages
		S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft Key)
		S: <>
		S: * 2 EXISTS
		S: <>
		S: <>
		S: <>
		S: <>
		S: b OK <>
		C: c FETCH 1:2 (FLAGS INTERNALDATE RFC822.SIZE)
		S: * 1 FETCH (FLAGS (\Recent \Seen) INTERNALDATE <> RFC822.SIZE ` + fmt.Sprint(len(text)) + `)
		S: * 2 FETCH (FLAGS (\Recent \Draft Key) INTERNALDATE " 7-Feb-1994 21:52:25 -0800" RFC822.SIZE 6)
		S: c OK FETCH completed
		C: d APPEND saved-messages {501}
		S: d NO [TOOBIG] Message is too large
		C: e APPEND nowhere {3}
		S: e NO [TRYCREATE] No such mailbox
		C: f APPEND nowhere {10+}
		C: g DELETE x
		S: f NO [TRYCREATE] No such mailbox
		C: h APPEND saved-messages {0}
		S: h NO [CANNOT] Message is empty
		C: i APPEND saved-messages (\Recent) {3}
		S: i BAD \Recent cannot be set
		C: j APPEND saved-messages "yesterday" {3}
		S: j BAD expected a date and time such as "17-Jul-1996 02:44:25 -0700"
		C: k APPEND saved-messages "abc"
		S: k BAD expected a date and time such as "17-Jul-1996 02:44:25 -0700"
		C: l APPEND saved-messages abc
		S: l BAD expected a literal at the end of the line
		C: m APPEND saved-messages {4}
		S: + OK
		C: ab
		C: {3+}
		C: xyz
		S: m BAD unexpected text at the end of the command
		C: n APPEND saved-messages {3+}
		C: a
		C:
		S: * 3 EXISTS
		S: * 3 RECENT
		S: n OK [APPENDUID <> 3] APPEND completed
		C: o FETCH 3 BODY.PEEK[]
		S: * 3 FETCH (BODY[] {3}
		S: a
		S: )
		S: o OK FETCH completed
	`)
}

func TestAppendMakesBareLFsCRLF(t *testing.T) {
	t.Parallel()
	c := start(t, nil).selected()
	c.send("a APPEND INBOX {13+}\r\nSubject: x\n\ny\r\n")
	c.Talk(`
		S: * 1 EXISTS
		S: * 1 RECENT
		S: a OK [APPENDUID <>] APPEND completed
		C: b FETCH 1 (RFC822.SIZE BODY.PEEK[TEXT])
		S: * 1 FETCH (RFC822.SIZE 15 BODY[TEXT] {1}
		S: y)
		S: b OK FETCH completed
	`)
}

// A message that did not come to its end is not stored.
func TestTruncatedAppendIsNotStored(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	c := w.login()
	c.send("a APPEND INBOX {1000+}\r\nSubject: half\r\n\r\n")
	require.NoError(t, c.Conn.Close())
	w.login().Talk(`
		C: a STATUS INBOX (MESSAGES)
		S: * STATUS INBOX (MESSAGES 0)
		S: a OK STATUS completed
	`)
}

// stubbornBox answers Append, or the reading of messages, with an error.
type stubbornBox struct {
	mailbox.Mailbox
	appendErr  error
	contentErr func(mailbox.UID) error
}

func (b stubbornBox) Append(ctx context.Context, r io.Reader, opts mailbox.AppendOptions) (mailbox.UID, error) {
	if b.appendErr != nil {
		return 0, b.appendErr
	}
	return b.Mailbox.Append(ctx, r, opts)
}

func (b stubbornBox) Content(ctx context.Context, uid mailbox.UID) (mailbox.Content, error) {
	if b.contentErr != nil {
		if err := b.contentErr(uid); err != nil {
			return nil, err
		}
	}
	return b.Mailbox.Content(ctx, uid)
}

// wrappedStore lets a test have a look at every mailbox.
type wrappedStore struct {
	mailbox.Store
	wrap func(mailbox.Mailbox) mailbox.Mailbox
}

func (s wrappedStore) Open(ctx context.Context, name string) (mailbox.Mailbox, error) {
	box, err := s.Store.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	return s.wrap(box), nil
}

// startWrapped is start with a store whose mailboxes are wrapped.
func startWrapped(t testing.TB, wrap func(mailbox.Mailbox) mailbox.Mailbox) *world {
	var w *world
	w = start(t, func(s *imapd.Server) {
		s.Store = func(context.Context, mailbricks.Identity) (mailbox.Store, error) {
			store := w.store()
			wrapped := wrappedStore{store, wrap}
			if organizer, can := store.(mailbox.Organizer); can {
				return struct {
					wrappedStore
					mailbox.Organizer
				}{wrapped, organizer}, nil
			}
			return wrapped, nil
		}
	})
	return w
}

// A store that takes no more in the middle of a message does not make the rest of it commands.
func TestAppendThatTheStoreRefuses(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]string{
		mailbox.ErrQuota:           "NO [OVERQUOTA] Quota exceeded",
		mailbox.ErrFlags:           "NO [LIMIT] Keyword cannot be stored",
		errors.New("secret paths"): "NO [UNAVAILABLE] Temporary failure, please try again later",
	} {
		w := startWrapped(t, func(b mailbox.Mailbox) mailbox.Mailbox { return stubbornBox{Mailbox: b, appendErr: err} })
		c := w.login()
		c.send("a APPEND INBOX {36+}\r\nx CREATE pwned\r\ny CREATE pwned as well\r\n")
		c.Talk("S: a " + want + "\nC: b LIST \"\" pwned*\nS: b OK LIST completed")
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.put("From: Smith <smith@example.com>\nDate: Tue, 1 Feb 1994 23:00:00 -1200\nSubject: one\nTo: a@b\n\nthe quick brown fox\n",
		"From: Jones <jones@example.com>\nDate: Wed, 2 Feb 1994 01:00:00 +0000\nSubject: =?iso-8859-1?q?gr=FC=DFe?=\nCc: smith@example.com\nX-Empty:\n\njumps over\n",
		"From: smithers\nSubject: three\nBcc: hidden@example.com\nMIME-Version: 1.0\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: base64\n\nR3L832UgYXVz\n")
	c := w.selected()
	c.do("x STORE 1 +FLAGS.SILENT (\\Deleted \\Answered \\Seen $Work)")
	c.do("x STORE 2 +FLAGS.SILENT (\\Draft \\Flagged)")
	w.put(mail("four"))
	c.do("x NOOP")
	for criteria, want := range map[string]string{
		"ALL": "1 2 3 4", "1:2": "1 2", "*": "4", "4:*": "4", "99": "", "2,4": "2 4", "UID 2:3": "2 3", "UID *": "4", "UID 99": "",
		"ANSWERED": "1", "UNANSWERED": "2 3 4", "DELETED": "1", "UNDELETED": "2 3 4", "DRAFT": "2", "UNDRAFT": "1 3 4",
		"FLAGGED": "2", "UNFLAGGED": "1 3 4", "SEEN": "1", "UNSEEN": "2 3 4", "KEYWORD $work": "1", "UNKEYWORD $Work": "2 3 4",
		"RECENT": "1 2 3 4", "NEW": "2 3 4", "OLD": "",
		"LARGER 110": "1 2 3", "SMALLER 100": "4", "SMALLER 0": "", "LARGER 4294967296": "",
		"FROM smith": "1 3", "from \"SMITH@\"": "1", "TO a@b": "1", "CC smith": "2", "BCC hidden": "3", "SUBJECT one": "1",
		"SUBJECT {7+}\r\ngr\xc3\xbc\xc3\x9fe": "2", "HEADER X-Empty \"\"": "2", "HEADER Subject \"\"": "1 2 3 4", "HEADER From jones": "2",
		"BODY quick": "1", "BODY Subject": "", "BODY \"gr\xc3\xbc\xc3\x9fe AUS\"": "3", "TEXT jones": "2", "TEXT \"body of\"": "4",
		"BEFORE 17-Jul-1996": "", "ON 17-Jul-1996": "1 2 3 4", "SINCE 17-Jul-1996": "1 2 3 4", "SINCE \"18-Jul-1996\"": "",
		"SENTON 1-Feb-1994": "1", "SENTBEFORE 2-Feb-1994": "1", "SENTSINCE 2-Feb-1994": "2",
		"NOT SEEN": "2 3 4", "NOT (SEEN ANSWERED)": "2 3 4", "OR SEEN FLAGGED": "1 2", "OR (1 SEEN) (2 FROM jones)": "1 2", "NOT NOT SEEN": "1",
		"FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\"": "2", // RFC 3501 §6.4.4
		"TEXT \"string not in mailbox\"":              "",
		"CHARSET UTF-8 SUBJECT one":                   "1", "CHARSET us-ascii ALL": "1 2 3 4", "CHARSET ISO-8859-1 SUBJECT {3+}\r\ngr\xfc": "2",
		"CHARSET \"UTF-8\" (OR 1 2)": "1 2",
		"BODY \"\"":                  "1 2 3 4", "TEXT {0+}\r\n": "1 2 3 4", "NOT BODY \"\"": "", "CC \"\"": "2", "HEADER \"\" \"\"": "", "HEADER \"\" quick": "",
	} {
		if want != "" {
			want = " " + want
		}
		require.Equal(t, []string{"* SEARCH" + want, "a OK SEARCH completed"}, c.do("a SEARCH "+criteria), criteria)
	}
	for criteria, want := range map[string]string{
		"": "BAD expected a name", "NONSENSE": "BAD unknown search key", "0": "BAD 0 is no message number", "FROM": "BAD expected a space",
		"BEFORE yesterday": "BAD expected a date such as 1-Feb-1994", "NOT": "BAD expected a space", "OR SEEN": "BAD expected a space",
		"()": "BAD expected a search key", "(SEEN": "BAD expected a space", "LARGER x": "BAD expected a number", "ALL ": "BAD expected a name",
		"CHARSET KLINGON ALL":                      "NO [BADCHARSET (US-ASCII UTF-8)] Unknown character set",
		strings.Repeat("NOT ", 100) + "ALL":        "BAD search is too complex",
		strings.Repeat("(", 100) + "ALL":           "BAD search is too complex",
		"RETURN (NONSENSE) ALL":                    "BAD unknown RETURN option",
		"RETURN MIN ALL":                           "BAD expected \"(\"",
		strings.Repeat("SEEN ", 500) + "ALL":       "BAD search is too complex",
		"ALL RETURN (MIN)":                         "BAD unknown search key",
		"ALL CHARSET UTF-8":                        "BAD unknown search key",
		"KEYWORD (":                                "BAD expected an atom",
		"UID x":                                    "BAD expected a number",
		"HEADER Subject":                           "BAD expected a space",
		"UNKEYWORD \\Recent":                       "BAD expected an atom",
		"KEYWORD \\Seen":                           "BAD expected an atom",
		"CHARSET UTF-8 CHARSET UTF-8 ALL":          "BAD unknown search key",
		"SUBJECT {2+}\r\na\xff":                    "BAD string is not in its character set",
		"CHARSET US-ASCII HEADER X \"\xe2\x82\"":   "BAD string is not in its character set",
		"CHARSET UTF-7 BODY \"\xe2\x82\"":          "BAD string is not in its character set",
		"CHARSET KLINGON BODY \"\xe2\x82\"":        "NO [BADCHARSET (US-ASCII UTF-8)] Unknown character set",
		"SENTON 1-Jan-1994 2-Jan":                  "BAD unexpected text at the end of the command",
		"RETURN (ALL) CHARSET X-UNKNOWN SUBJECT a": "NO [BADCHARSET (US-ASCII UTF-8)] Unknown character set",
	} {
		require.Equal(t, []string{"a " + want}, c.do("a SEARCH "+criteria), criteria)
		c.do("x NOOP") // resets the count of errors
	}
}

// RFC 3501 §6.4.4: what ENVELOPE shows is found, and what the header has.
func TestSearchFields(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.put("Subject: long subject\n\tcontinued here\nX-Fold: a\n\tb\n  c\nX-Tab: a\tb\n\n.\n",
		"Bcc: Jane (middle) Doe <j@x.y>,\n \"Roe\\, \\\"Jack\\\"\" <jack (home) @ x . z>, Friends: amy@x.y;\n\n.\n",
		"Resent-To: =?utf-8?q?J=C3=BCrgen?= (Sales) Smith\n\t<js@x.y>\nSubject: =?utf-8?q?a?=\n\t=?utf-8?q?b?=\n\n.\n",
		"Content-Type: image/png\n\nno text\n")
	c := w.selected()
	for criteria, want := range map[string]string{
		`SUBJECT "subject continued"`: " 1", `SUBJECT "subject  continued"`: "", "SUBJECT \"subject\tcontinued\"": " 1",
		`HEADER X-Fold "a b c"`: " 1", "HEADER X-Tab \"a\tb\"": " 1", `HEADER X-Tab "a b"`: "", `TEXT "X-Fold: a b c"`: " 1",
		`BCC "Jane Doe"`: " 2", `BCC "Jane Doe <j@x.y>"`: " 2", `BCC "(middle)"`: " 2", `BCC "Roe, \"Jack\" <jack@x.z>"`: " 2",
		`BCC "Roe\\, "`: " 2", `BCC Friends`: " 2", `BCC "amy@x.y"`: " 2", `BCC "<amy@x.y>"`: "", `BCC "(home)"`: " 2", `BCC "Doe Jane"`: "", `TEXT "Jane Doe"`: " 2",
		"HEADER Resent-To \"J\xc3\xbcrgen Smith <js@\"": " 3", `HEADER Resent-To "Smith <js@x.y>"`: " 3", `SUBJECT ab`: " 3",
		`HEADER X-Fold ""`: " 1", `HEADER Bcc ""`: " 2", `HEADER X-None ""`: "",
		`BODY ""`: " 1 2 3 4", `BODY text`: "",
	} {
		require.Equal(t, []string{"* SEARCH" + want, "a OK SEARCH completed"}, c.do("a SEARCH "+criteria), criteria)
	}
}

// RFC 4731 §3.1.
func TestExtendedSearch(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.numbered(8)
	c := w.selected()
	c.do("x STORE 1,4 FLAGS.SILENT (\\Deleted)")
	c.do("x EXPUNGE")
	c.do("x STORE 1:2,4 +FLAGS.SILENT (\\Flagged)")
	c.Talk(`
		C: A282 SEARCH RETURN (MIN COUNT) FLAGGED
		S: * ESEARCH (TAG "A282") MIN 1 COUNT 3
		S: A282 OK SEARCH completed
		C: A283 SEARCH RETURN () FLAGGED
		S: * ESEARCH (TAG "A283") ALL 1:2,4
		S: A283 OK SEARCH completed
		C: A284 UID SEARCH RETURN (MAX MIN ALL COUNT) FLAGGED
		S: * ESEARCH (TAG "A284") UID MIN 2 MAX 6 ALL 2:3,6 COUNT 3
		S: A284 OK UID SEARCH completed
		C: A285 UID SEARCH RETURN (ALL COUNT) SEEN
		S: * ESEARCH (TAG "A285") UID COUNT 0
		S: A285 OK UID SEARCH completed
		C: A286 UID SEARCH UID 1:4
		S: * SEARCH 2 3
		S: A286 OK UID SEARCH completed
		C: A287 UID SEARCH 1:2
		S: * SEARCH 2 3
		S: A287 OK UID SEARCH completed
	`)
}

// What speaks against a message is told before it is sent.
func TestAppendAsksBeforeTheMessageComes(t *testing.T) {
	t.Parallel()
	asked := []int64{}
	w := start(t, func(s *imapd.Server) {
		s.MaxAppendSize = 500
		s.MayAppend = func(_ context.Context, session *imapd.Session, size int64) error {
			asked = append(asked, size)
			switch {
			case session.Peer.Identity.User != "joe":
				return errors.New("nobody")
			case size == 100:
				return &mailbricks.Reply{Code: 452, Enhanced: "4.3.1", Text: "Insufficient system storage"}
			case size == 200:
				return mailbox.ErrQuota
			case size == 300:
				return fmt.Errorf("statfs: %w", syscall.ENOSPC)
			}
			return nil
		}
	})
	c := w.login()
	c.Talk(`
		C: a APPEND INBOX {100}
		S: a NO [UNAVAILABLE] Insufficient system storage
		C: b APPEND INBOX {200}
		S: b NO [OVERQUOTA] Quota exceeded
		C: c APPEND INBOX {300}
		S: c NO [UNAVAILABLE] Disk is full, please try again later
		C: d APPEND INBOX {501}
		S: d NO [TOOBIG] Message is too large
		C: f APPEND none {200}
		S: f NO [TRYCREATE] No such mailbox
		C: e APPEND INBOX {6}
		S: + OK
		C: ab: c
		C:
		S: e OK [APPENDUID <> 1] APPEND completed
	`)
	require.Equal(t, []int64{100, 200, 300, 6}, asked)
}
