package smtpd_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
)

// deviations are the replies that differ from those of the server that the dialogues were written for, and why. The key is
// the command that is answered, or its verb.
var deviations = map[string]struct{ code, why string }{
	"auth_multi_dialog AUTH SOMETHINGELSE":        {"504", "RFC 4954 §4 names 504 for an unknown mechanism"},
	"auth_not_tls AUTH PLAIN":                     {"538", "RFC 4954 §6 names 538 for log-in without encryption"},
	"auth_too_many_failures AUTH PLAIN something": {"501", "a response that is not base64 is an error of which MaxErrors allows ten, and no log-in that failed"},
	"bad_data .":                              {"250", "a line that is no field is no reason to refuse mail"},
	"bad_data_dot xxx\\r\\n.\\r\\n":           {"550", "bare line ends get 550, the connection goes on"},
	"bad_data_dot_2 \\r\\n.\\r\\n":            {"550", "as above"},
	"bad_data_dot_on_message_too_big .":       {"552", "the size is what the sender can mend"},
	"bad_mail_from MAIL LALA: <>":             {"501", "the verb is known, its argument is not"},
	"bad_mail_from MAIL FROM:":                {"501", "as above"},
	"bad_rcpt_to RCPT LALA: <>":               {"501", "as above"},
	"bad_rcpt_to RCPT TO:":                    {"501", "as above"},
	"bad_rcpt_to RCPT TO:<henryⅣ@testserver>": {"553", "RFC 6531 §3.5 names 553 for addresses that need SMTPUTF8"},
	"line_too_long HELO":                      {"500", "RFC 5321 §4.5.3.1.10 names 500"},
}

// rewritten are lines that a client must not send as they stand in the dialogues.
var rewritten = map[string]string{
	"RCPT TO: user@testserver": "RCPT TO:<user@testserver>", // RFC 5321 §4.1.2: a path has angle brackets
}

// TestSuiteDialogues runs chasquid's dialogues: lines of "c -> text" (send), "c ~> expression" (send raw), "c <- text"
// (expect), "c <~ pattern" (expect a match), "c <... text" (read to this line).
func TestSuiteDialogues(t *testing.T) {
	suites := os.Getenv("MAILBRICKS_SUITES")
	if suites == "" {
		t.Skip("MAILBRICKS_SUITES does not name the folder of the conformance data")
	}
	files, err := filepath.Glob(filepath.Join(suites, "smtp", "chasquid-dialogs", "*.cmy"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var used sync.Map // the deviations that were met
	t.Cleanup(func() {
		for key := range deviations {
			_, met := used.Load(key)
			require.True(t, met || t.Failed(), "%s is no deviation any more", key)
		}
	})
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".cmy"), func(t *testing.T) {
			ca := mailtest.NewCA()
			inWorld(t, func(s *smtpd.Server) {
				withTLS(ca)(s)
				s.Auth, s.MaxMessageSize = suiteUsers{}, 1<<20
			}, func(w *world) {
				l, err := w.net.Listen("tcp", "192.0.2.1:465")
				require.NoError(w.t, err)
				go func() { w.done <- w.srv.ServeTLS(l) }()
				runDialogue(w, ca, file, &used)
				require.NoError(w.t, w.srv.Close())
				require.ErrorIs(w.t, <-w.done, smtpd.ErrServerClosed)
			})
		})
	}
}

