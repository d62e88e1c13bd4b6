package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailtest"
)

// ehlo gives the SIZE that a server announces. Where there is no room for a connection, as one that was closed just now still
// counts, it tries again.
func ehlo(t *testing.T, addr string) (size string, conn net.Conn) {
	t.Helper()
	require.Eventually(t, func() bool {
		size, conn = tryEhlo(addr)
		return conn != nil
	}, 10*time.Second, 10*time.Millisecond)
	t.Cleanup(func() { _ = conn.Close() })
	return size, conn
}

func tryEhlo(addr string) (size string, conn net.Conn) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return "", nil
	}
	if err = conn.SetDeadline(time.Now().Add(20 * time.Second)); err == nil {
		_, err = conn.Write([]byte("EHLO x.example\r\n"))
	}
	for in := bufio.NewReader(conn); err == nil; {
		var line string
		line, err = in.ReadString('\n')
		if found := sizeLine.FindStringSubmatch(line); found != nil {
			size = found[1]
		}
		if strings.HasPrefix(line, "250 ") {
			return size, conn
		}
	}
	_ = conn.Close()
	return "", nil
}

var sizeLine = regexp.MustCompile(`^250.SIZE (\d+)`)

// readTo reads lines up to one that begins like this.
func readTo(t *testing.T, conn net.Conn, last string) string {
	t.Helper()
	var all strings.Builder
	for in := bufio.NewReader(conn); ; {
		line, err := in.ReadString('\n')
		require.NoError(t, err)
		all.WriteString(line)
		if strings.HasPrefix(line, last) {
			return all.String()
		}
	}
}

// Two sessions of one user are kept apart over a reload, and connections are counted over it.
func TestReloadKeepsLocksAndCounts(t *testing.T) {
	t.Parallel()
	file, ports := testConfig(t, "smtp", "pop3s")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	config := string(text) + "connections = 2\n"
	require.NoError(t, os.WriteFile(file, []byte(config), 0o600))
	_, errs, code := run(t, "", "-config", file, "email", "add", "ann@example.com", "secret")
	require.Equal(t, exitOK, code, errs)
	serve(t, file)
	pop := func(want string) {
		t.Helper()
		conn, err := tls.Dial("tcp", ports["pop3s"], &tls.Config{InsecureSkipVerify: true})
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
		_, err = conn.Write([]byte("USER ann@example.com\r\nPASS secret\r\n"))
		require.NoError(t, err)
		in := bufio.NewReader(conn)
		for range 2 {
			_, err = in.ReadString('\n')
			require.NoError(t, err)
		}
		line, err := in.ReadString('\n')
		require.NoError(t, err)
		require.Contains(t, line, want)
	}
	pop("+OK")
	_, conn := ehlo(t, ports["smtp"])
	require.NoError(t, os.WriteFile(file, []byte(config+"recipients = 7\nmessage_size = \"3M\"\n"), 0o600))
	require.Eventually(t, func() bool {
		size, conn := tryEhlo(ports["smtp"])
		if conn != nil {
			_ = conn.Close()
		}
		return size == "3145728"
	}, 10*time.Second, 50*time.Millisecond)
	pop("[IN-USE]")
	_, second := ehlo(t, ports["smtp"])
	third, err := net.Dial("tcp", ports["smtp"])
	require.NoError(t, err)
	defer third.Close()
	require.NoError(t, third.SetDeadline(time.Now().Add(20*time.Second)))
	require.Contains(t, readTo(t, third, "421"), "421")
	_ = conn.Close()
	_ = second.Close()
}

// Changes to the configuration and the certificate hold within two seconds, and sessions go on.
func TestChangedFilesAreReloaded(t *testing.T) {
	t.Parallel()
	file, ports := testConfig(t, "smtp", "imaps", "submissions")
	dir := filepath.Dir(file)
	ca := mailtest.NewCA()
	cert := func(host string) {
		pair := ca.Certificate(host)
		writePair(t, dir, pair)
	}
	cert("old.example.com")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	config := string(text) + fmt.Sprintf("message_size = \"1M\"\n[tls]\nmode = \"manual\"\ncert = %q\nkey = %q\n", filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	write := func(text string) { require.NoError(t, os.WriteFile(file, []byte(text), 0o600)) }
	write(config)
	serve(t, file)

	size, session := ehlo(t, ports["smtp"])
	require.Equal(t, "1048576", size)
	names := func() []string {
		conn, err := tls.Dial("tcp", ports["imaps"], &tls.Config{RootCAs: ca.Pool(), InsecureSkipVerify: true})
		require.NoError(t, err)
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].DNSNames
	}
	require.Equal(t, []string{"old.example.com"}, names())

	write(strings.Replace(config, `"1M"`+"\n[tls]", `"2M"`+"\n[tls]", 1))
	cert("new.example.com")
	require.Eventually(t, func() bool {
		size, conn := tryEhlo(ports["smtp"])
		if conn != nil {
			_ = conn.Close()
		}
		return size == "2097152" && names()[0] == "new.example.com"
	}, 10*time.Second, 50*time.Millisecond)

	// A configuration with a mistake changes nothing, also where the mistake is found late.
	bad := strings.ReplaceAll(config, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "missing.pem"))
	write("domains = [\"new.example\"]\n" + bad)
	time.Sleep(2 * watchInterval)
	size, conn := ehlo(t, ports["smtp"])
	require.Equal(t, "2097152", size)
	_, err = conn.Write([]byte("MAIL FROM:<>\r\nRCPT TO:<postmaster@new.example>\r\n"))
	require.NoError(t, err)
	require.Contains(t, readTo(t, conn, "550"), "relaying denied")
	_, err = session.Write([]byte("NOOP\r\n"))
	require.NoError(t, err)
	require.Contains(t, readTo(t, session, "250"), "250", "the first session has lived on")
}

// Reports begin and end with a reload, and what cannot be is said at once and changes nothing.
func TestReportsFollowTheConfiguration(t *testing.T) {
	t.Parallel()
	file, _ := testConfig(t, "smtp")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	serve(t, file)
	pending := func() string {
		out, errs, _ := run(t, "", "-config", file, "dmarc", "pending")
		return out + errs
	}
	require.Contains(t, pending(), "reports are off")
	for _, on := range []bool{true, false, true} {
		require.NoError(t, os.WriteFile(file, []byte(string(text)+fmt.Sprintf("[reports]\ndmarc = %v\n", on)), 0o600))
		require.Eventually(t, func() bool {
			return strings.Contains(pending(), map[bool]string{true: "No reports are pending", false: "reports are off"}[on])
		}, 10*time.Second, 50*time.Millisecond)
	}
}
