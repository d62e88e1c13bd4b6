package imapd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/mimeindex"
	"github.com/mailbricks/mailbricks/mailbox"
)

// unlistedBox has no summaries, whatever the mailbox in it can do.
type unlistedBox struct {
	mailbox.Mailbox
	opened *atomic.Int64 // contents
}

func (b unlistedBox) Content(ctx context.Context, uid mailbox.UID) (mailbox.Content, error) {
	if b.opened != nil {
		b.opened.Add(1)
	}
	return b.Mailbox.Content(ctx, uid)
}

func (b unlistedBox) Watch(wake chan<- struct{}) (stop func()) {
	if w, can := b.Mailbox.(mailbox.Watcher); can {
		return w.Watch(wake)
	}
	return func() {}
}

func (b unlistedBox) TakeRecent(ctx context.Context) (mailbox.UID, error) {
	if k, can := b.Mailbox.(mailbox.RecentKeeper); can {
		return k.TakeRecent(ctx)
	}
	return 0, nil
}

// summaryBox makes summaries anew each time. change, if there is one, has a hand in them.
type summaryBox struct {
	unlistedBox
	change func([]mailbox.Summary) ([]mailbox.Summary, error)
}

func (b summaryBox) Summaries(ctx context.Context, uids []mailbox.UID) (list []mailbox.Summary, err error) {
	for _, uid := range uids {
		content, err := b.Mailbox.Content(ctx, uid)
		if errors.Is(err, mailbox.ErrExpunged) {
			continue
		}
		if err != nil {
			return nil, err
		}
		data, err := mailbox.Summarize(io.NewSectionReader(content, 0, content.Size()))
		if err := errors.Join(err, content.Close()); err != nil {
			return nil, err
		}
		list = append(list, mailbox.Summary{UID: uid, Data: data})
	}
	if b.change != nil {
		return b.change(list)
	}
	return list, nil
}

func startPlain(t testing.TB) *world {
	return startWrapped(t, func(b mailbox.Mailbox) mailbox.Mailbox { return unlistedBox{b, nil} })
}

// startSummarized starts a server whose mailboxes have summaries, and tells how many contents it opened.
func startSummarized(t testing.TB, change func([]mailbox.Summary) ([]mailbox.Summary, error)) (*world, *atomic.Int64) {
	opened := new(atomic.Int64)
	return startWrapped(t, func(b mailbox.Mailbox) mailbox.Mailbox { return summaryBox{unlistedBox{b, opened}, change} }), opened
}

// raw puts messages into INBOX as they are.
func (w *world) raw(messages ...[]byte) {
	w.t.Helper()
	box := w.box("INBOX")
	defer box.Close()
	for _, m := range messages {
		_, err := box.Append(context.Background(), bytes.NewReader(m), mailbox.AppendOptions{InternalDate: arrived(), Size: int64(len(m))})
		require.NoError(w.t, err)
	}
}

// oddMessages are those of the suites, if they are there, and some of our own.
func oddMessages(t testing.TB) (messages [][]byte) {
	texts := []string{"", "\n", "Subject: x", nested, "DATE: Mon, 7 Feb 1994 21:52:25 -0800\ndate: Tue, 1 Mar 1994 01:00:00 +0000\nFrom: a@b\nfrom: c@d\n\nx",
		"References: " + strings.Repeat("<a@b>\n ", 1000) + "\nSubject: long\n\nx", "To: " + strings.Repeat("a,", 20_000) + "\nSubject: too much\n\nx",
		"Subject: bare\x00NUL\nContent-Type: message/global\n\nSubject: y\n\nx"}
	for _, text := range texts {
		messages = append(messages, []byte(text))
	}
	if root := os.Getenv("MAILBRICKS_SUITES"); root != "" {
		for _, pattern := range []string{"imap-bodystructure/emails/*/*.eml", "mime/mime4j/*.msg", "mime/enmime/*/*.raw"} {
			files, err := filepath.Glob(filepath.Join(root, pattern))
			require.NoError(t, err)
			require.NotEmpty(t, files)
			for _, file := range files {
				message, err := os.ReadFile(file)
				require.NoError(t, err)
				messages = append(messages, message)
			}
		}
	}
	for i, message := range messages {
		repaired, err := io.ReadAll(mimeindex.CRLFReader(bytes.NewReader(message)))
		require.NoError(t, err)
		messages[i] = repaired
	}
	return append(messages, []byte("Subject: bare LF\nFrom: x@y\n\nIt has\nwhat the contract forbids.\n"))
}