func runDialogue(w *world, ca *mailtest.CA, file string, used *sync.Map) {
	name := strings.TrimSuffix(filepath.Base(file), ".cmy")
	text, err := os.ReadFile(file)
	require.NoError(w.t, err)
	var c client
	last := ""
	for n, line := range strings.Split(string(text), "\n") {
		op, arg, _ := strings.Cut(strings.TrimPrefix(line, "c "), " ")
		switch op {
		case "tcp_connect", "tls_connect":
			w.addr = "192.0.2.1:25"
			if op == "tls_connect" {
				w.addr = "192.0.2.1:465"
			}
			c, last = w.dial("203.0.113.9"), ""
			if op == "tls_connect" {
				c.startTLS(ca.ClientConfig("mail.example.com"))
			}
		case "close":
			c.Conn.Close()
		case "->":
			last = arg
			if other, ok := rewritten[arg]; ok {
				arg = other
			}
			fmt.Fprintf(c.Conn, "%s\r\n", arg)
		case "~>":
			last = strings.Trim(arg, "'")
			_, err := c.Conn.Write([]byte(pythonString(w.t, arg)))
			require.NoError(w.t, err)
		case "<-", "<~":
			got := c.reply()
			verb, _, _ := strings.Cut(last, " ")
			want := arg
			for _, key := range []string{verb, last} {
				if other, ok := deviations[name+" "+key]; ok {
					want = other.code
					used.Store(name+" "+key, true)
				}
			}
			require.Regexp(w.t, regexp.MustCompile("^"+want[:3]), got, "%s:%d: reply to %q", name, n+1, last)
		case "<...":
			for {
				line, err := c.Line()
				require.NoError(w.t, err)
				if line == arg {
					break
				}
			}
		case "", "#":
		default:
			require.True(w.t, strings.HasPrefix(line, "#"), line)
		}
	}
	verifyDialogue(w, file+".verify")
}

// verifyDialogue compares the message that came in with the one that the suite expects.
func verifyDialogue(w *world, file string) {
	want, err := os.ReadFile(file)
	if err != nil {
		return // most dialogues have none
	}
	require.Len(w.t, w.messages(), 1)
	_, got, _ := bytes.Cut(bytes.ReplaceAll(w.messages()[0].Raw, []byte("\r\n"), []byte("\n")), []byte("From: "))
	got = append([]byte("From: "), got...)
	require.Equal(w.t, string(want), string(got))
}

// pythonString evaluates strings in single quotes joined by "+" and repeated by "*".
func pythonString(t *testing.T, expr string) string {
	t.Helper()
	r := bufio.NewReader(strings.NewReader(strings.ReplaceAll(expr, " ", "")))
	sum := func() string { return "" }
	factor := func() string {
		b, err := r.ReadByte()
		require.NoError(t, err)
		if b == '(' {
			inner := sum()
			_, err := r.ReadByte()
			require.NoError(t, err)
			return inner
		}
		quoted, err := r.ReadString('\'')
		require.NoError(t, err)
		text, err := strconv.Unquote(`"` + strings.TrimSuffix(quoted, "'") + `"`)
		require.NoError(t, err)
		return text
	}
	peek := func(want byte) bool {
		b, err := r.Peek(1)
		if err != nil || b[0] != want {
			return false
		}
		_, _ = r.Discard(1)
		return true
	}
	product := func() string {
		text := factor()
		for peek('*') {
			n := 0
			for b, err := r.Peek(1); err == nil && b[0] >= '0' && b[0] <= '9'; b, err = r.Peek(1) {
				n = 10*n + int(b[0]-'0')
				_, _ = r.Discard(1)
			}
			text = strings.Repeat(text, n)
		}
		return text
	}
	sum = func() string {
		text := product()
		for peek('+') {
			text += product()
		}
		return text
	}
	return sum()
}

// suiteUsers knows the suite's user.
type suiteUsers struct{}

func (suiteUsers) Mechanisms(mailbricks.Peer) []string { return []string{"PLAIN"} }

func (suiteUsers) Start(_ context.Context, mechanism string, _ mailbricks.Peer) (mailbricks.Exchange, error) {
	if mechanism != "PLAIN" {
		return nil, fmt.Errorf("no %s", mechanism)
	}
	return suiteExchange{}, nil
}

type suiteExchange struct{}

func (suiteExchange) Next(_ context.Context, response []byte) ([]byte, *mailbricks.Identity, error) {
	switch {
	case response == nil:
		return []byte{}, nil, nil
	case string(response) == "user@testserver\x00user@testserver\x00secretpassword":
		return nil, &mailbricks.Identity{Login: "user@testserver", User: "user@testserver"}, nil
	}
	return nil, nil, mailbricks.ErrAuth
}
