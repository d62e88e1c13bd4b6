package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// lmtpConfig is testConfig with an LMTP service on a Unix socket, which a killed server has left.
func lmtpConfig(t *testing.T) (file, socket string) {
	t.Helper()
	file, _ = testConfig(t, "smtp")
	dir, err := os.MkdirTemp("", "lmtp") // t.TempDir may be too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket = filepath.Join(dir, "s")
	old, err := net.Listen("unix", socket)
	require.NoError(t, err)
	old.(*net.UnixListener).SetUnlinkOnClose(false)
	require.NoError(t, old.Close())
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	listen := fmt.Sprintf("[listen]\nlmtp = { address = \"unix:%s\", mode = \"0600\" }\n", socket)
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(string(text), "[listen]\n", listen, 1)), 0o600))
	return file, socket
}

// Each recipient has an outcome of its own over LMTP, and what is refused one is not settled because another got the message.
func TestLMTPAnswersForEachRecipient(t *testing.T) {
	t.Parallel()
	file, socket := lmtpConfig(t)
	for _, args := range [][]string{
		{"email", "add", "ann@example.com", "secret"}, {"email", "add", "bob@example.com", "secret"},
		{"quota", "set", "bob@example.com", "10B"}, {"alias", "add", "both@example.com", "ann@example.com"},
		{"alias", "add", "both@example.com", "bob@example.com"},
	} {
		_, errs, code := run(t, "", append([]string{"-config", file}, args...)...)
		require.Equal(t, exitOK, code, errs)
	}
	serve(t, file)
	info, err := os.Stat(socket)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	conn, err := net.Dial("unix", socket)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, err = io.WriteString(conn, "LHLO mx.example.net\r\nMAIL FROM:<sender@example.net>\r\nRCPT TO:<ann@example.com>\r\nRCPT TO:<nobody@example.com>\r\n"+
		"RCPT TO:<bob@example.com>\r\nRCPT TO:<both@example.com>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\nSubject: hello\r\n\r\nHow are you?\r\n.\r\nQUIT\r\n")
	require.NoError(t, err)
	said, err := io.ReadAll(conn)
	require.NoError(t, err)
	_, replies, _ := strings.Cut(string(said), "\r\n250 ")
	var codes []string
	for line := range strings.Lines(replies) {
		if len(line) > 3 && line[3] == ' ' {
			codes = append(codes, line[:3])
		}
	}
	// MAIL, five RCPT, DATA, then ann, bob and the alias.
	require.Equal(t, "250 250 550 250 250 550 354 250 552 250 221", strings.Join(codes, " "), string(said))
	out, _, _ := run(t, "", "-config", file, "email", "list")
	require.Regexp(t, `ann@example.com \( [1-9]`, out)
	require.Contains(t, out, "bob@example.com ( 0 / ")
}

func TestSocketOfAnotherServerStays(t *testing.T) {
	t.Parallel()
	file, socket := lmtpConfig(t)
	require.NoError(t, os.Remove(socket))
	other, err := net.Listen("unix", socket)
	require.NoError(t, err)
	defer other.Close()
	_, errs, code := run(t, "", "-config", file, "serve")
	require.Equal(t, exitError, code)
	require.Contains(t, errs, "lmtp: "+socket+": another server listens there")
}
