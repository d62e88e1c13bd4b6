package imapd_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/imapd"
)

// A mail that its own client appends must not be read as commands, whatever is refused and why. (go-imap's server did: a
// refused non-synchronising literal was executed.)
func TestRefusedLiteralsAreNeverCommands(t *testing.T) {
	t.Parallel()
	w := start(t, func(s *imapd.Server) { s.MaxAppendSize, s.MaxLiteralSize = 1000, 100 })
	evil := strings.Repeat("X: CREATE pwned\r\ny DELETE Archive\r\n\r\nz LOGOUT\r\n", 40)
	for name, command := range map[string]string{
		"over APPENDLIMIT":      "a APPEND INBOX {%d+}",
		"no such mailbox":       "a APPEND nowhere {%d+}",
		"bad name":              "a APPEND &bad {%d+}",
		"bad flags":             "a APPEND INBOX (\\Recent) {%d+}",
		"bad syntax":            "a APPEND INBOX hello {%d+}",
		"unknown command":       "a NONSENSE {%d+}",
		"long mailbox name":     "a SELECT {%d+}",
		"long search string":    "a SEARCH BODY {%d+}",
		"long name in a list":   "a LIST \"\" {%d+}",
		"wrong state":           "a FETCH 1 BODY[HEADER.FIELDS ({%d+}",
		"unfinished quoted":     "a SELECT \"x {%d+}",
		"no tag":                "{%d+}",
		"long literal for ID":   "a ID (\"name\" {%d+}",
		"long flag":             "a STORE 1 FLAGS {%d+}",
		"login when logged in":  "a LOGIN {%d+}",
		"second literal":        "a RENAME {1+}\r\nx {%d+}",
		"literal for a message": "a COPY {%d+}",
	} {
		c := w.login()
		c.do("x CREATE Archive")
		c.send(fmt.Sprintf(command, len(evil)) + "\r\n" + evil + "\r\n")
		answer := c.line()
		require.Regexp(t, `^(a|\*) (NO|BAD) `, answer, name)
		require.Equal(t, []string{`* LIST (\HasNoChildren) "/" Archive`, `* LIST (\HasNoChildren) "/" INBOX`, "x OK LIST completed"},
			sorted(c.do(`x LIST "" *`)), name)
		c.Conn.Close()
	}
}

// sorted puts LIST's INBOX behind Archive.
func sorted(lines []string) []string {
	if len(lines) == 3 {
		lines[0], lines[1] = min(lines[0], lines[1]), max(lines[0], lines[1])
	}
	return lines
}

// What is too long to be skipped ends the connection.
func TestLiteralsTooLongToSkipEndTheConnection(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	c := w.dial() // before log-in little is skipped
	c.Talk(`
		C: a APPEND INBOX {10000000+}
		S: a BAD Log in first
		S: * BYE [TOOBIG] Literal is too long
	`)
	c.closed()
	c = w.login()
	c.Talk(`
		C: a APPEND INBOX {1000000000000+}
		S: a NO [TOOBIG] Message is too large
		S: * BYE [TOOBIG] Literal is too long
	`)
	c.closed()
}

// The answer reaches a client that is still sending what was refused: the connection is not reset under it.
func TestByeReachesAClientThatIsSending(t *testing.T) {
	t.Parallel()
	_, addr := listenTCP(t, nil)
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	c := newClient(t, conn)
	c.line()
	c.send("a APPEND INBOX {500000+}\r\n" + strings.Repeat("x", 500_000))
	c.Talk("S: a BAD Log in first\nS: * BYE [TOOBIG] Literal is too long")
	c.closed()
	require.NoError(t, conn.Close())
}

// A refused synchronising literal is not asked for, and the next line is a command.
func TestRefusedSynchronisingLiterals(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.dial().Talk(`
		C: a LOGIN joe {99999}
		S: a NO [TOOBIG] Literal is too long
		C: b APPEND INBOX {10}
		S: b BAD Log in first
		C: c NONSENSE {10}
		S: c BAD Unknown command
		C: d LOGIN joe secret
		S: d OK <>
		C: e SELECT {99999}
		S: e NO [TOOBIG] Literal is too long
		C: f SELECT {5}
		S: + OK
		C: INBOX
		S: <>
		S: <>
		S: <>
		S: <>
		S: <>
		S: <>
		S: f OK <>
	`)
}

