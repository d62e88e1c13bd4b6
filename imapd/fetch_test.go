package imapd_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
)

// nested is a message in a multipart in a message, in the numbering of RFC 3501 §6.4.5.
const nested = `From: outer@example.com
Subject: outer
Content-Type: multipart/mixed; boundary=A

preamble
--A
Content-Type: text/plain

one
--A
Content-Type: message/rfc822

From: inner@example.com
Subject: inner
Content-Type: multipart/alternative; boundary=B

--B
Content-Type: text/html

<p>two
--B--
epilogue
--A--
`

// The empty line that ends a header is found wherever the chunks end in which the header is read.
func TestHeaderEndsAtTheEdgeOfAChunk(t *testing.T) {
	t.Parallel()
	w := startPlain(t)
	const chunk = 8 << 10
	var sizes []int
	for size := chunk - 2; size <= chunk+4; size++ {
		sizes = append(sizes, size)
		w.put("X: " + strings.Repeat("x", size-len("X: \r\n\r\n")) + "\n\nx\n\n")
	}
	w.put(strings.Repeat("X: y\n", 2*chunk/6) + "x\n\nbody")
	c := w.selected()
	for i, size := range sizes {
		require.Equal(t, fmt.Sprintf("* %d FETCH (BODY[HEADER]<0> {1}", i+1), c.do(fmt.Sprintf("x FETCH %d BODY.PEEK[HEADER]<0.1>", i+1))[0])
		require.Equal(t, fmt.Sprintf("* %d FETCH (BODY[HEADER]<%d> {2}", i+1, size-2), c.do(fmt.Sprintf("x FETCH %d BODY.PEEK[HEADER]<%d.9>", i+1, size-2))[0])
		require.Contains(t, strings.Join(c.do(fmt.Sprintf("x FETCH %d BODY.PEEK[TEXT]", i+1)), " "), "BODY[TEXT] {5} x")
	}
	require.Contains(t, strings.Join(c.do(fmt.Sprintf("x FETCH %d BODY.PEEK[TEXT]", len(sizes)+1)), " "), "BODY[TEXT] {4} body")
}

// RFC 3501 §9: a literal has no NUL. What is there instead has the same size.
func TestFetchWithoutNUL(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	const message = "Subject: a\x00b\nX-Other: c\nContent-Type: multipart/mixed; boundary=A\n\n" +
		"--A\nX: \x00\n\n\x00one\x00\x00\n--A\n\n" + "two\n--A--\n\x00"
	w.put(message)
	c := w.selected()
	whole := strings.ReplaceAll(strings.ReplaceAll(message, "\n", "\r\n"), "\x00", "\x80")
	header, text, _ := strings.Cut(whole, "\r\n\r\n")
	for item, want := range map[string]string{
		"BODY.PEEK[]":                                  whole,
		"RFC822":                                       whole,
		"BODY.PEEK[HEADER]":                            header + "\r\n\r\n",
		"BODY.PEEK[TEXT]":                              text,
		"BODY.PEEK[1]":                                 "\x80one\x80\x80",
		"BODY.PEEK[1]<4.2>":                            "\x80\x80",
		"BODY.PEEK[1.MIME]":                            "X: \x80\r\n\r\n",
		"BODY.PEEK[HEADER.FIELDS (Subject)]":           "Subject: a\x80b\r\n\r\n",
		"BODY.PEEK[HEADER.FIELDS (Subject)]<9.3>":      "a\x80b",
		"BODY.PEEK[HEADER.FIELDS.NOT (X-Other)]<0.12>": "Subject: a\x80b",
	} {
		require.Contains(t, strings.Join(c.do("a FETCH 1 "+item), "\r\n"), fmt.Sprintf(" {%d}\r\n%s", len(want), want), item)
	}
	require.Contains(t, c.do("a FETCH 1 RFC822.SIZE")[0], fmt.Sprintf("SIZE %d)", len(whole)))
}