// listings ask for what summaries have, as far as they have it: those of mail programs among them.
func listings() []string {
	return []string{
		"FETCH 1:* ALL",
		"FETCH 1:* FULL",
		"FETCH 1:* (UID RFC822.SIZE FLAGS BODYSTRUCTURE INTERNALDATE)",
		"UID FETCH 1:* (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Resent-Message-ID Subject Date Message-ID Priority X-Priority" +
			" References Newsgroups In-Reply-To Content-Type Reply-To)])",
		"UID FETCH 1:* (INTERNALDATE UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (date subject from to cc message-id in-reply-to references" +
			" content-type x-priority x-uniform-type-identifier x-universally-unique-identifier list-id list-unsubscribe bimi-indicator" +
			" bimi-location x-bimi-indicator-hash authentication-results dkim-signature)])",
		"FETCH 1:* (BODY.PEEK[HEADER.FIELDS (DATE FROM SENDER SUBJECT TO CC MESSAGE-ID REFERENCES CONTENT-TYPE CONTENT-DESCRIPTION IN-REPLY-TO" +
			" REPLY-TO LINES LIST-POST LIST-SUBSCRIBE LIST-UNSUBSCRIBE X-LABEL X-ORIGINAL-TO)])",
		"FETCH 1:* BODY.PEEK[HEADER.FIELDS (subject)]<3.7>",
		"FETCH 5,3 (ENVELOPE ENVELOPE BODY)",
		"SEARCH SUBJECT x",
		"SEARCH NOT FROM example OR TO a CC b",
		"UID SEARCH HEADER Message-ID \"\" SENTSINCE 1-Jan-2000",
		"SEARCH SENTON 1-Mar-1994 UNSEEN",
		"SEARCH RETURN (MIN MAX COUNT) SENTBEFORE 1-Jan-2010 HEADER List-Id \"\"",
	}
}

// readings ask for more than that.
func readings() []string {
	return []string{
		"FETCH 1:* (BODY.PEEK[HEADER] BODY.PEEK[TEXT]<0.50> ENVELOPE)",
		"FETCH 1:* (BODYSTRUCTURE BODY.PEEK[1] BODY.PEEK[2.MIME] BODY.PEEK[1.HEADER] BODY.PEEK[2.1.TEXT]<2.5> BODY.PEEK[1.1] BODY.PEEK[3.2.1])",
		"FETCH 1:* (BODY.PEEK[2.HEADER.FIELDS (Subject X-A)] BODY.PEEK[1.HEADER.FIELDS.NOT (Subject)] BODY.PEEK[HEADER.FIELDS.NOT (Received)])",
		"FETCH 1:* (ENVELOPE BODY.PEEK[HEADER.FIELDS (Subject Received)] BODY.PEEK[HEADER.FIELDS (Subject)])",
		"FETCH 1:* (BODY BODY.PEEK[]<0.20>)",
		"SEARCH TEXT example",
		"SEARCH BODY \"the\" SUBJECT a",
		"SEARCH NOT HEADER Received by SUBJECT e",
		"SEARCH OR HEADER X-Mailer a OR HEADER Received b BODY c",
		"FETCH 1:* (BODY[HEADER.FIELDS (Subject)])",
		"FETCH 1:* FLAGS",
	}
}

// transcript is all that a server says to commands.
func transcript(t testing.TB, w *world, commands []string) map[string]string {
	t.Helper()
	c := w.selected()
	said := map[string]string{}
	for _, command := range commands {
		var all strings.Builder
		c.send("x " + command + "\r\n")
		for {
			line, err := c.Reader.ReadString('\n')
			require.NoError(t, err)
			all.WriteString(line)
			if strings.HasPrefix(line, "x OK ") || strings.HasPrefix(line, "x NO ") || strings.HasPrefix(line, "x BAD ") {
				break
			}
		}
		said[command] = all.String()
	}
	return said
}