func TestLongLines(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	c := w.dial()
	c.send("a LOGIN joe " + strings.Repeat("x", 21<<10))
	require.Equal(t, "* BYE [TOOBIG] Command is too long", c.line())
	c.closed()
	c = w.selected()
	set := strings.TrimSuffix(strings.Repeat("1,", 30<<10), ",")
	require.Equal(t, []string{"a OK UID FETCH completed"}, c.do("a UID FETCH "+set+" FLAGS"))
	c.send("a UID FETCH " + strings.Repeat("1,", 40<<10))
	require.Equal(t, "* BYE [TOOBIG] Command is too long", c.line())
	c.closed()
}

func TestNonsense(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	c := w.dial()
	for line, want := range map[string]string{
		"":                         "* BAD expected a tag",
		" a NOOP":                  "* BAD expected a tag",
		"a":                        "a BAD expected a space",
		"a ":                       "a BAD expected an atom",
		"a  NOOP":                  "a BAD expected an atom",
		"a NOOP\r":                 "a BAD unexpected text at the end of the command",
		"a UID":                    "a BAD expected a space",
		"a UID NOOP":               "a BAD Unknown command",
		"a FETCHED":                "a BAD Unknown command",
		"+ NOOP":                   "* BAD expected a tag",
		"\x00\x01\xff":             "* BAD expected a tag",
		"a NO\x00OP":               "a BAD Unknown command",
		"EHLO example.com":         "EHLO BAD Unknown command",
		"a CAPABILITY {1}":         "a BAD unexpected text at the end of the command",
		strings.Repeat("(", 5_000): "* BAD expected a tag",
	} {
		c.send(line + "\r\n")
		require.Equal(t, want, c.line(), "%q", line)
		c.do("x NOOP")
	}
}

func TestTooManyErrorsEndTheConnection(t *testing.T) {
	t.Parallel()
	w := start(t, func(s *imapd.Server) { s.MaxErrors = 3 })
	c := w.dial()
	c.Talk(`
		C: GET / HTTP/1.1
		S: GET BAD Unknown command
		C: Host: mail.example.com
		S: Host: BAD Unknown command
		C:
		S: * BAD expected a tag
		S: * BYE Too many errors
	`)
	c.closed()
}

// Error texts hold nothing that could be taken for another response.
func TestTextsAreClean(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.put("Subject: a\r\n b\n\n")
	c := w.selected()
	c.do("x CREATE \"a b\"")
	c.Talk(`
		C: a STATUS "a b" (MESSAGES)
		S: * STATUS "a b" (MESSAGES 0)
		S: a OK STATUS completed
		C: b CREATE {11+}
		C: a
		C: * BYE x
		S: b NO [CANNOT] Mailbox name is not valid modified UTF-7
	`)
}

// Every line of mox's fuzzing seeds, as a command of its own and all in one go.
func TestForeignSeeds(t *testing.T) {
	t.Parallel()
	seeds, err := os.ReadFile(filepath.Join(suite(t, "fuzz-seeds"), "mox-imap", "fuzzseed.txt"))
	require.NoError(t, err)
	w := start(t, func(s *imapd.Server) { s.MaxErrors = -1 })
	w.put(nested, mail("2"), "\n")
	for _, input := range []string{string(seeds), regexp.MustCompile(`(?m)^(\w+ )?(.*)$`).ReplaceAllString(string(seeds), "a $2")} {
		c := w.selected()
		go func() {
			_, _ = io.WriteString(c.Conn, input)
			_ = c.Conn.(interface{ CloseWrite() error }).CloseWrite()
		}()
		checkResponses(t, c.Reader)
	}
}

