package smtpd_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailtest"
	"github.com/mailbricks/mailbricks/smtpd"
)

// A message that falls silent, breaks off or is cut anywhere is not accepted, and what comes after it is no command: not even
// the end of the message, once its time is over.
func TestMessagesThatStop(t *testing.T) {
	ca := mailtest.NewCA()
	for _, how := range []struct{ name, mail, text string }{
		{"DATA", toData, "Subject: one\r\n\r\n..body\r\n.\r\n"},
		{"BDAT", mailTo, "BDAT 28 LAST\r\nSubject: one\r\n\r\n..body\r\n.\r\n"},
		{"chunks", mailTo + "C: BDAT 14\nC: Subject: one\nS: 250 2.0.0 *\n", "BDAT 0\r\nBDAT 5\r\n\r\nx\r\nBDAT 2 LAST\r\n\r\n"},
	} {
		for _, secure := range []bool{false, true} {
			for at := range how.text {
				for name, stop := range stops {
					t.Run(fmt.Sprintf("%s, %s behind %q, TLS %v", how.name, name, how.text[:at], secure), func(t *testing.T) {
						inWorld(t, withTLS(ca), func(w *world) {
							c := w.dial("203.0.113.9")
							raw := c.Conn.(*mailtest.Conn)
							c.Talk(hello)
							if secure {
								c.Talk("C: STARTTLS\nS* 220\n")
								c.startTLS(ca.ClientConfig("mail.example.com"))
								c.Talk("C: EHLO client.example.net\nS* 250\n")
							}
							c.Talk(how.mail[len(hello):])
							c.write(how.text[:at])
							synctest.Wait()
							for c.Reader.Buffered() > 0 { // of chunks before
								require.Equal(w.t, "250", c.reply())
							}
							stop(c, raw, how.text[at:]+smuggled+"\r\n.\r\n")
							require.Empty(w.t, w.messages())
						})
					})
				}
			}
		}
	}
}

// stops are the ways in which a client stops, and then goes on with rest if it can. The replies to chunks that came to their
// end and one last word is all that it may hear.
var stops = map[string]func(c client, raw *mailtest.Conn, rest string){
	"silence": func(c client, _ *mailtest.Conn, rest string) {
		time.Sleep(smtpd.DefaultCommandTimeout + time.Millisecond)
		_, _ = io.WriteString(c.Conn, rest) // it may be too late for that
		c.lastWords("421 4.4.2")
	},
	"end of input": func(c client, _ *mailtest.Conn, _ string) {
		require.NoError(c.T, c.Conn.(interface{ CloseWrite() error }).CloseWrite()) // over TLS: with close_notify
		c.lastWords("")
	},
	"end of the connection": func(c client, raw *mailtest.Conn, _ string) {
		require.NoError(c.T, raw.CloseWrite()) // over TLS: without close_notify
		c.lastWords("")
	},
	"reset": func(_ client, raw *mailtest.Conn, _ string) { raw.Reset() },
}

// lastWords reads to the end: replies of success to what came before, and then one that begins like last.
func (c client) lastWords(last string) {
	c.T.Helper()
	said, err := io.ReadAll(c.Reader)
	require.NoError(c.T, err)
	lines := strings.Split(strings.TrimSuffix(string(said), "\r\n"), "\r\n")
	if last != "" {
		require.True(c.T, strings.HasPrefix(lines[len(lines)-1], last), "%q", said)
		lines = lines[:len(lines)-1]
	}
	for _, line := range lines {
		require.True(c.T, line == "" || strings.HasPrefix(line, "250 2.0.0 Ok: ") && strings.HasSuffix(line, " received"), "%q", said)
	}
}

func TestHalfACommandIsNone(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.talk(toData + "C: .\nS* 250\nR: \"MAIL FROM:<a@example.net>\"\nH:\nS$\n")
	})
}

// What comes with STARTTLS, or after it in clear, may have been put there by someone in the middle: nothing of it is served,
// neither in clear nor as if it had been encrypted.
func TestInputBehindSTARTTLS(t *testing.T) {
	ca := mailtest.NewCA()
	for name, behind := range map[string]string{
		"a command":       "NOOP\r\n",
		"half a command":  "N",
		"a line end":      "\r\n",
		"a NUL":           "\x00",
		"a hello":         "EHLO injected.example\r\n",
		"a transaction":   "EHLO injected.example\r\n" + smuggled + "\r\n.\r\n",
		"STARTTLS twice":  "STARTTLS\r\n",
		"a TLS handshake": "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, withTLS(ca), func(w *world) {
				c := w.dial("203.0.113.9")
				c.Talk(hello)
				c.write("STARTTLS\r\n" + behind)
				c.Talk("S: 503 5.5.1 Input after STARTTLS, closing\nS$\n")

				c = w.dial("203.0.113.9")
				c.Talk(hello + "C: STARTTLS\nS: 220 2.0.0 Ready to start TLS\n")
				c.write(behind)
				time.Sleep(smtpd.DefaultTLSTimeout + time.Second)
				said, err := io.ReadAll(c.Reader)
				require.NoError(w.t, err)
				require.NotRegexp(w.t, `[2345][0-9][0-9][ -]`, string(said), "nothing but a TLS alert")
				require.Empty(w.t, w.messages())
			})
		})
	}
}
