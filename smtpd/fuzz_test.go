package smtpd_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
)

// FuzzSession sends a client's side of a session in one go and checks the server's side of it: one well-formed reply for
// each command in order, and no message accepted but those with a clean end.
func FuzzSession(f *testing.F) {
	const begin = "EHLO a.example\r\n"
	const mail = "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n"
	for _, seed := range []string{
		begin + mail + "Subject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n",
		begin + mail + "x\r\n.\r\n" + mail + "y\n.\n\r\n.\r\nNOOP\r\n",
		begin + mail + "x\r\n.\r", begin + mail + "..\r\n.\r\nRSET\r\n", "HELO x\r\nVRFY a\r\nHELP\r\n",
		begin + "AUTH PLAIN\r\nAGFubkBleGFtcGxlLmNvbQBzZWNyZXQ=\r\nAUTH LOGIN\r\n*\r\nNOOP\r\n", begin + "AUTH LAST eA==\r\n\r\n" + mail,
		begin + "MAIL FROM:<\xc3\xb6@b> SMTPUTF8 SIZE=1 BODY=8BITMIME AUTH=<>\r\nRCPT TO:<@a:b@c>\r\nQUIT\r\n", "GET / HTTP/1.0\r\nNOOP\r\n",
		"NOOP\nNOOP\r\n\r\n\x00\r\n", strings.Repeat("NOOP\r\n", 200), strings.Repeat("x", 13000) + "\r\nNOOP\r\n", begin + mail + "x\r\r\n.\r\nNOOP\r\n",
	} {
		f.Add([]byte(seed))
	}
	if suites := os.Getenv("MAILBRICKS_SUITES"); suites != "" {
		files, _ := filepath.Glob(filepath.Join(suites, "fuzz-seeds", "profuzzbench-smtp", "in-smtp", "*.raw"))
		for _, file := range files {
			if seed, err := os.ReadFile(file); err == nil {
				f.Add(seed)
			}
		}
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) > 60<<10 { // what a connection of the network in memory holds
			return
		}
		out, messages := runSession(t, input)
		checkSession(t, string(input), out, messages)
	})
}

// runSession gives what the server sent and which messages it accepted.
func runSession(t *testing.T, input []byte) (out []byte, messages []string) {
	var mu sync.Mutex
	srv := &smtpd.Server{
		Hostname: "mail.example.com", Auth: users{[]string{"PLAIN", "LOGIN", "LAST"}}, AllowInsecureAuth: true, MaxMessageSize: 2000,
		Handler: mailbricks.HandlerFunc(func(_ context.Context, _ *mailbricks.Envelope, msg *mailbricks.Message) error {
			raw, err := io.ReadAll(msg.Reader())
			mu.Lock()
			defer mu.Unlock()
			messages = append(messages, string(raw))
			return err
		}),
	}
	network := mailtest.NewNetwork()
	l, err := network.Listen("tcp", "192.0.2.1:25")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	conn, err := network.Dialer("").Dial("tcp", "192.0.2.1:25")
	require.NoError(t, err)
	_, err = conn.Write(input)
	require.NoError(t, err)
	require.NoError(t, conn.(interface{ CloseWrite() error }).CloseWrite())
	out, err = io.ReadAll(conn)
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	require.NoError(t, srv.Shutdown(context.Background()))
	require.ErrorIs(t, <-ended, smtpd.ErrServerClosed)
	return out, messages
}

// replyLine is every line that the server may send.
var replyLine = regexp.MustCompile(`^[2345][0-9][0-9][ -][ -~\x80-\xff]*$`)

// replies cuts what the server sent into its replies and gives their codes.
func replies(t *testing.T, out []byte) []string {
	var codes []string
	open := false
	for len(out) > 0 {
		line, rest, found := bytes.Cut(out, []byte("\r\n"))
		require.True(t, found, "a reply line without its end: %q", out)
		require.Regexp(t, replyLine, string(line))
		require.LessOrEqual(t, len(line), 510)
		if open {
			require.Equal(t, codes[len(codes)-1], string(line[:3]))
		} else {
			codes = append(codes, string(line[:3]))
		}
		open = line[3] == '-'
		out = rest
	}
	require.False(t, open, "a reply without its last line")
	return codes
}

// checkSession goes through the input as the replies say that the server understood it.
func checkSession(t *testing.T, input string, out []byte, messages []string) {
	codes := replies(t, out)
	next := func() string {
		require.NotEmpty(t, codes, "a command without a reply, before %q", input)
		code := codes[0]
		codes = codes[1:]
		return code
	}
	require.Equal(t, "220", next())
	for over := false; !over; {
		line, rest, found := strings.Cut(input, "\n")
		if !found {
			if len(input) >= 12288 {
				require.Equal(t, "500", next())
			}
			break // half of a line is no command
		}
		input = rest
		switch code := next(); {
		case code == "354":
			input, over = checkMessage(t, input, next, &messages)
		case code == "221", code == "421", len(line) >= 12288:
			over = true
		case code == "502" && regexp.MustCompile(`(?i)^(GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH|PRI)( |\s*$)`).MatchString(line):
			over = true
		}
	}
	require.Empty(t, codes, "replies to nothing")
	require.Empty(t, messages, "messages that nobody sent")
}

// checkMessage checks the outcome of the message at the start of input.
func checkMessage(t *testing.T, input string, next func() string, messages *[]string) (rest string, over bool) {
	text, rest, done, flaw := smtpd.PlainScan(input)
	if !done {
		return "", true
	}
	code := next()
	if code != "250" {
		return rest, code == "421"
	}
	require.NoError(t, flaw, "a message with a flaw was accepted")
	require.NotEmpty(t, *messages)
	got := (*messages)[0]
	*messages = (*messages)[1:]
	require.True(t, strings.HasPrefix(got, "Received: from "))
	require.True(t, strings.HasSuffix(got, "\r\n"+text), "%q is not what was sent: %q", got, text)
	return rest, false
}