// Depth that would cost quadratic time, or crash, in others.
func TestDeepMessages(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	var deep, inner strings.Builder
	for i := range 4000 {
		fmt.Fprintf(&deep, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
		inner.WriteString("Content-Type: message/rfc822\n\n")
	}
	w.put(deep.String(), inner.String(), "Content-Type: multipart/mixed; boundary=\"\n\n--\"\n", "Content-Type: multipart/mixed\n\n")
	c := w.selected()
	began := time.Now()
	for _, command := range []string{"FETCH 1:4 (BODYSTRUCTURE BODY ENVELOPE)", "SEARCH TEXT nothing", "FETCH 1:4 BODY[1.1.1.1.1.1.1.1]"} {
		lines := c.do("a " + command)
		require.Regexp(t, "^a OK", lines[len(lines)-1])
	}
	require.Less(t, time.Since(began), 5*time.Second)
}

// dialTCP is a client of a server on loopback.
func listenTCP(t testing.TB, change func(*imapd.Server)) (w *world, addr string) {
	t.Helper()
	w = start(t, change)
	return w, w.listenTCP()
}

// listenTCP serves on a real socket, too.
func (w *world) listenTCP() (addr string) {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(w.t, err)
	ended := make(chan error, 1)
	go func() { ended <- w.server.Serve(l) }()
	w.t.Cleanup(func() {
		w.stop()
		require.ErrorIs(w.t, <-ended, imapd.ErrServerClosed)
	})
	return l.Addr().String()
}

// FuzzSession sends whatever comes to a session that has a mailbox selected. It must answer or end, and what it says must be responses.
func FuzzSession(f *testing.F) {
	for _, s := range []string{
		"a FETCH 1:* (FLAGS BODY[HEADER.FIELDS (SUBJECT)]<0.10> BODYSTRUCTURE)\r\nb LOGOUT\r\n",
		"a UID STORE 1 +FLAGS.SILENT (\\Deleted)\r\nb EXPUNGE\r\nc CLOSE\r\n",
		"a SEARCH RETURN (MIN) CHARSET UTF-8 OR (BODY {3+}\r\nabc) NOT SINCE 1-Feb-1994\r\n",
		"a APPEND INBOX (\\Seen) \" 7-Feb-1994 21:52:25 -0800\" {3+}\r\nabc\r\nb IDLE\r\nDONE\r\n",
		"a LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (\"*\" \"%\") RETURN (STATUS (MESSAGES))\r\nb LSUB \"\" *\r\n",
		"a CREATE x (USE (\\Sent))\r\nb RENAME x y\r\nc COPY 1 y\r\nd MOVE 2 y\r\ne DELETE y\r\nf NAMESPACE\r\ng ID (\"a\" NIL)\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		w := start(t, func(s *imapd.Server) { s.MaxAppendSize = 1 << 10 })
		defer w.stop()
		w.put(nested, mail("2"), "\n")
		c := w.selected()
		go func() {
			_, _ = c.Conn.Write(input)
			_ = c.Conn.(interface{ CloseWrite() error }).CloseWrite()
		}()
		checkResponses(t, c.Reader)
	})
}

// checkResponses reads to the end and takes every line for a response or part of a literal.
func checkResponses(t *testing.T, br *bufio.Reader) {
	for continued := false; ; {
		line, err := br.ReadString('\n')
		if err != nil {
			require.Empty(t, line)
			return
		}
		require.True(t, strings.HasSuffix(line, "\r\n"), "%q", line)
		if !continued {
			require.Regexp(t, `^(\+ |\* |[^ ]+ (OK|NO|BAD) )`, line)
		}
		var n int64
		start := strings.LastIndexByte(line, '{')
		continued = start >= 0 && strings.HasSuffix(line, "}\r\n")
		if continued {
			_, err := fmt.Sscanf(line[start:], "{%d}", &n)
			require.NoError(t, err, "%q", line)
			_, err = io.CopyN(io.Discard, br, n)
			require.NoError(t, err)
		}
	}
}
