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

// ehlo gives the SIZE that a server announces.
func ehlo(t *testing.T, addr string) (size string, conn net.Conn) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, err = conn.Write([]byte("EHLO x.example\r\n"))
	require.NoError(t, err)
	return regexp.MustCompile(`250.SIZE (\d+)`).FindStringSubmatch(readTo(t, conn, "250 "))[1], conn
}

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
		size, conn := ehlo(t, ports["smtp"])
		_ = conn.Close()
		return size == "2097152" && names()[0] == "new.example.com"
	}, 10*time.Second, 50*time.Millisecond)

	write(config + "nonsense = 1\n")
	time.Sleep(watchInterval + 200*time.Millisecond)
	size, _ = ehlo(t, ports["smtp"])
	require.Equal(t, "2097152", size, "a configuration with a mistake changes nothing")
	_, err = session.Write([]byte("NOOP\r\n"))
	require.NoError(t, err)
	require.Contains(t, readTo(t, session, "250"), "250", "the first session has lived on")
}
