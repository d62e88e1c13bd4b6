package relay

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
)

// tape is a connection to a server that says what it says, whatever it hears.
type tape struct {
	io.Reader
	heard bytes.Buffer
}

func (c *tape) Write(p []byte) (int, error)      { return c.heard.Write(p) }
func (c *tape) Close() error                     { return nil }
func (c *tape) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *tape) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 25} }
func (c *tape) SetDeadline(time.Time) error      { return nil }
func (c *tape) SetReadDeadline(time.Time) error  { return nil }
func (c *tape) SetWriteDeadline(time.Time) error { return nil }

// Whatever a server says, nothing but well-formed commands goes out, each recipient has an outcome, and mail counts as
// delivered only when the server said so.
func FuzzServer(f *testing.F) {
	f.Add([]byte("220 hi\r\n250-x\r\n250 PIPELINING\r\n250 a\r\n250 b\r\n550 5.1.1 c\r\n354 go\r\n250 done\r\n"))
	f.Add([]byte("220 hi\r\n500 x\r\n250 helo\r\n250 a\r\n250 b\r\n452 c\r\n354 go\r\n250 done\r\n250 a\r\n250 c\r\n354 go\r\n250 x\r\n"))
	f.Add([]byte("220 hi\r\n250-x\r\n250-SIZE 1\r\n250 SMTPUTF8\r\n"))
	f.Add([]byte("220 hi\r\n250-x\r\n250 STARTTLS\r\n220 go\r\n250 x\r\n"))
	f.Fuzz(func(t *testing.T, says []byte) {
		var tapes []*tape
		m := &MX{Hostname: "h.test", Dial: func(context.Context, string, string) (net.Conn, error) {
			c := &tape{Reader: bytes.NewReader(says)}
			tapes = append(tapes, c)
			return c, nil
		}}
		defer m.Close()
		env := &mailbricks.Envelope{From: "a@b.test", Recipients: []mailbricks.Recipient{{Address: "c@[192.0.2.1]"}, {Address: "d@[192.0.2.1]"}}}
		dots := 0
		ctx := withCall(t.Context(), &call{hostname: "h.test", beforeDot: func(r []int) error { dots += len(r); return nil }})
		out := m.Deliver(ctx, env, mailbricks.NewMessage([]byte("A: 1\r\n\r\n.body\r\n")))
		require.Len(t, out, 2)
		taken := 0
		for _, o := range out {
			require.NotErrorIs(t, o.Err, errNotSent)
			if o.Err == nil || o.Unknown {
				taken++
			}
			if o.Err == nil {
				require.True(t, strings.HasPrefix(o.Reply, "2"), o.Reply)
			}
		}
		require.LessOrEqual(t, taken, dots, "the queue was told before")
		for _, c := range tapes {
			clear, _, _ := strings.Cut(c.heard.String(), "STARTTLS\r\n")
			require.NotContains(t, strings.ReplaceAll(clear, "\r\n", ""), "\n")
		}
	})
}