func TestFetchSections(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.put(nested)
	c := w.selected()
	for item, want := range map[string]string{
		"BODY.PEEK[1]":                                    "one",
		"BODY.PEEK[1.MIME]":                               "Content-Type: text/plain\r\n\r\n",
		"BODY.PEEK[2.HEADER]":                             "From: inner@example.com\r\nSubject: inner\r\nContent-Type: multipart/alternative; boundary=B\r\n\r\n",
		"BODY.PEEK[2.TEXT]":                               "--B\r\nContent-Type: text/html\r\n\r\n<p>two\r\n--B--\r\nepilogue",
		"BODY.PEEK[2.1]":                                  "<p>two",
		"BODY.PEEK[2.1.MIME]":                             "Content-Type: text/html\r\n\r\n",
		"BODY.PEEK[]<0.4>":                                "From",
		"BODY.PEEK[1]<1.1>":                               "n",
		"BODY.PEEK[1]<1.99999>":                           "ne",
		"BODY.PEEK[1]<3.1>":                               "",
		"BODY.PEEK[1]<77.1>":                              "",
		"BODY.PEEK[HEADER.FIELDS (subject X-None)]":       "Subject: outer\r\n\r\n",
		"BODY.PEEK[HEADER.FIELDS.NOT (subject \"from\")]": "Content-Type: multipart/mixed; boundary=A\r\n\r\n",
		"BODY.PEEK[2.HEADER.FIELDS (SUBJECT)]":            "Subject: inner\r\n\r\n",
		"BODY.PEEK[2.HEADER.FIELDS.NOT (SUBJECT)]<5.5>":   " inne",
		"BODY.PEEK[HEADER.FIELDS ({7+}\r\nSubject)]":      "Subject: outer\r\n\r\n",
		"RFC822.HEADER":                                   "From: outer@example.com\r\nSubject: outer\r\nContent-Type: multipart/mixed; boundary=A\r\n\r\n",
	} {
		got := fetchString(c, "1", item)
		require.Equal(t, want, got, item)
	}
	require.NotContains(t, strings.Join(c.do("x FETCH 1 FLAGS"), ""), `\Seen`, "PEEK")
	whole := strings.ReplaceAll(nested, "\n", "\r\n")
	require.Equal(t, whole, fetchString(c, "1", "RFC822"))
	require.Equal(t, whole, fetchString(c, "1", "BODY[]"))
	require.Equal(t, whole[strings.Index(whole, "\r\n\r\n")+4:], fetchString(c, "1", "RFC822.TEXT"))
	require.Contains(t, strings.Join(c.do("x FETCH 1 FLAGS"), ""), `\Seen`)
	c.Talk(`
		C: a FETCH 1 (BODY.PEEK[3] BODY.PEEK[1.HEADER] BODY.PEEK[1.1] BODY.PEEK[2.1.1.MIME])
		S: * 1 FETCH (BODY[3] NIL BODY[1.HEADER] NIL BODY[1.1] NIL BODY[2.1.1.MIME] NIL)
		S: a OK FETCH completed
		C: b UID FETCH 1 (UID RFC822.SIZE)
		S: * 1 FETCH (UID 1 RFC822.SIZE ` + fmt.Sprint(len(whole)) + `)
		S: b OK UID FETCH completed
		C: c UID FETCH 1 RFC822.SIZE
		S: * 1 FETCH (UID 1 RFC822.SIZE ` + fmt.Sprint(len(whole)) + `)
		S: c OK UID FETCH completed
		C: d FETCH 1 (BODY.PEEK[HEADER.FIELDS ("Sub ject" Subject)])
		S: * 1 FETCH (BODY[HEADER.FIELDS ("Sub ject" Subject)] {18}
		S: Subject: outer
		S:
		S: )
		S: d OK FETCH completed
	`)
}