// TestSummariesChangeNothing: with summaries, also damaged and missing ones, a client gets octet for octet what it gets without.
func TestSummariesChangeNothing(t *testing.T) {
	t.Parallel()
	messages := oddMessages(t)
	commands := append(listings(), readings()...)
	plain := startPlain(t)
	plain.raw(messages...)
	want := transcript(t, plain, commands)
	for name, change := range map[string]func([]mailbox.Summary) ([]mailbox.Summary, error){
		"whole": nil,
		"none":  func([]mailbox.Summary) ([]mailbox.Summary, error) { return nil, nil },
		"fails": func([]mailbox.Summary) ([]mailbox.Summary, error) { return nil, errDisk },
		"every other": func(list []mailbox.Summary) (some []mailbox.Summary, _ error) {
			for i := 0; i < len(list); i += 2 {
				some = append(some, list[i])
			}
			return some, nil
		},
		"of another message": func(list []mailbox.Summary) ([]mailbox.Summary, error) {
			for i := range list {
				list[i].Data = list[0].Data
			}
			return list[1:], nil
		},
		"cut":        damaged(func(data []byte) []byte { return data[:len(data)-1] }),
		"longer":     damaged(func(data []byte) []byte { return append(data, 0) }),
		"newer":      damaged(func(data []byte) []byte { data[0]++; return data }),
		"empty":      damaged(func([]byte) []byte { return []byte{} }),
		"the tree":   damaged(func(data []byte) []byte { data[len(data)-1] ^= 0x7f; return data }),
		"the header": damaged(func(data []byte) []byte { data[min(2, len(data)-1)] ^= 1; return data }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := startSummarized(t, change)
			w.raw(messages...)
			got := transcript(t, w, commands)
			for _, command := range commands {
				require.True(t, want[command] == got[command], "%s: %s", command, difference(want[command], got[command]))
			}
		})
	}
}

func damaged(change func([]byte) []byte) func([]mailbox.Summary) ([]mailbox.Summary, error) {
	return func(list []mailbox.Summary) ([]mailbox.Summary, error) {
		for i := range list {
			list[i].Data = change(list[i].Data)
		}
		return list, nil
	}
}

// difference shows where two texts part.
func difference(a, b string) string {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return fmt.Sprintf("%q or %q", a[max(0, n-100):min(len(a), n+100)], b[max(0, n-100):min(len(b), n+100)])
}

// TestListingOpensNoMessage: what mail programs ask for to list a mailbox is all in the summaries.
func TestListingOpensNoMessage(t *testing.T) {
	t.Parallel()
	w, opened := startSummarized(t, nil)
	for i := range 250 {
		w.put("DKIM-Signature: v=1; b=abc\n def\nReceived: from a by b\n"+headerText, nested, mail(fmt.Sprint(i)))
	}
	said := transcript(t, w, listings())
	require.Contains(t, said["SEARCH SUBJECT x"], "* SEARCH\r\n")
	require.Contains(t, said["FETCH 1:* ALL"], `* 1 FETCH (FLAGS (\Recent) INTERNALDATE "17-Jul-1996 02:44:25 -0700" RFC822.SIZE `)
	require.Zero(t, opened.Load())
	transcript(t, w, []string{"FETCH 1:10 BODY.PEEK[HEADER.FIELDS (Received)]"})
	require.EqualValues(t, 10, opened.Load(), "the count counts")
}

// TestSearchLooksAtFewSummaries: the keys that need none come first.
func TestSearchLooksAtFewSummaries(t *testing.T) {
	t.Parallel()
	asked := new(atomic.Int64)
	w, opened := startSummarized(t, func(list []mailbox.Summary) ([]mailbox.Summary, error) {
		asked.Add(int64(len(list)))
		return list, nil
	})
	w.numbered(300)
	c := w.selected()
	c.Talk("C: a STORE 7,70,210 +FLAGS.SILENT (\\Flagged)\nS: a OK STORE completed\n" +
		"C: b SEARCH SUBJECT 7 FLAGGED\nS: * SEARCH 7 70\nS: b OK SEARCH completed")
	require.EqualValues(t, 3, asked.Load())
	require.Zero(t, opened.Load())
}

