package dialogue_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/dialogue"
	"github.com/mailbricks/mailbricks/mailtest"
)

// failing is a test that may fail without making this one fail.
type failing struct {
	testing.TB
	why string
}

func (f *failing) Helper() {}

func (f *failing) Fatal(args ...any) {
	f.why = fmt.Sprint(args...)
	runtime.Goexit()
}

func (f *failing) Fatalf(format string, args ...any) { f.Fatal(fmt.Sprintf(format, args...)) }

// recorder takes note of each write.
type recorder struct {
	*mailtest.Conn
	writes []string
}

func (r *recorder) Write(p []byte) (int, error) {
	r.writes = append(r.writes, string(p))
	return r.Conn.Write(p)
}

// run has a script talk to a server that only sends greeting, and gives what the client wrote and why the test failed, if it
// did. The server closes its side once the client does.
func run(t *testing.T, greeting, script string, change func(*dialogue.Client)) (writes []string, why string) {
	t.Helper()
	network := mailtest.NewNetwork()
	l, err := network.Listen("tcp", "192.0.2.1:7")
	require.NoError(t, err)
	defer l.Close()
	conn, err := network.Dialer("").Dial("tcp", "192.0.2.1:7")
	require.NoError(t, err)
	server, err := l.Accept()
	require.NoError(t, err)
	served := make(chan struct{})
	go func() {
		defer close(served)
		defer server.Close()
		_, _ = io.WriteString(server, greeting)
		_, _ = io.Copy(io.Discard, server)
	}()
	f, talked, record := &failing{TB: t}, make(chan struct{}), &recorder{Conn: conn.(*mailtest.Conn)}
	go func() {
		defer close(talked)
		c := dialogue.New(f, record)
		if change != nil {
			change(c)
		}
		c.Talk(script)
	}()
	<-talked
	require.NoError(t, conn.Close())
	<-served
	return record.writes, f.why
}

func TestTalk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var args []string
		got, why := run(t, "220 hello\r\n220-\r\n* OK\r\n", `
			# a comment
			S: 220 *o
			C: one
			C:
			R: "two\n"
			S: 220-
			C:  three
			W: 2s
			R: "four"
			X! y
			S: * OK
			C: five
			H:
			S$
		`, func(c *dialogue.Client) {
			c.Verbs = map[string]func(string){"X!": func(arg string) { args = append(args, arg) }}
		})
		require.Empty(t, why)
		require.Equal(t, []string{"one\r\n\r\ntwo\n", " three\r\n", "four", "five\r\n"}, got)
		require.Equal(t, 2*time.Second, time.Since(began))
		require.Equal(t, []string{"y"}, args)
	})
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line, pattern string
		ok            bool
	}{
		{"abc", "abc", true}, {"abc", "ab", false}, {"abc", "bc", false}, {"", "", true},
		{"abc", "<>", true}, {"", "<>", true}, {"abc", "a<>", true}, {"abc", "<>c", true}, {"abc", "a<>c", true},
		{"abc", "b<>", false}, {"abc", "<>b", false}, {"abc", "ab<>bc", false}, {"a/b/c", "a<>c", true}, {"[x]", "[<>]", true},
		{"aXbXc", "a<>b<>c", true}, {"aXc", "a<>b<>c", false}, {"* 1 FETCH", "* <> FETCH", true}, {"abab", "<>ab", true},
	} {
		script := "S: " + c.pattern
		_, why := run(t, c.line+"\r\n", script, func(client *dialogue.Client) { client.Any = "<>" })
		require.Equal(t, c.ok, why == "", "%q %q: %s", c.line, c.pattern, why)
	}
}

func TestWhatEndsATest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ greeting, script, why string }{
		"another line":       {"221 x\r\n", "\nS: 220 *", "line 1: S: 220 *: got 221 x"},
		"no CR":              {"220 x\n", "S: 220 *", `line 0: S: 220 *: got "220 x\n", line ends without CR LF`},
		"the end":            {"220", "H:\nS: 220", `line 1: S: 220: got "220", EOF`},
		"no end":             {"220 x\r\n", "S$", `line 0: S$: got "220 x", <nil>`},
		"bad by Check":       {"bad\r\n", "S: bad", `line 0: S: bad: got "bad", bad line`},
		"an unknown verb":    {"", "Q: x", "line 0: Q: x: no such line in a dialogue"},
		"a line too short":   {"", "x", "line 0: x: no such line in a dialogue"},
		"an odd duration":    {"", "W: x", `line 0: W: x: time: invalid duration "x"`},
		"a text without end": {"", `R: "x`, `line 0: R: "x: invalid syntax`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, why := run(t, c.greeting, c.script, func(client *dialogue.Client) {
				client.Check = func(line string) error {
					if strings.HasPrefix(line, "bad") {
						return errors.New("bad line")
					}
					return nil
				}
			})
			require.Equal(t, c.why, why)
		})
	}
}

func TestNothingToCloseOrSendTo(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{
		"H:": "line 0: H:: there is no half to close", "C: x\nS: y": "line 1: S: y: io: read/write on closed pipe", "C: x": "io: read/write on closed pipe",
	} {
		client, _ := net.Pipe()
		require.NoError(t, client.Close())
		f, done := &failing{TB: t}, make(chan struct{})
		go func() {
			defer close(done)
			dialogue.New(f, client).Talk(script)
		}()
		<-done
		require.Equal(t, want, f.why)
	}
}