// fetchString fetches one item that is a string, and gives it.
func fetchString(c *client, seq, item string) string {
	c.T.Helper()
	lines := c.do("x FETCH " + seq + " " + item)
	all := strings.Join(lines, "\r\n")
	_, after, found := strings.Cut(all, "}\r\n")
	require.True(c.T, found, all)
	var n int
	_, err := fmt.Sscanf(all[strings.Index(all, "{"):], "{%d}", &n)
	require.NoError(c.T, err)
	require.Equal(c.T, ")\r\nx OK FETCH completed", after[n:])
	return after[:n]
}

func TestFetchSyntax(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.put(mail("one"))
	c := w.selected()
	for args, want := range map[string]string{
		"1": "expected a space", "1 ": "expected a name", "1 ()": "expected a FETCH item", "1 NONSENSE": "unknown FETCH item",
		"1 (ALL)": "unknown FETCH item", "1 BODY.PEEK": "expected a section", "1 BODY[": "expected a name", "1 BODY[]<1>": "expected \".\"",
		"1 BODY[]<1.0>": "a partial FETCH of no octets", "1 BODY[0]": "invalid part number", "1 BODY[1.]": "expected something behind the dot",
		"1 BODY[MIME]": "MIME needs a part number", "1 BODY[HEADER.FIELDS]": "expected a space", "1 BODY[HEADER.FIELDS ()]": "expected a field name",
		"1 BODY[NONSENSE]": "unknown section", "1 BODY[]<-1.1>": "expected a number", "2 FLAGS": "No message has this number",
		"0 FLAGS": "0 is no message number", "1:2 FLAGS": "No message has this number", "1 (FLAGS": "expected a space", "1 FLAGS UID": "unexpected text at the end of the command",
		"1 BODY[1" + strings.Repeat(".1", 200) + "]":  "invalid part number",
		"1 (" + strings.Repeat("UID ", 1000) + "UID)": "too many FETCH items",
		"1 BODY[]<999999999999999999999.1>":           "expected a number",
		"99999999999 FLAGS":                           "number is too large",
		"1 BODY[1 2]":                                 "expected \".\"",
		"1 (FLAGS  UID)":                              "expected a name",
		"1 BODY[HEADER.FIELDS (a b":                   "expected a space",
	} {
		require.Equal(t, []string{"a BAD " + want}, c.do("a FETCH "+args), args)
		c.do("x NOOP") // resets the count of errors
	}
	empty := start(t, nil).selected()
	require.Equal(t, []string{"a BAD No message has this number"}, empty.do("a FETCH 1:* FLAGS"))
	require.Equal(t, []string{"a OK UID FETCH completed"}, empty.do("a UID FETCH 1:* FLAGS"))
}

// RFC 2180 §4.1: what is there is served.
func TestFetchOfExpungedMessages(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.numbered(4)
	a, b := w.selected(), w.selected()
	a.do("a STORE 2 +FLAGS.SILENT (\\Deleted)")
	a.do("a EXPUNGE")
	b.Talk(`
		C: a FETCH 1:3 (FLAGS)
		S: * 1 FETCH (FLAGS ())
		S: * 3 FETCH (FLAGS ())
		S: a NO [EXPUNGEISSUED] Some messages are gone
		C: b UID FETCH 1:3 (BODY.PEEK[TEXT]<0.4>)
		S: * 1 FETCH (UID 1 BODY[TEXT]<0> {4}
		S: Body)
		S: * 3 FETCH (UID 3 BODY[TEXT]<0> {4}
		S: Body)
		S: b OK [EXPUNGEISSUED] Some messages are gone
		C: c STORE 1:2 +FLAGS (\Seen)
		S: * 1 FETCH (FLAGS (\Seen))
		S: c NO [EXPUNGEISSUED] Some messages are gone
		C: d SEARCH 1:3 ALL
		S: * SEARCH 1 2 3
		S: d OK SEARCH completed
		C: e SEARCH TEXT body
		S: * SEARCH 1 3 4
		S: e OK SEARCH completed
		C: f COPY 1:2 INBOX
		S: * 2 EXPUNGE
		S: f NO [EXPUNGEISSUED] Some messages are gone
		C: g FETCH 2 UID
		S: * 2 FETCH (UID 3)
		S: g OK FETCH completed
	`)
}

