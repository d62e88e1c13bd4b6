//go:build interop

package interop

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// dialogue is an SMTP session, written line by line.
type dialogue struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func newDialogue(t *testing.T, conn net.Conn) *dialogue {
	return &dialogue{t: t, conn: conn, in: bufio.NewReader(conn)}
}

// talk connects to a port of the host and reads the greeting.
func (h *host) talk(port int) *dialogue {
	h.t.Helper()
	conn, err := (&net.Dialer{Timeout: patience}).Dial("tcp", net.JoinHostPort(h.ip, strconv.Itoa(port)))
	require.NoError(h.t, err)
	require.NoError(h.t, conn.SetDeadline(time.Now().Add(patience)))
	h.t.Cleanup(func() { _ = conn.Close() }) // where a test ends early
	d := newDialogue(h.t, conn)
	require.Regexp(h.t, `^220 `+h.name, d.reply())
	return d
}

// close leaves without a word.
func (d *dialogue) close() { _ = d.conn.Close() }

// reply reads a reply and gives its last line.
func (d *dialogue) reply() string {
	d.t.Helper()
	for {
		line, err := d.in.ReadString('\n')
		require.NoError(d.t, err)
		if len(line) > 3 && line[3] == ' ' {
			return line[:len(line)-2]
		}
	}
}

// say sends raw octets.
func (d *dialogue) say(raw string) {
	d.t.Helper()
	_, err := d.conn.Write([]byte(raw))
	require.NoError(d.t, err)
}

// expect sends a command whose reply must begin like this.
func (d *dialogue) expect(command, reply string) {
	d.t.Helper()
	d.say(command + "\r\n")
	require.Regexp(d.t, "^"+reply, d.reply(), command)
}

// startTLS goes over to TLS.
func (d *dialogue) startTLS(h *host) {
	d.t.Helper()
	d.expect("STARTTLS", "220 ")
	config := h.ca.ClientConfig(h.name)
	conn := tls.Client(d.conn, config)
	require.NoError(d.t, conn.Handshake())
	d.conn, d.in = conn, bufio.NewReader(conn)
}

// logIn goes as far as a user who may send.
func (d *dialogue) logIn(h *host, user string) {
	d.t.Helper()
	d.expect("EHLO laptop.home", "250 ")
	d.startTLS(h)
	d.expect("EHLO laptop.home", "250 ")
	d.expect("AUTH PLAIN "+plain(user, "secret"), "235 2.7.0")
}

func plain(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
}