// TestPartsAreFoundWithSummary: a part is read where the summary says, and nothing but the part.
func TestPartsAreFoundWithSummary(t *testing.T) {
	t.Parallel()
	var read atomic.Int64
	w := startWrapped(t, func(b mailbox.Mailbox) mailbox.Mailbox {
		return summaryBox{unlistedBox{countingBox{b, &read}, nil}, nil}
	})
	w.put("Subject: a\nContent-Type: multipart/mixed; boundary=A\n\n--A\n\none\n--A\nX: y\n\n" + strings.Repeat("two\n", 50_000) + "--A--\n")
	c := w.selected()
	read.Store(0)
	c.Talk("C: a FETCH 1 (BODY.PEEK[1] BODY.PEEK[2.MIME] BODY.PEEK[HEADER.FIELDS (Subject)])\n" +
		"S: * 1 FETCH (BODY[1] {3}\nS: one BODY[2.MIME] {8}\nS: X: y\nS: \nS:  BODY[HEADER.FIELDS (Subject)] {14}\nS: Subject: a\nS: \nS: )\nS: a OK FETCH completed")
	size := int64(len("Subject: a\r\nContent-Type: multipart/mixed; boundary=A\r\n\r\n--A\r\n\r\none\r\n--A\r\nX: y\r\n\r\n--A--\r\n") + 5*50_000)
	require.Equal(t, size+(3+2)+(8+2), read.Load(), "once for the summary, and the parts, of which the first and the last octet are read before")
}

// countingBox counts the octets that are read of its messages.
type countingBox struct {
	mailbox.Mailbox
	read *atomic.Int64
}

func (b countingBox) Content(ctx context.Context, uid mailbox.UID) (mailbox.Content, error) {
	content, err := b.Mailbox.Content(ctx, uid)
	return countingContent{content, b.read}, err
}

type countingContent struct {
	mailbox.Content
	read *atomic.Int64
}

func (c countingContent) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.Content.ReadAt(p, off)
	c.read.Add(int64(n))
	return n, err
}

// mistakenBox has a summary, and a size, that its messages' contents do not have.
type mistakenBox struct{ summaryBox }

const mistaken = "Subject: wrong\r\n\r\nThis is no message of this mailbox.\r\n"

func (b mistakenBox) Messages(ctx context.Context, uids []mailbox.UID) ([]mailbox.Meta, error) {
	metas, err := b.summaryBox.Messages(ctx, uids)
	for i := range metas {
		metas[i].Size = int64(len(mistaken))
	}
	return metas, err
}

// TestSummaryThatIsNotThatOfTheContent: once a message has been opened, nothing is taken from such a summary.
func TestSummaryThatIsNotThatOfTheContent(t *testing.T) {
	t.Parallel()
	data, err := mailbox.Summarize(strings.NewReader(mistaken))
	require.NoError(t, err)
	change := func(list []mailbox.Summary) ([]mailbox.Summary, error) {
		for i := range list {
			list[i].Data = data
		}
		return list, nil
	}
	w := startWrapped(t, func(b mailbox.Mailbox) mailbox.Mailbox { return mistakenBox{summaryBox{unlistedBox{b, nil}, change}} })
	w.put("Subject: right\n\nHi.\n")
	w.selected().Talk("C: a FETCH 1 (BODY.PEEK[HEADER.FIELDS (Subject)] BODY BODY.PEEK[1])\n" +
		"S: * 1 FETCH (BODY[HEADER.FIELDS (Subject)] {18}\nS: Subject: right\nS: \nS:  BODY (<> 5 1) BODY[1] {5}\nS: Hi.\nS: )\nS: a OK FETCH completed\n" +
		"C: b SEARCH BODY hi\nS: * SEARCH 1\nS: b OK SEARCH completed\n" +
		"C: c SEARCH HEADER Received \"\"\nS: * SEARCH\nS: c OK SEARCH completed")
}

// TestSummaryOfAMessageThatIsGone: it is left out, as without summaries.
func TestSummaryOfAMessageThatIsGone(t *testing.T) {
	t.Parallel()
	w, _ := startSummarized(t, nil)
	w.numbered(3)
	c := w.selected()
	box := w.box("INBOX")
	defer box.Close()
	_, err := box.Expunge(context.Background(), []mailbox.UID{2})
	require.NoError(t, err)
	c.Talk("C: a FETCH 1:3 (ENVELOPE)\nS: * 1 FETCH (ENVELOPE <>\nS: * 3 FETCH (ENVELOPE <>\nS: a NO [EXPUNGEISSUED] <>\n" +
		"C: b UID FETCH 2 BODYSTRUCTURE\nS: b OK [EXPUNGEISSUED] <>")
}