// RFC 3501 §7.4.1 for all six commands, and for the time between commands.
func TestExpungeIsToldOnlyWhereItMayBe(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.numbered(3)
	a, b := w.selected(), w.selected()
	a.do("a STORE 1 +FLAGS.SILENT (\\Deleted)")
	a.do("a EXPUNGE")
	for _, command := range []string{"FETCH 2 UID", "STORE 2 +FLAGS (x)", "SEARCH ALL", "UID FETCH 2 UID", "UID STORE 2 +FLAGS (y)", "UID SEARCH ALL"} {
		require.NotContains(t, strings.Join(b.do("a "+command), "\n"), "EXPUNGE", command)
	}
	require.Equal(t, []string{"* 1 EXPUNGE", "a OK NOOP completed"}, b.do("a NOOP"))
}

// A message that cannot be read does not take the connection with it.
func TestFetchOfUnreadableMessages(t *testing.T) {
	t.Parallel()
	w := startWrapped(t, func(b mailbox.Mailbox) mailbox.Mailbox {
		return stubbornBox{Mailbox: b, contentErr: func(uid mailbox.UID) error {
			switch uid {
			case 1:
				return mailbox.ErrExpunged
			case 2:
				return errors.New("open /secret/path: input/output error")
			}
			return nil
		}}
	})
	w.numbered(3)
	c := w.selected()
	c.Talk(`
		C: a FETCH 1 BODY[TEXT]
		S: a NO [EXPUNGEISSUED] Some messages are gone
		C: b UID FETCH 1 BODY[TEXT]
		S: b OK [EXPUNGEISSUED] Some messages are gone
		C: c FETCH 1:3 (FLAGS BODY.PEEK[TEXT])
		S: * 3 FETCH (FLAGS () BODY[TEXT] {12}
		S: Body of 3.
		S: )
		S: c NO [UNAVAILABLE] Some messages cannot be read now
		C: d SEARCH BODY body
		S: d NO [UNAVAILABLE] Temporary failure, please try again later
		C: e FETCH 1:2 FLAGS
		S: * 1 FETCH (FLAGS ())
		S: * 2 FETCH (FLAGS ())
		S: e OK FETCH completed
	`)
}

func TestLargeMessageIsStreamed(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	body := strings.Repeat("0123456789abcdefghijklmnopqrstuvwxyz\n", 100_000)
	w.put("Subject: large\n\n" + body)
	c := w.selected()
	require.Equal(t, strings.ReplaceAll(body, "\n", "\r\n"), fetchString(c, "1", "BODY[TEXT]"))
}

// Headers that mean trouble: none, nothing else, no end, CR and LF everywhere.
func TestOddMessagesAreServedByteForByte(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	messages := []string{"x", "\n", "\n\nbody", "A: b", "A: b\n", "A: b\n\n", "no field\n\nbody", strings.Repeat("H: v\n", 10_000) + "\nbody",
		"H: " + strings.Repeat("v", 9000) + "\n\nbody", "Content-Type: multipart/mixed\n\nno boundary", "a\rb\r\rc\n\n"}
	w.put(messages...)
	c := w.selected()
	for i, m := range messages {
		m = strings.ReplaceAll(m, "\n", "\r\n")
		seq := fmt.Sprint(i + 1)
		require.Equal(t, m, fetchString(c, seq, "BODY.PEEK[]"))
		header, text := fetchString(c, seq, "BODY.PEEK[HEADER]"), fetchString(c, seq, "BODY.PEEK[TEXT]")
		require.Equal(t, m, header+text)
		if i := strings.Index("\r\n"+m, "\r\n\r\n"); i >= 0 {
			require.Len(t, header, i+2, "%q", m)
		}
		lines := c.do("x FETCH " + seq + " (ENVELOPE BODYSTRUCTURE BODY)")
		require.Equal(t, "x OK FETCH completed", lines[len(lines)-1])
	}
}
